//! The only SQL. One file a table; SQLite in WAL mode with `synchronous = FULL`, so that what was answered survives a crash.
//!
//! Writes go through one connection and one kind of transaction, [`Tx`], which records what changed in the `changes` feed.
//! The snapshot follows that feed: a change is in force on a node when the node has read it.

pub mod audit_log;

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use policies::UnixSeconds;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{FromRow, Sqlite, SqliteConnection};

use crate::failure::Fault;

pub mod anchor;
pub mod api_key;
pub mod audit_change;
pub mod blocked_key;
pub mod certificate;
pub mod client;
pub mod client_secret;
pub mod counts;
pub mod crl;
pub mod cross_certificate;
pub mod dependent;
pub mod enrollment;
pub mod expiring;
pub mod expiry_notice;
pub mod idempotency;
pub mod import;
pub mod issuer;
pub mod packet;
pub mod partner;
pub mod policy;
pub mod quota;
pub mod renewal_terms;
pub mod restoration;
pub mod revocation;
pub mod revoked_token;
pub mod sighting;
pub mod signing_key;
pub mod throttle;
pub mod usage;

/// An enum that rests in a TEXT column under the names given here.
macro_rules! stored_names {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$variant_doc:meta])* $variant:ident => $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// As written in the table.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = Fault;

            fn try_from(text: String) -> Result<Self, Fault> {
                match text.as_str() {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(Fault::new(format!("the database holds an unknown {}: {text:?}", $what))),
                }
            }
        }
    };
}
use stored_names;

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

stored_names! {
    /// What a row of the `changes` feed is about.
    ChangeKind, "change kind" {
        Partner => "partner",
        Client => "client",
        /// The key of the change is [`certificate::change_key`].
        Certificate => "certificate",
        Issuer => "issuer",
        ApiKey => "api-key",
        /// Many keys at once. The key of the change is the import's id, and so with the two kinds below.
        ApiKeyImport => "api-key-import",
        ClientImport => "client-import",
        ClientSecretImport => "client-secret-import",
        /// The key of the change is the client's id.
        ClientSecret => "client-secret",
        /// The key of the change is the token's `jti`.
        Token => "token",
        SigningKey => "signing-key",
        /// The key of the change is the new version.
        Policy => "policy",
        /// An authority of a partner came, went, or may say other things.
        TrustAnchor => "trust-anchor",
        /// The revocation lists of that authority. The key of the change is the authority's.
        TrustAnchorLists => "trust-anchor-lists",
    }
}

/// One entry of the feed.
#[derive(Clone, Debug)]
pub struct Change {
    pub seq: Seq,
    /// `Err`: the name of a kind that only a newer binary knows. What it stands for may be a revocation.
    pub kind: Result<ChangeKind, String>,
    pub key: String,
}

impl Store {
    /// Opens the database at `path`, making and migrating it where needed.
    pub async fn open(path: &Path) -> Result<Self, Fault> {
        make_private(path)?;
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
        let readers =
            SqlitePoolOptions::new().max_connections(READERS_MAX).connect_with(options.read_only(true)).await?;
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
        let change = |(seq, kind, key): (i64, String, String)| Change {
            seq: Seq(seq),
            kind: ChangeKind::try_from(kind.clone()).map_err(|_| kind),
            key,
        };
        Ok(rows.into_iter().map(change).collect())
    }

    /// Refuses a feed with changes that this binary does not know: it could not say what they take back.
    pub async fn check_changes(&self) -> Result<(), Fault> {
        let kinds: Vec<String> =
            sqlx::query_scalar("SELECT DISTINCT kind FROM changes").fetch_all(&self.readers).await?;
        kinds.into_iter().try_for_each(|kind| ChangeKind::try_from(kind).map(drop))
    }

    /// Writes the database as it is now into a new file, whole and without a log beside it. A server may go on writing.
    pub async fn copy_to(&self, path: &Path) -> Result<(), Fault> {
        make_private(path)?;
        sqlx::query("VACUUM INTO $1").bind(path.display().to_string()).execute(&self.writer).await?;
        Ok(())
    }

    /// Closes the connections after the last write is on disk.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Makes the file, readable by its owner alone, before SQLite does: its WAL and shared memory then have the same mode.
pub(crate) fn make_private(path: &Path) -> Result<(), Fault> {
    use std::os::unix::fs::OpenOptionsExt;
    let made = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    made.map(drop).map_err(|error| Fault::new(format!("cannot open {}: {error}", path.display())))
}

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// A write transaction.
#[derive(Debug)]
pub struct Tx {
    inner: sqlx::Transaction<'static, Sqlite>,
}

impl Tx {
    /// The connection, for the files of this module.
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
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

/// A SELECT with its parameters, whose rows are `T`s.
pub(crate) type Select<'q, T> = sqlx::query::QueryAs<'q, Sqlite, T, SqliteArguments>;

/// Where a statement reads: the store, or a transaction that must see its own writes (and that nobody else can write beside).
///
/// The trait carries no lifetime of its own: with one, no caller's future would be `Send`.
pub trait Read: Send {
    /// Every row.
    fn rows<T>(self, select: Select<'_, T>) -> impl Future<Output = Result<Vec<T>, Fault>> + Send
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin;

    /// The row, if there is one.
    fn row<T>(self, select: Select<'_, T>) -> impl Future<Output = Result<Option<T>, Fault>> + Send
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin;
}

impl Read for &Store {
    async fn rows<T>(self, select: Select<'_, T>) -> Result<Vec<T>, Fault>
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        Ok(select.fetch_all(self.readers()).await?)
    }

    async fn row<T>(self, select: Select<'_, T>) -> Result<Option<T>, Fault>
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        Ok(select.fetch_optional(self.readers()).await?)
    }
}

impl Read for &mut Tx {
    async fn rows<T>(self, select: Select<'_, T>) -> Result<Vec<T>, Fault>
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        Ok(select.fetch_all(self.connection()).await?)
    }

    async fn row<T>(self, select: Select<'_, T>) -> Result<Option<T>, Fault>
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        Ok(select.fetch_optional(self.connection()).await?)
    }
}

/// The part of a list that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// At most [`LIST_LIMIT_MAX`]; more is cut to it.
    pub limit: u32,
    pub offset: u32,
}

/// How many rows a list gives at once.
pub const LIST_LIMIT_MAX: u32 = 1000;

impl Page {
    /// The first `limit` rows.
    pub fn first(limit: u32) -> Self {
        Self { limit, offset: 0 }
    }

    fn limit(self) -> i64 {
        i64::from(self.limit.min(LIST_LIMIT_MAX))
    }

    fn offset(self) -> i64 {
        i64::from(self.offset)
    }
}

impl Default for Page {
    fn default() -> Self {
        Self::first(100)
    }
}

/// JSON lists as they rest in TEXT columns; `#[sqlx(json)]` reads them back.
pub(crate) fn to_json_list(list: &[String]) -> Result<String, Fault> {
    Ok(serde_json::to_string(list)?)
}

/// Parses a stored value into a checked type; failure means a damaged database, not a bad request.
pub(crate) fn stored<T: FromStr>(what: &str, text: &str) -> Result<T, Fault> {
    text.parse().map_err(|_| Fault::new(format!("the database holds a {what} that cannot be read: {text:?}")))
}

#[cfg(test)]
mod tests;
