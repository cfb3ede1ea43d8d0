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
