-- What is out of the buckets of throttles, so that a restart hands out no second burst. Instants are nanoseconds since the Unix epoch.

-- The name of a bucket is 128 bits of a keyed hash. It is whole again at whole_at.
CREATE TABLE throttle_buckets (
    key_high  BIGINT NOT NULL,
    key_low   BIGINT NOT NULL,
    whole_at  BIGINT NOT NULL,
    PRIMARY KEY (key_high, key_low)
) WITHOUT ROWID;

-- After a crash: buckets of this group were in use after they had last been saved, and count as spent at that instant.
CREATE TABLE throttle_groups (
    bucket_group  BIGINT PRIMARY KEY,
    spent_at      BIGINT NOT NULL
);

-- The process whose buckets these are, and up to when everything is in the table: by its own clock and by the wall's.
CREATE TABLE throttle_run (
    only_one     BIGINT PRIMARY KEY CHECK (only_one = 1),
    run          BIGINT NOT NULL,
    saved_nanos  BIGINT NOT NULL,
    saved_at     BIGINT NOT NULL,
    stopped      BIGINT NOT NULL                        -- 1: it ended in order, and nothing is missing
);
