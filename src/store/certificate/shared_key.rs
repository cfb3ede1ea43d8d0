//! Keys that more than one client has certified: whoever has the key of one can be the other.

use policies::UnixSeconds;

use crate::failure::Fault;
use crate::store::Store;

/// Rows of the answer; more keys than this in common is a defect of its own.
const ROWS_MAX: u32 = 1000;
/// Keys in the answer.
const KEYS_MAX: usize = 100;

/// Fingerprints (hex) with the clients that have a certificate for that key which is good at `now`, two or more of each.
///
/// The inner question is answered by the index over (key, client) alone; only what it finds is looked at.
pub async fn list(store: &Store, now: UnixSeconds) -> Result<Vec<(String, Vec<String>)>, Fault> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT DISTINCT c.spki_fingerprint, c.client_id FROM certificates c
         LEFT JOIN revocations r ON r.issuer_key_id = c.issuer_key_id AND r.serial = c.serial
         WHERE c.spki_fingerprint IN (SELECT spki_fingerprint FROM certificates GROUP BY spki_fingerprint
                                      HAVING COUNT(DISTINCT client_id) > 1)
           AND c.client_id IS NOT NULL AND c.state = 'issued' AND c.not_after >= $1 AND r.serial IS NULL
         ORDER BY c.spki_fingerprint, c.client_id LIMIT $2",
    )
    .bind(now.0)
    .bind(ROWS_MAX)
    .fetch_all(store.readers())
    .await?;
    let keys = rows.chunk_by(|one, next| one.0 == next.0).filter(|clients| clients.len() > 1);
    let keys = keys.filter_map(|clients| {
        Some((clients.first()?.0.clone(), clients.iter().map(|(_, client)| client.clone()).collect()))
    });
    Ok(keys.take(KEYS_MAX).collect())
}
