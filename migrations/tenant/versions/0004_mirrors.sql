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

-- A copy for a mirror is made by others than a copy for a move, and never by both at a time.
ALTER TABLE byte_claims DROP CONSTRAINT byte_claims_purpose_check;
ALTER TABLE byte_claims ADD CONSTRAINT byte_claims_purpose_check CHECK (purpose IN ('copy', 'mirror', 'removal'));
