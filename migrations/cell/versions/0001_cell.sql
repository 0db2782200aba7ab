-- What a cell keeps beside its tenants' schemas: jobs, the prepared tenant script, and the functions that cross walls.
CREATE TABLE strongroom.jobs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL,
    realm text NOT NULL CHECK (realm IN ('tenant', 'platform')),
    kind text NOT NULL,
    ids jsonb NOT NULL DEFAULT '{}',
    dedupe_key text,
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'parked')),
    attempts integer NOT NULL DEFAULT 0,
    error text,
    run_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    lease_id uuid,
    lease_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE INDEX jobs_queued ON strongroom.jobs (tenant_id, run_at) WHERE state = 'queued';
CREATE INDEX jobs_running ON strongroom.jobs (tenant_id, lease_until) WHERE state = 'running';
CREATE INDEX jobs_finished ON strongroom.jobs (finished_at) WHERE state IN ('done', 'parked');
CREATE UNIQUE INDEX jobs_dedupe ON strongroom.jobs (tenant_id, realm, kind, dedupe_key) WHERE state = 'queued' AND dedupe_key IS NOT NULL;

-- When each tenant last had its turn at a worker: whose turn is longest ago goes first.
CREATE TABLE strongroom.job_turns (
    tenant_id uuid PRIMARY KEY,
    claimed_at timestamptz NOT NULL
);

-- Tenants whose own jobs wait: they are suspended, or being deleted. What the platform does to them goes on.
CREATE TABLE strongroom.paused_tenants (
    tenant_id uuid PRIMARY KEY,
    paused_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE strongroom.tenant_script (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    revision text NOT NULL,
    script text NOT NULL
);

-- The only way in which a tenant's transaction reaches the jobs: the tenant is taken from the role, never from the caller.
CREATE FUNCTION strongroom.enqueue_job(p_kind text, p_ids jsonb, p_dedupe_key text DEFAULT NULL, p_delay_s double precision DEFAULT 0)
RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, strongroom AS $$
DECLARE
    v_role text := pg_catalog.current_setting('role');
    v_id uuid;
BEGIN
    IF v_role !~ '^t_[0-9a-f]{32}$' THEN
        RAISE EXCEPTION 'enqueue_job outside a tenant' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO strongroom.jobs (tenant_id, realm, kind, ids, dedupe_key, run_at)
    VALUES (substr(v_role, 3)::uuid, 'tenant', p_kind, p_ids, p_dedupe_key, now() + make_interval(secs => p_delay_s))
    -- A worker may take the waiting job before this transaction commits, and not see its rows: jobs that are deduplicated
    -- have themselves run once more, later than the longest transaction (queue.run_again).
    ON CONFLICT (tenant_id, realm, kind, dedupe_key) WHERE state = 'queued' AND dedupe_key IS NOT NULL DO NOTHING
    RETURNING id INTO v_id;
    IF v_id IS NULL AND p_dedupe_key = 'again' THEN  -- the later run counts from the latest asker
        UPDATE strongroom.jobs SET run_at = greatest(run_at, now() + make_interval(secs => p_delay_s))
        WHERE tenant_id = substr(v_role, 3)::uuid AND realm = 'tenant' AND kind = p_kind AND dedupe_key = 'again' AND state = 'queued';
    END IF;
    RETURN v_id;
END $$;

-- Make a tenant's role and schema from the prepared script, in the caller's transaction.
CREATE FUNCTION strongroom.provision_tenant(p_tenant uuid)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, strongroom AS $$
DECLARE
    v_name text := 't_' || replace(p_tenant::text, '-', '');
    v_script strongroom.tenant_script%ROWTYPE;
BEGIN
    SELECT * INTO STRICT v_script FROM strongroom.tenant_script;
    EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT NOCREATEDB NOCREATEROLE', v_name);
    EXECUTE format('GRANT %I TO %I', v_name, session_user);
    EXECUTE format('CREATE SCHEMA %I', v_name);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', v_name, v_name);
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I', v_name, v_name);
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT USAGE, SELECT ON SEQUENCES TO %I', v_name, v_name);
    EXECUTE format('SET LOCAL search_path = %I, pg_catalog', v_name);
    EXECUTE v_script.script;
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %I.alembic_version FROM %I', v_name, v_name);
    SET LOCAL search_path = pg_catalog, strongroom;
    RETURN v_script.revision;
END $$;

-- Remove a tenant's schema and role. What it ran in the background is forgotten with it.
CREATE FUNCTION strongroom.drop_tenant(p_tenant uuid)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, strongroom AS $$
DECLARE
    v_name text := 't_' || replace(p_tenant::text, '-', '');
BEGIN
    DELETE FROM strongroom.jobs WHERE tenant_id = p_tenant AND realm = 'tenant';
    DELETE FROM strongroom.job_turns WHERE tenant_id = p_tenant;
    DELETE FROM strongroom.paused_tenants WHERE tenant_id = p_tenant;
    EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', v_name);
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = v_name) THEN
        EXECUTE format('DROP ROLE %I', v_name);
    END IF;
END $$;
