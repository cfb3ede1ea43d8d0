//! The way from a presented leaf to the anchor that answers for it.

use std::sync::Arc;
use std::time::Duration;

use pki::{
    CoveredCertificate, PATH_INTERMEDIATES_MAX, Path, PathAuthority, Serial, SubjectNames, VerifiedRevocationList,
};
use policies::{ClientId, ForeignRefusal, PresentedNames};
use rustls::pki_types::{CertificateDer, UnixTime};

use super::{Anchor, AnchorSet};

/// A leaf and what signed it, up to an anchor. It holds for as long as the anchors do, whatever the time is: dates, lists and
/// clients are judged anew on every request.
pub(crate) struct ForeignPath {
    anchor: Arc<Anchor>,
    links: Vec<Link>,
    not_before: i64,
    not_after: i64,
    client: Result<ClientId, ForeignRefusal>,
    credential_id: Arc<str>,
}

/// One certificate and the authority whose key signed it.
pub(super) struct Link {
    issuer: PathAuthority,
    serial: Serial,
    covered: CoveredCertificate,
}

impl Link {
    fn new(certificate: &[u8], issuer: &PathAuthority) -> Option<Self> {
        Some(Self {
            issuer: issuer.clone(),
            serial: pki::ClientCertificate::parse(certificate).ok()?.serial,
            covered: CoveredCertificate::read(certificate).ok()?,
        })
    }

    pub(super) fn is_covered_by(&self, list: &VerifiedRevocationList) -> bool {
        list.covers(&self.issuer, &self.covered)
    }

    pub(super) fn serial(&self) -> &Serial {
        &self.serial
    }

    pub(super) fn issuer_name(&self) -> &str {
        &self.issuer.facts().subject
    }
}

impl ForeignPath {
    pub(super) fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    pub(super) fn links(&self) -> &[Link] {
        &self.links
    }

    /// The latest beginning of all certificates of the path, the anchor's included.
    pub(super) fn not_before(&self) -> i64 {
        self.not_before
    }

    /// The earliest end.
    pub(super) fn not_after(&self) -> i64 {
        self.not_after
    }

    pub(super) fn client(&self) -> &Result<ClientId, ForeignRefusal> {
        &self.client
    }

    pub(super) fn credential_id(&self) -> &Arc<str> {
        &self.credential_id
    }
}

impl AnchorSet {
    /// The path of a chain (leaf first), from memory or by search. What the peer sent beside its leaf may help to find it and
    /// proves nothing by itself.
    pub(super) fn find<C: AsRef<[u8]>>(&self, chain: &[C]) -> Option<Arc<ForeignPath>> {
        let (leaf, sent) = chain.split_first()?;
        if self.anchors.is_empty() || sent.len() > PATH_INTERMEDIATES_MAX {
            return None;
        }
        let key = digest(chain);
        if let Some(path) = self.paths.get(&key) {
            return Some(path);
        }
        let path = Arc::new(self.search(leaf.as_ref(), sent)?);
        self.paths.insert(key, Arc::clone(&path));
        Some(path)
    }

    fn search<C: AsRef<[u8]>>(&self, leaf: &[u8], sent: &[C]) -> Option<ForeignPath> {
        pki::check_foreign_leaf(leaf).ok()?;
        let sent = sent.iter().filter_map(|der| PathAuthority::parse(der.as_ref()).ok());
        let mut between: Vec<PathAuthority> = Vec::new();
        for authority in self.intermediates.iter().cloned().chain(sent) {
            if !between.contains(&authority) {
                between.push(authority);
            }
        }
        let paths = pki::find_paths(leaf, &between, &self.authorities);
        paths.iter().find_map(|path| self.walk(leaf, &between, path))
    }

    /// Lets rustls walk exactly this path, and nothing else: name constraints, extended key usages of the authorities, critical
    /// extensions. One anchor at a time: what one partner's authority signed must not lend another's its constraints.
    fn walk(&self, leaf: &[u8], between: &[PathAuthority], path: &Path) -> Option<ForeignPath> {
        let anchor = self.anchors.get(path.anchor)?;
        let above: Vec<&PathAuthority> = path.intermediates.iter().filter_map(|index| between.get(*index)).collect();
        let own = pki::ClientCertificate::parse(leaf).ok()?;
        let (mut not_before, mut not_after) = (own.not_before, own.not_after);
        for authority in above.iter().copied().chain([&anchor.authority]) {
            not_before = not_before.max(authority.facts().not_before);
            not_after = not_after.min(authority.facts().not_after);
        }
        // At a time when all of it is valid, if there is one: then only the time itself can change the verdict.
        let at = u64::try_from(not_after).ok().filter(|_| not_before <= not_after)?;
        let intermediates: Vec<_> = above.iter().map(|authority| CertificateDer::from_slice(authority.der())).collect();
        let verified = anchor.verifier.verify_client_cert(
            &CertificateDer::from_slice(leaf),
            &intermediates,
            UnixTime::since_unix_epoch(Duration::from_secs(at)),
        );
        if let Err(error) = verified {
            tracing::debug!(anchor = %anchor.id, %error, "a chain to the anchor does not hold");
            return None;
        }
        let mut links = Vec::with_capacity(above.len() + 1);
        let mut child = leaf;
        for authority in above.iter().copied().chain([&anchor.authority]) {
            links.push(Link::new(child, authority)?);
            child = authority.der();
        }
        let names = SubjectNames::read(leaf).ok()?;
        let names = PresentedNames {
            dns: names.dns,
            uris: names.uris,
            emails: names.emails,
            others: names.others,
            common_name: names.common_name,
        };
        Some(ForeignPath {
            client: anchor.rules.client_of(&names),
            credential_id: format!("{}/{}", anchor.id, own.serial).into(),
            anchor: Arc::clone(anchor),
            links,
            not_before,
            not_after,
        })
    }
}

fn digest<C: AsRef<[u8]>>(chain: &[C]) -> [u8; 32] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for der in chain {
        // Lengths keep (ab, c) and (a, bc) apart.
        context.update(&(der.as_ref().len() as u64).to_be_bytes());
        context.update(der.as_ref());
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}
