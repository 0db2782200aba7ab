-- The prepared script of a new tenant: the state at the newest revision. tests/db compares it with the chain of migrations.
CREATE TABLE alembic_version (version_num varchar(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY);
INSERT INTO alembic_version VALUES ('0005');

CREATE TABLE users (
    id uuid PRIMARY KEY,
    email text NOT NULL,
    email_key text NOT NULL UNIQUE,
    name text NOT NULL DEFAULT '',
    role text NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    status text NOT NULL CHECK (status IN ('invited', 'active', 'disabled')),
    password_hash text,
    invite_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    last_login_at timestamptz
);

-- A session is a family of refresh tokens: only the newest, refresh_id, is good; an older one ends the session.
CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    kind varchar(8) NOT NULL CHECK (kind IN ('api', 'console')),
    refresh_id uuid NOT NULL,
    user_agent varchar(200) NOT NULL DEFAULT '',
    remote_addr varchar(64) NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz
);
CREATE INDEX sessions_user ON sessions (user_id);

CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    key_id text NOT NULL UNIQUE,
    name text NOT NULL,
    secret_hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created_by uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    used_at timestamptz,
    revoked_at timestamptz
);

-- As whom identity providers know users. The lengths are such that a row always fits into a page: the table needs no other for
-- long values.
CREATE TABLE identities (
    issuer varchar(200) NOT NULL,
    subject varchar(255) NOT NULL,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_login_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, subject)
);

CREATE TABLE buckets (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$'),
    allowed_types text[] NOT NULL DEFAULT '{}',
    max_size_bytes bigint CHECK (max_size_bytes > 0),
    versioning boolean NOT NULL DEFAULT true,
    trash_days integer NOT NULL DEFAULT 30 CHECK (trash_days BETWEEN 0 AND 3650),
    serve_unscanned boolean NOT NULL DEFAULT false,
    public boolean NOT NULL DEFAULT false,
    cache_max_age_s integer NOT NULL DEFAULT 300 CHECK (cache_max_age_s BETWEEN 0 AND 31536000),
    redirect_downloads boolean NOT NULL DEFAULT false,
    used_bytes bigint NOT NULL DEFAULT 0 CHECK (used_bytes >= 0),
    used_files bigint NOT NULL DEFAULT 0 CHECK (used_files >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- A file is a path in a bucket; version_id points at its current version. "C" collation: listings go by code point.
CREATE TABLE files (
    id uuid PRIMARY KEY,
    bucket_id uuid NOT NULL REFERENCES buckets,
    path text COLLATE "C" NOT NULL,
    version_id uuid NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    purge_at timestamptz
);
CREATE UNIQUE INDEX files_path ON files (bucket_id, path) WHERE deleted_at IS NULL;
CREATE INDEX files_trash ON files (deleted_at DESC, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX files_purge ON files (purge_at) WHERE purge_at IS NOT NULL;
CREATE INDEX files_updated ON files (updated_at DESC) WHERE deleted_at IS NULL;

-- bucket_id is the file's, which nothing changes: the file's foreign key keeps the bucket.
CREATE TABLE versions (
    id uuid PRIMARY KEY,
    file_id uuid NOT NULL REFERENCES files ON DELETE CASCADE,
    bucket_id uuid NOT NULL,
    provider_id uuid NOT NULL,
    provider_tag text NOT NULL DEFAULT '',
    size_bytes bigint NOT NULL CHECK (size_bytes >= 0),
    content_type text NOT NULL,
    detected_type text NOT NULL,
    etag text NOT NULL,
    fingerprint text,
    blake3 text,
    sha256 text,
    status text NOT NULL CHECK (status IN ('pending', 'available', 'quarantined', 'rejected')),
    verdict text NOT NULL DEFAULT 'pending' CHECK (verdict IN ('pending', 'clean', 'infected', 'unscanned', 'invalid')),
    engine text,
    signatures_at timestamptz,
    scanned_bytes bigint,
    reason text,
    claims jsonb NOT NULL DEFAULT '{}',
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    checked_at timestamptz
);
CREATE INDEX versions_file ON versions (file_id, created_at DESC);
CREATE INDEX versions_bucket ON versions (bucket_id, id);
CREATE INDEX versions_attention ON versions (created_at DESC) WHERE status IN ('quarantined', 'rejected') OR verdict = 'unscanned';
CREATE INDEX versions_fingerprint ON versions (fingerprint);
CREATE INDEX versions_provider ON versions (provider_id, id);
CREATE INDEX versions_pending ON versions (created_at) WHERE status = 'pending';

-- An upload: it reserves quota, and names the version whose bytes are to be swept if it never completes. One that takes
-- several requests stays for a while after its end, so that a client whose answer was lost can ask how it went.
CREATE TABLE uploads (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('stream', 'tus', 'direct', 'import')),
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'complete', 'failed')),
    bucket_id uuid NOT NULL REFERENCES buckets,
    path text COLLATE "C" NOT NULL,
    version_id uuid NOT NULL,
    provider_id uuid NOT NULL,
    session text NOT NULL DEFAULT '',
    size_bytes bigint CHECK (size_bytes >= 0),
    offset_bytes bigint NOT NULL DEFAULT 0 CHECK (offset_bytes >= 0),
    tail_bytes bigint NOT NULL DEFAULT 0 CHECK (tail_bytes >= 0),
    part_size_bytes bigint,
    reserved_bytes bigint NOT NULL CHECK (reserved_bytes >= 0),
    reserved_files integer NOT NULL CHECK (reserved_files IN (0, 1)),
    content_type text NOT NULL,
    detected_type text,
    request jsonb NOT NULL DEFAULT '{}',
    concat text CHECK (concat IN ('partial', 'final')),
    source_url bytea,
    lock_id uuid,
    locked_until timestamptz,
    lock_wanted boolean NOT NULL DEFAULT false,
    file_id uuid,
    reason text,
    created_by uuid,
    api_key_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);

-- What has arrived of an upload that takes several requests. blocks: BLAKE3 digests of the blocks that end in it.
CREATE TABLE parts (
    upload_id uuid NOT NULL REFERENCES uploads ON DELETE CASCADE,
    number integer NOT NULL CHECK (number > 0),
    offset_bytes bigint NOT NULL,
    size_bytes bigint NOT NULL,
    tag text NOT NULL DEFAULT '',
    blocks bytea NOT NULL DEFAULT '',
    PRIMARY KEY (upload_id, number)
);

-- A move of the tenant's bytes to another provider: the present one, or how the last one ended.
CREATE TABLE moves (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    provider_id uuid NOT NULL,
    state varchar(8) NOT NULL CHECK (state IN ('running', 'done')),
    moved_objects bigint NOT NULL DEFAULT 0,
    moved_bytes bigint NOT NULL DEFAULT 0,
    problem varchar(300) NOT NULL DEFAULT '',
    began_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);

-- Versions that the move has left where they are, and why.
CREATE TABLE move_failures (
    version_id uuid PRIMARY KEY REFERENCES versions ON DELETE CASCADE,
    reason varchar(300) NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

-- Who works on the bytes of a version at a provider that its row does not name: a copy being made there, or what is left
-- there being removed. Never both at a time.
CREATE TABLE byte_claims (
    version_id uuid NOT NULL,
    provider_id uuid NOT NULL,
    purpose varchar(8) NOT NULL CHECK (purpose IN ('copy', 'mirror', 'removal')),
    until timestamptz NOT NULL,
    PRIMARY KEY (version_id, provider_id)
);

-- Where else a version's bytes lie, or are to lie: a row for each host that its bucket is mirrored to. at: of what is stored, when it
-- was; of anything else, when it is to be tried. attempts: begun; whoever began an earlier one may not say how it went.
CREATE TABLE mirrors (
    version_id uuid NOT NULL REFERENCES versions ON DELETE CASCADE,
    provider_id uuid NOT NULL,
    size_bytes bigint NOT NULL,
    state varchar(8) NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'stored', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    problem varchar(300) NOT NULL DEFAULT '',
    provider_tag varchar(128) NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (version_id, provider_id)
);
CREATE INDEX mirrors_open ON mirrors (provider_id, at) WHERE state <> 'stored';

-- The BLAKE3 of each 4 MiB of a version that has more than one block; of one with a single block it is the version's blake3.
CREATE TABLE blocks (
    version_id uuid NOT NULL REFERENCES versions ON DELETE CASCADE,
    number integer NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (version_id, number)
);
CREATE INDEX blocks_digest ON blocks (digest);

-- Exact totals, changed in the transaction that changes the files; the quota is enforced on this row. warned: of which limits
-- how many percent were told when they were reached.
CREATE TABLE counters (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    used_bytes bigint NOT NULL DEFAULT 0 CHECK (used_bytes >= 0),
    used_files bigint NOT NULL DEFAULT 0 CHECK (used_files >= 0),
    reserved_bytes bigint NOT NULL DEFAULT 0 CHECK (reserved_bytes >= 0),
    reserved_files bigint NOT NULL DEFAULT 0 CHECK (reserved_files >= 0),
    warned jsonb NOT NULL DEFAULT '{}'
);
INSERT INTO counters DEFAULT VALUES;

-- The bytes that came in and went out in a month (UTC): the sum over its slots, of which each database session uses one, so that
-- accesses at the same time seldom wait for each other.
CREATE TABLE transfer (
    month date NOT NULL,
    slot integer NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (month, slot)
);

-- The change feed. A reader's cursor is (epoch, xid, id). Of the present epoch, which is the column's default, it sees only
-- xid < pg_snapshot_xmin(pg_current_snapshot()). With each move to another cell, whose xids are others, the next epoch begins.
CREATE TABLE events (
    epoch integer NOT NULL DEFAULT 1,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL,
    subject uuid,
    data jsonb NOT NULL DEFAULT '{}',
    actor jsonb NOT NULL DEFAULT '{}',
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (epoch, xid, id)
);
CREATE INDEX events_at ON events (at);

CREATE TABLE access_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    operation text NOT NULL CHECK (operation IN ('upload', 'download', 'delete')),
    bucket_id uuid NOT NULL,
    file_id uuid,
    user_id uuid,
    api_key_id uuid,
    content_type text NOT NULL,
    bytes_in bigint NOT NULL DEFAULT 0,
    bytes_out bigint NOT NULL DEFAULT 0,
    remote_addr text NOT NULL DEFAULT '',
    request_id text NOT NULL DEFAULT '',
    rolled_up boolean NOT NULL DEFAULT false
);
CREATE INDEX access_log_open ON access_log (id) WHERE NOT rolled_up;
CREATE INDEX access_log_at ON access_log (at);

-- Usage by hour and every dimension asked for. The zero id stands for "none".
CREATE TABLE usage_hourly (
    hour timestamptz NOT NULL,
    operation text NOT NULL,
    bucket_id uuid NOT NULL,
    user_id uuid NOT NULL,
    api_key_id uuid NOT NULL,
    content_type text NOT NULL,
    requests bigint NOT NULL,
    bytes_in bigint NOT NULL,
    bytes_out bigint NOT NULL,
    PRIMARY KEY (hour, operation, bucket_id, user_id, api_key_id, content_type)
);

-- What each bucket held when the hour was last rolled up.
CREATE TABLE stored_hourly (
    hour timestamptz NOT NULL,
    bucket_id uuid NOT NULL,
    stored_bytes bigint NOT NULL,
    stored_files bigint NOT NULL,
    PRIMARY KEY (hour, bucket_id)
);

-- Links that were good for one download and had it; forgotten once they would have expired anyway.
CREATE TABLE used_links (
    id uuid PRIMARY KEY,
    expires_at timestamptz NOT NULL
);

CREATE TABLE idempotency_keys (
    actor text NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    status integer,
    headers jsonb,
    body bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (actor, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- Archives of all that the tenant has, made by a worker, one at a time; they lie under its own prefix, in segments.
CREATE TABLE exports (
    id uuid PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('running', 'ready')),
    created_by uuid,
    total_objects bigint NOT NULL DEFAULT 0,
    total_bytes bigint NOT NULL DEFAULT 0,
    done_objects bigint NOT NULL DEFAULT 0,
    done_bytes bigint NOT NULL DEFAULT 0,
    missing_objects bigint NOT NULL DEFAULT 0,
    size_bytes bigint NOT NULL DEFAULT 0,
    members bigint NOT NULL DEFAULT 0,
    segments integer NOT NULL DEFAULT 0,
    chain text NOT NULL DEFAULT '',
    problem text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    expires_at timestamptz
);
CREATE UNIQUE INDEX exports_one_running ON exports (state) WHERE state = 'running';

-- A segment's row is there before its bytes are, so that nobody takes those for left over; size_bytes once they are whole.
CREATE TABLE export_segments (
    export_id uuid NOT NULL REFERENCES exports ON DELETE CASCADE,
    number integer NOT NULL CHECK (number > 0),
    segment_id uuid NOT NULL,
    provider_id uuid NOT NULL,
    size_bytes bigint,
    PRIMARY KEY (export_id, number)
);

-- Versions whose bytes have yet to go into an archive, or, while the tenant is imported, to come out of one.
CREATE TABLE export_items (
    export_id uuid NOT NULL,
    version_id uuid NOT NULL,
    PRIMARY KEY (export_id, version_id)
);

-- What the probe of the walls found, newest last; while one runs, its row holds the secret that nobody else may reach.
CREATE TABLE isolation_reports (
    id uuid PRIMARY KEY,
    began_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    canary text,
    ok boolean,
    findings integer NOT NULL DEFAULT 0,
    signed text,
    signature bytea
);
