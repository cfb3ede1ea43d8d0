-- Questions to the register that stay quick with a million certificates, and what was said about those that end.

-- Pages go by (created_at, serial) and (not_after, serial): the serial tells apart what was made in one second. The filters that
-- may leave anything from one to nearly all have an index in the order of the pages.
DROP INDEX certificates_by_creation;
CREATE INDEX certificates_by_creation ON certificates (created_at, serial);
DROP INDEX certificates_by_expiry;
CREATE INDEX certificates_by_expiry ON certificates (not_after, serial);
DROP INDEX certificates_by_client;
CREATE INDEX certificates_by_client ON certificates (client_id, created_at, serial);
CREATE INDEX certificates_by_issuer ON certificates (issuer_key_id, created_at, serial);
CREATE INDEX certificates_by_key_algorithm ON certificates (key_algorithm, created_at, serial);
CREATE INDEX certificates_unissued ON certificates (state) WHERE state <> 'issued';

-- The address once more, as 32 hex digits (IPv4 as ::ffff:a.b.c.d): a network is then a range.
ALTER TABLE credential_sightings ADD COLUMN source_key TEXT;
CREATE INDEX credential_sightings_by_time ON credential_sightings (kind, last_seen_at, id);
