//! An anchor, as people see it.

use pki::PathAuthority;
use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::Authority;
use crate::failure::Failure;
use crate::store::anchor::{self, AnchorRow};

/// An authority of a partner. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TrustAnchor)]
pub struct AnchorView {
    pub id: String,
    pub partner: String,
    pub subject: String,
    /// SHA-256 of the DER, hex.
    pub thumbprint: String,
    pub not_after: i64,
    /// What its certificates may be named.
    pub names: Vec<String>,
    /// Which client each name means.
    pub mappings: Vec<String>,
    /// `required` or `best-effort`.
    pub revocation: &'static str,
    /// How long a list still counts after its end.
    pub grace_seconds: i64,
    pub refresh_seconds: i64,
    pub allow_private_address: bool,
    /// The anchor and what was imported below it, each with the state of its revocation lists.
    pub authorities: Vec<AnchorAuthorityView>,
    /// Where lists are fetched from.
    pub sources: Vec<AnchorSourceView>,
    pub lists: Vec<AnchorListView>,
    pub created_at: i64,
    pub updated_at: i64,
    pub certificate_pem: String,
}

/// One authority of an anchor.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AnchorAuthorityView {
    pub subject: String,
    pub not_after: i64,
    /// `current`, `grace` (lapsed, and still counting), `lapsed` or `missing`. Where lists are required, certificates of an authority
    /// with the last two are refused.
    pub revocation_list: &'static str,
}

/// One address.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AnchorSourceView {
    pub url: String,
    pub attempted_at: Option<i64>,
    pub succeeded_at: Option<i64>,
    /// What went wrong the last time.
    pub error: Option<String>,
}

/// One revocation list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AnchorListView {
    pub issuer: String,
    /// How many certificates are on it.
    pub entries: i64,
    pub this_update: i64,
    pub next_update: i64,
    /// The address it came from; absent when somebody uploaded it.
    pub source: Option<String>,
    pub stored_at: i64,
}

impl Authority {
    pub(super) async fn view_of(&self, row: AnchorRow) -> Result<AnchorView, Failure> {
        let sources = anchor::sources(&self.inner.store, &row.id).await?;
        let lists = anchor::lists(&self.inner.store, &row.id).await?;
        let authorities = self.authorities_of(&row);
        Ok(AnchorView {
            thumbprint: pki::Thumbprint::of(&row.certificate).to_string(),
            certificate_pem: pki::pem_certificate(&row.certificate),
            authorities,
            sources: sources
                .into_iter()
                .map(|source| AnchorSourceView {
                    url: source.url,
                    attempted_at: source.attempted_at,
                    succeeded_at: source.succeeded_at,
                    error: source.error,
                })
                .collect(),
            lists: lists
                .into_iter()
                .map(|list| AnchorListView {
                    issuer: list.issuer,
                    entries: list.entries,
                    this_update: list.this_update,
                    next_update: list.next_update,
                    source: list.source,
                    stored_at: list.stored_at,
                })
                .collect(),
            id: row.id,
            partner: row.partner_id,
            subject: row.subject,
            not_after: row.not_after,
            names: row.names,
            mappings: row.mappings,
            revocation: row.revocation.as_str(),
            grace_seconds: row.grace_seconds,
            refresh_seconds: row.refresh_seconds,
            allow_private_address: row.allow_private_address,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }

    fn authorities_of(&self, row: &AnchorRow) -> Vec<AnchorAuthorityView> {
        let (anchors, now) = (self.inner.snapshot.anchors(), self.inner.clock.now().0);
        let lists = anchors.lists(&row.id);
        let state = |authority: &PathAuthority| {
            let ends =
                lists.iter().filter(|list| list.signer() == authority.key()).map(|list| list.next_update()).max();
            match ends {
                None => "missing",
                Some(end) if now < end => "current",
                Some(end) if now < end.saturating_add(row.grace_seconds) => "grace",
                Some(_) => "lapsed",
            }
        };
        anchors
            .signers(&row.id)
            .iter()
            .map(|authority| AnchorAuthorityView {
                subject: authority.facts().subject.clone(),
                not_after: authority.facts().not_after,
                revocation_list: state(authority),
            })
            .collect()
    }
}
