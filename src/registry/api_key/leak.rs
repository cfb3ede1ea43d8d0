//! Keys that somebody found where they should not be.

use subtle::ConstantTimeEq;

use super::{PresentedApiKey, PresentedImportedKey};
use crate::failure::Failure;
use crate::registry::{Actor, Registry};
use crate::snapshot::ApiKeyEntry;

/// Why such a key is revoked.
const REASON: &str = "key-compromise";

/// What became of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeakOutcome {
    /// Keys that opened the door and do not any more.
    pub revoked: u64,
    /// Keys that were revoked before.
    pub known: u64,
    /// What is no key of ours.
    pub unknown: u64,
}

impl Registry {
    /// Revokes the keys among `texts`, each by its whole text: whoever knows less than the key cannot have it revoked.
    ///
    /// A report that comes twice, or is sent again by a stranger who overheard it, changes nothing the second time.
    pub async fn revoke_leaked(&self, actor: &Actor, texts: &[&str]) -> Result<LeakOutcome, Failure> {
        let mut outcome = LeakOutcome::default();
        for text in texts {
            match self.recognised(text) {
                None => outcome.unknown += 1,
                Some(entry) if entry.revoked => outcome.known += 1,
                Some(entry) => {
                    self.revoke_api_key(actor, &entry.id, REASON).await?;
                    outcome.revoked += 1;
                }
            }
        }
        Ok(outcome)
    }

    fn recognised(&self, text: &str) -> Option<ApiKeyEntry> {
        let same = |entry: &ApiKeyEntry, mac: [u8; 32]| bool::from(entry.hmac.ct_eq(&mac));
        if let Some(presented) = PresentedApiKey::parse(text)
            && let Some(entry) = self.snapshot.api_key(presented.id())
            && same(&entry, presented.mac(&self.pepper))
        {
            return Some(entry);
        }
        let mac = PresentedImportedKey::parse(text)?.mac(&self.pepper);
        self.snapshot.imported_api_key(&mac).filter(|entry| same(entry, mac))
    }
}
