//! Authorities of partners: imported, shown, kept up to date, removed.
//!
//! What is imported is one authority's certificate with the names it may speak for, which client each name means, and its
//! revocation lists. It belongs to one partner and makes none but that partner's clients.

mod check;
mod fetch;
mod lists;
mod refresh;
mod view;

use policies::{ForeignRules, UnixSeconds};
use serde_json::json;

pub use view::{AnchorAuthorityView, AnchorListView, AnchorSourceView, AnchorView};

use super::{Authority, to_the_end};
use crate::failure::{Failure, Refusal};
use crate::registry::Actor;
use crate::store::anchor::{self, AnchorRow, RevocationMode};
use crate::store::{self, Read, Tx};

/// How often lists are fetched when nothing is said.
pub const REFRESH_SECONDS_DEFAULT: u32 = 3_600;
/// Oftener, and a partner's server would call us a nuisance.
const REFRESH_SECONDS_MIN: u32 = 60;
const REFRESH_SECONDS_MAX: u32 = 7 * 86_400;
/// A list that lapsed longer ago than this says nothing about today.
const GRACE_SECONDS_MAX: u32 = 30 * 86_400;
/// Anchors of one installation: the TLS hint names each, and every search looks at each.
const ANCHORS_MAX: usize = 200;
/// Authorities that are imported below one anchor.
const INTERMEDIATES_MAX: usize = 16;
/// Addresses of lists of one anchor.
const SOURCES_MAX: usize = 16;

/// An authority to import.
#[derive(Clone, Debug, Default)]
pub struct NewAnchor {
    /// The operator's name for it.
    pub id: String,
    pub partner: String,
    /// PEM, one certificate.
    pub certificate_pem: String,
    /// PEM: authorities below it, whose lists count and which clients then need not send.
    pub intermediates_pem: Option<String>,
    /// What its certificates may be named.
    pub names: Vec<String>,
    /// Which client each name means.
    pub mappings: Vec<String>,
    /// Where its revocation lists are fetched from.
    pub crl_urls: Vec<String>,
    /// PEM: its revocation lists of today.
    pub crl_pem: Option<String>,
    /// `required` when absent, or `best-effort`.
    pub revocation: Option<String>,
    /// How long a list still counts after its end; 0 when absent.
    pub grace_seconds: Option<u32>,
    /// [`REFRESH_SECONDS_DEFAULT`] when absent.
    pub refresh_seconds: Option<u32>,
    /// Whether lists may be fetched from addresses that are not on the Internet.
    pub allow_private_address: bool,
    /// Whether it takes the place of the anchor of this id.
    pub replace: bool,
}

impl Authority {
    /// Imports an authority, and fetches its lists. In force on this node when this returns.
    ///
    /// # Errors
    /// `invalid_anchor_id`, `partner_not_found`, `anchor_exists`, `own_authority`, `anchor_expired`, `invalid_anchor_rules`,
    /// `unknown_client`, `invalid_revocation`, `invalid_crl_url`, and what reading certificates and lists refuses. That a list
    /// cannot be fetched is no error: the answer says so.
    pub async fn import_anchor(&self, new: NewAnchor, actor: &Actor) -> Result<AnchorView, Failure> {
        let (this, actor) = (self.clone(), actor.clone());
        to_the_end(async move {
            let id = this.store_anchor(new, &actor).await?;
            this.fetch_anchor(&id).await?;
            this.anchor(&id).await
        })
        .await
    }

    async fn store_anchor(&self, new: NewAnchor, actor: &Actor) -> Result<String, Failure> {
        let now = self.inner.clock.now();
        let checked = check::Checked::read(new, &self.inner.settings.trust_domain, now)?;
        let lists = lists::read(checked.crl.clone(), checked.signers(), now).await?;
        let mut tx = self.inner.store.begin().await?;
        self.inner.snapshot.catch_up(&self.inner.store).await?;
        let before = anchor::get(&mut tx, &checked.row.id).await?;
        if before.is_some() && !checked.replace {
            let message = format!("There is an anchor {} already; it can be replaced.", checked.row.id);
            return Err(Refusal::conflict("anchor_exists", message).into());
        }
        check::against_what_stands(&mut tx, &checked).await?;
        check_clients(&mut tx, &checked.row.partner_id, &checked.rules).await?;
        let created_at = before.as_ref().map_or(now.0, |before| before.created_at);
        let row = AnchorRow { created_at, ..checked.row.clone() };
        anchor::put(&mut tx, &row, now).await?;
        anchor::set_sources(&mut tx, &row.id, &checked.urls).await?;
        let held = self.inner.snapshot.anchors().lists(&row.id);
        for list in held.iter().filter(|list| !checked.signers().iter().any(|signer| signer.key() == list.signer())) {
            anchor::remove_list(&mut tx, &row.id, &list.place().to_string(), now).await?;
        }
        lists::store(&mut tx, &row.id, None, lists, &held, now).await?;
        let action = if before.is_some() { "anchor.replace" } else { "anchor.import" };
        let detail = json!({
            "partner": row.partner_id, "subject": row.subject, "spki_fingerprint": row.spki_fingerprint, "names": row.names,
            "mappings": row.mappings, "crl_urls": checked.urls, "revocation": row.revocation.as_str(),
            "grace_seconds": row.grace_seconds, "allow_private_address": row.allow_private_address,
        });
        actor.record(&mut tx, &self.inner.clock, action, &row.id, &detail).await?;
        self.commit(tx).await?;
        Ok(row.id)
    }

    /// Every anchor, by id.
    pub async fn anchors(&self) -> Result<Vec<AnchorView>, Failure> {
        let mut views = Vec::new();
        for row in anchor::all(&self.inner.store).await? {
            views.push(self.view_of(row).await?);
        }
        Ok(views)
    }

    /// The anchor `id`.
    ///
    /// # Errors
    /// `anchor_not_found`.
    pub async fn anchor(&self, id: &str) -> Result<AnchorView, Failure> {
        let row = found(&self.inner.store, id).await?;
        self.view_of(row).await
    }

    /// Takes these lists (PEM or DER), or fetches those that have an address when there are none.
    ///
    /// # Errors
    /// `anchor_not_found`, `no_crl_source`, `crl_older`, and what reading lists refuses. Of what is fetched, errors are told in
    /// the answer.
    pub async fn refresh_anchor(&self, id: &str, crl: Option<Vec<u8>>, actor: &Actor) -> Result<AnchorView, Failure> {
        let (this, id, actor) = (self.clone(), id.to_owned(), actor.clone());
        to_the_end(async move {
            found(&this.inner.store, &id).await?;
            match crl {
                Some(bytes) => this.upload_lists(&id, bytes, &actor).await?,
                None if anchor::sources(&this.inner.store, &id).await?.is_empty() => {
                    let message =
                        format!("The anchor {id} has no address that lists are fetched from: give one in a file.");
                    return Err(Refusal::conflict("no_crl_source", message).into());
                }
                None => this.fetch_anchor(&id).await?,
            }
            this.anchor(&id).await
        })
        .await
    }

    async fn upload_lists(&self, id: &str, bytes: Vec<u8>, actor: &Actor) -> Result<(), Failure> {
        let now = self.inner.clock.now();
        let signers = self.inner.snapshot.anchors().signers(id);
        let read = lists::read(Some(bytes), signers, now).await?;
        let mut tx = self.inner.store.begin().await?;
        self.inner.snapshot.catch_up(&self.inner.store).await?;
        found(&mut tx, id).await?;
        let held = self.inner.snapshot.anchors().lists(id);
        let stored = lists::store(&mut tx, id, None, read, &held, now).await?;
        actor.record(&mut tx, &self.inner.clock, "anchor.refresh", id, &json!({ "lists": stored })).await?;
        self.commit(tx).await?;
        Ok(())
    }

    /// Forgets an anchor. Its certificates open nothing when this returns; says how many connections that closed.
    ///
    /// # Errors
    /// `anchor_not_found`.
    pub async fn remove_anchor(&self, id: &str, actor: &Actor) -> Result<usize, Failure> {
        let (this, id, actor) = (self.clone(), id.to_owned(), actor.clone());
        to_the_end(async move {
            let now = this.inner.clock.now();
            let mut tx = this.inner.store.begin().await?;
            let row = found(&mut tx, &id).await?;
            anchor::remove(&mut tx, &id, now).await?;
            let detail = json!({ "partner": row.partner_id, "subject": row.subject });
            actor.record(&mut tx, &this.inner.clock, "anchor.remove", &id, &detail).await?;
            this.commit(tx).await
        })
        .await
    }
}

async fn found(from: impl Read, id: &str) -> Result<AnchorRow, Failure> {
    let row = anchor::get(from, id).await?;
    row.ok_or_else(|| Refusal::not_found("anchor_not_found", format!("There is no trust anchor {id:?}.")).into())
}

/// A client that a rule names outright must be there, and this partner's: what is misspelt would let nobody in, and nobody
/// would know why.
async fn check_clients(tx: &mut Tx, partner: &str, rules: &ForeignRules) -> Result<(), Failure> {
    let mut unknown = Vec::new();
    for client in rules.named_clients() {
        let row = store::client::get(&mut *tx, client.as_str()).await?;
        if row.is_none_or(|row| row.partner_id != partner) {
            unknown.push(format!("{client}: partner {partner} has no such client"));
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let message = "The mappings name clients that this partner does not have.";
    Err(Refusal::invalid("unknown_client", message).with_details(unknown).into())
}

/// The mode by its name.
fn revocation_mode(text: Option<&str>) -> Result<RevocationMode, Refusal> {
    match text {
        None => Ok(RevocationMode::Required),
        Some(text) => RevocationMode::try_from(text.to_owned()).map_err(|_| {
            let message = "The revocation must be required (a missing or lapsed list denies) or best-effort.";
            Refusal::invalid("invalid_revocation", message)
        }),
    }
}

/// A count of seconds within bounds.
fn seconds(what: &str, given: u32, min: u32, max: u32) -> Result<i64, Refusal> {
    if (min..=max).contains(&given) {
        return Ok(i64::from(given));
    }
    let message = format!("The {what} must lie between {min} and {max} seconds.");
    Err(Refusal::invalid("invalid_revocation", message))
}

/// The latest instant at which a list may say that it was made.
fn latest_this_update(now: UnixSeconds) -> i64 {
    now.0.saturating_add(crate::snapshot::CLOCK_SKEW_SECONDS)
}
