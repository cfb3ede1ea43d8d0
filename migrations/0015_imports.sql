-- What is brought along from elsewhere, many rows in one transaction. One entry of the feed names them all.
CREATE TABLE imports (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT NOT NULL CHECK (kind IN ('client', 'api-key', 'client-secret')),
    row_count  BIGINT NOT NULL,
    actor      TEXT NOT NULL,
    at         BIGINT NOT NULL
);

-- An imported key has no public part of its own, so it is found by what is stored of it: HMAC-SHA-256 under the server pepper of
-- the SHA-256 of the key. `hash_algorithm` is what was brought: 'hmac' (the key itself) or 'sha256' (only its hash: nobody here
-- ever saw the key).
ALTER TABLE api_keys ADD COLUMN import_id BIGINT;
ALTER TABLE api_keys ADD COLUMN hash_algorithm TEXT NOT NULL DEFAULT 'hmac';
CREATE INDEX api_keys_by_import ON api_keys (import_id) WHERE import_id IS NOT NULL;
CREATE UNIQUE INDEX api_keys_imported_by_hmac ON api_keys (hmac) WHERE import_id IS NOT NULL;

ALTER TABLE client_secrets ADD COLUMN import_id BIGINT;
CREATE INDEX client_secrets_by_import ON client_secrets (import_id) WHERE import_id IS NOT NULL;

ALTER TABLE clients ADD COLUMN import_id BIGINT;
CREATE INDEX clients_by_import ON clients (import_id) WHERE import_id IS NOT NULL;
