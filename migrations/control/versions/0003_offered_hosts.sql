-- Whether tenants may mirror their files to a provider of the operator's.
ALTER TABLE strongroom.providers ADD COLUMN offered_as_host boolean NOT NULL DEFAULT false CHECK (tenant_id IS NULL OR NOT offered_as_host);
