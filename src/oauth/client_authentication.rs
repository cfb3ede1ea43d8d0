//! Is this the client it says it is, from an address it may call from (RFC 6749 §2.3)?

use std::net::IpAddr;
use std::sync::Arc;

use pki::Thumbprint;
use policies::{
    Allowlist, ClientId, CredentialStatus, Denial, Refusals, ScopeSet, UnixSeconds, check_caller, status_at,
};
use subtle::{Choice, ConstantTimeEq as _};

use super::answer::{Authenticated, ErrorAnswer};
use super::presented::{Presented, Reading};
use crate::listen::PeerCertificate;
use crate::snapshot::{
    CertificateState, ClientEntry, ClientSecretEntry, ForeignIdentity, NotForeign, PolicyView, Snapshot,
};

/// How many stored HMACs each guess is compared with at least, known client or not. Clients have two live secrets.
const COMPARISONS_MIN: usize = 4;

/// A client that has proved its secret, is in force, and calls from where it may.
pub(super) struct AuthenticatedClient {
    pub(super) entry: Arc<ClientEntry>,
    /// The id of the secret.
    pub(super) secret: Arc<str>,
    pub(super) certificate: Option<PresentedCertificate>,
    /// The allowlists in shadow that would have refused it.
    pub(super) heard: Refusals,
}

/// The live certificate of the same client that the connection was made with.
pub(super) struct PresentedCertificate {
    pub(super) thumbprint: Thumbprint,
    /// It may take scopes away.
    pub(super) scopes: Option<ScopeSet>,
    /// Where it may be used from, if not wherever its client may call from.
    networks: Option<Allowlist>,
}

impl AuthenticatedClient {
    /// Who it was, for the gate.
    pub(super) fn told(self) -> Authenticated {
        Authenticated { client: self.entry.client.id.clone(), secret: self.secret, heard: self.heard.0 }
    }

    /// What it may have at most on this connection: a certificate with fewer scopes than its client leaves only those.
    pub(super) fn allowed_scopes(&self) -> ScopeSet {
        let scopes = &self.entry.client.scopes;
        let narrowing = self.certificate.as_ref().and_then(|certificate| certificate.scopes.as_ref());
        narrowing.map_or_else(|| scopes.clone(), |narrowing| scopes.intersection(narrowing))
    }
}

/// Where and when a request is judged.
pub(super) struct Scene<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) view: &'a PolicyView,
    pub(super) source: IpAddr,
    pub(super) peer: Option<&'a PeerCertificate>,
    pub(super) now: UnixSeconds,
}

/// Judges what the client presented. `mac` is the HMAC under which secrets are stored; it is computed once for each reading of
/// what was presented, whether or not the client exists.
///
/// # Errors
/// `invalid_client`, the same for everything that can be wrong; what it was goes to the audit.
pub(super) fn authenticate(
    scene: &Scene<'_>,
    presented: &Presented,
    mac: impl Fn(&str) -> [u8; 32],
) -> Result<AuthenticatedClient, ErrorAnswer> {
    let mut outcome = Err(ErrorAnswer::invalid_client(None, unknown("no such client")));
    for reading in &presented.readings {
        // Every reading is worked through, also after one that fits: the time taken says nothing.
        let judged = judge(scene, reading, &mac);
        if outcome.is_err() {
            outcome = judged;
        }
    }
    let (entry, secret) = outcome?;
    let client = &entry.client;
    let refuse = |denial| ErrorAnswer::invalid_client(Some(client.id.clone()), denial);
    let certificate = scene.peer.map(|peer| certificate_of(scene, peer, &client.id)).transpose().map_err(refuse)?;
    let of_secret = secret.networks.as_deref().map(|networks| scene.view.allowlist(networks));
    let of_secret = of_secret.as_ref().map(|networks| (format!("client secret {}", secret.id), networks));
    let of_certificate = certificate.as_ref().and_then(|certificate| certificate.networks.as_ref());
    let of_certificate = of_certificate.map(|networks| ("client certificate".to_owned(), networks));
    let mut heard = Refusals::default();
    check_caller(client, of_secret.into_iter().chain(of_certificate), scene.source, &mut heard).map_err(refuse)?;
    if !client.enabled {
        return Err(refuse(Denial::CredentialRevoked { detail: format!("client {} is disabled", client.id) }));
    }
    Ok(AuthenticatedClient { secret: secret.id, certificate, entry, heard })
}

fn judge(
    scene: &Scene<'_>,
    reading: &Reading,
    mac: &impl Fn(&str) -> [u8; 32],
) -> Result<(Arc<ClientEntry>, ClientSecretEntry), ErrorAnswer> {
    let guess = mac(&reading.secret);
    let secrets = scene.snapshot.client_secrets(&reading.client);
    let matching = find(&secrets, &guess);
    let Some(entry) = scene.view.client(&reading.client) else {
        return Err(ErrorAnswer::invalid_client(None, unknown("no such client")));
    };
    let refuse = |denial| ErrorAnswer::invalid_client(Some(entry.client.id.clone()), denial);
    let Some(secret) = matching else {
        return Err(refuse(unknown("a wrong client secret")));
    };
    let detail = format!("client secret {}", secret.id);
    match status_at(None, secret.expires_at, secret.revoked, scene.now) {
        CredentialStatus::Active => Ok((Arc::clone(&entry), secret.clone())),
        CredentialStatus::Revoked => Err(refuse(Denial::CredentialRevoked { detail })),
        CredentialStatus::Expired | CredentialStatus::NotYetValid => Err(refuse(Denial::CredentialExpired { detail })),
    }
}

/// The secret with this HMAC. Every one is compared, in constant time, and strangers' guesses with as many that match nothing.
fn find<'a>(secrets: &'a [ClientSecretEntry], guess: &[u8; 32]) -> Option<&'a ClientSecretEntry> {
    const NO_SECRET: [u8; 32] = [0; 32];
    let mut found = None;
    for index in 0..secrets.len().max(COMPARISONS_MIN) {
        let candidate = secrets.get(index);
        let hmac = candidate.map_or(&NO_SECRET, |candidate| &candidate.hmac);
        let equal: Choice = guess.ct_eq(hmac);
        if bool::from(equal) && candidate.is_some() {
            found = candidate;
        }
    }
    found
}

/// A certificate that comes along must be good, and this client's: what is presented and bad fails the request. Else a token
/// could be fetched with a stolen secret over the attacker's own certificate, and be bound to that.
fn certificate_of(
    scene: &Scene<'_>,
    peer: &PeerCertificate,
    client: &ClientId,
) -> Result<PresentedCertificate, Denial> {
    let name = format!("client certificate {}", peer.certificate.serial);
    if !scene.snapshot.is_ours(&peer.certificate) {
        match scene.snapshot.anchors().judge(&peer.chain, scene.view, scene.now) {
            Ok(identity) => return foreign(identity, peer, client),
            Err(NotForeign::Refused(denial)) => return Err(denial),
            Err(NotForeign::Unanchored) => {}
        }
    }
    let peer = &peer.certificate;
    let entry = peer.issuer_key_id.as_ref().and_then(|issuer| scene.snapshot.certificate(issuer, &peer.serial));
    let Some(entry) = entry else {
        return Err(unknown(&format!("{name} was not issued here")));
    };
    let same = entry.thumbprint == Some(peer.thumbprint) && entry.state == CertificateState::Issued;
    if !same || peer.is_ca || !peer.is_client_only() {
        return Err(unknown(&format!("{name} is not the one that was issued here")));
    }
    if entry.client != *client {
        return Err(Denial::CredentialMismatch {
            detail: format!("{name} belongs to client {}, not to {client}", entry.client),
        });
    }
    match entry.status(scene.now, 0) {
        CredentialStatus::Active => {}
        CredentialStatus::Revoked => return Err(Denial::CredentialRevoked { detail: name }),
        CredentialStatus::Expired | CredentialStatus::NotYetValid => {
            return Err(Denial::CredentialExpired { detail: name });
        }
    }
    let networks = entry.narrowing.networks.as_deref().map(|networks| scene.view.allowlist(networks));
    Ok(PresentedCertificate { thumbprint: peer.thumbprint, scopes: entry.narrowing.scopes.clone(), networks })
}

/// The same for a certificate of a partner's authority.
fn foreign(
    identity: ForeignIdentity,
    peer: &PeerCertificate,
    client: &ClientId,
) -> Result<PresentedCertificate, Denial> {
    let name = format!("client certificate {}", identity.credential_id);
    if identity.client != *client {
        return Err(Denial::CredentialMismatch {
            detail: format!("{name} belongs to client {}, not to {client}", identity.client),
        });
    }
    match identity.status {
        CredentialStatus::Active => {
            let thumbprint = peer.certificate.thumbprint;
            Ok(PresentedCertificate { thumbprint, scopes: identity.scopes, networks: None })
        }
        CredentialStatus::Revoked => Err(Denial::CredentialRevoked { detail: name }),
        CredentialStatus::Expired | CredentialStatus::NotYetValid => Err(Denial::CredentialExpired { detail: name }),
    }
}

fn unknown(detail: &str) -> Denial {
    Denial::CredentialUnknown { detail: detail.to_owned() }
}
