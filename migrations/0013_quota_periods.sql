-- Several quotas a plan, of clients, partners and clients on one route; what an operator granted on top.
CREATE TABLE quota_periods (
    subject_kind  TEXT NOT NULL,                     -- client, partner, client_route
    subject       TEXT NOT NULL,                     -- the client's or the partner's id
    route         TEXT NOT NULL,                     -- of client_route; else empty
    name          TEXT NOT NULL,
    period        TEXT NOT NULL,                     -- day, week, month: another kind of period is another contract
    mode          TEXT NOT NULL,                     -- enforce, shadow: each counts for itself
    starts_at     BIGINT NOT NULL,
    ends_at       BIGINT NOT NULL,                   -- 0: not entered yet; earlier than planned where the calendar was changed
    used          BIGINT NOT NULL,
    carried       BIGINT NOT NULL,                   -- of `used`: what was counted in other periods, or never served
    extra         BIGINT NOT NULL,                   -- granted by an operator, for this period alone
    PRIMARY KEY (subject_kind, subject, route, name, period, mode, starts_at)
);

-- What was used goes on counting. The old table did not say what kind of period it meant: each kind finds its own row by its
-- first second, and those that nobody enters are forgotten with the others.
INSERT INTO quota_periods (subject_kind, subject, route, name, period, mode, starts_at, ends_at, used, carried, extra)
SELECT 'client', client_id, '', kinds.name, kinds.period, 'enforce', period_start, 0, used, 0, 0
FROM quota_usage
CROSS JOIN (SELECT 'daily' AS name, 'day' AS period UNION ALL SELECT 'weekly', 'week' UNION ALL SELECT 'monthly', 'month') AS kinds;

DROP TABLE quota_usage;
CREATE INDEX quota_periods_by_end ON quota_periods (ends_at);
