-- The registry: what the platform knows of its tenants, providers, plans and operators. No tenant role can read it.
CREATE TABLE strongroom.providers (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    kind text NOT NULL,
    config jsonb NOT NULL DEFAULT '{}',
    secrets bytea,
    tenant_id uuid,
    is_default boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (tenant_id IS NULL OR NOT is_default)
);
CREATE UNIQUE INDEX providers_name ON strongroom.providers (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'), name);
CREATE UNIQUE INDEX providers_one_default ON strongroom.providers (is_default) WHERE is_default;

CREATE TABLE strongroom.plans (
    name text PRIMARY KEY,
    quota_bytes bigint NOT NULL CHECK (quota_bytes >= 0),
    quota_files bigint NOT NULL CHECK (quota_files >= 0),
    quota_users integer NOT NULL CHECK (quota_users > 0),
    quota_buckets integer NOT NULL CHECK (quota_buckets >= 0),
    quota_transfer_bytes bigint NOT NULL CHECK (quota_transfer_bytes >= 0),
    max_file_size_bytes bigint NOT NULL CHECK (max_file_size_bytes > 0),
    requests_per_s integer NOT NULL CHECK (requests_per_s > 0),
    parallel_uploads integer NOT NULL CHECK (parallel_uploads > 0),
    own_providers boolean NOT NULL DEFAULT false
);
INSERT INTO strongroom.plans (name, quota_bytes, quota_files, quota_users, quota_buckets, quota_transfer_bytes, max_file_size_bytes,
                              requests_per_s, parallel_uploads)
VALUES ('standard', 1099511627776, 10000000, 10000, 1000, 109951162777600, 107374182400, 500, 64);

CREATE TABLE strongroom.tenants (
    id uuid PRIMARY KEY,
    slug text NOT NULL CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'),
    name text NOT NULL,
    status text NOT NULL CHECK (status IN ('provisioning', 'importing', 'active', 'suspended', 'deleting', 'deleted')),
    cell text NOT NULL,
    provider_id uuid NOT NULL REFERENCES strongroom.providers,
    prefix text NOT NULL UNIQUE,
    plan text NOT NULL REFERENCES strongroom.plans,
    limits jsonb NOT NULL DEFAULT '{}',
    brand jsonb NOT NULL DEFAULT '{}',
    logo bytea,
    logo_type text,
    logo_digest text,
    schema_revision text,
    -- Slugs that it bore before: credentials that were issued then name one of them, and stay good at its present address.
    former_slugs text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
-- A slug is free again once its tenant is gone; the id, the schema and the prefix never are.
CREATE UNIQUE INDEX tenants_slug ON strongroom.tenants (slug) WHERE status <> 'deleted';
CREATE INDEX tenants_provider ON strongroom.tenants (provider_id);

-- Every provider at which bytes of a tenant may lie: its present one, and those it is moving away from.
CREATE TABLE strongroom.tenant_providers (
    tenant_id uuid NOT NULL REFERENCES strongroom.tenants,
    provider_id uuid NOT NULL REFERENCES strongroom.providers,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, provider_id)
);
CREATE INDEX tenant_providers_provider ON strongroom.tenant_providers (provider_id);

CREATE TABLE strongroom.domains (
    domain text PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES strongroom.tenants,
    verified_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX domains_tenant ON strongroom.domains (tenant_id);

-- What is done to a tenant as a whole, step by step; of one tenant at most one at a time.
CREATE TABLE strongroom.operations (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES strongroom.tenants,
    kind text NOT NULL CHECK (kind IN ('rename', 'suspend', 'resume', 'delete', 'restore', 'import')),
    slug text NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done', 'cancelled')),
    steps jsonb NOT NULL,
    data jsonb NOT NULL DEFAULT '{}',
    error text NOT NULL DEFAULT '',
    due_at timestamptz NOT NULL DEFAULT now(),
    began_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);
CREATE UNIQUE INDEX operations_one_open ON strongroom.operations (tenant_id) WHERE state = 'open';
CREATE INDEX operations_tenant ON strongroom.operations (tenant_id, id);

CREATE TABLE strongroom.operators (
    id uuid PRIMARY KEY,
    email text NOT NULL UNIQUE,
    name text NOT NULL DEFAULT '',
    role text NOT NULL CHECK (role IN ('admin', 'viewer')),
    password_hash text NOT NULL,
    disabled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_login_at timestamptz
);

CREATE TABLE strongroom.operator_sessions (
    id uuid PRIMARY KEY,
    operator_id uuid NOT NULL REFERENCES strongroom.operators ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('api', 'console')),
    refresh_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz
);

CREATE TABLE strongroom.operator_audit (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    operator text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    data jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX operator_audit_at ON strongroom.operator_audit (at DESC);

CREATE TABLE strongroom.usage_daily (
    tenant_id uuid NOT NULL REFERENCES strongroom.tenants,
    day date NOT NULL,
    uploads bigint NOT NULL DEFAULT 0,
    downloads bigint NOT NULL DEFAULT 0,
    bytes_in bigint NOT NULL DEFAULT 0,
    bytes_out bigint NOT NULL DEFAULT 0,
    stored_bytes bigint NOT NULL DEFAULT 0,
    stored_files bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, day)
);
CREATE INDEX usage_daily_day ON strongroom.usage_daily (day);

-- Every process remembers tenants; whoever listens hears, after the commit, which one to forget ('*': all).
CREATE FUNCTION strongroom.tell_registry_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_tenant text := '*';
BEGIN
    IF TG_TABLE_NAME = 'tenants' THEN
        v_tenant := CASE TG_OP WHEN 'DELETE' THEN OLD.id ELSE NEW.id END;
    ELSIF TG_TABLE_NAME = 'domains' AND TG_OP <> 'UPDATE' THEN
        v_tenant := CASE TG_OP WHEN 'DELETE' THEN OLD.tenant_id ELSE NEW.tenant_id END;
    END IF;
    PERFORM pg_notify('strongroom_registry', v_tenant);
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION strongroom.tell_registry_change FROM PUBLIC;
CREATE TRIGGER tell_change AFTER INSERT OR UPDATE OR DELETE ON strongroom.tenants
    FOR EACH ROW EXECUTE FUNCTION strongroom.tell_registry_change();
CREATE TRIGGER tell_change AFTER INSERT OR UPDATE OR DELETE ON strongroom.domains
    FOR EACH ROW EXECUTE FUNCTION strongroom.tell_registry_change();
CREATE TRIGGER tell_change AFTER INSERT OR UPDATE OR DELETE ON strongroom.plans
    FOR EACH ROW EXECUTE FUNCTION strongroom.tell_registry_change();

-- How the migration of each tenant's schema stands; a tenant without a row was never behind. Its revision is in `tenants`.
CREATE TABLE strongroom.tenant_migrations (
    tenant_id uuid PRIMARY KEY REFERENCES strongroom.tenants,
    target text NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'running', 'current', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    error text,
    urgent boolean NOT NULL DEFAULT false,
    run_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz
);
CREATE INDEX tenant_migrations_open ON strongroom.tenant_migrations (urgent DESC, run_at) WHERE state IN ('pending', 'running');

-- What holds for the migration of all tenants: frozen, or asked to stop (what began before that moment does).
CREATE TABLE strongroom.fleet (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    frozen_at timestamptz,
    frozen_by text,
    stopped_at timestamptz
);
INSERT INTO strongroom.fleet DEFAULT VALUES;
