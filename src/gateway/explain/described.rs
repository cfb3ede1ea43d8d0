//! The credentials of a described request: made up, or those of the register as they are now.

use std::sync::Arc;

use pki::Serial;
use policies::{AuthMethod, ClientId, CredentialKind, CredentialRef, CredentialStatus, Proof, ScopeSet, UnixSeconds};

use super::{ExplainRequest, Explainer};
use crate::snapshot::PolicyView;

/// The id of a credential that nobody holds.
const DESCRIBED: &str = "described";
/// Most credentials of one described request: one of each kind can be presented, and one too many explained.
const CREDENTIALS_MAX: usize = 8;

/// What the request would present.
///
/// # Errors
/// A sentence for whoever described it.
pub(super) fn proofs(explainer: &Explainer, view: &PolicyView, request: &ExplainRequest) -> Result<Vec<Proof>, String> {
    if request.credentials.len() + request.presents.len() > CREDENTIALS_MAX {
        return Err(format!("more than {CREDENTIALS_MAX} credentials"));
    }
    let now = explainer.clock.now();
    let known = request.credentials.iter().map(|id| known(explainer, view, id, now));
    let mut proofs = known.collect::<Result<Vec<Proof>, String>>()?;
    let client = match (&request.client, proofs.first()) {
        (Some(client), _) => client.parse().map_err(|_| format!("{client:?} is not a client id"))?,
        (None, Some(first)) => first.client.clone(),
        (None, None) if request.presents.is_empty() => return Ok(proofs),
        (None, None) => return Err("say with `client` whose credentials are presented".to_owned()),
    };
    let scopes = match &request.scopes {
        Some(scopes) => Some(ScopeSet::parse_list(&scopes.join(" ")).map_err(|error| error.to_string())?),
        None => None,
    };
    let default = [AuthMethod::MutualTls.as_str().to_owned()];
    let presents = match (&request.presents[..], &proofs[..]) {
        ([], []) => &default[..],
        (presents, _) => presents,
    };
    for method in presents {
        let method: AuthMethod =
            method.parse().map_err(|_| format!("{method:?} is not a method: use mutual_tls, api_key or bearer"))?;
        proofs.push(made_up(method, &client, scopes.clone()));
    }
    Ok(proofs)
}

fn made_up(method: AuthMethod, client: &ClientId, scopes: Option<ScopeSet>) -> Proof {
    let kind = match method {
        AuthMethod::MutualTls => CredentialKind::ClientCertificate,
        AuthMethod::ApiKey => CredentialKind::ApiKey,
        AuthMethod::Bearer => CredentialKind::AccessToken,
    };
    Proof {
        method,
        credential: CredentialRef { kind, id: Arc::from(DESCRIBED) },
        client: client.clone(),
        status: CredentialStatus::Active,
        scopes,
        networks: None,
    }
}

/// A credential of the register. Its secret is taken as shown: it is not kept, so nobody could compare it.
fn known(explainer: &Explainer, view: &PolicyView, id: &str, now: UnixSeconds) -> Result<Proof, String> {
    if let Some(key) = explainer.snapshot.api_key(id) {
        let narrowing = key.narrowing();
        let networks = narrowing.and_then(|narrowing| narrowing.networks.as_ref());
        return Ok(Proof {
            method: AuthMethod::ApiKey,
            status: policies::status_at(None, key.expires_at(), key.revoked, now),
            scopes: narrowing.and_then(|narrowing| narrowing.scopes.clone()),
            networks: networks.map(|names| view.allowlist(names)),
            credential: CredentialRef { kind: CredentialKind::ApiKey, id: key.id },
            client: key.client,
        });
    }
    // openssl writes serial numbers with colons and in capitals.
    let serial = id.replace(':', "").to_ascii_lowercase().parse::<Serial>().ok();
    let found = serial.and_then(|serial| Some((explainer.snapshot.certificate_of_serial(&serial)?, serial)));
    let Some((certificate, serial)) = found else {
        return Err(format!(
            "{id:?} is neither an API key nor the serial number of a certificate of ours; tokens and certificates of partners' \
             authorities are described with `client` and `presents`"
        ));
    };
    Ok(Proof {
        method: AuthMethod::MutualTls,
        credential: CredentialRef { kind: CredentialKind::ClientCertificate, id: serial.to_string().into() },
        client: certificate.client.clone(),
        status: certificate.status(now, 0),
        scopes: certificate.narrowing.scopes.clone(),
        networks: certificate.narrowing.networks.as_ref().map(|names| view.allowlist(names)),
    })
}

/// How a credential is told of in the account.
pub(super) fn told(proof: &Proof) -> String {
    match &*proof.credential.id {
        DESCRIBED => format!("{} described, not proved", proof.credential.kind),
        _ => format!("{} as it is in the register", proof.credential),
    }
}
