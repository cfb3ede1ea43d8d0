//! The authenticated party: one client and all it has just proved.

use std::sync::Arc;

use crate::client::Client;
use crate::credential::Proof;
use crate::denial::Denial;
use crate::method::AuthMethodSet;
use crate::scope::ScopeSet;

/// Who calls. A clone costs one reference count, so that whoever keeps the record keeps the principal itself. Only
/// [`resolve`] makes one:
///
/// ```compile_fail,E0451
/// # fn forge() -> policies::Principal {
/// policies::Principal { facts: unreachable!() }
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Principal {
    facts: Arc<Facts>,
}

#[derive(Debug)]
struct Facts {
    client: Arc<Client>,
    proofs: Vec<Proof>,
    scopes: ScopeSet,
}

/// Joins everything a request proved into one principal.
///
/// Every proof must name `client`. Else a partner could present its own certificate with a stolen key of another one,
/// and each half of the rule "certificate and key" would be met by somebody else (Kong#8541).
///
/// # Errors
/// [`Denial::NoCredential`] if nothing was proved, [`Denial::CredentialMismatch`] if a proof names another client.
pub fn resolve(proofs: Vec<Proof>, client: Arc<Client>) -> Result<Principal, Denial> {
    if proofs.is_empty() {
        return Err(Denial::NoCredential);
    }
    if let Some(stranger) = proofs.iter().find(|proof| proof.client != client.id) {
        let detail = format!("{} belongs to client {}, not to {}", stranger.credential, stranger.client, client.id);
        return Err(Denial::CredentialMismatch { detail });
    }
    // Clones of the client's set share it: nothing is allocated unless a credential really takes scopes away.
    let narrowings = proofs.iter().filter_map(|proof| proof.scopes.as_ref());
    let scopes = narrowings.fold(client.scopes.clone(), |granted, narrowing| granted.intersection(narrowing));
    Ok(Principal { facts: Arc::new(Facts { client, proofs, scopes }) })
}

impl Principal {
    /// The client that every proof names.
    #[must_use]
    pub fn client(&self) -> &Arc<Client> {
        &self.facts.client
    }

    /// The methods proved.
    #[must_use]
    pub fn methods(&self) -> AuthMethodSet {
        self.facts.proofs.iter().map(|proof| proof.method).collect()
    }

    /// The proofs, in the order they were checked.
    #[must_use]
    pub fn proofs(&self) -> &[Proof] {
        &self.facts.proofs
    }

    /// What every one of the credentials allows: the client's scopes without any that a credential leaves out.
    #[must_use]
    pub fn scopes(&self) -> &ScopeSet {
        &self.facts.scopes
    }
}
