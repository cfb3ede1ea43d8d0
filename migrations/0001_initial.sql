-- Times are seconds since the Unix epoch (audit: milliseconds). Lists are JSON arrays of strings; NULL means "does not narrow".
-- Portable SQL: what stands here runs on SQLite and PostgreSQL.

CREATE TABLE partners (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL,
    contact       TEXT,
    enabled       BIGINT NOT NULL DEFAULT 1,           -- the operator's switch; no policy turns it
    managed_by    TEXT,                                -- 'policy' when a document declares it
    withdrawn_by  BIGINT,                              -- the policy version that stopped declaring it; off until one does again
    created_at    BIGINT NOT NULL
);

CREATE TABLE clients (
    id                 TEXT PRIMARY KEY,
    partner_id         TEXT NOT NULL REFERENCES partners (id),
    description        TEXT,
    enabled            BIGINT NOT NULL DEFAULT 1,
    managed_by         TEXT,
    withdrawn_by       BIGINT,
    scopes             TEXT NOT NULL,
    networks           TEXT NOT NULL,
    usage_plan         TEXT,
    tokens_not_before  BIGINT,                         -- tokens issued before this instant are revoked
    created_at         BIGINT NOT NULL
);
CREATE INDEX clients_by_partner ON clients (partner_id);

-- CA certificates, ours. The private key lies in an encrypted file, or is absent (an offline root).
CREATE TABLE issuers (
    key_id       TEXT PRIMARY KEY,                     -- subjectKeyIdentifier, hex
    kind         TEXT NOT NULL CHECK (kind IN ('root', 'issuing', 'server-issuing')),
    state        TEXT NOT NULL CHECK (state IN ('active', 'retiring', 'removed')),
    subject      TEXT NOT NULL,
    certificate  BLOB NOT NULL,
    key_file     TEXT,
    not_after    BIGINT NOT NULL,
    crl_number   BIGINT NOT NULL DEFAULT 0,            -- strictly monotonic, RFC 5280 §5.2.3
    created_at   BIGINT NOT NULL
);

-- The positive list: a certificate is accepted only while its row here is issued and not revoked.
CREATE TABLE certificates (
    issuer_key_id     TEXT NOT NULL REFERENCES issuers (key_id),
    serial            TEXT NOT NULL,                   -- canonical lower-case hex
    state             TEXT NOT NULL CHECK (state IN ('reserved', 'issued', 'orphaned')),
    client_id         TEXT REFERENCES clients (id),    -- NULL for the gate's own server certificates
    kind              TEXT NOT NULL CHECK (kind IN ('client', 'server')),
    subject           TEXT NOT NULL,
    spki_fingerprint  TEXT NOT NULL,
    thumbprint        TEXT,                            -- SHA-256 of the DER, hex; NULL until issued
    not_before        BIGINT NOT NULL,
    not_after         BIGINT NOT NULL,
    scopes            TEXT,
    networks          TEXT,
    der               BLOB,
    created_at        BIGINT NOT NULL,
    PRIMARY KEY (issuer_key_id, serial)
);
CREATE INDEX certificates_by_client ON certificates (client_id);
CREATE INDEX certificates_by_serial ON certificates (serial);
CREATE INDEX certificates_reserved ON certificates (state) WHERE state = 'reserved';
CREATE INDEX certificates_with_networks ON certificates (not_after) WHERE networks IS NOT NULL;
CREATE INDEX certificates_by_key ON certificates (spki_fingerprint);
CREATE INDEX certificates_by_expiry ON certificates (not_after);
CREATE INDEX certificates_by_creation ON certificates (created_at);
CREATE UNIQUE INDEX certificates_by_thumbprint ON certificates (thumbprint);

-- Append-only: no statement updates or deletes a row that is still unexpired (pitfall: renewals that wrote a revocation back to good).
CREATE TABLE revocations (
    issuer_key_id  TEXT NOT NULL,
    serial         TEXT NOT NULL,
    revoked_at     BIGINT NOT NULL,
    reason         TEXT NOT NULL,
    PRIMARY KEY (issuer_key_id, serial),
    FOREIGN KEY (issuer_key_id, serial) REFERENCES certificates (issuer_key_id, serial)
);

CREATE TABLE crls (
    issuer_key_id  TEXT PRIMARY KEY REFERENCES issuers (key_id),
    number         BIGINT NOT NULL,
    this_update    BIGINT NOT NULL,
    next_update    BIGINT NOT NULL,
    der            BLOB NOT NULL
);

CREATE TABLE api_keys (
    id                 TEXT PRIMARY KEY,               -- the public part of the key
    client_id          TEXT NOT NULL REFERENCES clients (id),
    name               TEXT,
    prefix             TEXT NOT NULL,                  -- pc_<env>_<id>
    last4              TEXT NOT NULL,
    hmac               BLOB NOT NULL,                  -- HMAC-SHA-256 under the server pepper; the key itself is nowhere
    scopes             TEXT,
    networks           TEXT,
    created_at         BIGINT NOT NULL,
    expires_at         BIGINT,
    revoked_at         BIGINT,
    revocation_reason  TEXT,
    replaced_by        TEXT
);
CREATE INDEX api_keys_by_client ON api_keys (client_id);

CREATE TABLE client_secrets (
    id                 TEXT PRIMARY KEY,
    client_id          TEXT NOT NULL REFERENCES clients (id),
    name               TEXT,
    last4              TEXT NOT NULL,
    hmac               BLOB NOT NULL,
    created_at         BIGINT NOT NULL,
    expires_at         BIGINT,
    revoked_at         BIGINT,
    revocation_reason  TEXT
);
CREATE INDEX client_secrets_by_client ON client_secrets (client_id);

CREATE TABLE revoked_tokens (
    jti         TEXT PRIMARY KEY,
    client_id   TEXT NOT NULL,
    expires_at  BIGINT NOT NULL,                       -- the row may go only after this plus the leeway
    revoked_at  BIGINT NOT NULL
);
CREATE INDEX revoked_tokens_by_expiry ON revoked_tokens (expires_at);

CREATE TABLE signing_keys (
    kid          TEXT PRIMARY KEY,
    algorithm    TEXT NOT NULL,                        -- JWS name: ES256, RS256
    state        TEXT NOT NULL CHECK (state IN ('active', 'retiring', 'removed')),
    private_key  TEXT NOT NULL,                        -- encrypted PKCS#8, PEM
    created_at   BIGINT NOT NULL,
    state_since  BIGINT NOT NULL                       -- a retiring key may go when the last token it signed has expired
);

CREATE TABLE policies (
    version      INTEGER PRIMARY KEY,
    documents    TEXT NOT NULL,                        -- JSON array of {name, text}
    comment      TEXT,
    applied_by   TEXT NOT NULL,
    applied_at   BIGINT NOT NULL,
    restored     BIGINT                                -- the version that a rollback brought back
);

CREATE TABLE quota_usage (
    client_id     TEXT NOT NULL,
    period_start  BIGINT NOT NULL,
    used          BIGINT NOT NULL,
    PRIMARY KEY (client_id, period_start)
);

-- What every node must look at again, in the order it was committed.
CREATE TABLE changes (
    seq   INTEGER PRIMARY KEY AUTOINCREMENT,
    kind  TEXT NOT NULL,
    key   TEXT NOT NULL,
    at    BIGINT NOT NULL
);

-- Administrative changes are recorded in the transaction that makes them.
CREATE TABLE audit_changes (
    id       TEXT PRIMARY KEY,                         -- UUIDv7
    at       BIGINT NOT NULL,                          -- milliseconds
    actor    TEXT NOT NULL,
    source   TEXT,
    action   TEXT NOT NULL,                            -- 'certificate.issue', 'api-key.revoke', ...
    target   TEXT NOT NULL,
    detail   TEXT NOT NULL                             -- JSON object; never a secret
);
CREATE INDEX audit_changes_by_time ON audit_changes (at);

CREATE TABLE idempotency_keys (
    key         TEXT PRIMARY KEY,
    request     TEXT NOT NULL,                         -- SHA-256 of what was asked
    answer      TEXT NOT NULL,
    created_at  BIGINT NOT NULL
);
CREATE INDEX idempotency_keys_by_creation ON idempotency_keys (created_at);
