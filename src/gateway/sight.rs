//! Notes which credentials let somebody in. It waits for nothing: the inventory takes it from memory to the database.

use std::sync::Arc;

use policies::{CredentialKind, Proof, UnixSeconds};

use super::Gate;
use crate::inventory::Seen;
use crate::listen::{Connection, PeerCertificate};

/// What a permit rests on. An access token is no credential of the register: the secret that fetched it was seen then.
pub(super) fn proofs(gate: &Gate, connection: &Connection, proofs: &[Proof], route: &Arc<str>, now: UnixSeconds) {
    for proof in proofs {
        match proof.credential.kind {
            CredentialKind::ClientCertificate => certificate(gate, connection, route, now),
            CredentialKind::ApiKey => {
                let seen = Seen::ApiKey(Arc::clone(&proof.credential.id));
                gate.sightings.note(&seen, now, connection.source, route, || None);
            }
            CredentialKind::ClientSecret | CredentialKind::AccessToken => {}
        }
    }
}

/// A secret that the token endpoint or a sibling took, and the certificate that came with it.
pub(super) fn secret(gate: &Gate, connection: &Connection, secret: &Arc<str>, path: &str) {
    let (now, route) = (gate.clock.now(), Arc::from(path));
    gate.sightings.note(&Seen::ClientSecret(Arc::clone(secret)), now, connection.source, &route, || None);
    certificate(gate, connection, &route, now);
}

fn certificate(gate: &Gate, connection: &Connection, route: &Arc<str>, now: UnixSeconds) {
    let Some(peer) = &connection.certificate else { return };
    // A partner's authority can write our issuer and a serial of ours into its certificates: they must not count as seen.
    if !gate.snapshot.is_ours(&peer.certificate) {
        return;
    }
    let Some(issuer) = &peer.certificate.issuer_key_id else { return };
    let seen = Seen::Certificate(issuer.clone(), peer.certificate.serial);
    gate.sightings.note(&seen, now, connection.source, route, || chain(peer));
}

/// The authorities that the client sent with its certificate: whoever sends the old one breaks when the old one goes.
fn chain(peer: &PeerCertificate) -> Option<Arc<str>> {
    let authorities = peer.chain.get(1..)?.iter().filter_map(|der| pki::CaCertificate::parse(der).ok()?.key_id);
    let authorities: Vec<String> = authorities.map(|key_id| key_id.to_string()).collect();
    (!authorities.is_empty()).then(|| authorities.join(" ").into())
}
