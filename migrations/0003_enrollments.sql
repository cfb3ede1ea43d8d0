-- One-time tokens with which a partner sends a certificate request. A request and its decision stay as the record of who let
-- which key in.
CREATE TABLE enrollments (
    id                TEXT PRIMARY KEY,                 -- the public part of the token
    client_id         TEXT NOT NULL REFERENCES clients (id),
    hmac              BLOB NOT NULL,                    -- HMAC-SHA-256 under the server pepper; the token itself is nowhere
    profile           TEXT NOT NULL,                    -- 'client'
    key_algorithms    TEXT,                             -- NULL: all that the profile allows
    lifetime_seconds  BIGINT,                           -- of the certificate; NULL: the profile's
    scopes            TEXT,
    networks          TEXT,
    remark            TEXT,
    needs_approval    BIGINT NOT NULL,
    state             TEXT NOT NULL,                    -- open, pending, approved, signing, issued, denied, cancelled
    created_by        TEXT NOT NULL,
    created_at        BIGINT NOT NULL,
    expires_at        BIGINT NOT NULL,                  -- until then a request may come
    request           BLOB,                             -- PKCS#10, DER; the first one that was good
    key_algorithm     TEXT,                             -- of the request
    spki_fingerprint  TEXT,                             -- of the request: the token is bound to this key from then on
    source            TEXT,                             -- the address it came from
    requested_at      BIGINT,
    decided_by        TEXT,
    decided_at        BIGINT,
    decision          TEXT,                             -- in words
    issuer_key_id     TEXT,
    serial            TEXT,
    misused_at        BIGINT                            -- first time that the token came with another key
);
CREATE INDEX enrollments_by_client ON enrollments (client_id, created_at);
CREATE INDEX enrollments_by_creation ON enrollments (created_at);
CREATE INDEX enrollments_waiting ON enrollments (state, requested_at) WHERE state = 'pending';
