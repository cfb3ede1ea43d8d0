//! Paths to the trust anchors, each no longer than its anchor allows: rustls builds them without asking an anchor for its
//! pathLenConstraint (RFC 5280 §4.2.1.9).

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, RootCertStore};

use crate::failure::Fault;

/// Anchors by how many authorities may stand between them and a leaf; those that say nothing last.
pub(super) struct Paths {
    groups: Vec<(usize, Arc<dyn ClientCertVerifier>)>,
}

impl Paths {
    /// `anchors`: certificates of authorities, DER.
    pub(super) fn new(anchors: &[Vec<u8>], provider: &Arc<CryptoProvider>) -> Result<Self, Fault> {
        let mut stores: BTreeMap<usize, RootCertStore> = BTreeMap::new();
        for der in anchors {
            let unusable = |error: &dyn std::fmt::Display| Fault::new(format!("trust anchor: {error}"));
            let ca = pki::CaCertificate::parse(der).map_err(|error| unusable(&error))?;
            let between = ca.path_length.and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
            let store = stores.entry(between).or_insert_with(RootCertStore::empty);
            store.add(CertificateDer::from_slice(der).into_owned()).map_err(|error| unusable(&error))?;
        }
        let group = |(between, store)| {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider)).build();
            Ok((between, verifier.map_err(|error| Fault::new(format!("client verifier: {error}")))?))
        };
        Ok(Self { groups: stores.into_iter().map(group).collect::<Result<_, Fault>>()? })
    }

    /// Whether one of the anchors is reached.
    ///
    /// # Errors
    /// The first reason that is more than "no path".
    pub(super) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        signers: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let (mut reason, mut too_long) = (None, false);
        for (between, verifier) in &self.groups {
            let verified = match signers.len() <= *between {
                true => verifier.verify_client_cert(leaf, signers, now),
                false => verifier.verify_client_cert(leaf, &nearest(leaf, signers, *between), now),
            };
            match verified {
                Ok(_) => return Ok(()),
                Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                    too_long |= signers.len() > *between && verifier.verify_client_cert(leaf, signers, now).is_ok();
                }
                Err(error) => reason = reason.or(Some(error)),
            }
        }
        Err(match reason {
            Some(reason) => reason,
            None if too_long => rustls::Error::General(
                "there are more authorities between the certificate and its anchor than the anchor allows (pathLenConstraint)"
                    .to_owned(),
            ),
            None => CertificateError::UnknownIssuer.into(),
        })
    }
}

/// At most so many of the authorities, those nearest to the leaf, in whatever order they came.
fn nearest<'a>(leaf: &CertificateDer<'_>, signers: &[CertificateDer<'a>], at_most: usize) -> Vec<CertificateDer<'a>> {
    let names: Vec<_> = signers.iter().map(|der| pki::raw_names(der)).collect();
    let mut below: Vec<(&[u8], Vec<u8>)> =
        pki::raw_names(leaf).into_iter().map(|(_, issuer)| (&**leaf, issuer)).collect();
    let mut chosen: Vec<usize> = Vec::with_capacity(at_most);
    // Each round is one step away from the leaf; what was chosen is not chosen again.
    while chosen.len() < at_most {
        let named = |index: &usize| {
            let subject = names[*index].as_ref().map(|(subject, _)| subject);
            !chosen.contains(index) && below.iter().any(|(_, issuer)| Some(issuer) == subject)
        };
        let mut step: Vec<usize> = (0..signers.len()).filter(named).collect();
        if step.len() > 1 {
            // Of one name there may be several: whose key signed, costs a look.
            step.retain(|index| below.iter().any(|(der, _)| pki::is_issued_by(der, &signers[*index])));
        }
        step.truncate(at_most - chosen.len());
        if step.is_empty() {
            break;
        }
        let issuer =
            |index: &usize| names[*index].as_ref().map(|(_, issuer)| (&*signers[*index] as &[u8], issuer.clone()));
        below = step.iter().filter_map(issuer).collect();
        chosen.extend(step);
    }
    chosen.into_iter().map(|index| signers[index].clone()).collect()
}
