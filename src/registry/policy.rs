//! Policies: checked, planned, applied, and brought back.

use policies::{Change, Document, Policy, UnixSeconds, difference};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

pub use self::reconcile::Effect;

use self::reconcile::{Reconciliation, Write};
use super::{Actor, Registry, bounds};
use crate::failure::{Failure, Fault, Refusal};
use crate::store::policy::{self, PolicyHeader, PolicyRow, StoredDocument};
use crate::store::{self, Page, Tx};

mod lint;
mod reconcile;

/// Bytes of all documents together; what one may have, and how many there may be, the parser says.
pub const DOCUMENTS_BYTES_MAX: usize = 16 << 20;
/// Effects that the audit lists; more are counted.
const AUDITED_EFFECTS_MAX: usize = 200;

/// What an apply would do.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PolicyPlan {
    /// The version in force; give it to [`Registry::apply_policy`] to be sure that nobody else came in between.
    pub current_version: i64,
    /// Between the documents in force and these.
    #[schema(value_type = Vec<Object>)]
    pub changes: Vec<Change>,
    /// What happens to partners and clients in the registry.
    pub effects: Vec<Effect>,
    /// Why an apply would be refused; empty when it would not.
    pub conflicts: Vec<String>,
}

/// What an apply did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppliedPolicy {
    /// The version now in force.
    pub version: i64,
    /// The documents were in force already, and no version was added.
    pub unchanged: bool,
    pub effects: Vec<Effect>,
}

/// One line of the history. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PolicyVersion)]
pub struct PolicyVersionView {
    pub id: i64,
    pub comment: Option<String>,
    pub applied_by: String,
    pub applied_at: i64,
    /// The version that this one brought back.
    pub restored: Option<i64>,
    /// Only where one version is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documents: Option<Vec<StoredDocument>>,
}

/// Reads documents as one policy. Needs nothing but the documents.
///
/// # Errors
/// A refusal with every fault of every document in its details.
pub fn check_policy(documents: &[Document]) -> Result<Policy, Refusal> {
    let bytes: usize = documents.iter().map(|document| document.text.len()).sum();
    if bytes > DOCUMENTS_BYTES_MAX {
        let message = format!("The documents have {bytes} bytes in all. {DOCUMENTS_BYTES_MAX} are allowed.");
        return Err(Refusal::invalid("policy_too_large", message));
    }
    Policy::parse(documents).map_err(|faults| {
        let message = match faults.len() {
            1 => "The policy has a fault. Nothing was changed.".to_owned(),
            count => format!("The policy has {count} faults. Nothing was changed."),
        };
        Refusal::invalid("policy_invalid", message).with_details(faults.iter().map(ToString::to_string).collect())
    })
}

impl Registry {
    /// Says what [`Registry::apply_policy`] would do. Changes nothing.
    pub async fn plan_policy(&self, documents: &[Document]) -> Result<PolicyPlan, Failure> {
        let new = check_policy(documents)?;
        // Read under the writer's lock and let go without a commit: the tables then belong to one version.
        let (mut tx, view) = self.begin().await?;
        let now = self.clock.now();
        let reconciliation = self.reconcile(&mut tx, view.version + 1, &new, now).await?;
        Ok(PolicyPlan {
            current_version: view.version,
            changes: difference(&view.policy, &new),
            effects: reconciliation.effects,
            conflicts: reconciliation.conflicts,
        })
    }

    /// Puts documents in force as a new version, and partners and clients with them.
    ///
    /// # Errors
    /// Refused, with nothing changed: documents with faults (all in the details); `policy_changed` when the version in force is
    /// not `expected_version`; `policy_conflicts` when a partner, client or credential of the registry stands in the way.
    pub async fn apply_policy(
        &self,
        actor: &Actor,
        documents: Vec<Document>,
        comment: Option<&str>,
        expected_version: Option<i64>,
    ) -> Result<AppliedPolicy, Failure> {
        bounds::optional_line("comment", comment, bounds::REMARK_CHARS_MAX)?;
        self.put_in_force(actor, documents, comment, expected_version, None).await
    }

    /// Brings the documents of an older version back, as a new version: the history only grows.
    ///
    /// # Errors
    /// As [`Registry::apply_policy`]; what has become of the registry since then counts.
    pub async fn rollback_policy(&self, actor: &Actor, version: i64) -> Result<AppliedPolicy, Failure> {
        let row = self.stored_version(version).await?;
        let documents = row.documents.into_iter().map(|document| Document::new(document.name, document.text)).collect();
        let comment = format!("rollback to version {version}");
        self.put_in_force(actor, documents, Some(&comment), None, Some(version)).await
    }

    /// Versions, newest first, without their documents.
    pub async fn policy_history(&self, page: Page) -> Result<Vec<PolicyVersionView>, Failure> {
        Ok(policy::history(&self.store, page).await?.into_iter().map(Into::into).collect())
    }

    /// A version with its documents.
    pub async fn policy_version(&self, version: i64) -> Result<PolicyVersionView, Failure> {
        let row = self.stored_version(version).await?;
        Ok(PolicyVersionView {
            id: row.version,
            comment: row.comment,
            applied_by: row.applied_by,
            applied_at: row.applied_at,
            restored: row.restored,
            documents: Some(row.documents),
        })
    }

    async fn stored_version(&self, version: i64) -> Result<PolicyRow, Failure> {
        let row = policy::get(&self.store, version).await?;
        row.ok_or_else(|| {
            Refusal::not_found("policy_not_found", format!("There is no policy version {version}.")).into()
        })
    }

    async fn put_in_force(
        &self,
        actor: &Actor,
        documents: Vec<Document>,
        comment: Option<&str>,
        expected_version: Option<i64>,
        restored: Option<i64>,
    ) -> Result<AppliedPolicy, Failure> {
        let new = check_policy(&documents)?;
        let documents: Vec<StoredDocument> =
            documents.into_iter().map(|document| StoredDocument { name: document.name, text: document.text }).collect();
        let now = self.clock.now();
        // Not `self.begin()`: a policy that this binary cannot read is repaired by applying another.
        let mut tx = self.store.begin().await?;
        let current = policy::newest(&mut tx).await?;
        let current_version = current.as_ref().map_or(0, |row| row.version);
        if let Some(expected) = expected_version
            && expected != current_version
        {
            let message = format!("Version {current_version} is in force and not {expected}. Plan again.");
            return Err(Refusal::conflict("policy_changed", message).into());
        }
        if current.is_some_and(|row| row.documents == documents) {
            drop(tx);
            self.snapshot.catch_up(&self.store).await?;
            return Ok(AppliedPolicy { version: current_version, unchanged: true, effects: Vec::new() });
        }
        let version = current_version + 1;
        let reconciliation = self.reconcile(&mut tx, version, &new, now).await?;
        if !reconciliation.conflicts.is_empty() {
            let message = "The registry stands in the way of this policy. Nothing was changed.";
            return Err(Refusal::conflict("policy_conflicts", message).with_details(reconciliation.conflicts).into());
        }
        let effects = reconciliation.effects;
        let audited: Vec<&Effect> = effects.iter().take(AUDITED_EFFECTS_MAX).collect();
        let detail = json!({
            "comment": comment, "previous": current_version, "restored": restored, "effects": audited,
            "effects_count": effects.len(),
        });
        let row = PolicyRow {
            version,
            documents,
            comment: comment.map(Into::into),
            applied_by: actor.name.clone(),
            applied_at: now.0,
            restored,
        };
        // The version first: a node that follows the feed then meets the clients under the policy that they belong to.
        policy::insert(&mut tx, &row, now).await?;
        for write in reconciliation.writes {
            carry_out(&mut tx, write, now).await?;
        }
        let action = if restored.is_some() { "policy.rollback" } else { "policy.apply" };
        actor.record(&mut tx, &self.clock, action, &version.to_string(), &detail).await?;
        self.commit(tx).await?;
        Ok(AppliedPolicy { version, unchanged: false, effects })
    }

    async fn reconcile(
        &self,
        tx: &mut Tx,
        version: i64,
        new: &Policy,
        now: UnixSeconds,
    ) -> Result<Reconciliation, Fault> {
        let partners = store::partner::all(&mut *tx).await?;
        let clients = store::client::all(&mut *tx).await?;
        let mut reconciliation = Reconciliation::of(version, new, partners, clients, now);
        for key in store::api_key::live_with_networks(&mut *tx, now).await? {
            let what = format!("API key {} of client {}", key.id, key.client_id);
            reconciliation.check_networks(&what, new, key.networks.as_deref());
        }
        for secret in store::client_secret::live_with_networks(&mut *tx, now).await? {
            let what = format!("client secret {} of client {}", secret.id, secret.client_id);
            reconciliation.check_networks(&what, new, secret.networks.as_deref());
        }
        for certificate in store::certificate::live_with_networks(&mut *tx, now).await? {
            let client = certificate.client_id.as_deref().unwrap_or("the gate");
            let what = format!("certificate {} of client {client}", certificate.serial);
            reconciliation.check_networks(&what, new, certificate.networks.as_deref());
        }
        Ok(reconciliation)
    }
}

async fn carry_out(tx: &mut Tx, write: Write, now: UnixSeconds) -> Result<(), Fault> {
    match write {
        Write::InsertPartner(row) => store::partner::insert(tx, &row, now).await,
        Write::UpdatePartner(row) => store::partner::update(tx, &row, now).await,
        Write::WithdrawPartner(row) => {
            store::partner::update(tx, &row, now).await?;
            store::client::revoke_tokens_of_partner_before(tx, &row.id, now.plus(1), now).await
        }
        Write::InsertClient(row) => store::client::insert(tx, &row, now).await,
        Write::UpdateClient(row) => store::client::update(tx, &row, now).await,
        Write::WithdrawClient(row) => {
            store::client::update(tx, &row, now).await?;
            store::client::revoke_tokens_before(tx, &row.id, now.plus(1), now).await.map(drop)
        }
    }
}

impl From<PolicyHeader> for PolicyVersionView {
    fn from(row: PolicyHeader) -> Self {
        Self {
            id: row.version,
            comment: row.comment,
            applied_by: row.applied_by,
            applied_at: row.applied_at,
            restored: row.restored,
            documents: None,
        }
    }
}

#[cfg(test)]
mod tests;
