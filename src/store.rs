//! The only SQL. One file a table; SQLite in WAL mode with `synchronous = FULL`, so that what was answered survives a crash.
//!
//! Writes go through one connection and one kind of transaction, [`Tx`], which records what changed in the `changes` feed.
//! The snapshot follows that feed: a change is in force on a node when the node has read it.

pub mod audit_log;

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use policies::UnixSeconds;
use sqlx::Sqlite;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use crate::failure::Fault;

/// How many connections read at once. Reads never wait for the writer (WAL).
const READERS_MAX: u32 = 4;
/// How long a write waits for another process that holds the database (`init`, a backup).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The database.
#[derive(Clone, Debug)]
pub struct Store {
    readers: SqlitePool,
    writer: SqlitePool,
}

/// A place in the `changes` feed. Monotonic over the life of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seq(pub i64);

/// What a row of the `changes` feed is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Partner,
    Client,
    Certificate,
    Issuer,
    ApiKey,
    /// The key of the change is the client's id.
    ClientSecret,
    Token,
    SigningKey,
    Policy,
}

impl ChangeKind {
    /// As written in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Partner => "partner",
            Self::Client => "client",
            Self::Certificate => "certificate",
            Self::Issuer => "issuer",
            Self::ApiKey => "api-key",
            Self::ClientSecret => "client-secret",
            Self::Token => "token",
            Self::SigningKey => "signing-key",
            Self::Policy => "policy",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [
            Self::Partner,
            Self::Client,
            Self::Certificate,
            Self::Issuer,
            Self::ApiKey,
            Self::ClientSecret,
            Self::Token,
            Self::SigningKey,
            Self::Policy,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == text)
    }
}

/// One entry of the feed.
#[derive(Clone, Debug)]
pub struct Change {
    pub seq: Seq,
    pub kind: ChangeKind,
    pub key: String,
}

impl Store {
    /// Opens the database at `path`, making and migrating it where needed.
    pub async fn open(path: &Path) -> Result<Self, Fault> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(128);
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        MIGRATOR.run(&writer).await.map_err(|error| Fault::new(format!("migrating {}: {error}", path.display())))?;
        let readers = SqlitePoolOptions::new().max_connections(READERS_MAX).connect_with(options.read_only(true)).await?;
        Ok(Self { readers, writer })
    }

    /// For reads outside a transaction.
    pub(crate) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Begins the one kind of write. Dropped without [`Tx::commit`], it changes nothing.
    pub async fn begin(&self) -> Result<Tx, Fault> {
        Ok(Tx { inner: self.writer.begin_with("BEGIN IMMEDIATE").await? })
    }

    /// The newest place in the feed.
    pub async fn newest_change(&self) -> Result<Seq, Fault> {
        let seq: Option<i64> = sqlx::query_scalar("SELECT MAX(seq) FROM changes").fetch_one(&self.readers).await?;
        Ok(Seq(seq.unwrap_or(0)))
    }

    /// What was committed after `since`, oldest first, at most `limit` entries.
    pub async fn changes_since(&self, since: Seq, limit: u32) -> Result<Vec<Change>, Fault> {
        let rows: Vec<(i64, String, String)> =
            sqlx::query_as("SELECT seq, kind, key FROM changes WHERE seq > $1 ORDER BY seq LIMIT $2")
                .bind(since.0)
                .bind(limit)
                .fetch_all(&self.readers)
                .await?;
        rows.into_iter()
            .map(|(seq, kind, key)| {
                // A newer node's kind that we cannot apply must stop us, not be skipped: it may be a revocation.
                let kind = ChangeKind::parse(&kind).ok_or_else(|| Fault::new(format!("unknown change kind {kind:?}")))?;
                Ok(Change { seq: Seq(seq), kind, key })
            })
            .collect()
    }

    /// Closes the connections after the last write is on disk.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// A write transaction.
#[derive(Debug)]
pub struct Tx {
    inner: sqlx::Transaction<'static, Sqlite>,
}

impl Tx {
    /// The connection, for the files of this module.
    pub(crate) fn connection(&mut self) -> &mut sqlx::SqliteConnection {
        &mut self.inner
    }

    /// Notes that the row `key` must be looked at again by every node.
    pub async fn changed(&mut self, kind: ChangeKind, key: &str, now: UnixSeconds) -> Result<(), Fault> {
        sqlx::query("INSERT INTO changes (kind, key, at) VALUES ($1, $2, $3)")
            .bind(kind.as_str())
            .bind(key)
            .bind(now.0)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Makes it durable. When this returns, it is on disk.
    pub async fn commit(self) -> Result<(), Fault> {
        Ok(self.inner.commit().await?)
    }
}

/// JSON lists as they rest in TEXT columns.
pub(crate) fn to_json_list(list: &[String]) -> Result<String, Fault> {
    Ok(serde_json::to_string(list)?)
}

/// The reverse of [`to_json_list`].
pub(crate) fn from_json_list(text: &str) -> Result<Vec<String>, Fault> {
    Ok(serde_json::from_str(text)?)
}

/// Parses a stored value into a checked type; failure means a damaged database, not a bad request.
pub(crate) fn stored<T: FromStr>(what: &str, text: &str) -> Result<T, Fault> {
    text.parse().map_err(|_| Fault::new(format!("the database holds a {what} that cannot be read: {text:?}")))
}
