//! How the certificates of a client are renewed with themselves: what the operator grants beyond the profile.

use pki::{KeyChange, Profile, ProfileKind};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{Actor, Registry, client};
use crate::failure::{Failure, Refusal};
use crate::store::renewal_terms::{self, RenewalTermsRow};

/// The longest grace: a partner that was away for longer enrols anew.
pub const GRACE_SECONDS_MAX: i64 = 90 * 86_400;
/// The longest overlap: no certificate lives longer.
pub const OVERLAP_SECONDS_MAX: i64 = 398 * 86_400;

/// The terms of renewal of one client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RenewalTerms {
    pub client: String,
    /// How long after its end a certificate still renews itself, and does nothing else. 0: not at all.
    pub grace_seconds: i64,
    /// How long a certificate stays good beside its successor; null: until its own end.
    pub overlap_seconds: Option<i64>,
    /// `required`: each renewal brings a new key; `allowed`: the old one will do; null: as the profile says.
    pub key_change: Option<String>,
    /// What that comes to.
    pub key_change_required: bool,
}

/// Terms to set. They replace all that stood.
#[derive(Clone, Debug, Default)]
pub struct NewRenewalTerms {
    pub grace_seconds: i64,
    pub overlap_seconds: Option<i64>,
    pub key_change: Option<KeyChange>,
}

impl RenewalTermsRow {
    /// Whether a renewal must bring a new key.
    pub fn key_change(&self) -> KeyChange {
        match self.key_change.as_deref() {
            Some("allowed") => KeyChange::Allowed,
            // What cannot be read does not loosen.
            Some(_) => KeyChange::Required,
            None => Profile::builtin(ProfileKind::Client).key_change(),
        }
    }
}

impl Registry {
    /// The terms of a client.
    ///
    /// # Errors
    /// `client_not_found`.
    pub async fn renewal_terms(&self, client: &str) -> Result<RenewalTerms, Failure> {
        let client = client::found(&self.store, client).await?.id;
        let row = renewal_terms::get(&self.store, &client).await?;
        Ok(view(row.unwrap_or(RenewalTermsRow { client_id: client, ..RenewalTermsRow::default() })))
    }

    /// Sets the terms of a client, whoever manages it: no document declares them. When this returns, this node goes by them.
    ///
    /// # Errors
    /// `client_not_found`; `invalid_grace`, `invalid_overlap`.
    pub async fn set_renewal_terms(
        &self,
        actor: &Actor,
        client: &str,
        terms: NewRenewalTerms,
    ) -> Result<RenewalTerms, Failure> {
        if !(0..=GRACE_SECONDS_MAX).contains(&terms.grace_seconds) {
            let message = format!("A grace has 0 to {GRACE_SECONDS_MAX} seconds (90 days).");
            return Err(Refusal::invalid("invalid_grace", message).into());
        }
        if terms.overlap_seconds.is_some_and(|overlap| !(0..=OVERLAP_SECONDS_MAX).contains(&overlap)) {
            let message = format!("An overlap has 0 to {OVERLAP_SECONDS_MAX} seconds (398 days).");
            return Err(Refusal::invalid("invalid_overlap", message).into());
        }
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let row = RenewalTermsRow {
            client_id: client::found(&mut tx, client).await?.id,
            grace_seconds: terms.grace_seconds,
            overlap_seconds: terms.overlap_seconds,
            key_change: terms.key_change.map(|wanted| wanted.as_str().to_owned()),
        };
        renewal_terms::put(&mut tx, &row, now).await?;
        let detail = json!({
            "grace_seconds": row.grace_seconds, "overlap_seconds": row.overlap_seconds, "key_change": row.key_change,
        });
        actor.record(&mut tx, &self.clock, "client.renewal", &row.client_id, &detail).await?;
        self.commit(tx).await?;
        Ok(view(row))
    }
}

fn view(row: RenewalTermsRow) -> RenewalTerms {
    RenewalTerms {
        key_change_required: row.key_change() == KeyChange::Required,
        client: row.client_id,
        grace_seconds: row.grace_seconds,
        overlap_seconds: row.overlap_seconds,
        key_change: row.key_change,
    }
}
