"""What the probe of the walls between tenants found: signed reports, kept for each tenant, and the keys that verify them."""
