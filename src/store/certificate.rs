//! `certificates`: the positive list. A certificate is accepted only while its row is issued and not revoked.

use policies::UnixSeconds;
use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::{ChangeKind, Page, Read, Tx, stored_names};
use crate::failure::Fault;

stored_names! {
    /// How far the issuance has come.
    CertificateState, "certificate state" {
        /// The serial is taken and durable; nothing was handed out.
        Reserved => "reserved",
        Issued => "issued",
        /// The process ended between reservation and issuance. Whatever was signed, was handed to nobody.
        Orphaned => "orphaned",
    }
}

stored_names! {
    /// Whom a certificate names.
    CertificateKind, "certificate kind" {
        Client => "client",
        Server => "server",
        /// The signer of an authority's OCSP answers.
        Ocsp => "ocsp",
    }
}

/// One certificate, without its DER (see [`der`]). Times are seconds since the Unix epoch, ids are lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct CertificateRow {
    pub issuer_key_id: String,
    pub serial: String,
    #[sqlx(try_from = "String")]
    pub state: CertificateState,
    /// Absent for the gate's own server certificates.
    pub client_id: Option<String>,
    #[sqlx(try_from = "String")]
    pub kind: CertificateKind,
    pub subject: String,
    /// `ecdsa-p256`, `rsa-3072`, …; absent for those of the first release.
    pub key_algorithm: Option<String>,
    pub spki_fingerprint: String,
    /// SHA-256 of the DER; absent until issued.
    pub thumbprint: Option<String>,
    pub not_before: i64,
    pub not_after: i64,
    #[sqlx(json(nullable))]
    pub scopes: Option<Vec<String>>,
    #[sqlx(json(nullable))]
    pub networks: Option<Vec<String>>,
    /// Which of its issuer's lists a revocation of it goes on; 0 where there is one list.
    pub crl_partition: i64,
    /// The serial of the certificate that it renews, of the same client.
    pub replaces: Option<String>,
    /// The enrolment that it came by.
    pub enrollment_id: Option<String>,
    /// From then on it is not accepted any more: the overlap with its successor is over.
    pub superseded_at: Option<i64>,
    pub created_at: i64,
    /// From `revocations`.
    pub revoked_at: Option<i64>,
    /// From `revocations`: RFC 5280 §5.3.1, kebab-case.
    pub revocation_reason: Option<String>,
}

/// What is written down before anything is signed.
#[derive(Clone, Debug)]
pub struct Reservation {
    pub issuer_key_id: String,
    pub serial: String,
    pub client_id: Option<String>,
    pub kind: CertificateKind,
    pub profile: String,
    pub subject: String,
    pub key_algorithm: String,
    pub spki_fingerprint: String,
    pub not_before: UnixSeconds,
    pub not_after: UnixSeconds,
    pub scopes: Option<Vec<String>>,
    pub networks: Option<Vec<String>>,
    pub crl_partition: i64,
    pub replaces: Option<String>,
    pub enrollment_id: Option<String>,
    /// The octets to be signed.
    pub tbs: Vec<u8>,
}

/// Which certificates to list, newest first. Empty: all.
#[derive(Clone, Debug, Default)]
pub struct CertificateFilter {
    pub client: Option<String>,
    pub partner: Option<String>,
    pub issuer_key_id: Option<String>,
    pub kind: Option<CertificateKind>,
    pub state: Option<CertificateState>,
    pub revoked: Option<bool>,
    /// Those that end at or after this instant.
    pub ends_from: Option<UnixSeconds>,
    /// Those that end before this instant.
    pub ends_before: Option<UnixSeconds>,
    /// Those that come after this one in the list. Unlike an offset it neither skips nor repeats while others are issued.
    pub after: Option<CertificatePlace>,
    pub page: Page,
}

/// A certificate's place in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificatePlace {
    pub created_at: i64,
    pub serial: String,
    pub issuer_key_id: String,
}

/// The key of a certificate in the `changes` feed.
pub fn change_key(issuer_key_id: &str, serial: &str) -> String {
    format!("{issuer_key_id}/{serial}")
}

macro_rules! columns {
    () => {
        concat!(
            "c.issuer_key_id, c.serial, c.state, c.client_id, c.kind, c.subject, c.key_algorithm, c.spki_fingerprint, ",
            "c.thumbprint, c.not_before, c.not_after, c.scopes, c.networks, c.crl_partition, c.replaces, c.enrollment_id, ",
            "c.superseded_at, c.created_at, r.revoked_at, r.reason AS revocation_reason"
        )
    };
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM certificates c LEFT JOIN revocations r ON r.issuer_key_id = c.issuer_key_id AND r.serial = c.serial ",
            $rest
        )
    };
}

pub mod listed;
pub mod search;
pub mod shared_key;

/// The certificate with this issuer and serial.
pub async fn get(from: impl Read, issuer_key_id: &str, serial: &str) -> Result<Option<CertificateRow>, Fault> {
    from.row(sqlx::query_as(select!("WHERE c.issuer_key_id = $1 AND c.serial = $2")).bind(issuer_key_id).bind(serial))
        .await
}

/// Every certificate with this serial, whoever issued it. Our serials are 128-bit random: more than one means trouble.
pub async fn find_by_serial(from: impl Read, serial: &str) -> Result<Vec<CertificateRow>, Fault> {
    from.rows(sqlx::query_as(select!("WHERE c.serial = $1 ORDER BY c.created_at")).bind(serial)).await
}

/// The certificate with this SHA-256 (hex).
pub async fn find_by_thumbprint(from: impl Read, thumbprint: &str) -> Result<Option<CertificateRow>, Fault> {
    from.row(sqlx::query_as(select!("WHERE c.thumbprint = $1")).bind(thumbprint)).await
}

/// Whether a public key (hex fingerprint) was ever certified, and where: a key that left us as compromised must not come back.
pub async fn find_by_key(from: impl Read, spki_fingerprint: &str) -> Result<Vec<CertificateRow>, Fault> {
    from.rows(sqlx::query_as(select!("WHERE c.spki_fingerprint = $1 ORDER BY c.created_at")).bind(spki_fingerprint))
        .await
}

/// The DER of an issued certificate.
pub async fn der(from: impl Read, issuer_key_id: &str, serial: &str) -> Result<Option<Vec<u8>>, Fault> {
    let select = sqlx::query_as("SELECT der FROM certificates WHERE issuer_key_id = $1 AND serial = $2");
    let row: Option<(Option<Vec<u8>>,)> = from.row(select.bind(issuer_key_id).bind(serial)).await?;
    Ok(row.and_then(|(der,)| der))
}

/// The octets that a certificate was reserved for; absent for those of the first release.
pub async fn tbs(from: impl Read, issuer_key_id: &str, serial: &str) -> Result<Option<Vec<u8>>, Fault> {
    let select = sqlx::query_as("SELECT tbs FROM certificates WHERE issuer_key_id = $1 AND serial = $2");
    let row: Option<(Option<Vec<u8>>,)> = from.row(select.bind(issuer_key_id).bind(serial)).await?;
    Ok(row.and_then(|(tbs,)| tbs))
}

/// Certificates, newest first.
pub async fn list(from: impl Read, filter: &CertificateFilter) -> Result<Vec<CertificateRow>, Fault> {
    let mut query = QueryBuilder::<Sqlite>::new(select!("WHERE 1 = 1"));
    if let Some(client) = &filter.client {
        query.push(" AND c.client_id = ").push_bind(client);
    }
    if let Some(partner) = &filter.partner {
        query.push(" AND c.client_id IN (SELECT id FROM clients WHERE partner_id = ").push_bind(partner).push(")");
    }
    if let Some(issuer) = &filter.issuer_key_id {
        query.push(" AND c.issuer_key_id = ").push_bind(issuer);
    }
    if let Some(kind) = filter.kind {
        query.push(" AND c.kind = ").push_bind(kind.as_str());
    }
    if let Some(state) = filter.state {
        query.push(" AND c.state = ").push_bind(state.as_str());
    }
    match filter.revoked {
        Some(true) => _ = query.push(" AND r.revoked_at IS NOT NULL"),
        Some(false) => _ = query.push(" AND r.revoked_at IS NULL"),
        None => {}
    }
    if let Some(from) = filter.ends_from {
        query.push(" AND c.not_after >= ").push_bind(from.0);
    }
    if let Some(before) = filter.ends_before {
        query.push(" AND c.not_after < ").push_bind(before.0);
    }
    if let Some(CertificatePlace { created_at, serial, issuer_key_id }) = &filter.after {
        query.push(" AND (c.created_at < ").push_bind(created_at);
        query.push(" OR c.created_at = ").push_bind(created_at);
        query.push(" AND (c.serial > ").push_bind(serial);
        query.push(" OR c.serial = ").push_bind(serial);
        query.push(" AND c.issuer_key_id > ").push_bind(issuer_key_id).push("))");
    }
    query.push(" ORDER BY c.created_at DESC, c.serial, c.issuer_key_id LIMIT ").push_bind(filter.page.limit());
    query.push(" OFFSET ").push_bind(filter.page.offset());
    from.rows(query.build_query_as()).await
}

/// The certificates that are good at `now`, but only from networks of their own.
pub async fn live_with_networks(from: impl Read, now: UnixSeconds) -> Result<Vec<CertificateRow>, Fault> {
    let select = sqlx::query_as(select!(
        "WHERE c.networks IS NOT NULL AND c.not_after >= $1 AND c.state <> 'orphaned' AND r.revoked_at IS NULL ORDER BY c.serial"
    ));
    from.rows(select.bind(now.0)).await
}

/// Takes the serial, before anything is signed. Commit this before signing: then no crash can leave a signed certificate
/// that the gate has no row for.
///
/// # Errors
/// A fault when the issuer has used the serial before.
pub async fn insert_reserved(tx: &mut Tx, reservation: &Reservation, now: UnixSeconds) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO certificates (issuer_key_id, serial, state, client_id, kind, profile, subject, key_algorithm,
                                   spki_fingerprint, not_before, not_after, scopes, networks, crl_partition, replaces,
                                   enrollment_id, tbs, created_at)
         VALUES ($1, $2, 'reserved', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
    )
    .bind(&reservation.issuer_key_id)
    .bind(&reservation.serial)
    .bind(&reservation.client_id)
    .bind(reservation.kind.as_str())
    .bind(&reservation.profile)
    .bind(&reservation.subject)
    .bind(&reservation.key_algorithm)
    .bind(&reservation.spki_fingerprint)
    .bind(reservation.not_before.0)
    .bind(reservation.not_after.0)
    .bind(reservation.scopes.as_deref().map(super::to_json_list).transpose()?)
    .bind(reservation.networks.as_deref().map(super::to_json_list).transpose()?)
    .bind(reservation.crl_partition)
    .bind(&reservation.replaces)
    .bind(&reservation.enrollment_id)
    .bind(&reservation.tbs)
    .bind(now.0)
    .execute(tx.connection())
    .await?;
    tx.changed(ChangeKind::Certificate, &change_key(&reservation.issuer_key_id, &reservation.serial), now).await
}

/// Puts the signed certificate in force. `false` when the row is not (or no longer) reserved, or was reserved for other octets
/// than `tbs`: then it must not be handed out.
pub async fn mark_issued(
    tx: &mut Tx,
    issuer_key_id: &str,
    serial: &str,
    tbs: &[u8],
    der: &[u8],
    thumbprint: &str,
    now: UnixSeconds,
) -> Result<bool, Fault> {
    let done = sqlx::query(
        "UPDATE certificates SET state = 'issued', der = $3, thumbprint = $4
         WHERE issuer_key_id = $1 AND serial = $2 AND state = 'reserved' AND tbs = $5",
    )
    .bind(issuer_key_id)
    .bind(serial)
    .bind(der)
    .bind(thumbprint)
    .bind(tbs)
    .execute(tx.connection())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    tx.changed(ChangeKind::Certificate, &change_key(issuer_key_id, serial), now).await?;
    Ok(true)
}

/// Turns every reservation that a crash left behind into an orphan, and says how many there were. Only at start, before
/// anything is issued: a reservation in flight would be lost.
pub async fn orphan_reserved(tx: &mut Tx, now: UnixSeconds) -> Result<u64, Fault> {
    let orphans: Vec<(String, String)> = sqlx::query_as(
        "UPDATE certificates SET state = 'orphaned' WHERE state = 'reserved' RETURNING issuer_key_id, serial",
    )
    .fetch_all(tx.connection())
    .await?;
    for (issuer, serial) in &orphans {
        tx.changed(ChangeKind::Certificate, &change_key(issuer, serial), now).await?;
    }
    Ok(u64::try_from(orphans.len()).unwrap_or(u64::MAX))
}

/// Turns one reservation into an orphan, after its issuance failed. `false` when it was not reserved (any more).
pub async fn orphan(tx: &mut Tx, issuer_key_id: &str, serial: &str, now: UnixSeconds) -> Result<bool, Fault> {
    let done = sqlx::query(
        "UPDATE certificates SET state = 'orphaned' WHERE issuer_key_id = $1 AND serial = $2 AND state = 'reserved'",
    )
    .bind(issuer_key_id)
    .bind(serial)
    .execute(tx.connection())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    tx.changed(ChangeKind::Certificate, &change_key(issuer_key_id, serial), now).await?;
    Ok(true)
}

/// How many certificates renew this one, those being issued included.
pub async fn count_successors(from: impl Read, serial: &str) -> Result<i64, Fault> {
    let select = sqlx::query_as("SELECT COUNT(*) FROM certificates WHERE replaces = $1 AND state <> 'orphaned'");
    let row: Option<(i64,)> = from.row(select.bind(serial)).await?;
    Ok(row.map_or(0, |(count,)| count))
}

/// How many renewals a client has had since an instant.
pub async fn count_renewed_since(from: impl Read, client_id: &str, since: UnixSeconds) -> Result<i64, Fault> {
    let select = sqlx::query_as(
        "SELECT COUNT(*) FROM certificates WHERE client_id = $1 AND replaces IS NOT NULL AND created_at >= $2",
    );
    let row: Option<(i64,)> = from.row(select.bind(client_id).bind(since.0)).await?;
    Ok(row.map_or(0, |(count,)| count))
}

/// Ends a certificate at `at`, unless it ends earlier.
pub async fn supersede(
    tx: &mut Tx,
    issuer_key_id: &str,
    serial: &str,
    at: UnixSeconds,
    now: UnixSeconds,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE certificates SET superseded_at = $3 WHERE issuer_key_id = $1 AND serial = $2 AND not_after >= $3
             AND (superseded_at IS NULL OR superseded_at > $3)",
    )
    .bind(issuer_key_id)
    .bind(serial)
    .bind(at.0)
    .execute(tx.connection())
    .await?;
    tx.changed(ChangeKind::Certificate, &change_key(issuer_key_id, serial), now).await
}

/// The certificates whose successor has taken their place and which are not revoked yet, some of them.
pub async fn superseded(from: impl Read, now: UnixSeconds, limit: u32) -> Result<Vec<CertificateRow>, Fault> {
    let select = sqlx::query_as(select!(
        "WHERE c.superseded_at <= $1 AND c.not_after >= $1 AND r.revoked_at IS NULL ORDER BY c.superseded_at LIMIT $2"
    ));
    from.rows(select.bind(now.0).bind(i64::from(limit))).await
}
