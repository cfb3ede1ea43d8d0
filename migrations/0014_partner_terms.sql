-- What holds for all clients of a partner together, and where a client secret may be used from.
ALTER TABLE partners ADD COLUMN networks TEXT NOT NULL DEFAULT '[]';   -- network names or CIDRs; empty: from anywhere
ALTER TABLE partners ADD COLUMN usage_plan TEXT;                       -- shared by its clients; NULL: unlimited
ALTER TABLE client_secrets ADD COLUMN networks TEXT;                   -- NULL: wherever its client may call from
