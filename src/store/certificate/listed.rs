//! What the positive list needs of every client certificate.

use serde::Deserialize;

use super::{CertificateRow, CertificateState};
use crate::failure::Fault;
use crate::store::Store;
use crate::store::packet::{self, Packet};

/// A client certificate on the positive list. Times are seconds since the Unix epoch, ids are lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedCertificate {
    pub issuer_key_id: String,
    pub serial: String,
    pub state: CertificateState,
    pub client_id: Option<String>,
    /// SHA-256 of the DER; absent until issued.
    pub thumbprint: Option<String>,
    pub not_before: i64,
    pub not_after: i64,
    pub scopes: Option<Vec<String>>,
    pub networks: Option<Vec<String>>,
    pub superseded_at: Option<i64>,
    pub created_at: i64,
    pub revoked_at: Option<i64>,
    /// RFC 5280 §5.3.1, kebab-case.
    pub revocation_reason: Option<String>,
}

/// One row as the database writes it: an array, in this order.
#[derive(Deserialize)]
struct Written(
    String,
    String,
    String,
    Option<String>,
    Option<String>,
    i64,
    i64,
    Option<String>,
    Option<String>,
    Option<i64>,
    i64,
    Option<i64>,
    Option<String>,
);

const SELECT: &str = "
    SELECT MAX(place), json_group_array(json_array(issuer_key_id, serial, state, client_id, thumbprint, not_before, not_after,
                                                   scopes, networks, superseded_at, created_at, revoked_at, reason))
    FROM (SELECT c.rowid AS place, c.issuer_key_id, c.serial, c.state, c.client_id, c.thumbprint, c.not_before, c.not_after,
                 c.scopes, c.networks, c.superseded_at, c.created_at, r.revoked_at, r.reason
          FROM certificates c
          LEFT JOIN revocations r ON r.issuer_key_id = c.issuer_key_id AND r.serial = c.serial
          WHERE c.rowid > $1 AND c.kind = 'client' ORDER BY c.rowid LIMIT $2)";

/// The certificates behind `place`; `None` after the last.
pub async fn packet(store: &Store, place: i64) -> Result<Option<Packet>, Fault> {
    Packet::behind(store, SELECT, place, packet::ROWS).await
}

/// The certificates of a packet.
///
/// # Errors
/// A fault when the packet as a whole is not what was asked for; a certificate that cannot be read is an error in its place.
pub fn read(packet: &Packet) -> Result<Vec<Result<ListedCertificate, Fault>>, Fault> {
    Ok(packet.rows::<Written>()?.into_iter().map(|row| row?.read()).collect())
}

impl Written {
    fn read(self) -> Result<ListedCertificate, Fault> {
        let list = |text: Option<String>| text.as_deref().map(packet::list).transpose();
        Ok(ListedCertificate {
            issuer_key_id: self.0,
            serial: self.1,
            state: self.2.try_into()?,
            client_id: self.3,
            thumbprint: self.4,
            not_before: self.5,
            not_after: self.6,
            scopes: list(self.7)?,
            networks: list(self.8)?,
            superseded_at: self.9,
            created_at: self.10,
            revoked_at: self.11,
            revocation_reason: self.12,
        })
    }
}

impl From<CertificateRow> for ListedCertificate {
    fn from(row: CertificateRow) -> Self {
        Self {
            issuer_key_id: row.issuer_key_id,
            serial: row.serial,
            state: row.state,
            client_id: row.client_id,
            thumbprint: row.thumbprint,
            not_before: row.not_before,
            not_after: row.not_after,
            scopes: row.scopes,
            networks: row.networks,
            superseded_at: row.superseded_at,
            created_at: row.created_at,
            revoked_at: row.revoked_at,
            revocation_reason: row.revocation_reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use policies::UnixSeconds;

    use super::*;
    use crate::store::certificate::{self, CertificateKind, Reservation};

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    async fn reserve(tx: &mut crate::store::Tx, serial: &str) {
        let reservation = Reservation {
            issuer_key_id: "aa".into(),
            serial: serial.into(),
            client_id: Some("acme-orders".into()),
            kind: CertificateKind::Client,
            subject: "CN=acme-orders".into(),
            spki_fingerprint: serial.into(),
            not_before: NOW,
            not_after: NOW.plus(100),
            scopes: Some(vec!["api/re\"ad".into()]),
            networks: None,
            profile: "client".to_owned(),
            key_algorithm: "ecdsa-p256".to_owned(),
            crl_partition: 0,
            replaces: None,
            enrollment_id: None,
            tbs: vec![1],
        };
        certificate::insert_reserved(tx, &reservation, NOW).await.unwrap();
    }

    #[tokio::test]
    async fn packets_hold_every_certificate_once_and_what_a_row_of_its_own_would_say() {
        let (_folder, store) = crate::store::tests::store().await;
        let serials: Vec<String> = (1..=7).map(|n| format!("{n:02}")).collect();
        let mut tx = store.begin().await.unwrap();
        for serial in &serials {
            reserve(&mut tx, serial).await;
        }
        tx.commit().await.unwrap();

        let mut listed = Vec::new();
        let behind = |place| Packet::behind(&store, SELECT, place, 3);
        let take = |packet: &Packet| {
            listed.extend(read(packet)?);
            Ok(())
        };
        packet::each(behind, take).await.unwrap();
        let mut seen = Vec::new();
        for certificate in listed {
            let certificate = certificate.unwrap();
            let row = certificate::get(&store, "aa", &certificate.serial).await.unwrap().unwrap();
            assert_eq!(certificate, row.into());
            seen.push(certificate.serial);
        }
        assert_eq!(seen, serials);
    }
}
