use policies::{AuthMethod, CredentialKind, CredentialRef, Proof, UnixSeconds};

use crate::gateway::stop::Stop;
use crate::listen::PeerCertificate;
use crate::oauth::{OAuth, TokenRefusal};
use crate::snapshot::PolicyView;

/// Verifies the token; a bound one (RFC 8705 §3) only together with its certificate.
pub(super) async fn prove(
    oauth: &OAuth,
    view: &PolicyView,
    token: &str,
    peer: Option<&PeerCertificate>,
    now: UnixSeconds,
) -> Result<Proof, Stop> {
    let thumbprint = peer.map(|peer| &peer.certificate.thumbprint);
    let verified = oauth.verify(token, thumbprint, view, now).await.map_err(|refusal| match refusal {
        TokenRefusal::Denied(denial) => Stop::Denied(denial),
        TokenRefusal::Fault(fault) => Stop::Fault(fault),
    })?;
    Ok(Proof {
        method: AuthMethod::Bearer,
        credential: CredentialRef {
            kind: CredentialKind::AccessToken,
            id: verified.jti.clone().unwrap_or_else(|| "unnamed".into()),
        },
        client: verified.client.clone(),
        status: verified.status,
        scopes: Some(verified.scopes.clone()),
        networks: None,
    })
}
