//! The audit log of decisions, in a database file of its own: it is written all the time and must not hold up a revocation.
//! Losing its last second in a power cut is acceptable (`synchronous = NORMAL`); losing a credential's row is not.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{FromRow, QueryBuilder, Sqlite};

use crate::failure::Fault;

/// Most rows one query gives.
pub const PAGE_MAX: u32 = 1000;

/// Most accounts that are kept, the newest: about a gigabyte. A flood of denials fills no disk with its explanations.
const ACCOUNTS_MAX: i64 = 1_000_000;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS decisions (
    id           TEXT PRIMARY KEY,
    at           BIGINT NOT NULL,
    listener     TEXT NOT NULL,
    source       TEXT NOT NULL,
    http_method  TEXT NOT NULL,
    path         TEXT NOT NULL,
    route        TEXT,
    client       TEXT,
    partner      TEXT,
    auth_methods TEXT,
    credentials  TEXT,
    outcome      TEXT NOT NULL,
    status       BIGINT NOT NULL,
    detail       TEXT,
    shadow       TEXT,
    micros       BIGINT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS accounts (
    seq   INTEGER PRIMARY KEY AUTOINCREMENT,
    id    TEXT NOT NULL UNIQUE,
    steps TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS decisions_by_time ON decisions (at);
";

/// What came after the first release, with the type of each: a log that is there already is brought up.
const LATER_COLUMNS: [(&str, &str); 1] = [("shadow", "TEXT")];

async fn add_columns(writer: &SqlitePool) -> Result<(), Fault> {
    let present: Vec<String> =
        sqlx::query_scalar("SELECT name FROM pragma_table_info('decisions')").fetch_all(writer).await?;
    for (name, kind) in LATER_COLUMNS.iter().filter(|(name, _)| !present.iter().any(|present| present == name)) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("ALTER TABLE decisions ADD COLUMN {name} {kind}")))
            .execute(writer)
            .await?;
    }
    Ok(())
}

/// One decision as it rests and as `/v1/audit` tells it.
#[derive(Clone, Debug, FromRow, serde::Serialize, utoipa::ToSchema)]
pub struct DecisionRow {
    /// UUIDv7; the `decision_id` of the answer.
    pub id: String,
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    pub listener: String,
    pub source: String,
    pub http_method: String,
    pub path: String,
    pub route: Option<String>,
    pub client: Option<String>,
    pub partner: Option<String>,
    /// `mutual_tls+api_key`.
    pub auth_methods: Option<String>,
    /// `api-key:4fG…` of each credential presented and proved, space separated; ids, never secrets.
    pub credentials: Option<String>,
    /// `allowed`, or the code of the denial or fault.
    pub outcome: String,
    pub status: i64,
    /// The inside message.
    pub detail: Option<String>,
    /// The rules in shadow that would have denied it, separated by spaces: `networks scopes`.
    pub shadow: Option<String>,
    /// How long the decision and the answer's head took, in microseconds.
    pub micros: i64,
}

/// Which decisions to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct DecisionFilter {
    pub id: Option<String>,
    pub client: Option<String>,
    pub partner: Option<String>,
    pub outcome: Option<String>,
    pub denied_only: bool,
    /// Only what a rule in shadow would have denied.
    pub shadow_only: bool,
    /// Milliseconds.
    pub since: Option<i64>,
    pub until: Option<i64>,
    /// Ids smaller than this (older): the cursor.
    pub before: Option<String>,
    pub limit: u32,
}

/// The file.
#[derive(Clone, Debug)]
pub struct AuditLog {
    readers: SqlitePool,
    writer: SqlitePool,
}

impl AuditLog {
    pub async fn open(path: &Path) -> Result<Self, Fault> {
        super::make_private(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(std::time::Duration::from_secs(5));
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        sqlx::raw_sql(SCHEMA).execute(&writer).await?;
        add_columns(&writer).await?;
        let readers = SqlitePoolOptions::new().max_connections(2).connect_with(options.read_only(true)).await?;
        Ok(Self { readers, writer })
    }

    /// Appends rows, each with its account if it has one, in one transaction.
    pub async fn append(&self, rows: &[(DecisionRow, Option<String>)]) -> Result<(), Fault> {
        let mut tx = self.writer.begin().await?;
        for (row, account) in rows {
            if let Some(steps) = account {
                sqlx::query("INSERT OR IGNORE INTO accounts (id, steps) VALUES ($1, $2)")
                    .bind(&row.id)
                    .bind(steps)
                    .execute(&mut *tx)
                    .await?;
            }
            sqlx::query(
                "INSERT OR IGNORE INTO decisions (id, at, listener, source, http_method, path, route, client, partner, \
                 auth_methods, credentials, outcome, status, detail, shadow, micros) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
            )
            .bind(&row.id)
            .bind(row.at)
            .bind(&row.listener)
            .bind(&row.source)
            .bind(&row.http_method)
            .bind(&row.path)
            .bind(&row.route)
            .bind(&row.client)
            .bind(&row.partner)
            .bind(&row.auth_methods)
            .bind(&row.credentials)
            .bind(&row.outcome)
            .bind(row.status)
            .bind(&row.detail)
            .bind(&row.shadow)
            .bind(row.micros)
            .execute(&mut *tx)
            .await?;
        }
        Ok(tx.commit().await?)
    }

    /// How a decision came about, step by step, as JSON. None is kept of what was simply allowed.
    pub async fn account(&self, id: &str) -> Result<Option<String>, Fault> {
        let query = sqlx::query_scalar("SELECT steps FROM accounts WHERE id = $1").bind(id);
        Ok(query.fetch_optional(&self.readers).await?)
    }

    /// Lists decisions, newest first.
    pub async fn list(&self, filter: &DecisionFilter) -> Result<Vec<DecisionRow>, Fault> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM decisions WHERE 1 = 1");
        for (column, value) in [
            (" AND id = ", &filter.id),
            (" AND client = ", &filter.client),
            (" AND partner = ", &filter.partner),
            (" AND outcome = ", &filter.outcome),
            (" AND id < ", &filter.before),
        ] {
            if let Some(value) = value {
                query.push(column).push_bind(value);
            }
        }
        if filter.denied_only {
            query.push(" AND outcome <> 'allowed'");
        }
        if filter.shadow_only {
            query.push(" AND shadow IS NOT NULL");
        }
        if let Some(since) = filter.since {
            query.push(" AND at >= ").push_bind(since);
        }
        if let Some(until) = filter.until {
            query.push(" AND at < ").push_bind(until);
        }
        query.push(" ORDER BY id DESC LIMIT ").push_bind(filter.limit.clamp(1, PAGE_MAX));
        Ok(query.build_query_as().fetch_all(&self.readers).await?)
    }

    /// Drops what is older than `before` (milliseconds), a part at a time, and the oldest accounts beyond `ACCOUNTS_MAX`; returns
    /// how many rows went.
    pub async fn prune(&self, before: i64) -> Result<u64, Fault> {
        self.prune_to(before, ACCOUNTS_MAX).await
    }

    async fn prune_to(&self, before: i64, accounts_max: i64) -> Result<u64, Fault> {
        const OLD: &str = "(SELECT id FROM decisions WHERE at < $1 ORDER BY at, id LIMIT 5000)";
        let mut tx = self.writer.begin().await?;
        sqlx::query("DELETE FROM accounts WHERE seq <= (SELECT MAX(seq) FROM accounts) - $1")
            .bind(accounts_max)
            .execute(&mut *tx)
            .await?;
        sqlx::query(sqlx::AssertSqlSafe(format!("DELETE FROM accounts WHERE id IN {OLD}")))
            .bind(before)
            .execute(&mut *tx)
            .await?;
        let done = sqlx::query(sqlx::AssertSqlSafe(format!("DELETE FROM decisions WHERE id IN {OLD}")))
            .bind(before)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

#[cfg(test)]
mod tests;
