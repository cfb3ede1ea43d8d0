//! The root's own revocation list, where its key is at hand: on small installations always, otherwise for as long as it takes.

use std::sync::Arc;

use pki::{CrlRequest, RevocationList, RevocationReason, RevokedEntry};
use policies::UnixSeconds;

use super::issuer::Issuer;
use super::publish::ROOT_CRL_LIFETIME_SECONDS;
use super::rotate::RootKey;
use super::{Authority, IssuerKind, ROOT_KEY, instant, off_thread, refused};
use crate::failure::{Failure, Fault, Refusal};
use crate::registry::Actor;
use crate::store;
use crate::store::crl::WholeList;

impl Authority {
    /// Signs the root's list for another year: what the last one revoked, and the authorities below it that are tainted. While one
    /// root follows another, the lists of both, as far as their keys are here.
    ///
    /// # Errors
    /// `key_file_missing`, `wrong_passphrase`, `key_file_exposed`.
    pub async fn publish_root(&self, actor: &Actor) -> Result<(), Failure> {
        let issuers = self.inner.issuers();
        let active = issuers.root();
        if matches!(self.root_key(active).await?, RootKey::Elsewhere) {
            // Says what is missing, and where.
            self.inner.keys.signer(active.key_location.as_deref().unwrap_or(ROOT_KEY)).await?;
        }
        for root in issuers.all().iter().filter(|issuer| issuer.kind == IssuerKind::Root) {
            if let RootKey::Here(signer) = self.root_key(root).await? {
                self.publish_list_of(root, Arc::new(*signer), actor).await?;
            }
        }
        self.inner.shelf.store(Arc::new(self.inner.publisher.shelf(&self.inner.issuers())));
        Ok(())
    }

    async fn publish_list_of(&self, root: &Issuer, signer: Arc<pki::Issuer>, actor: &Actor) -> Result<(), Failure> {
        let (key_id, now) = (root.key_id.to_string(), self.inner.clock.now());
        let before = store::issuer::get(&self.inner.store, &key_id).await?;
        let number = before.ok_or_else(|| Fault::new(format!("the authority {key_id} is gone")))?.crl_number + 1;
        let mut revoked = match self.crl(&root.key_id).await? {
            Some(last) => RevocationList::parse(&last).and_then(|list| list.entries()).map_err(refused)?,
            None => Vec::new(),
        };
        // Those that are removed too: other relying parties still have their certificates.
        for below in store::issuer::list(&self.inner.store).await? {
            let Some(tainted_at) = below.tainted_at else { continue };
            if below.kind == IssuerKind::Root || !pki::is_issued_by(&below.certificate, &root.certificate_der) {
                continue;
            }
            let serial = pki::ClientCertificate::parse(&below.certificate).map_err(refused)?.serial;
            if revoked.iter().all(|entry| entry.serial != serial) {
                let (revoked_at, reason) = (instant(UnixSeconds(tainted_at))?, RevocationReason::CaCompromise);
                revoked.push(RevokedEntry { serial, revoked_at, reason });
            }
        }
        let this_update = instant(now)?;
        let request = CrlRequest {
            number: u64::try_from(number).map_err(|_| Fault::new("a negative CRL number"))?,
            this_update,
            next_update: this_update + time::Duration::seconds(ROOT_CRL_LIFETIME_SECONDS.into()),
            revoked,
            distribution_point: None,
        };
        let list = off_thread("signing the root's list", move || signer.sign_crl(request)).await?.map_err(refused)?;
        let row = WholeList {
            issuer_key_id: key_id.clone(),
            number,
            this_update: list.this_update.unix_timestamp(),
            next_update: list.next_update.unix_timestamp(),
            der: list.der,
        };
        let mut tx = self.inner.store.begin().await?;
        if store::issuer::next_crl_number(&mut tx, &key_id).await? != number
            || !store::crl::save_whole(&mut tx, &row, now).await?
        {
            return Err(Refusal::conflict("try_again", "Another process signed this root's list just now.").into());
        }
        let detail = serde_json::json!({ "number": row.number, "next_update": row.next_update });
        actor.record(&mut tx, &self.inner.clock, "authority.root-crl", &key_id, &detail).await?;
        tx.commit().await?;
        self.inner.publisher.read(&self.inner.store, &root.key_id).await?;
        Ok(())
    }
}
