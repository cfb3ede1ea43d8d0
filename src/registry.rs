//! Life cycles: partners, clients, API keys, client secrets and policies, from creation to the end.
//!
//! Every operation that changes something takes the [`Actor`] who asks, writes its audit row in the same transaction, and
//! returns only when this node enforces it.

use std::sync::Arc;

pub use self::actor::Actor;
pub use self::api_key::{ApiKeyView, CreatedApiKey, NewApiKey, PresentedApiKey, check_environment};
pub use self::client::{ClientView, NewClient};
pub use self::client_secret::{ClientSecretView, CreatedClientSecret, NewClientSecret};
pub use self::enrollment::{CreatedEnrollment, EnrollmentView, NewEnrollment, PresentedToken};
pub use self::expiry::Expiry;
pub use self::import::{ImportOutcome, ImportTerms};
pub use self::key_rules::KeyRules;
pub use self::narrowing::check_narrowing;
pub use self::partner::PartnerView;
pub use self::pepper::Pepper;
pub use self::policy::{AppliedPolicy, Effect, PolicyPlan, PolicyVersionView, check_policy};
pub use self::renewal::{NewRenewalTerms, RenewalTerms};

use crate::clock::Clock;
use crate::failure::{Failure, Fault};
use crate::snapshot::{PolicyView, Snapshot};
use crate::store::{Store, Tx};

pub mod actor;
mod administrators;
pub mod api_key;
mod base62;
pub(crate) mod bounds;
pub mod client;
pub mod client_secret;
pub mod enrollment;
mod expiry;
pub mod import;
mod key_rules;
pub mod narrowing;
pub mod partner;
pub mod pepper;
pub mod policy;
pub mod renewal;

/// The administrator's side of partners, clients, keys, secrets and policies.
#[derive(Clone, Debug)]
pub struct Registry {
    pub store: Store,
    pub snapshot: Arc<Snapshot>,
    pub clock: Clock,
    pub pepper: Arc<Pepper>,
    /// The `<env>` of API keys, `[a-z0-9]{1,16}`: tells people (and leak scanners) which installation a key opens.
    pub environment: String,
    pub keys: KeyRules,
}

impl Registry {
    /// Begins a write, with the policy that is in force while it lasts: writers wait for each other, so what is committed
    /// before the transaction began is all there is, and the snapshot has just taken it in.
    async fn begin(&self) -> Result<(Tx, Arc<PolicyView>), Failure> {
        let tx = self.store.begin().await?;
        self.snapshot.catch_up(&self.store).await?;
        Ok((tx, self.snapshot.policy()))
    }

    /// Makes the write durable, and returns when this node enforces it.
    async fn commit(&self, tx: Tx) -> Result<(), Failure> {
        tx.commit().await?;
        self.snapshot.catch_up(&self.store).await.map_err(|fault| {
            Fault::with_outside(
                format!("committed, but not in force on this node: {}", fault.inside()),
                "The change was stored, but this node could not take it up yet.",
            )
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
