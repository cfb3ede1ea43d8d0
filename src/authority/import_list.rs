//! The list of a root whose key is elsewhere, as its ceremony signed it.

use std::sync::Arc;

use super::offline_root::root_list;
use super::taint::canonical;
use super::{Authority, IssuerKind};
use crate::failure::{Failure, Fault, Refusal};
use crate::registry::Actor;
use crate::store;

/// What is published now. Times are seconds since the Unix epoch.
#[derive(Clone, Debug)]
pub struct ImportedList {
    /// Key id of the root, hex.
    pub id: String,
    pub number: i64,
    pub this_update: i64,
    pub next_update: i64,
}

impl Authority {
    /// Publishes a root's list that was signed elsewhere, PEM or DER. `root` is its key id.
    ///
    /// # Errors
    /// `issuer_not_found`; `not_a_root`: the others sign their lists here; `root_list_unusable`; `old_list` when its number does not
    /// rise: an older list would take revocations back.
    pub async fn import_root_list(&self, root: &str, list: &[u8], actor: &Actor) -> Result<ImportedList, Failure> {
        let now = self.inner.clock.now();
        let issuers = self.inner.issuers();
        let root = issuers.find(&canonical(root));
        let root =
            root.ok_or_else(|| Refusal::not_found("issuer_not_found", "There is no authority of that key id."))?;
        if root.kind != IssuerKind::Root {
            let message = format!("{} signs its lists here; only a root's is brought.", root.subject);
            return Err(Refusal::invalid("not_a_root", message).into());
        }
        let key_id = root.key_id.to_string();
        let (_, row) = root_list(&root.certificate_der, &key_id, list, now.0)?;
        if row.this_update > now.0 + CLOCK_SLACK_SECONDS {
            let message = "The root's revocation list was signed in the future: check the clock of both machines.";
            return Err(Refusal::invalid("root_list_unusable", message).into());
        }
        let mut tx = self.inner.store.begin().await?;
        let before = store::issuer::get(&mut tx, &key_id).await?;
        let before = before.ok_or_else(|| Fault::new(format!("the authority {key_id} is gone")))?.crl_number;
        if row.number <= before {
            let message = format!("List {before} of this root is known already, and this is {}.", row.number);
            return Err(Refusal::conflict("old_list", message).into());
        }
        store::issuer::set_crl_number(&mut tx, &key_id, row.number, now).await?;
        if !store::crl::save_whole(&mut tx, &row, now).await? {
            return Err(Refusal::conflict("old_list", "A newer list of this root is published already.").into());
        }
        let detail = serde_json::json!({ "number": row.number, "next_update": row.next_update, "signed": "elsewhere" });
        actor.record(&mut tx, &self.inner.clock, "authority.root-crl", &key_id, &detail).await?;
        self.commit(tx).await?;
        let imported =
            ImportedList { id: key_id, number: row.number, this_update: row.this_update, next_update: row.next_update };
        self.inner.publisher.read(&self.inner.store, &root.key_id).await?;
        self.inner.shelf.store(Arc::new(self.inner.publisher.shelf(&self.inner.issuers())));
        Ok(imported)
    }
}

/// How far two clocks may differ.
const CLOCK_SLACK_SECONDS: i64 = 600;
