use policies::{AuthMethod, CredentialKind, CredentialRef, Denial, Proof, UnixSeconds};
use subtle::ConstantTimeEq;

use crate::registry::Pepper;
use crate::registry::api_key::PresentedApiKey;
use crate::snapshot::{PolicyView, Snapshot};

/// An unknown id costs the same HMAC and comparison as a known one.
const NOBODY: [u8; 32] = [0; 32];

/// Looks the key up by its public part and compares its HMAC in constant time.
pub(super) fn prove(
    snapshot: &Snapshot,
    view: &PolicyView,
    pepper: &Pepper,
    text: &str,
    now: UnixSeconds,
) -> Result<Proof, Denial> {
    let presented = PresentedApiKey::parse(text).ok_or_else(|| Denial::CredentialUnknown {
        detail: "the x-api-key header does not hold a key of ours: wrong shape or checksum".to_owned(),
    })?;
    let entry = snapshot.api_key(presented.id());
    let expected = entry.as_ref().map_or(&NOBODY, |entry| &entry.hmac);
    let same = bool::from(presented.mac(pepper).ct_eq(expected));
    let entry = entry.filter(|_| same).ok_or_else(|| Denial::CredentialUnknown {
        detail: format!("no API key {} with that secret", presented.id()),
    })?;
    Ok(Proof {
        method: AuthMethod::ApiKey,
        credential: CredentialRef { kind: CredentialKind::ApiKey, id: entry.id.clone() },
        client: entry.client.clone(),
        status: policies::status_at(None, entry.expires_at, entry.revoked, now),
        scopes: entry.narrowing.scopes.clone(),
        networks: entry.narrowing.networks.as_ref().map(|names| view.allowlist(names)),
    })
}
