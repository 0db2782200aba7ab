"""Storage providers that a tenant brings itself, where its plan allows that."""
