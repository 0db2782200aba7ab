"""Buckets: a tenant's named containers of files, each with a policy."""
