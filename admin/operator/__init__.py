"""The operator's console: tenants and their figures, jobs, providers, operators."""
