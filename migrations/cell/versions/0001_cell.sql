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

-- Tenants on their way into this cell. foreign_keys: those that are put back once all rows are there.
CREATE TABLE strongroom.arrivals (
    tenant_id uuid PRIMARY KEY,
    foreign_keys jsonb NOT NULL DEFAULT '[]',
    began_at timestamptz NOT NULL DEFAULT now()
);

-- Tenants that have gone over to another cell. Nobody can read or write what is left of them here; it is dropped after a while.
CREATE TABLE strongroom.departures (
    tenant_id uuid PRIMARY KEY,
    left_at timestamptz NOT NULL DEFAULT now()
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
    DELETE FROM strongroom.arrivals WHERE tenant_id = p_tenant;
    DELETE FROM strongroom.departures WHERE tenant_id = p_tenant;
    EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', v_name);
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = v_name) THEN
        EXECUTE format('DROP ROLE %I', v_name);
    END IF;
END $$;

-- A tenant goes over to another cell. Here is what needs the owner; who calls what and when is in strongroom/relocation.

-- In the new cell: make role and schema, whose jobs wait. A copy that stayed here when it left this cell goes first. Idempotent.
CREATE FUNCTION strongroom.begin_arrival(p_tenant uuid)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, strongroom AS $$
BEGIN
    IF EXISTS (SELECT FROM strongroom.arrivals WHERE tenant_id = p_tenant) THEN
        RETURN;
    END IF;
    PERFORM strongroom.forget_departed(p_tenant);
    PERFORM strongroom.provision_tenant(p_tenant);
    INSERT INTO strongroom.arrivals (tenant_id) VALUES (p_tenant);
    INSERT INTO strongroom.paused_tenants (tenant_id) VALUES (p_tenant) ON CONFLICT DO NOTHING;
END $$;

-- In the new cell: take away the foreign keys, so that rows may come and go in any order. Idempotent.
CREATE FUNCTION strongroom.open_arrival(p_tenant uuid)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, strongroom AS $$
DECLARE
    v_key record;
BEGIN
    PERFORM FROM strongroom.arrivals WHERE tenant_id = p_tenant FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the tenant is not on its way into this cell' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    FOR v_key IN
        SELECT c.conrelid::regclass::text AS table_name, c.conname, regexp_replace(pg_get_constraintdef(c.oid), ' NOT VALID$', '') AS definition
        FROM pg_constraint c WHERE c.connamespace = ('t_' || replace(p_tenant::text, '-', ''))::regnamespace AND c.contype = 'f'
    LOOP
        UPDATE strongroom.arrivals SET foreign_keys = foreign_keys || jsonb_build_object(
            'table', v_key.table_name, 'name', v_key.conname, 'definition', v_key.definition) WHERE tenant_id = p_tenant;
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', v_key.table_name, v_key.conname);
    END LOOP;
END $$;

-- In the new cell, when all rows are there: put the foreign keys back (they are validated later: every row was compared with
-- one for which they held), set the sequences, and begin the feed's next epoch. p_sequences: {name: {"last": n, "called": bool}}.
CREATE FUNCTION strongroom.finish_arrival(p_tenant uuid, p_sequences jsonb, p_epoch integer)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, strongroom AS $$
DECLARE
    v_name text := 't_' || replace(p_tenant::text, '-', '');
    v_keys jsonb;
    v_each record;
BEGIN
    SELECT foreign_keys INTO STRICT v_keys FROM strongroom.arrivals WHERE tenant_id = p_tenant FOR UPDATE;
    FOR v_each IN SELECT k.value FROM jsonb_array_elements(v_keys) AS k LOOP
        EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s NOT VALID',
                       v_each.value ->> 'table', v_each.value ->> 'name', v_each.value ->> 'definition');
    END LOOP;
    UPDATE strongroom.arrivals SET foreign_keys = '[]' WHERE tenant_id = p_tenant;
    FOR v_each IN SELECT s.key, s.value FROM jsonb_each(p_sequences) AS s LOOP
        PERFORM setval(format('%I.%I', v_name, v_each.key)::regclass, (v_each.value ->> 'last')::bigint, (v_each.value ->> 'called')::boolean);
    END LOOP;
    EXECUTE format('ALTER TABLE %I.events ALTER COLUMN epoch SET DEFAULT %s', v_name, p_epoch);
END $$;

-- In the new cell, after the tenant has come: validate one foreign key and return its name; null, when all are: it has arrived.
CREATE FUNCTION strongroom.settle_arrival(p_tenant uuid)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, strongroom AS $$
DECLARE
    v_key record;
BEGIN
    SELECT c.conrelid::regclass::text AS table_name, c.conname INTO v_key FROM pg_constraint c
    WHERE c.connamespace = ('t_' || replace(p_tenant::text, '-', ''))::regnamespace AND c.contype = 'f' AND NOT c.convalidated LIMIT 1;
    IF NOT FOUND THEN
        DELETE FROM strongroom.arrivals WHERE tenant_id = p_tenant;
        RETURN NULL;
    END IF;
    EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', v_key.table_name, v_key.conname);
    RETURN v_key.conname;
END $$;

-- In the new cell, when the tenant stays where it was: remove what has come of it. Idempotent; never one that lives here.
CREATE FUNCTION strongroom.abandon_arrival(p_tenant uuid)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, strongroom AS $$
BEGIN
    IF EXISTS (SELECT FROM strongroom.arrivals WHERE tenant_id = p_tenant) THEN
        PERFORM strongroom.drop_tenant(p_tenant);
    END IF;
END $$;

-- In the old cell: nobody can write to the tenant's tables from the commit on, but for statements that are running then. Idempotent.
CREATE FUNCTION strongroom.pause_writes(p_tenant uuid)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, strongroom AS $$
DECLARE
    v_name text := 't_' || replace(p_tenant::text, '-', '');
BEGIN
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I FROM %I', v_name, v_name);
    INSERT INTO strongroom.paused_tenants (tenant_id) VALUES (p_tenant) ON CONFLICT DO NOTHING;
END $$;

-- In the old cell, when the tenant stays here: it can be written again. Idempotent.
CREATE FUNCTION strongroom.resume_writes(p_tenant uuid)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, strongroom AS $$
DECLARE
    v_name text := 't_' || replace(p_tenant::text, '-', '');
BEGIN
    EXECUTE format('GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO %I', v_name, v_name);
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %I.alembic_version FROM %I', v_name, v_name);
END $$;

-- In the old cell, after the tenant has left: nobody can take its role here any more. Idempotent.
CREATE FUNCTION strongroom.depart(p_tenant uuid)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, strongroom AS $$
DECLARE
    v_name text := 't_' || replace(p_tenant::text, '-', '');
BEGIN
    EXECUTE format('REVOKE %I FROM %I', v_name, session_user);
    INSERT INTO strongroom.departures (tenant_id) VALUES (p_tenant) ON CONFLICT DO NOTHING;
END $$;

-- In the old cell: remove what is left of a tenant that has left. Idempotent; never one that lives here.
CREATE FUNCTION strongroom.forget_departed(p_tenant uuid)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, strongroom AS $$
BEGIN
    IF EXISTS (SELECT FROM strongroom.departures WHERE tenant_id = p_tenant) THEN
        PERFORM strongroom.drop_tenant(p_tenant);
    END IF;
END $$;
