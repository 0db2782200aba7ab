"""The tenant's console: pages for a tenant's own users, in the tenant's own look."""
