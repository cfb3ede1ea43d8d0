//! From rows to anchors. What cannot be read is left out and logged: nobody is let in by it.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use pki::{PathAuthority, VerifiedRevocationList};
use policies::ForeignRules;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;

use super::Anchor;
use crate::failure::Fault;
use crate::store::anchor::{self, AnchorRow};
use crate::store::{Store, stored};

pub(super) async fn all(store: &Store) -> Result<Vec<Arc<Anchor>>, Fault> {
    let mut anchors = Vec::new();
    for row in anchor::all(store).await? {
        anchors.extend(taken_up(store, row, &[]).await?);
    }
    Ok(anchors)
}

pub(super) async fn one(
    store: &Store,
    id: &str,
    known: &[Arc<VerifiedRevocationList>],
) -> Result<Option<Arc<Anchor>>, Fault> {
    match anchor::get(store, id).await? {
        Some(row) => taken_up(store, row, known).await,
        None => Ok(None),
    }
}

async fn taken_up(
    store: &Store,
    row: AnchorRow,
    known: &[Arc<VerifiedRevocationList>],
) -> Result<Option<Arc<Anchor>>, Fault> {
    match read(&row) {
        Ok(anchor) => {
            anchor.lists.store(Arc::new(lists(store, &row.id, anchor.list_signers(), known).await?));
            Ok(Some(Arc::new(anchor)))
        }
        Err(fault) => {
            tracing::error!(
                anchor = row.id,
                error = fault.inside(),
                "a trust anchor cannot be read and is not trusted"
            );
            Ok(None)
        }
    }
}

fn read(row: &AnchorRow) -> Result<Anchor, Fault> {
    let unreadable = |error: pki::Error| Fault::new(error.to_string());
    let authority = PathAuthority::parse(&row.certificate).map_err(unreadable)?;
    let mut intermediates = Vec::with_capacity(row.intermediates.len());
    for pem in &row.intermediates {
        for der in pki::pem_certificates(pem.as_bytes()).map_err(unreadable)? {
            intermediates.push(PathAuthority::parse(&der).map_err(unreadable)?);
        }
    }
    // That no rule is about our own trust domain was asked when they came in.
    let rules = ForeignRules::parse(&row.names, &row.mappings, "").map_err(|faults| Fault::new(faults.join("; ")))?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(row.certificate.clone())).map_err(|error| Fault::new(error.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    Ok(Anchor {
        id: row.id.as_str().into(),
        partner: stored("partner id", &row.partner_id)?,
        rules,
        authority,
        intermediates,
        mode: row.revocation,
        grace_seconds: row.grace_seconds,
        verifier: verifier.map_err(|error| Fault::new(error.to_string()))?,
        lists: ArcSwap::default(),
    })
}

/// The lists of an anchor. A long one takes a while to read, so each is read where it keeps no request waiting, and those
/// that are in `known` are taken from there.
pub(super) async fn lists(
    store: &Store,
    id: &str,
    signers: Vec<PathAuthority>,
    known: &[Arc<VerifiedRevocationList>],
) -> Result<Vec<Arc<VerifiedRevocationList>>, Fault> {
    let known: HashMap<String, &Arc<VerifiedRevocationList>> =
        known.iter().map(|list| (list.digest().to_string(), list)).collect();
    let signers = Arc::new(signers);
    let mut lists = Vec::new();
    for row in anchor::lists(store, id).await? {
        let still_signed = |list: &VerifiedRevocationList| signers.iter().any(|signer| signer.key() == list.signer());
        if let Some(list) = known.get(&row.digest).filter(|list| still_signed(list)) {
            lists.push(Arc::clone(list));
            continue;
        }
        let Some(der) = anchor::list_der(store, id, &row.place).await? else { continue };
        let signers = Arc::clone(&signers);
        let parsed = tokio::task::spawn_blocking(move || VerifiedRevocationList::parse(&der, &signers)).await;
        match parsed.map_err(|error| Fault::new(format!("reading a revocation list: {error}")))? {
            Ok(list) => lists.push(Arc::new(list)),
            Err(error) => {
                tracing::error!(anchor = id, issuer = row.issuer, %error, "a revocation list cannot be read and says nothing");
            }
        }
    }
    Ok(lists)
}
