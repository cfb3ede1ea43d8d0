-- Authorities that are followed by others, certificates with the octets that were signed, and what is known of keys and of use.
--
-- The first tables fixed the states in CHECK constraints, which SQLite cannot take off again. So the four that hang together are
-- made anew, children first, with what they hold. From here on the code alone says which states there are (`stored_names!`).

CREATE TABLE old_revocations AS SELECT * FROM revocations;
DROP TABLE revocations;
CREATE TABLE old_certificates AS SELECT * FROM certificates;
DROP TABLE certificates;
CREATE TABLE old_crls AS SELECT * FROM crls;
DROP TABLE crls;
CREATE TABLE old_issuers AS SELECT * FROM issuers;
DROP TABLE issuers;

-- CA certificates, ours.
CREATE TABLE issuers (
    key_id          TEXT PRIMARY KEY,                  -- subjectKeyIdentifier, hex
    kind            TEXT NOT NULL,                     -- 'root', 'issuing', 'server-issuing'
    state           TEXT NOT NULL,                     -- 'prepared', 'trusted', 'active', 'retiring', 'removed'
    state_since     BIGINT NOT NULL,
    tainted_at      BIGINT,                            -- since then nothing that it issued is accepted
    subject         TEXT NOT NULL,
    certificate     BLOB NOT NULL,
    key_location    TEXT,                              -- a file in the keys folder, or a pkcs11: URI; NULL: kept elsewhere
    not_after       BIGINT NOT NULL,
    crl_number      BIGINT NOT NULL DEFAULT 0,         -- strictly monotonic, RFC 5280 §5.2.3
    crl_partitions  BIGINT NOT NULL DEFAULT 1,         -- chosen when the authority is made, never changed
    created_at      BIGINT NOT NULL
);
INSERT INTO issuers (key_id, kind, state, state_since, subject, certificate, key_location, not_after, crl_number, created_at)
    SELECT key_id, kind, state, created_at, subject, certificate, key_file, not_after, crl_number, created_at FROM old_issuers;
DROP TABLE old_issuers;

-- The positive list: a certificate is accepted only while its row here is issued and not revoked.
CREATE TABLE certificates (
    issuer_key_id     TEXT NOT NULL REFERENCES issuers (key_id),
    serial            TEXT NOT NULL,                   -- canonical lower-case hex
    state             TEXT NOT NULL,                   -- 'reserved', 'issued', 'orphaned'
    client_id         TEXT REFERENCES clients (id),    -- NULL for the installation's own
    kind              TEXT NOT NULL,                   -- 'client', 'server', 'ocsp'
    profile           TEXT,
    subject           TEXT NOT NULL,
    key_algorithm     TEXT,
    spki_fingerprint  TEXT NOT NULL,
    thumbprint        TEXT,                            -- SHA-256 of the DER, hex; NULL until issued
    not_before        BIGINT NOT NULL,
    not_after         BIGINT NOT NULL,
    scopes            TEXT,
    networks          TEXT,
    crl_partition     BIGINT NOT NULL DEFAULT 0,       -- chosen at issuance: its address is in the certificate
    replaces          TEXT,                            -- the serial of the certificate that this one renews
    enrollment_id     TEXT,
    tbs               BLOB,                            -- the octets to be signed, stored before they are
    der               BLOB,
    created_at        BIGINT NOT NULL,
    PRIMARY KEY (issuer_key_id, serial)
);
INSERT INTO certificates (issuer_key_id, serial, state, client_id, kind, subject, spki_fingerprint, thumbprint, not_before,
                          not_after, scopes, networks, der, created_at)
    SELECT issuer_key_id, serial, state, client_id, kind, subject, spki_fingerprint, thumbprint, not_before,
           not_after, scopes, networks, der, created_at FROM old_certificates;
DROP TABLE old_certificates;
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
INSERT INTO revocations (issuer_key_id, serial, revoked_at, reason)
    SELECT issuer_key_id, serial, revoked_at, reason FROM old_revocations;
DROP TABLE old_revocations;

CREATE TABLE crls (
    issuer_key_id  TEXT PRIMARY KEY REFERENCES issuers (key_id),
    number         BIGINT NOT NULL,
    this_update    BIGINT NOT NULL,
    next_update    BIGINT NOT NULL,
    der            BLOB NOT NULL
);
INSERT INTO crls (issuer_key_id, number, this_update, next_update, der)
    SELECT issuer_key_id, number, this_update, next_update, der FROM old_crls;
DROP TABLE old_crls;

-- Keys that must never be certified (again): each that was compromised, and what operators add.
CREATE TABLE blocked_keys (
    spki_fingerprint  TEXT PRIMARY KEY,                -- SHA-256 of the SubjectPublicKeyInfo, hex
    reason            TEXT NOT NULL,
    source            TEXT NOT NULL,                   -- the certificate it was seen in, or who added it
    blocked_at        BIGINT NOT NULL
);

-- When a credential last let somebody in. Written in batches, some seconds late.
CREATE TABLE credential_sightings (
    kind          TEXT NOT NULL,                       -- 'certificate', 'api-key', 'client-secret'
    id            TEXT NOT NULL,                       -- a certificate's is <issuer key id>/<serial>
    last_seen_at  BIGINT NOT NULL,
    source        TEXT NOT NULL,                       -- the address it came from
    route         TEXT,
    chain         TEXT,                                -- a certificate's: key ids of the authorities that the client sent, nearest first
    PRIMARY KEY (kind, id)
);

-- One authority's key certified by another: the bridge between two generations.
CREATE TABLE cross_certificates (
    subject_key_id  TEXT NOT NULL,
    issuer_key_id   TEXT NOT NULL,
    certificate     BLOB NOT NULL,
    not_after       BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    PRIMARY KEY (subject_key_id, issuer_key_id)
);
