"""Custom domains of tenants: claimed, proven by a DNS record, looked at again for as long as they lead to the tenant."""
