-- Indexes that no statement needs: of small tables that are swept by reading them, or looked through when a user or a bucket goes.
-- A tenant is made, and its catalogue read, with six relations less; an upload and a keyed request write fewer, and a touch of an
-- upload that is resumed changes no index at all.
DROP INDEX IF EXISTS sessions_expiry, api_keys_owner, uploads_expiry, uploads_version, uploads_bucket, used_links_expiry;

-- A version's bucket is its file's, whose foreign key keeps the bucket: the second one cost every upload a look at it.
ALTER TABLE versions DROP CONSTRAINT IF EXISTS versions_bucket_id_fkey;
