"""Files mirrored to further providers, the hosts of a tenant."""
