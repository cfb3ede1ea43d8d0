//! Live connections by client certificate, so that a revocation closes them: a handshake is long over when a key is stolen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use pki::{KeyId, Serial};
use tokio_util::sync::CancellationToken;

/// The connections that came in with a client certificate.
#[derive(Clone, Default)]
pub struct Connections {
    live: Arc<Mutex<Live>>,
}

#[derive(Default)]
struct Live {
    next: u64,
    by_certificate: HashMap<(KeyId, Serial), HashMap<u64, CancellationToken>>,
    /// Those whose certificate we did not issue, with the chain that was presented.
    foreign: HashMap<u64, Foreign>,
}

/// The chain (leaf first, DER), and what closes the connection.
type Foreign = (Arc<[Vec<u8>]>, CancellationToken);

impl Connections {
    /// Notes a connection until the answer is dropped. Register first and look the certificate up then: a revocation that
    /// comes in between is seen by one or the other.
    pub fn register(&self, issuer: &KeyId, serial: &Serial, token: CancellationToken) -> Registration {
        let certificate = (issuer.clone(), *serial);
        let mut live = self.lock();
        let number = live.next;
        live.next += 1;
        live.by_certificate.entry(certificate.clone()).or_default().insert(number, token);
        drop(live);
        Registration { connections: self.clone(), place: Place::Certificate(certificate), number }
    }

    /// The same for a certificate that we did not issue: what it is worth follows from its chain.
    pub fn register_foreign(&self, chain: Arc<[Vec<u8>]>, token: CancellationToken) -> Registration {
        let mut live = self.lock();
        let number = live.next;
        live.next += 1;
        live.foreign.insert(number, (chain, token));
        drop(live);
        Registration { connections: self.clone(), place: Place::Foreign, number }
    }

    /// How many are noted.
    pub fn count(&self) -> usize {
        let live = self.lock();
        live.by_certificate.values().map(HashMap::len).sum::<usize>() + live.foreign.len()
    }

    /// Cancels the tokens of every connection of this certificate; returns how many.
    pub(crate) fn close(&self, issuer: &KeyId, serial: &Serial) -> usize {
        let closed = self.lock().by_certificate.remove(&(issuer.clone(), *serial)).unwrap_or_default();
        for token in closed.values() {
            token.cancel();
        }
        closed.len()
    }

    /// Cancels the tokens of those whose chain is not `good`; returns how many. The chains are judged outside the lock: new
    /// connections need not wait, and they are judged by themselves.
    pub(crate) fn close_foreign(&self, good: impl Fn(&[Vec<u8>]) -> bool) -> usize {
        let chains: Vec<_> =
            self.lock().foreign.iter().map(|(number, (chain, _))| (*number, Arc::clone(chain))).collect();
        let mut closed = 0;
        for (number, chain) in chains {
            if !good(&chain)
                && let Some((_, token)) = self.lock().foreign.remove(&number)
            {
                token.cancel();
                closed += 1;
            }
        }
        closed
    }

    /// Cancels the tokens of every connection whose certificate this authority issued; returns how many.
    pub(crate) fn close_issuer(&self, issuer: &KeyId) -> usize {
        let mut closed = Vec::new();
        self.lock().by_certificate.retain(|(of, _), connections| {
            if of == issuer {
                closed.extend(std::mem::take(connections).into_values());
            }
            of != issuer
        });
        for token in &closed {
            token.cancel();
        }
        closed.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Live> {
        // Nothing is half done when a holder panics: every change here is one map operation.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Connections").finish_non_exhaustive()
    }
}

/// A connection's place among the live ones. Dropped with the connection.
#[derive(Debug)]
#[must_use = "the connection is forgotten when this is dropped"]
pub struct Registration {
    connections: Connections,
    place: Place,
    number: u64,
}

#[derive(Debug)]
enum Place {
    Certificate((KeyId, Serial)),
    Foreign,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut live = self.connections.lock();
        let Place::Certificate(certificate) = &self.place else {
            live.foreign.remove(&self.number);
            return;
        };
        if let Some(of_certificate) = live.by_certificate.get_mut(certificate) {
            of_certificate.remove(&self.number);
            if of_certificate.is_empty() {
                live.by_certificate.remove(certificate);
            }
        }
    }
}
