-- As whom identity providers know users. The lengths are such that a row always fits into a page: the table needs no other for
-- long values, and few people have so many identities that looking them through when a user goes would ask for an index.
CREATE TABLE identities (
    issuer varchar(200) NOT NULL,
    subject varchar(255) NOT NULL,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_login_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, subject)
);
