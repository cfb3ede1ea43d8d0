use policies::{AuthMethod, CredentialKind, CredentialRef, Denial, Proof, UnixSeconds};
use subtle::ConstantTimeEq;

use crate::registry::Pepper;
use crate::registry::api_key::{PresentedApiKey, PresentedImportedKey};
use crate::snapshot::{ApiKeyEntry, PolicyView, Snapshot};

/// An unknown id costs the same HMAC and comparison as a known one.
const NOBODY: [u8; 32] = [0; 32];

/// Looks the key up by its public part and compares its HMAC in constant time; a key that was made elsewhere and brought along is
/// looked up by its HMAC.
pub(super) fn prove(
    snapshot: &Snapshot,
    view: &PolicyView,
    pepper: &Pepper,
    text: &str,
    now: UnixSeconds,
) -> Result<Proof, Denial> {
    // Ours first: a key of ours that was revoked must not come back because somebody brought it along.
    let entry = match ours(snapshot, pepper, text) {
        Ok(entry) => entry,
        Err(detail) => imported(snapshot, pepper, text).ok_or(Denial::CredentialUnknown { detail })?,
    };
    let (scopes, networks) = match entry.narrowing() {
        Some(narrowing) => {
            (narrowing.scopes.clone(), narrowing.networks.as_ref().map(|networks| view.allowlist(networks)))
        }
        None => (None, None),
    };
    let status = policies::status_at(None, entry.expires_at(), entry.revoked, now);
    let credential = CredentialRef { kind: CredentialKind::ApiKey, id: entry.id };
    Ok(Proof { method: AuthMethod::ApiKey, credential, client: entry.client, status, scopes, networks })
}

fn ours(snapshot: &Snapshot, pepper: &Pepper, text: &str) -> Result<ApiKeyEntry, String> {
    let presented = PresentedApiKey::parse(text)
        .ok_or_else(|| "the x-api-key header does not hold a key of ours: wrong shape or checksum".to_owned())?;
    let entry = snapshot.api_key(presented.id());
    let expected = entry.as_ref().map_or(&NOBODY, |entry| &entry.hmac);
    let same = bool::from(presented.mac(pepper).ct_eq(expected));
    entry.filter(|_| same).ok_or_else(|| format!("no API key {} with that secret", presented.id()))
}

fn imported(snapshot: &Snapshot, pepper: &Pepper, text: &str) -> Option<ApiKeyEntry> {
    if !snapshot.has_imported_api_keys() {
        return None;
    }
    let mac = PresentedImportedKey::parse(text)?.mac(pepper);
    let entry = snapshot.imported_api_key(&mac);
    let expected = entry.as_ref().map_or(&NOBODY, |entry| &entry.hmac);
    let same = bool::from(mac.ct_eq(expected));
    entry.filter(|_| same)
}
