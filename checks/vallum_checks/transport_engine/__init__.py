"""What the transport check is made of: rules, single requests without the usual checks of certificates, sslyze, mutual TLS."""
