//! The keys that sign our access tokens: one that is active, and those whose tokens are not all expired yet.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use pki::{KeyAlgorithm, PrivateKey};
use policies::UnixSeconds;
use secrecy::{ExposeSecret as _, SecretSlice};
use serde_json::json;
use tokio::sync::Mutex;

use super::TOKEN_TTL_SECONDS_MAX;
use super::jwt::{Algorithm, LEEWAY_SECONDS_MAX, SigningKey};
use crate::clock::Clock;
use crate::failure::{Failure, Fault, Refusal};
use crate::registry::Actor;
use crate::store::signing_key::{self, SigningKeyRow, SigningKeyState};
use crate::store::{Store, Tx};

/// How long a key that signs no more is published: as long as any token it may have signed, whatever the configuration said
/// when it did.
pub const RETIRING_SECONDS: i64 = TOKEN_TTL_SECONDS_MAX as i64 + LEEWAY_SECONDS_MAX;

/// The keys of this node, and what is published of them.
pub struct SigningKeys {
    store: Store,
    clock: Clock,
    algorithm: Algorithm,
    ring: ArcSwap<Ring>,
    /// Held while the keys change, so that database and memory change in the same order.
    changing: Mutex<()>,
}

/// All keys at one moment. Never changed, only replaced.
#[derive(Debug)]
pub(super) struct Ring {
    /// Counts up with each replacement.
    pub(super) generation: u64,
    pub(super) active: Arc<SigningKey>,
    /// Those that verify: the active one first.
    verifying: Vec<Retained>,
    /// The JWK Set (RFC 7517 §5) of `verifying`.
    pub(super) document: Bytes,
}

#[derive(Clone, Debug)]
struct Retained {
    key: Arc<SigningKey>,
    /// `None`: it is the active one.
    retiring_since: Option<UnixSeconds>,
}

impl SigningKeys {
    /// Reads the keys, or makes the first. A new first one is also made, and the old retired, when the configured algorithm is
    /// another than that of the active key.
    ///
    /// # Errors
    /// A fault when the passphrase does not open them or the database does not answer.
    pub async fn open(store: Store, clock: Clock, algorithm: Algorithm, passphrase: &[u8]) -> Result<Self, Fault> {
        let now = clock.now();
        let rows = signing_key::list(&store).await?;
        let mut retained = open_all(rows, now, passphrase).await?;
        if retained.first().is_none_or(|first| first.retiring_since.is_some() || first.key.algorithm() != algorithm) {
            let (key, sealed) = generate(algorithm, passphrase).await?;
            let mut tx = store.begin().await?;
            replace_active(&mut tx, &key, sealed, now).await?;
            Actor::local()
                .record(
                    &mut tx,
                    &clock,
                    "signing-key.create",
                    key.key_id(),
                    &json!({ "algorithm": algorithm.as_str() }),
                )
                .await?;
            tx.commit().await?;
            // Read again: another process that started at the same time may have made one too, which is now retiring.
            retained = open_all(signing_key::list(&store).await?, now, passphrase).await?;
        }
        let ring = ArcSwap::from_pointee(Ring::new(1, retained)?);
        Ok(Self { store, clock, algorithm, ring, changing: Mutex::new(()) })
    }

    /// A key that nobody derived a passphrase for: that takes half a second.
    #[cfg(test)]
    pub(super) fn of_one(key: SigningKey, store: Store, clock: Clock) -> Self {
        let algorithm = key.algorithm();
        let ring = Ring::new(1, vec![Retained { key: Arc::new(key), retiring_since: None }]).unwrap();
        Self { store, clock, algorithm, ring: ArcSwap::from_pointee(ring), changing: Mutex::new(()) }
    }

    /// Puts a new key in the place of the active one, which stays published until its last token has expired
    /// ([`RETIRING_SECONDS`]). Returns the new key's name.
    pub async fn rotate(&self, actor: &Actor, passphrase: &[u8]) -> Result<String, Failure> {
        let _alone = self.changing.lock().await;
        let (key, sealed) = generate(self.algorithm, passphrase).await?;
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let old = self.ring.load().active.key_id().to_owned();
        replace_active(&mut tx, &key, sealed, now).await?;
        let detail = json!({ "algorithm": key.algorithm().as_str(), "replaces": old });
        actor.record(&mut tx, &self.clock, "signing-key.rotate", key.key_id(), &detail).await?;
        tx.commit().await?;
        let name = key.key_id().to_owned();
        let ring = self.ring.load();
        let retired = ring.verifying.iter().cloned().map(|mut retained| {
            retained.retiring_since.get_or_insert(now);
            retained
        });
        let active = Retained { key: Arc::new(key), retiring_since: None };
        self.replace(std::iter::once(active).chain(retired).collect())?;
        Ok(name)
    }

    /// Takes a retiring key away at once: it leaked. All its tokens are refused from now on.
    ///
    /// # Errors
    /// `signing_key_active` for the active one, which must be rotated first; `signing_key_not_found`.
    pub async fn withdraw(&self, actor: &Actor, kid: &str) -> Result<(), Failure> {
        let _alone = self.changing.lock().await;
        if self.ring.load().active.key_id() == kid {
            return Err(
                Refusal::conflict("signing_key_active", "This key signs. Rotate first, then withdraw it.").into()
            );
        }
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        if !signing_key::set_state(&mut tx, kid, SigningKeyState::Removed, now).await? {
            return Err(Refusal::not_found("signing_key_not_found", "There is no such signing key.").into());
        }
        actor.record(&mut tx, &self.clock, "signing-key.withdraw", kid, &json!({})).await?;
        tx.commit().await?;
        let ring = self.ring.load();
        self.replace(ring.verifying.iter().filter(|retained| retained.key.key_id() != kid).cloned().collect())?;
        Ok(())
    }

    /// Removes retiring keys whose last token has expired.
    pub(super) async fn remove_outdated(&self) -> Result<(), Fault> {
        let _alone = self.changing.lock().await;
        let now = self.clock.now();
        let (published, outdated): (Vec<_>, Vec<_>) =
            self.ring.load().verifying.iter().cloned().partition(|retained| retained.is_published_at(now));
        if outdated.is_empty() {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        for retained in &outdated {
            signing_key::set_state(&mut tx, retained.key.key_id(), SigningKeyState::Removed, now).await?;
        }
        tx.commit().await?;
        self.replace(published)
    }

    /// The keys in force.
    pub(super) fn ring(&self) -> arc_swap::Guard<Arc<Ring>> {
        self.ring.load()
    }

    /// Only while `changing` is held.
    fn replace(&self, verifying: Vec<Retained>) -> Result<(), Fault> {
        let next = Ring::new(self.ring.load().generation + 1, verifying)?;
        self.ring.store(Arc::new(next));
        Ok(())
    }
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.ring.load().fmt(formatter)
    }
}

impl Ring {
    fn new(generation: u64, verifying: Vec<Retained>) -> Result<Self, Fault> {
        let first = verifying.first().filter(|retained| retained.retiring_since.is_none());
        let active = first.ok_or_else(|| Fault::new("there is no active signing key"))?.key.clone();
        let published: Vec<_> = verifying.iter().map(|retained| retained.key.public_jwk()).collect();
        let document = serde_json::to_vec(&json!({ "keys": published }))?.into();
        Ok(Self { generation, active, verifying, document })
    }

    /// The key of this name. Our tokens always name theirs.
    pub(super) fn find(&self, kid: &str) -> Option<&SigningKey> {
        self.verifying.iter().map(|retained| retained.key.as_ref()).find(|key| key.key_id() == kid)
    }
}

impl Retained {
    fn is_published_at(&self, now: UnixSeconds) -> bool {
        self.retiring_since.is_none_or(|since| now < since.plus(RETIRING_SECONDS))
    }
}

/// Opens every row that is still of use; the active key comes first.
async fn open_all(rows: Vec<SigningKeyRow>, now: UnixSeconds, passphrase: &[u8]) -> Result<Vec<Retained>, Fault> {
    let passphrase = SecretSlice::from(passphrase.to_vec());
    // Each takes a fifth of a second of key derivation.
    let opened = tokio::task::spawn_blocking(move || {
        let mut retained = Vec::new();
        for row in rows {
            let retiring_since = match row.state {
                SigningKeyState::Active => None,
                SigningKeyState::Retiring => Some(UnixSeconds(row.state_since)),
                SigningKeyState::Removed => continue,
            };
            let unusable = |why: String| Fault::new(format!("signing key {}: {why}", row.kid));
            let algorithm =
                row.algorithm.parse().map_err(|_| unusable(format!("unknown algorithm {:?}", row.algorithm)))?;
            let private = PrivateKey::decrypt(&row.private_key, passphrase.expose_secret());
            let private = private.map_err(|error| unusable(error.to_string()))?;
            let key = SigningKey::from_pkcs8(algorithm, &private.to_pkcs8_der())
                .map_err(|fault| unusable(fault.to_string()))?;
            if key.key_id() != row.kid {
                return Err(unusable("it is not the key of that name".to_owned()));
            }
            let opened = Retained { key: Arc::new(key), retiring_since };
            if opened.is_published_at(now) {
                retained.push(opened);
            }
        }
        Ok(retained)
    });
    let mut retained = opened.await.map_err(|error| Fault::new(format!("opening signing keys: {error}")))??;
    retained.sort_by_key(|retained| retained.retiring_since.is_some());
    Ok(retained)
}

/// Makes a key, and its encrypted form for the database.
async fn generate(algorithm: Algorithm, passphrase: &[u8]) -> Result<(SigningKey, String), Fault> {
    let kind = match algorithm {
        Algorithm::Es256 => KeyAlgorithm::EcdsaP256,
        // What needs RSA at all (API Gateway) takes 2048 bits, and it is the cheapest to sign with.
        Algorithm::Rs256 => KeyAlgorithm::Rsa2048,
        other => return Err(Fault::new(format!("tokens cannot be signed with {other}"))),
    };
    let passphrase = SecretSlice::from(passphrase.to_vec());
    let made = tokio::task::spawn_blocking(move || {
        let failed = |error: pki::Error| Fault::new(format!("making a signing key: {error}"));
        let private = PrivateKey::generate(kind).map_err(failed)?;
        let sealed = private.encrypt(passphrase.expose_secret()).map_err(failed)?;
        let key = SigningKey::from_pkcs8(algorithm, &private.to_pkcs8_der());
        key.map(|key| (key, sealed)).map_err(|fault| Fault::new(format!("making a signing key: {fault}")))
    });
    made.await.map_err(|error| Fault::new(format!("making a signing key: {error}")))?
}

/// Retires what is active and adds the new key, in one transaction: there is never none or two.
async fn replace_active(tx: &mut Tx, key: &SigningKey, sealed: String, now: UnixSeconds) -> Result<(), Fault> {
    for row in signing_key::list(&mut *tx).await? {
        if row.state == SigningKeyState::Active {
            signing_key::set_state(tx, &row.kid, SigningKeyState::Retiring, now).await?;
        }
    }
    let row = SigningKeyRow {
        kid: key.key_id().to_owned(),
        algorithm: key.algorithm().as_str().to_owned(),
        state: SigningKeyState::Active,
        private_key: sealed,
        created_at: now.0,
        state_since: now.0,
    };
    signing_key::insert(tx, &row, now).await
}
