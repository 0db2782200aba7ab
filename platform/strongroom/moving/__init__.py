"""The live move of a tenant's bytes from one provider to another."""
