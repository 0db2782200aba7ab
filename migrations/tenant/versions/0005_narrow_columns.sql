-- A table any of whose rows might not fit into a page has another one for its long values, and that one an index: these four, which
-- are small and hold short texts, have neither any more. A tenant is made, and its catalogue read, with eight relations less.
-- Checks are made anew, since PostgreSQL words them differently for the other type.
ALTER TABLE sessions
    DROP CONSTRAINT sessions_kind_check,
    ALTER COLUMN kind TYPE varchar(8),
    ALTER COLUMN user_agent DROP DEFAULT,
    ALTER COLUMN user_agent TYPE varchar(200) USING left(user_agent, 200),
    ALTER COLUMN user_agent SET DEFAULT '',
    ALTER COLUMN remote_addr DROP DEFAULT,
    ALTER COLUMN remote_addr TYPE varchar(64) USING left(remote_addr, 64),
    ALTER COLUMN remote_addr SET DEFAULT '',
    ADD CONSTRAINT sessions_kind_check CHECK (kind IN ('api', 'console'));

ALTER TABLE moves
    DROP CONSTRAINT moves_state_check,
    ALTER COLUMN state TYPE varchar(8),
    ALTER COLUMN problem DROP DEFAULT,
    ALTER COLUMN problem TYPE varchar(300) USING left(problem, 300),
    ALTER COLUMN problem SET DEFAULT '',
    ADD CONSTRAINT moves_state_check CHECK (state IN ('running', 'done'));

ALTER TABLE move_failures ALTER COLUMN reason TYPE varchar(300) USING left(reason, 300);

ALTER TABLE byte_claims
    DROP CONSTRAINT byte_claims_purpose_check,
    ALTER COLUMN purpose TYPE varchar(8),
    ADD CONSTRAINT byte_claims_purpose_check CHECK (purpose IN ('copy', 'mirror', 'removal'));
