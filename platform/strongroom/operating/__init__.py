"""The operator's side: tenants, providers, jobs, operators and statistics across tenants."""
