//! Authorities whose certificates are denied, whatever stands in the certificate's own row.

use std::collections::HashMap;

use arc_swap::ArcSwap;
use pki::{ClientCertificate, KeyId, RevocationReason};
use policies::UnixSeconds;

use super::certificate::RevocationFact;
use crate::failure::Fault;
use crate::store::issuer::{IssuerRow, IssuerState};
use crate::store::{self, Store, stored};

/// By the key of the authority. There are few, and none on most days: the map is made anew at each change.
#[derive(Default)]
pub(super) struct DeniedIssuers(ArcSwap<HashMap<KeyId, RevocationFact>>);

impl DeniedIssuers {
    pub(super) fn get(&self, issuer: &KeyId) -> Option<RevocationFact> {
        self.0.load().get(issuer).copied()
    }

    /// Reads the authorities; returns those that are denied now and were not before.
    pub(super) async fn reload(&self, store: &Store) -> Result<Vec<KeyId>, Fault> {
        let rows = store::issuer::list(store).await?;
        let mut denied = HashMap::new();
        for row in &rows {
            if let Some(fact) = denial(row, &rows) {
                denied.insert(stored("issuer key id", &row.key_id)?, fact);
            }
        }
        let before = self.0.load_full();
        let new = denied.keys().filter(|issuer| !before.contains_key(issuer)).cloned().collect();
        self.0.store(denied.into());
        Ok(new)
    }
}

/// Why nothing that it issued is accepted. An authority below a tainted root is denied with it: who holds the root's key makes
/// whatever authorities he likes.
fn denial(row: &IssuerRow, all: &[IssuerRow]) -> Option<RevocationFact> {
    let tainted = |at| RevocationFact { at: UnixSeconds(at), reason: RevocationReason::CaCompromise };
    if let Some(at) = row.tainted_at {
        return Some(tainted(at));
    }
    let parent = parent(row).and_then(|id| all.iter().find(|other| other.key_id == id && other.key_id != row.key_id));
    if let Some(at) = parent.and_then(|parent| parent.tainted_at) {
        return Some(tainted(at));
    }
    let superseded = || RevocationFact { at: UnixSeconds(row.state_since), reason: RevocationReason::Superseded };
    match row.state {
        IssuerState::Removed => Some(superseded()),
        // What is not handed out yet has issued nothing: whatever claims to come from it does not.
        IssuerState::Prepared => Some(tainted(row.state_since)),
        IssuerState::Trusted | IssuerState::Active | IssuerState::Retiring => None,
    }
}

/// The key id of the authority that signed this one's certificate, hex.
fn parent(row: &IssuerRow) -> Option<String> {
    ClientCertificate::parse(&row.certificate).ok()?.issuer_key_id.map(|id| id.to_string())
}
