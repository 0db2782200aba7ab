"""The tenant registry: what a tenant is, how it is found, made, suspended and removed, its plan and its brand."""
