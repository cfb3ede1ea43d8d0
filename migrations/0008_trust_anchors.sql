-- Authorities of partners: what their certificates may say here, and their revocation lists.
CREATE TABLE trust_anchors (
    id                     TEXT PRIMARY KEY,           -- the operator's name for it
    partner_id             TEXT NOT NULL REFERENCES partners (id),
    certificate            BLOB NOT NULL,              -- DER
    spki_fingerprint       TEXT NOT NULL UNIQUE,       -- one key is one anchor: of two, nobody could say which one decides
    subject                TEXT NOT NULL,
    not_after              BIGINT NOT NULL,
    intermediates          TEXT NOT NULL,              -- JSON array of PEM: authorities below it, as imported
    names                  TEXT NOT NULL,              -- JSON array: what its certificates may be named
    mappings               TEXT NOT NULL,              -- JSON array: which client each name means
    revocation             TEXT NOT NULL,              -- 'required' or 'best-effort'
    grace_seconds          BIGINT NOT NULL,            -- how long a lapsed list still counts
    refresh_seconds        BIGINT NOT NULL,
    allow_private_address  BIGINT NOT NULL,
    created_at             BIGINT NOT NULL,
    updated_at             BIGINT NOT NULL
);
CREATE INDEX trust_anchors_by_partner ON trust_anchors (partner_id);

-- Where lists are fetched from.
CREATE TABLE trust_anchor_sources (
    anchor_id      TEXT NOT NULL REFERENCES trust_anchors (id) ON DELETE CASCADE,
    url            TEXT NOT NULL,
    attempted_at   BIGINT,                             -- the last attempt, good or bad
    succeeded_at   BIGINT,
    failures       BIGINT NOT NULL DEFAULT 0,          -- since the last success
    error          TEXT,                               -- of the last attempt
    PRIMARY KEY (anchor_id, url)
);

-- The newest list of each signer and scope.
CREATE TABLE trust_anchor_lists (
    anchor_id    TEXT NOT NULL REFERENCES trust_anchors (id) ON DELETE CASCADE,
    place        TEXT NOT NULL,                        -- signer, issuer and scope, digested
    digest       TEXT NOT NULL,                        -- SHA-256 of the DER, hex
    issuer       TEXT NOT NULL,
    entries      BIGINT NOT NULL,
    this_update  BIGINT NOT NULL,
    next_update  BIGINT NOT NULL,
    source       TEXT,                                 -- the URL; NULL: uploaded
    stored_at    BIGINT NOT NULL,
    der          BLOB NOT NULL,
    PRIMARY KEY (anchor_id, place)
);
