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

-- The clusters that hold tenants: how full one may become. Their addresses are in the settings, where secrets are. A cell has
-- a row once it was prepared; without one no tenant is put there.
CREATE TABLE strongroom.cells (
    name text PRIMARY KEY,
    max_tenants integer NOT NULL DEFAULT 10000 CHECK (max_tenants >= 0),
    closed boolean NOT NULL DEFAULT false,
    added_at timestamptz NOT NULL DEFAULT now()
);

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
    -- Set while it is about to go over to another cell: until it is there it can only be read.
    writes_paused boolean NOT NULL DEFAULT false,
    -- Slugs that it bore before: credentials that were issued then name one of them, and stay good at its present address.
    former_slugs text[] NOT NULL DEFAULT '{}',
    -- What the tenant chose for itself besides its brand; each change of either makes a new version.
    settings jsonb NOT NULL DEFAULT '{}',
    settings_version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
-- A slug is free again once its tenant is gone; the id, the schema and the prefix never are.
CREATE UNIQUE INDEX tenants_slug ON strongroom.tenants (slug) WHERE status <> 'deleted';
CREATE INDEX tenants_provider ON strongroom.tenants (provider_id);

-- A tenant's settings and brand as they were, who made them so, and what that changed. Nothing in them is secret.
CREATE TABLE strongroom.settings_versions (
    tenant_id uuid NOT NULL REFERENCES strongroom.tenants,
    version integer NOT NULL,
    settings jsonb NOT NULL,
    changes jsonb NOT NULL DEFAULT '{}',
    actor jsonb NOT NULL DEFAULT '{}',
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, version)
);

-- Every provider at which bytes of a tenant may lie: its present one, and those it is moving away from.
CREATE TABLE strongroom.tenant_providers (
    tenant_id uuid NOT NULL REFERENCES strongroom.tenants,
    provider_id uuid NOT NULL REFERENCES strongroom.providers,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, provider_id)
);
CREATE INDEX tenant_providers_provider ON strongroom.tenant_providers (provider_id);

-- Any number of tenants may claim a domain; it leads to the one that has proven it, until the proof was gone for too long.
CREATE TABLE strongroom.domains (
    domain text NOT NULL,
    tenant_id uuid NOT NULL REFERENCES strongroom.tenants,
    verified_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    token text NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', ''),
    lapsed_at timestamptz,
    checked_at timestamptz,
    finding text NOT NULL DEFAULT '' CHECK (finding IN ('', 'proven', 'missing', 'alias', 'unreachable')),
    missing_since timestamptz,
    misses integer NOT NULL DEFAULT 0,
    check_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain, tenant_id),
    CHECK (verified_at IS NULL OR lapsed_at IS NULL)
);
CREATE UNIQUE INDEX domains_one_owner ON strongroom.domains (domain) WHERE verified_at IS NOT NULL;
CREATE INDEX domains_due ON strongroom.domains (check_at) WHERE verified_at IS NOT NULL;
CREATE INDEX domains_tenant ON strongroom.domains (tenant_id);

-- What is done to a tenant as a whole, step by step; of one tenant at most one at a time.
CREATE TABLE strongroom.operations (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES strongroom.tenants,
    kind text NOT NULL CHECK (kind IN ('rename', 'suspend', 'resume', 'delete', 'restore', 'import', 'move', 'stay')),
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
    ELSIF TG_TABLE_NAME = 'domains' THEN
        IF TG_OP = 'UPDATE' AND OLD.verified_at IS NOT DISTINCT FROM NEW.verified_at THEN
            RETURN NULL;  -- looked at again: it leads where it led
        END IF;
        v_tenant := CASE TG_OP WHEN 'DELETE' THEN OLD.tenant_id ELSE NEW.tenant_id END;
    END IF;
    PERFORM pg_notify('strongroom_registry', v_tenant);
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION strongroom.tell_registry_change FROM PUBLIC;
CREATE TRIGGER tell_change AFTER INSERT OR UPDATE OR DELETE ON strongroom.tenants
    FOR EACH ROW EXECUTE FUNCTION strongroom.tell_registry_change();
CREATE TRIGGER tell_change AFTER INSERT OR UPDATE OF verified_at OR DELETE ON strongroom.domains
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

-- When the walls of each tenant were last probed, and what was found: whose turn is longest ago is next.
CREATE TABLE strongroom.isolation_probes (
    tenant_id uuid PRIMARY KEY REFERENCES strongroom.tenants,
    ended_at timestamptz NOT NULL,
    ok boolean NOT NULL,
    findings integer NOT NULL
);
