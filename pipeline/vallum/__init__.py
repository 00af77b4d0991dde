"""vallum: every ring of defence of a repository of microservices, and one decision that can be trusted."""

__version__ = "0.1.0"
