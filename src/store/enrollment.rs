//! `enrollments`: one-time tokens for certificate requests, as HMACs, and what became of each.

use policies::UnixSeconds;
use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::{Page, Read, Tx, stored_names};
use crate::failure::Fault;

stored_names! {
    /// How far an enrolment has come.
    EnrollmentState, "enrollment state" {
        /// The token was made, no request has come.
        Open => "open",
        /// A request waits for a second person.
        Pending => "pending",
        /// A second person agreed; nothing is signed yet.
        Approved => "approved",
        /// A serial is reserved for it.
        Signing => "signing",
        Issued => "issued",
        Denied => "denied",
        Cancelled => "cancelled",
    }
}

/// One enrolment, without its request (see [`request`]). Times are seconds since the Unix epoch.
#[derive(Clone, PartialEq, Eq, FromRow)]
pub struct EnrollmentRow {
    pub id: String,
    pub client_id: String,
    /// HMAC-SHA-256 under the server's pepper, 32 bytes.
    pub hmac: Vec<u8>,
    pub profile: String,
    #[sqlx(json(nullable))]
    pub key_algorithms: Option<Vec<String>>,
    pub lifetime_seconds: Option<i64>,
    #[sqlx(json(nullable))]
    pub scopes: Option<Vec<String>>,
    #[sqlx(json(nullable))]
    pub networks: Option<Vec<String>>,
    pub remark: Option<String>,
    pub needs_approval: bool,
    #[sqlx(try_from = "String")]
    pub state: EnrollmentState,
    pub created_by: String,
    pub created_at: i64,
    pub expires_at: i64,
    pub key_algorithm: Option<String>,
    pub spki_fingerprint: Option<String>,
    pub source: Option<String>,
    pub requested_at: Option<i64>,
    pub decided_by: Option<String>,
    pub decided_at: Option<i64>,
    pub decision: Option<String>,
    pub issuer_key_id: Option<String>,
    pub serial: Option<String>,
    pub misused_at: Option<i64>,
}

impl std::fmt::Debug for EnrollmentRow {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = formatter.debug_struct("EnrollmentRow");
        debug.field("id", &self.id).field("client_id", &self.client_id).field("state", &self.state);
        debug.finish_non_exhaustive()
    }
}

/// A request that came with a token.
#[derive(Clone, Debug)]
pub struct Submission<'a> {
    /// PKCS#10, DER.
    pub request: &'a [u8],
    pub key_algorithm: &'a str,
    pub spki_fingerprint: &'a str,
    pub source: &'a str,
}

/// Which enrolments to list, newest first. Empty: all.
#[derive(Clone, Debug, Default)]
pub struct EnrollmentFilter {
    pub client: Option<String>,
    pub state: Option<EnrollmentState>,
    pub page: Page,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, client_id, hmac, profile, key_algorithms, lifetime_seconds, scopes, networks, remark, ",
            "needs_approval <> 0 AS needs_approval, state, created_by, created_at, expires_at, key_algorithm, ",
            "spki_fingerprint, source, requested_at, decided_by, decided_at, decision, issuer_key_id, serial, misused_at ",
            "FROM enrollments ",
            $rest
        )
    };
}

/// The enrolment `id`.
pub async fn get(from: impl Read, id: &str) -> Result<Option<EnrollmentRow>, Fault> {
    from.row(sqlx::query_as(select!("WHERE id = $1")).bind(id)).await
}

/// The request that came with the token `id`, in DER.
pub async fn request(from: impl Read, id: &str) -> Result<Option<Vec<u8>>, Fault> {
    let row: Option<(Option<Vec<u8>>,)> =
        from.row(sqlx::query_as("SELECT request FROM enrollments WHERE id = $1").bind(id)).await?;
    Ok(row.and_then(|(request,)| request))
}

/// Enrolments, newest first.
pub async fn list(from: impl Read, filter: &EnrollmentFilter) -> Result<Vec<EnrollmentRow>, Fault> {
    let mut query = QueryBuilder::<Sqlite>::new(select!("WHERE 1 = 1"));
    if let Some(client) = &filter.client {
        query.push(" AND client_id = ").push_bind(client);
    }
    if let Some(state) = filter.state {
        query.push(" AND state = ").push_bind(state.as_str());
    }
    query.push(" ORDER BY created_at DESC, id LIMIT ").push_bind(filter.page.limit());
    query.push(" OFFSET ").push_bind(filter.page.offset());
    from.rows(query.build_query_as()).await
}

/// How many tokens of a client could still be used at `now`.
pub async fn count_open(from: impl Read, client: &str, now: UnixSeconds) -> Result<i64, Fault> {
    let select = sqlx::query_as(
        "SELECT COUNT(*) FROM enrollments WHERE client_id = $1
         AND (state = 'open' AND expires_at > $2 OR state IN ('pending', 'approved'))",
    );
    let row: Option<(i64,)> = from.row(select.bind(client).bind(now.0)).await?;
    Ok(row.map_or(0, |(count,)| count))
}

/// Adds one, in the state `open`.
pub async fn insert(tx: &mut Tx, row: &EnrollmentRow) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO enrollments (id, client_id, hmac, profile, key_algorithms, lifetime_seconds, scopes, networks, remark,
                                  needs_approval, state, created_by, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'open', $11, $12, $13)",
    )
    .bind(&row.id)
    .bind(&row.client_id)
    .bind(&row.hmac)
    .bind(&row.profile)
    .bind(row.key_algorithms.as_deref().map(super::to_json_list).transpose()?)
    .bind(row.lifetime_seconds)
    .bind(row.scopes.as_deref().map(super::to_json_list).transpose()?)
    .bind(row.networks.as_deref().map(super::to_json_list).transpose()?)
    .bind(&row.remark)
    .bind(row.needs_approval)
    .bind(&row.created_by)
    .bind(row.created_at)
    .bind(row.expires_at)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Binds an open enrolment to a request, and moves it to `to`. `false` when it is not open (any more).
pub async fn submit(
    tx: &mut Tx,
    id: &str,
    submission: &Submission<'_>,
    to: EnrollmentState,
    now: UnixSeconds,
) -> Result<bool, Fault> {
    let done = sqlx::query(
        "UPDATE enrollments SET state = $2, request = $3, key_algorithm = $4, spki_fingerprint = $5, source = $6,
                                requested_at = $7
         WHERE id = $1 AND state = 'open'",
    )
    .bind(id)
    .bind(to.as_str())
    .bind(submission.request)
    .bind(submission.key_algorithm)
    .bind(submission.spki_fingerprint)
    .bind(submission.source)
    .bind(now.0)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes a decision down. `false` when the enrolment is not in `from` (any more).
pub async fn decide(
    tx: &mut Tx,
    id: &str,
    from: EnrollmentState,
    to: EnrollmentState,
    by: &str,
    decision: Option<&str>,
    now: UnixSeconds,
) -> Result<bool, Fault> {
    let done = sqlx::query(
        "UPDATE enrollments SET state = $3, decided_by = $4, decided_at = $5, decision = $6 WHERE id = $1 AND state = $2",
    )
    .bind(id)
    .bind(from.as_str())
    .bind(to.as_str())
    .bind(by)
    .bind(now.0)
    .bind(decision)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Names the serial that is reserved for it. From `signing` too: what was reserved before may have come to nothing.
pub async fn reserve(tx: &mut Tx, id: &str, issuer_key_id: &str, serial: &str) -> Result<bool, Fault> {
    let done = sqlx::query(
        "UPDATE enrollments SET state = 'signing', issuer_key_id = $2, serial = $3
         WHERE id = $1 AND state IN ('approved', 'signing') AND spki_fingerprint IS NOT NULL",
    )
    .bind(id)
    .bind(issuer_key_id)
    .bind(serial)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The certificate is there. `false` when the enrolment does not wait for this serial.
pub async fn mark_issued(tx: &mut Tx, id: &str, serial: &str) -> Result<bool, Fault> {
    let done =
        sqlx::query("UPDATE enrollments SET state = 'issued' WHERE id = $1 AND state = 'signing' AND serial = $2")
            .bind(id)
            .bind(serial)
            .execute(tx.connection())
            .await?;
    Ok(done.rows_affected() == 1)
}

/// Notes that the token came with another key. `false` when that was noted before.
pub async fn note_misuse(tx: &mut Tx, id: &str, now: UnixSeconds) -> Result<bool, Fault> {
    let done = sqlx::query("UPDATE enrollments SET misused_at = $2 WHERE id = $1 AND misused_at IS NULL")
        .bind(id)
        .bind(now.0)
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() == 1)
}
