"""API definitions: the operations that a service declares, and requests that fit them."""
