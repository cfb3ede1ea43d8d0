//! Who is asking. Everything presented must verify; everything must name the same client. A credential that is presented
//! but bad fails the request, whatever else was presented: there is no downgrade to a weaker method.

mod api_key;
mod bearer;
mod certificate;

use policies::{CredentialStatus, Denial, Principal, Proof, Stage, Trace, UnixSeconds};

use super::Gate;
use super::stop::Stop;
use super::target::{PresentedAuthorization, Target};
use crate::listen::PeerCertificate;
use crate::snapshot::PolicyView;

/// Proves each credential and resolves them to one principal.
pub(super) async fn authenticate<T: Trace>(
    gate: &Gate,
    view: &PolicyView,
    target: &Target<'_>,
    now: UnixSeconds,
    trace: &mut T,
) -> Result<Principal, Stop> {
    let result = prove_all(gate, view, target, now, Purpose::Any).await;
    match &result {
        Ok(principal) => trace
            .step(Stage::Authenticate, true, || format!("client {} by {}", principal.client().id, principal.methods())),
        Err(Stop::Denied(denial)) => trace.step(Stage::Authenticate, false, || denial.to_string()),
        Err(_) => trace.step(Stage::Authenticate, false, || "the credential could not be judged".to_owned()),
    }
    result
}

/// What the principal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Any,
    /// The one purpose for which a certificate counts after its end, within the grace of its client.
    Renewal,
}

/// The same for whoever renews a certificate with itself, and for nothing else.
pub(super) async fn authenticate_to_renew(
    gate: &Gate,
    view: &PolicyView,
    target: &Target<'_>,
    now: UnixSeconds,
) -> Result<Principal, Stop> {
    prove_all(gate, view, target, now, Purpose::Renewal).await
}

async fn prove_all(
    gate: &Gate,
    view: &PolicyView,
    target: &Target<'_>,
    now: UnixSeconds,
    purpose: Purpose,
) -> Result<Principal, Stop> {
    let presented = &target.presented;
    let mut proofs: Vec<Proof> = Vec::with_capacity(3);
    // The token first: its issuer's keys may have to be fetched, and what else is judged must be judged after the wait.
    match presented.authorization {
        Some(PresentedAuthorization::Bearer(token)) => {
            proofs.push(Box::pin(bearer::prove(&gate.oauth, view, token, presented.certificate, now)).await?);
        }
        Some(PresentedAuthorization::Other) => {
            return Err(Denial::InvalidToken {
                detail: "the Authorization header holds another scheme than Bearer".to_owned(),
            }
            .into());
        }
        None => {}
    }
    if let Some(peer) = presented.certificate {
        proofs.push(certificate::prove(&gate.snapshot, view, peer, now, purpose == Purpose::Renewal)?);
    }
    if let Some(text) = presented.api_key {
        proofs.push(api_key::prove(&gate.snapshot, view, &gate.pepper, text, now)?);
    }
    Ok(resolve(view, proofs)?)
}

/// Judges the certificate of a connection that proves itself otherwise, by a token that only one endpoint takes: what is presented
/// must be good, and the same client's.
pub(super) fn check_beside(gate: &Gate, view: &PolicyView, peer: &PeerCertificate, client: &str) -> Result<(), Denial> {
    let proof = certificate::prove(&gate.snapshot, view, peer, gate.clock.now(), false)?;
    if proof.client.as_str() != client {
        let detail = format!("{} belongs to client {}, not to {client}", proof.credential, proof.client);
        return Err(Denial::CredentialMismatch { detail });
    }
    match proof.status {
        CredentialStatus::Active => Ok(()),
        CredentialStatus::Revoked => Err(Denial::CredentialRevoked { detail: proof.credential.to_string() }),
        CredentialStatus::NotYetValid | CredentialStatus::Expired => {
            Err(Denial::CredentialExpired { detail: proof.credential.to_string() })
        }
    }
}

/// Who holds the certificate of a connection, whatever else comes over it: a proxy's questions carry its client's credentials.
pub(super) fn by_certificate(
    gate: &Gate,
    view: &PolicyView,
    peer: &PeerCertificate,
    now: UnixSeconds,
) -> Result<Principal, Denial> {
    resolve(view, vec![certificate::prove(&gate.snapshot, view, peer, now, false)?])
}

/// Brings proofs together; the client must still be there.
pub(super) fn resolve(view: &PolicyView, proofs: Vec<Proof>) -> Result<Principal, Denial> {
    let Some(first) = proofs.first() else { return Err(Denial::NoCredential) };
    let entry = view.client(first.client.as_str()).ok_or_else(|| Denial::CredentialRevoked {
        detail: format!("client {} is no longer registered", first.client),
    })?;
    policies::resolve(proofs, entry.client.clone())
}
