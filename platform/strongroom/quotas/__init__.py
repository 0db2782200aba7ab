"""How near a tenant is to its limits, and telling it so before they stop it."""
