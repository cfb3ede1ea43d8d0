-- A database that came back from an export has forgotten what happened since. Until its authorities are reconciled with what is
-- known elsewhere, they issue to nobody.
CREATE TABLE restorations (
    restored_at    BIGINT NOT NULL,
    reconciled_at  BIGINT
);
