//! The positive list in memory: by issuer, then by serial.

use std::collections::HashMap;
use std::sync::Arc;

use pki::{KeyId, RevocationReason, Serial, Thumbprint};
use policies::{ClientId, CredentialStatus, UnixSeconds};

use super::narrowing::Narrowing;
use crate::failure::Fault;
use crate::store::certificate::CertificateState;
use crate::store::certificate::listed::ListedCertificate;
use crate::store::stored;

/// What the gate knows of a client certificate.
#[derive(Clone, Debug)]
pub struct CertificateEntry {
    pub client: ClientId,
    pub not_before: UnixSeconds,
    pub not_after: UnixSeconds,
    /// `None` until it is issued. A presented certificate must match it: a second certificate under one serial means that
    /// the CA key is in other hands.
    pub thumbprint: Option<Thumbprint>,
    pub state: CertificateState,
    /// Also set when the certificate was reserved and never issued: nobody was ever given such a one.
    pub revoked: Option<RevocationFact>,
    /// From then on its successor has taken its place.
    pub superseded_at: Option<UnixSeconds>,
    pub narrowing: Narrowing,
}

/// Since when, and why, it is no longer good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationFact {
    pub at: UnixSeconds,
    pub reason: RevocationReason,
}

/// Two maps deep: there are few issuers, and a look-up then copies no key.
#[derive(Default)]
pub(super) struct Certificates {
    by_issuer: papaya::HashMap<KeyId, Arc<BySerial>>,
    /// Of certificates that were revoked. Tokens name certificates so, and nothing takes a revocation back.
    revoked: papaya::HashSet<Thumbprint>,
}

type BySerial = papaya::HashMap<Serial, Arc<CertificateEntry>>;

impl Certificates {
    pub(super) fn get(&self, issuer: &KeyId, serial: &Serial) -> Option<Arc<CertificateEntry>> {
        self.by_issuer.pin().get(issuer)?.pin().get(serial).cloned()
    }

    /// Which authority issued a certificate of this serial number.
    pub(super) fn issuer_of(&self, serial: &Serial) -> Option<KeyId> {
        let by_issuer = self.by_issuer.pin();
        by_issuer.iter().find(|(_, by_serial)| by_serial.pin().contains_key(serial)).map(|(issuer, _)| issuer.clone())
    }

    pub(super) fn is_revoked(&self, thumbprint: &Thumbprint) -> bool {
        self.revoked.pin().contains(thumbprint)
    }

    /// Ends what is bound to any certificate of this authority: it is denied as a whole.
    pub(super) fn revoke_all_of(&self, issuer: &KeyId) {
        let by_issuer = self.by_issuer.pin();
        let Some(of_issuer) = by_issuer.get(issuer) else { return };
        let revoked = self.revoked.pin();
        for entry in of_issuer.pin().values() {
            if let Some(thumbprint) = entry.thumbprint {
                revoked.insert(thumbprint);
            }
        }
    }

    /// Takes the row in; `true` when the certificate is good but for its dates. A row that cannot be read is taken out:
    /// what is not on the list is not let in. `ids` shares the clients' ids between the rows of one load.
    pub(super) fn put(&self, row: &ListedCertificate, ids: &mut HashMap<String, ClientId>) -> bool {
        let (issuer, serial) = match place(&row.issuer_key_id, &row.serial) {
            Ok(place) => place,
            Err(fault) => {
                tracing::error!(serial = row.serial, error = fault.inside(), "a certificate's row cannot be read");
                return false;
            }
        };
        match CertificateEntry::from_row(row, ids) {
            Ok(entry) => {
                let good = entry.revoked.is_none();
                if let Some(thumbprint) = entry.thumbprint.filter(|_| !good) {
                    self.revoked.pin().insert(thumbprint);
                }
                let of_issuer = self.by_issuer.pin().get_or_insert_with(issuer, Arc::default).clone();
                of_issuer.pin().insert(serial, Arc::new(entry));
                good
            }
            Err(fault) => {
                tracing::error!(serial = row.serial, error = fault.inside(), "a certificate's row cannot be read");
                if let Some(of_issuer) = self.by_issuer.pin().get(&issuer) {
                    of_issuer.pin().remove(&serial);
                }
                false
            }
        }
    }
}

/// The names of a certificate's place on the list.
pub(super) fn place(issuer: &str, serial: &str) -> Result<(KeyId, Serial), Fault> {
    Ok((stored("issuer key id", issuer)?, stored("serial", serial)?))
}

impl CertificateEntry {
    /// Whether it counts at `now`. `grace_seconds` is 0 everywhere but where it renews itself.
    pub fn status(&self, now: UnixSeconds, grace_seconds: i64) -> CredentialStatus {
        // X.509 is still valid in the second that notAfter names (RFC 5280 §4.1.2.5); a policy's end is not.
        let ends = self.not_after.plus(1).plus(grace_seconds);
        let superseded = self.superseded_at.is_some_and(|at| now >= at);
        let revoked = self.revoked.is_some() || self.state != CertificateState::Issued || superseded;
        policies::status_at(Some(self.not_before), Some(ends), revoked, now)
    }

    fn from_row(row: &ListedCertificate, ids: &mut HashMap<String, ClientId>) -> Result<Self, Fault> {
        let client = row.client_id.as_deref().ok_or_else(|| Fault::new("a client certificate without a client"))?;
        let client = match ids.get(client) {
            Some(known) => known.clone(),
            None => {
                let id: ClientId = stored("client id", client)?;
                ids.insert(client.to_owned(), id.clone());
                id
            }
        };
        let thumbprint = row.thumbprint.as_deref().map(|text| stored("thumbprint", text)).transpose()?;
        Ok(Self {
            client,
            not_before: UnixSeconds(row.not_before),
            not_after: UnixSeconds(row.not_after),
            thumbprint,
            state: row.state,
            revoked: RevocationFact::of(row),
            superseded_at: row.superseded_at.map(UnixSeconds),
            narrowing: Narrowing::from_lists(row.scopes.as_deref(), row.networks.as_deref()),
        })
    }
}

impl RevocationFact {
    fn of(row: &ListedCertificate) -> Option<Self> {
        if let Some(at) = row.revoked_at {
            // A reason that cannot be read revokes all the same.
            let reason = row.revocation_reason.as_deref().and_then(|text| text.parse().ok());
            return Some(Self { at: UnixSeconds(at), reason: reason.unwrap_or(RevocationReason::Unspecified) });
        }
        match row.state {
            CertificateState::Issued => None,
            CertificateState::Reserved | CertificateState::Orphaned => {
                Some(Self { at: UnixSeconds(row.created_at), reason: RevocationReason::Unspecified })
            }
        }
    }
}
