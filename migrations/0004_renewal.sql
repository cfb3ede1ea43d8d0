-- How a client's certificates are renewed with themselves. No row: no grace, no early end, the key as the profile says.
CREATE TABLE renewal_terms (
    client_id        TEXT PRIMARY KEY REFERENCES clients (id),
    grace_seconds    BIGINT NOT NULL DEFAULT 0,        -- how long after its end a certificate still renews itself, and does nothing else
    overlap_seconds  BIGINT,                           -- how long it stays good beside its successor; NULL: until its own end
    key_change       TEXT                              -- 'required', 'allowed'; NULL: as the profile says
);

-- From then on a certificate is not accepted any more, since its successor's overlap is over.
ALTER TABLE certificates ADD COLUMN superseded_at BIGINT;
CREATE INDEX certificates_superseded ON certificates (superseded_at) WHERE superseded_at IS NOT NULL;
CREATE INDEX certificates_by_predecessor ON certificates (replaces) WHERE replaces IS NOT NULL;
