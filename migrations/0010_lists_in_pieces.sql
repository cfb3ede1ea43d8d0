-- Revocation lists of any length: what an entry needs stands in its revocation, and a list lies in pieces.

-- Copied from the certificate when it is revoked. The default keeps an entry on its list for ever rather than lose it.
ALTER TABLE revocations ADD COLUMN not_after BIGINT NOT NULL DEFAULT 9223372036854775807;
ALTER TABLE revocations ADD COLUMN crl_partition BIGINT NOT NULL DEFAULT 0;
UPDATE revocations
SET not_after = (SELECT c.not_after FROM certificates c
                 WHERE c.issuer_key_id = revocations.issuer_key_id AND c.serial = revocations.serial),
    crl_partition = (SELECT c.crl_partition FROM certificates c
                     WHERE c.issuer_key_id = revocations.issuer_key_id AND c.serial = revocations.serial);
-- Holds all that a list says: making one is a walk along it that touches no other page.
CREATE INDEX revocations_by_list ON revocations (issuer_key_id, crl_partition, serial, not_after, revoked_at, reason);
CREATE INDEX certificates_orphaned ON certificates (issuer_key_id, crl_partition, serial) WHERE state = 'orphaned';

CREATE TABLE old_crls AS SELECT * FROM crls;
DROP TABLE crls;
CREATE TABLE crls (
    issuer_key_id  TEXT NOT NULL REFERENCES issuers (key_id),
    scope          BIGINT NOT NULL,                    -- the partition, or -1: everything the issuer issued
    number         BIGINT NOT NULL,
    this_update    BIGINT NOT NULL,
    next_update    BIGINT NOT NULL,
    entries        BIGINT,                             -- NULL: not counted
    octets         BIGINT NOT NULL,
    list           TEXT NOT NULL,                      -- names its pieces
    previous       TEXT,                               -- names those of the list before, for who is fetching that one
    PRIMARY KEY (issuer_key_id, scope)
);
-- The DER of a list, cut at any octet. Written before the list is signed, so that none must fit into memory.
CREATE TABLE crl_pieces (
    list        TEXT NOT NULL,
    position    BIGINT NOT NULL,
    octets      BLOB NOT NULL,
    written_at  BIGINT NOT NULL,
    PRIMARY KEY (list, position)
);
INSERT INTO crls (issuer_key_id, scope, number, this_update, next_update, octets, list)
    SELECT issuer_key_id, -1, number, this_update, next_update, length(der), issuer_key_id FROM old_crls;
INSERT INTO crl_pieces (list, position, octets, written_at)
    SELECT issuer_key_id, 0, der, this_update FROM old_crls;
DROP TABLE old_crls;
