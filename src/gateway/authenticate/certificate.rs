use metrics::counter;
use policies::{AuthMethod, CredentialKind, CredentialRef, Denial, Proof, UnixSeconds};

use crate::listen::PeerCertificate;
use crate::snapshot::{ForeignIdentity, NotForeign, PolicyView, Snapshot};

/// A chain that TLS took is not enough: (issuer, serial) must be a row of ours that is live now. This runs on every
/// request, since a resumed session never saw the verifier and a kept connection outlives a revocation.
pub(super) fn prove(
    snapshot: &Snapshot,
    view: &PolicyView,
    peer: &PeerCertificate,
    now: UnixSeconds,
    renewing: bool,
) -> Result<Proof, Denial> {
    let certificate = &peer.certificate;
    if !snapshot.is_ours(certificate) {
        match snapshot.anchors().judge(&peer.chain, view, now) {
            Ok(identity) => return Ok(foreign(identity)),
            Err(NotForeign::Refused(denial)) => return Err(denial),
            Err(NotForeign::Unanchored) => {}
        }
    }
    let entry = certificate
        .issuer_key_id
        .as_ref()
        .and_then(|issuer| snapshot.certificate(issuer, &certificate.serial))
        .ok_or_else(|| {
            counter!("portcullis_unknown_certificates_total").increment(1);
            tracing::error!(
                serial = %certificate.serial,
                thumbprint = %certificate.thumbprint,
                "a certificate with a good chain is not on our list: stolen CA key, or a restored backup?"
            );
            Denial::CredentialUnknown { detail: format!("certificate {} was never issued here", certificate.serial) }
        })?;
    // A pinned row is pinned to the whole certificate: the same serial over another key is not ours either.
    if entry.thumbprint != Some(certificate.thumbprint) || !certificate.is_client_only() || certificate.is_ca {
        counter!("portcullis_unknown_certificates_total").increment(1);
        return Err(Denial::CredentialUnknown {
            detail: format!("certificate {} differs from the one issued under its serial", certificate.serial),
        });
    }
    let grace_seconds = if renewing { snapshot.renewal_grace_seconds(entry.client.as_str()) } else { 0 };
    Ok(Proof {
        method: AuthMethod::MutualTls,
        credential: CredentialRef {
            kind: CredentialKind::ClientCertificate,
            id: certificate.serial.to_string().into(),
        },
        client: entry.client.clone(),
        status: entry.status(now, grace_seconds),
        scopes: entry.narrowing.scopes.clone(),
        networks: entry.narrowing.networks.as_ref().map(|names| view.allowlist(names)),
    })
}

/// A certificate of a partner's authority. There is no row of it: its anchor's rules and lists have decided.
fn foreign(identity: ForeignIdentity) -> Proof {
    Proof {
        method: AuthMethod::MutualTls,
        credential: CredentialRef { kind: CredentialKind::ClientCertificate, id: identity.credential_id },
        client: identity.client,
        status: identity.status,
        scopes: identity.scopes,
        networks: None,
    }
}
