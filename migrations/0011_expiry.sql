-- What ends and who is told, and whose key is whose.

-- Which clients share a key is answered by the index alone.
DROP INDEX certificates_by_key;
CREATE INDEX certificates_by_key ON certificates (spki_fingerprint, client_id);

-- The installation's own: few among many.
CREATE INDEX certificates_own ON certificates (kind, issuer_key_id) WHERE kind <> 'client';

-- What was said about an end that comes near, so that it is said once. The end belongs to the key: what was renewed ends anew.
CREATE TABLE expiry_notices (
    kind            TEXT NOT NULL,
    id              TEXT NOT NULL,
    expires_at      BIGINT NOT NULL,
    threshold_days  BIGINT NOT NULL,                   -- 0: it has ended; -1: it should have renewed itself long ago
    told_at         BIGINT NOT NULL,
    PRIMARY KEY (kind, id, expires_at, threshold_days)
);
