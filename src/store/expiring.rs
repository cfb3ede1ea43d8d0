//! Live credentials of every kind by their end. Reads three tables; writes none.

use policies::UnixSeconds;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;

use super::{Page, Read};
use crate::failure::Fault;

/// A credential that ends. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize, ToSchema)]
#[schema(as = Expiring)]
pub struct ExpiringRow {
    /// `client-certificate`, `api-key` or `client-secret`.
    pub kind: String,
    pub id: String,
    pub client: String,
    pub expires_at: i64,
}

/// Those that are live at `now` and end before `until`, the next to end first.
pub async fn list(
    from: impl Read,
    now: UnixSeconds,
    until: UnixSeconds,
    page: Page,
) -> Result<Vec<ExpiringRow>, Fault> {
    let select = sqlx::query_as(
        "SELECT 'client-certificate' AS kind, c.serial AS id, c.client_id AS client, c.not_after AS expires_at
         FROM certificates c
         LEFT JOIN revocations r ON r.issuer_key_id = c.issuer_key_id AND r.serial = c.serial
         WHERE c.kind = 'client' AND c.state = 'issued' AND r.serial IS NULL AND c.not_after >= $1 AND c.not_after < $2
         UNION ALL
         SELECT 'api-key', id, client_id, expires_at FROM api_keys
         WHERE revoked_at IS NULL AND expires_at >= $1 AND expires_at < $2
         UNION ALL
         SELECT 'client-secret', id, client_id, expires_at FROM client_secrets
         WHERE revoked_at IS NULL AND expires_at >= $1 AND expires_at < $2
         ORDER BY expires_at, id LIMIT $3 OFFSET $4",
    );
    from.rows(select.bind(now.0).bind(until.0).bind(page.limit()).bind(page.offset())).await
}

/// A live credential that ends, with whom to tell. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct EndingRow {
    /// `client-certificate`, `api-key` or `client-secret`.
    pub kind: String,
    /// A certificate's is `<issuer>/<serial>`.
    pub id: String,
    pub client: String,
    pub partner: String,
    /// The partner's, as the registry has it.
    pub contact: Option<String>,
    pub expires_at: i64,
    pub last_seen_at: Option<i64>,
}

/// Which credentials that end.
#[derive(Clone, Copy, Debug)]
pub struct EndingFilter {
    /// Live at this instant.
    pub now: UnixSeconds,
    /// Ending before this one.
    pub until: UnixSeconds,
    /// Only those that let somebody in at or after this one.
    pub seen_from: Option<UnixSeconds>,
}

macro_rules! ending {
    ($select:literal, $rest:literal) => {
        concat!(
            "SELECT ", $select, " FROM (
               SELECT 'client-certificate' AS kind, c.issuer_key_id || '/' || c.serial AS id, c.client_id, c.not_after AS expires_at,
                      'certificate' AS seen_as
               FROM certificates c
               LEFT JOIN revocations r ON r.issuer_key_id = c.issuer_key_id AND r.serial = c.serial
               WHERE c.kind = 'client' AND c.state = 'issued' AND r.serial IS NULL AND c.not_after >= $1 AND c.not_after < $2
               UNION ALL
               SELECT 'api-key', id, client_id, expires_at, 'api-key' FROM api_keys
               WHERE revoked_at IS NULL AND expires_at >= $1 AND expires_at < $2
               UNION ALL
               SELECT 'client-secret', id, client_id, expires_at, 'client-secret' FROM client_secrets
               WHERE revoked_at IS NULL AND expires_at >= $1 AND expires_at < $2
             ) e
             LEFT JOIN credential_sightings s ON s.kind = e.seen_as AND s.id = e.id ",
            $rest
        )
    };
}

/// Credentials that end, the next first.
pub async fn ending(from: impl Read, filter: EndingFilter, page: Page) -> Result<Vec<EndingRow>, Fault> {
    let select = sqlx::query_as(ending!(
        "e.kind, e.id, e.client_id AS client, cl.partner_id AS partner, p.contact, e.expires_at, s.last_seen_at",
        "JOIN clients cl ON cl.id = e.client_id JOIN partners p ON p.id = cl.partner_id
         WHERE ($3 IS NULL OR s.last_seen_at >= $3) ORDER BY e.expires_at, e.id LIMIT $4 OFFSET $5"
    ));
    let select = select.bind(filter.now.0).bind(filter.until.0).bind(filter.seen_from.map(|from| from.0));
    from.rows(select.bind(page.limit()).bind(page.offset())).await
}

/// How many credentials of each kind end.
pub async fn count_ending(from: impl Read, filter: EndingFilter) -> Result<Vec<(String, i64)>, Fault> {
    let select =
        sqlx::query_as(ending!("e.kind, COUNT(*)", "WHERE ($3 IS NULL OR s.last_seen_at >= $3) GROUP BY e.kind"));
    from.rows(select.bind(filter.now.0).bind(filter.until.0).bind(filter.seen_from.map(|from| from.0))).await
}

/// A certificate of the installation itself: the gate's own, a signer of OCSP answers.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct OwnCertificateRow {
    pub kind: String,
    pub issuer_key_id: String,
    pub serial: String,
    pub subject: String,
    pub not_before: i64,
    pub not_after: i64,
}

/// Those that were not revoked and ended at or after `ends_from`, the last to end first.
pub async fn own_certificates(from: impl Read, ends_from: UnixSeconds) -> Result<Vec<OwnCertificateRow>, Fault> {
    let select = sqlx::query_as(
        "SELECT c.kind, c.issuer_key_id, c.serial, c.subject, c.not_before, c.not_after FROM certificates c
         LEFT JOIN revocations r ON r.issuer_key_id = c.issuer_key_id AND r.serial = c.serial
         WHERE c.kind <> 'client' AND c.state = 'issued' AND r.serial IS NULL AND c.not_after >= $1
         ORDER BY c.not_after DESC, c.serial",
    );
    from.rows(select.bind(ends_from.0)).await
}
