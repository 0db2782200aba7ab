-- What a tenant gave us to keep for itself and nobody is ever shown, such as the secret with which we ask its identity provider.
-- Its settings, which have versions that anybody with the right may read, name what a secret is for; here it lies sealed.
CREATE TABLE strongroom.tenant_secrets (
    tenant_id uuid NOT NULL REFERENCES strongroom.tenants,
    name text NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (tenant_id, name)
);
