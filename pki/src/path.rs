//! From a leaf of somebody else's authority up to the certificate that an operator imported: which keys signed it, by
//! signature and not by what the leaf says of its issuer.
//!
//! A TLS library proves that *some* chain ends at *some* anchor. Whose names the leaf may bear and which revocation list
//! decides depends on *which*, so the chain is found here, one and the same at every look.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;

use crate::ca_certificate::CaCertificate;
use crate::certificate;
use crate::error::Error;
use crate::key::PublicKey;
use crate::link;
use crate::thumbprint::SpkiFingerprint;

/// Authorities between a leaf and its anchor.
pub const PATH_INTERMEDIATES_MAX: usize = 5;
/// Signatures that one search verifies. A peer that sends authorities of one name in each other's place would else make
/// the search exponential.
const SIGNATURES_MAX: usize = 32;

/// An authority's certificate that a path may pass or end at, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathAuthority {
    der: Vec<u8>,
    subject_der: Vec<u8>,
    facts: CaCertificate,
    key: SpkiFingerprint,
    /// How many authorities may stand below it (pathLenConstraint, RFC 5280 §4.2.1.9).
    path_length: Option<u32>,
}

/// Where a leaf hangs: indices into the lists that were given to [`find_paths`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The leaf's issuer first.
    pub intermediates: Vec<usize>,
    pub anchor: usize,
}

impl PathAuthority {
    /// Reads a certificate that may sign those of clients.
    ///
    /// # Errors
    /// What [`CaCertificate::parse`] refuses; [`Error::NotAnAuthority`] for an extended key usage that leaves clients out
    /// (no library asks that of an anchor); [`Error::WeakKey`] and [`Error::MalformedKey`].
    pub fn parse(der: &[u8]) -> Result<Self, Error> {
        let facts = CaCertificate::parse(der)?;
        let certificate = certificate::parse(der)?;
        PublicKey::from_spki_der(certificate.public_key().raw)?;
        let damaged = |_| Error::MalformedCertificate("an extension stands in it twice or is damaged");
        if let Some(usage) = certificate.extended_key_usage().map_err(damaged)?
            && !usage.value.client_auth
            && !usage.value.any
        {
            let why = "its extended key usage does not let it issue for clients";
            return Err(Error::NotAnAuthority(format!("{}: {why}", facts.subject)));
        }
        let basic = certificate.basic_constraints().map_err(damaged)?;
        Ok(Self {
            subject_der: certificate.subject().as_raw().to_vec(),
            key: SpkiFingerprint::of(certificate.public_key().raw),
            path_length: basic.and_then(|basic| basic.value.path_len_constraint),
            der: der.to_vec(),
            facts,
        })
    }

    /// The certificate.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its subject's DER: two names that look alike and differ in it are two names (RFC 5280 §7.1 would fold some).
    pub fn subject_der(&self) -> &[u8] {
        &self.subject_der
    }

    /// Subject, key id, dates.
    pub fn facts(&self) -> &CaCertificate {
        &self.facts
    }

    /// SHA-256 of its public key: what its lists and what it signed are tied to.
    pub fn key(&self) -> SpkiFingerprint {
        self.key
    }

    /// Whether its key signed `certificate` (DER), which must name it as issuer.
    pub fn signed(&self, certificate: &[u8]) -> bool {
        link::is_issued_by(certificate, &self.der)
    }
}

/// Every way from the leaf (DER) to an anchor, the shortest first. One signature for each link is verified; dates, name
/// constraints and the leaf's own usage are left to the verifier that walks the path.
///
/// An anchor wins over an intermediate of the same key, so that of two anchors, one below the other, the nearer decides.
pub fn find_paths(leaf: &[u8], intermediates: &[PathAuthority], anchors: &[PathAuthority]) -> Vec<Path> {
    let mut search = Search { intermediates, anchors, signatures_left: SIGNATURES_MAX, found: Vec::new() };
    search.climb(leaf, &mut Vec::new());
    search.found.sort_by_key(|path| path.intermediates.len());
    search.found
}

struct Search<'a> {
    intermediates: &'a [PathAuthority],
    anchors: &'a [PathAuthority],
    signatures_left: usize,
    found: Vec<Path>,
}

impl Search<'_> {
    fn climb(&mut self, child: &[u8], below: &mut Vec<usize>) {
        let Ok(certificate) = certificate::parse(child) else { return };
        let depth = below.len();
        let (intermediates, anchors) = (self.intermediates, self.anchors);
        for (index, anchor) in anchors.iter().enumerate() {
            if self.signs(anchor, child, &certificate, depth) {
                self.found.push(Path { intermediates: below.clone(), anchor: index });
            }
        }
        if depth == PATH_INTERMEDIATES_MAX {
            return;
        }
        for (index, authority) in intermediates.iter().enumerate() {
            let is_anchor = anchors.iter().any(|anchor| anchor.key == authority.key);
            let is_below =
                below.iter().any(|below| intermediates.get(*below).is_some_and(|own| own.key == authority.key));
            if is_anchor || is_below || !self.signs(authority, child, &certificate, depth) {
                continue;
            }
            below.push(index);
            self.climb(authority.der(), below);
            below.pop();
        }
    }

    /// `depth`: how many authorities stand between this one and the leaf.
    fn signs(&mut self, issuer: &PathAuthority, child: &[u8], parsed: &X509Certificate<'_>, depth: usize) -> bool {
        if parsed.issuer().as_raw() != issuer.subject_der || issuer.path_length.is_some_and(|max| depth > max as usize)
        {
            return false;
        }
        // Two generations of one name: the key identifiers, where both have one, spare a signature.
        if let (Some(of_child), Some(of_issuer)) = (authority_key_id(parsed), &issuer.facts.key_id)
            && of_child != of_issuer.as_bytes()
        {
            return false;
        }
        let Some(left) = self.signatures_left.checked_sub(1) else { return false };
        self.signatures_left = left;
        issuer.signed(child)
    }
}

fn authority_key_id<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0),
        _ => None,
    })
}

/// Whether a leaf (DER) is one that a client may show: no authority, clientAuth among its extended key usages by name, and
/// a key that is not weak. A certificate without the extension could be anything, and one for servers alone stands on machines
/// that were never meant to call anybody.
///
/// # Errors
/// [`Error::MalformedCertificate`], [`Error::WeakKey`] and [`Error::MalformedKey`]: its key signs nothing that could be trusted.
pub fn check_foreign_leaf(leaf: &[u8]) -> Result<(), Error> {
    let certificate = certificate::parse(leaf)?;
    let damaged = |_| Error::MalformedCertificate("an extension stands in it twice or is damaged");
    if certificate.basic_constraints().map_err(damaged)?.is_some_and(|basic| basic.value.ca) {
        return Err(Error::MalformedCertificate("it is an authority's"));
    }
    if !certificate.extended_key_usage().map_err(damaged)?.is_some_and(|usage| usage.value.client_auth) {
        return Err(Error::MalformedCertificate("its extended key usages do not name clientAuth"));
    }
    PublicKey::from_spki_der(certificate.public_key().raw).map(drop)
}
