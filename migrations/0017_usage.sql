-- How much of what each client used, hour by hour: what invoices are written from.

-- '' where there is none: a NULL would make two rows of one.
CREATE TABLE usage_hours (
    hour            BIGINT NOT NULL,                   -- its beginning, seconds since the Unix epoch
    client          TEXT NOT NULL,
    credential      TEXT NOT NULL,
    route           TEXT NOT NULL,
    method          TEXT NOT NULL,
    outcome         TEXT NOT NULL,
    listener        TEXT NOT NULL,
    partner         TEXT NOT NULL,
    requests        BIGINT NOT NULL,
    request_bytes   BIGINT NOT NULL,
    response_bytes  BIGINT NOT NULL,
    micros          BIGINT NOT NULL,
    latency_0       BIGINT NOT NULL,
    latency_1       BIGINT NOT NULL,
    latency_2       BIGINT NOT NULL,
    latency_3       BIGINT NOT NULL,
    latency_4       BIGINT NOT NULL,
    latency_5       BIGINT NOT NULL,
    latency_6       BIGINT NOT NULL,
    latency_7       BIGINT NOT NULL,
    latency_8       BIGINT NOT NULL,
    latency_9       BIGINT NOT NULL,
    latency_10      BIGINT NOT NULL,
    latency_11      BIGINT NOT NULL,
    latency_12      BIGINT NOT NULL,
    PRIMARY KEY (hour, client, credential, route, method, outcome, listener)
) WITHOUT ROWID;

-- The last batch that each process added, in the transaction that added it: a batch whose commit was cut off is known again.
CREATE TABLE usage_batches (
    process         TEXT PRIMARY KEY,
    number          BIGINT NOT NULL,
    at              BIGINT NOT NULL
);
