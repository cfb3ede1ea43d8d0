//! Lists of somebody else's authority, kept small: a million revoked certificates take 20 MB and one binary search.
//!
//! The list is read here octet by octet and not by x509-parser, which keeps some 300 octets for each entry: a partner's list, or
//! what answers at its address, would decide how much memory the gate needs.

use x509_parser::asn1_rs::{BitString, FromDer};
use x509_parser::extensions::X509Extension;
use x509_parser::oid_registry::OID_X509_EXT_CRL_NUMBER;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AlgorithmIdentifier, X509Name};

use super::scope::{Covered, Scope};
use super::{CrlExtensions, MAX_LISTS, minimal};
use crate::certificate;
use crate::error::Error;
use crate::link;
use crate::path::PathAuthority;
use crate::pem;
use crate::serial::Serial;
use crate::thumbprint::{SpkiFingerprint, Thumbprint};

/// RFC 5280 §4.1.2.2. Longer serials are no certificate's that could be presented here.
const SERIAL_OCTETS: usize = 20;
/// Lists in one file.
const LISTS_MAX: usize = 64;

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const OBJECT_IDENTIFIER: u8 = 0x06;
const BOOLEAN: u8 = 0x01;
const EXTENSIONS: u8 = 0xa0;
/// id-ce-cRLReasons, 2.5.29.21.
const REASON_CODE: &[u8] = &[0x55, 0x1d, 0x15];

/// A complete revocation list (RFC 5280 §5) whose signature was verified: there is no other.
///
/// What [`super::RevocationList`] refuses is refused here too: delta and indirect lists, lists for some reasons only, critical
/// extensions that are not known, and lists without an end.
#[derive(Clone)]
pub struct VerifiedRevocationList {
    signer: SpkiFingerprint,
    issuer_der: Vec<u8>,
    issuer: String,
    digest: Thumbprint,
    this_update: i64,
    next_update: i64,
    number: Option<Vec<u8>>,
    scope: Scope,
    scope_der: Vec<u8>,
    /// Sorted.
    serials: Box<[[u8; SERIAL_OCTETS]]>,
}

/// What a certificate must be for a list to be about it, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoveredCertificate(Covered);

impl CoveredCertificate {
    /// Reads the DER.
    ///
    /// # Errors
    /// [`Error::MalformedCertificate`].
    pub fn read(der: &[u8]) -> Result<Self, Error> {
        Covered::read(&certificate::parse(der)?).map(Self)
    }
}

impl VerifiedRevocationList {
    /// Reads all lists of a file, PEM (`X509 CRL`, at most 64) or one in DER, at most 64 MiB; each must be signed by one of
    /// `authorities`. The octets of each come along: [`Self::parse`] reads them again after a restart.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::MalformedPem`], [`Error::InvalidCrl`], [`Error::CrlNotPermitted`]: one bad list spoils the
    /// file, since it could be the one that matters.
    pub fn read_all(bytes: &[u8], authorities: &[PathAuthority]) -> Result<Vec<(Self, Vec<u8>)>, Error> {
        if bytes.len() > MAX_LISTS {
            return Err(Error::TooLarge { what: "the revocation list", limit: "64 MiB" });
        }
        if pem::is_der(bytes) {
            return Ok(vec![(Self::parse(bytes, authorities)?, bytes.to_vec())]);
        }
        let blocks = pem::blocks(bytes)?;
        if blocks.is_empty() {
            return Err(Error::MalformedPem("there is no revocation list in it"));
        }
        if blocks.len() > LISTS_MAX {
            return Err(Error::TooLarge { what: "the file of revocation lists", limit: "64 lists" });
        }
        blocks
            .iter()
            .map(|block| match block.label.as_str() {
                "X509 CRL" => Ok((Self::parse(&block.der, authorities)?, block.der.to_vec())),
                _ => Err(Error::MalformedPem("it holds something other than revocation lists")),
            })
            .collect()
    }

    /// Reads one list in DER, which one of `authorities` must have signed.
    ///
    /// # Errors
    /// [`Error::InvalidCrl`] with the reason; [`Error::CrlNotPermitted`].
    pub fn parse(der: &[u8], authorities: &[PathAuthority]) -> Result<Self, Error> {
        let mut whole = Reader(der);
        let mut outer = Reader(whole.take(SEQUENCE)?.content);
        whole.end()?;
        let tbs = outer.take(SEQUENCE)?;
        let algorithm = outer.take(SEQUENCE)?;
        let signature = outer.0;
        let mut fields = Reader(tbs.content);
        let is_version_2 = match fields.take_if(INTEGER)? {
            Some(version) if version.content != [1] => return Err(Error::InvalidCrl("it is of an unknown version")),
            version => version.is_some(),
        };
        if fields.take(SEQUENCE)?.whole != algorithm.whole {
            return Err(Error::InvalidCrl("it names two signature algorithms"));
        }
        let issuer_der = fields.take(SEQUENCE)?.whole;
        // The signature before the entries: nothing is sorted for a list that nobody signed.
        let signer = signer(issuer_der, algorithm.whole, signature, tbs.whole, authorities)?;
        let this_update = fields.time()?.ok_or(Error::InvalidCrl("it does not say when it was made"))?;
        let next_update =
            fields.time()?.ok_or(Error::InvalidCrl("it does not say when the next one comes (nextUpdate)"))?;
        let mut serials = match fields.take_if(SEQUENCE)? {
            Some(entries) => read_entries(entries.content, is_version_2)?,
            None => Vec::new(),
        };
        let extensions = match fields.take_if(EXTENSIONS)? {
            Some(_) if !is_version_2 => return Err(Error::InvalidCrl("it has extensions in version 1")),
            Some(extensions) => Extensions::read(extensions.content)?,
            None => Extensions::default(),
        };
        fields.end()?;
        serials.sort_unstable();
        serials.dedup();
        let (_, issuer) = X509Name::from_der(issuer_der).map_err(|_| damaged())?;
        Ok(Self {
            signer,
            issuer: issuer.to_string(),
            issuer_der: issuer_der.to_vec(),
            digest: Thumbprint::of(der),
            this_update,
            next_update,
            number: extensions.number,
            scope: extensions.scope,
            scope_der: extensions.scope_der,
            serials: serials.into_boxed_slice(),
        })
    }

    /// The key that signed it.
    pub fn signer(&self) -> SpkiFingerprint {
        self.signer
    }

    /// The issuer's name, for people.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// SHA-256 of its DER.
    pub fn digest(&self) -> Thumbprint {
        self.digest
    }

    /// When it was made, in seconds since 1970.
    pub fn this_update(&self) -> i64 {
        self.this_update
    }

    /// Until when it says who is *not* revoked, in seconds since 1970.
    pub fn next_update(&self) -> i64 {
        self.next_update
    }

    /// How many certificates are on it.
    pub fn len(&self) -> usize {
        self.serials.len()
    }

    /// Whether nothing is on it.
    pub fn is_empty(&self) -> bool {
        self.serials.is_empty()
    }

    /// A name for its place: lists of one signer and one scope (issuingDistributionPoint) replace each other.
    pub fn place(&self) -> Thumbprint {
        Thumbprint::of(&[self.signer.as_bytes().as_slice(), &self.issuer_der, &self.scope_der].concat())
    }

    /// Whether it was made before `other`, which has the same [`Self::place`]: then it is a replay, by an error or by somebody who wants a revocation
    /// forgotten. The number decides where both have one (§5.2.3), else the date.
    pub fn is_older_than(&self, other: &Self) -> bool {
        match (&self.number, &other.number) {
            (Some(own), Some(others)) if own != others => (own.len(), own) < (others.len(), others),
            _ => self.this_update < other.this_update,
        }
    }

    /// Whether it is about this certificate, if `issuer` signed that: by key and name of the issuer, by kind, and by the
    /// address where the certificate says that its list is.
    pub fn covers(&self, issuer: &PathAuthority, certificate: &CoveredCertificate) -> bool {
        self.signer == issuer.key() && self.issuer_der == issuer.subject_der() && self.scope.covers_read(&certificate.0)
    }

    /// Whether the serial is on it. Ask [`Self::covers`] first.
    pub fn contains(&self, serial: &Serial) -> bool {
        self.serials.binary_search(&padded(serial.as_bytes())).is_ok()
    }
}

impl std::fmt::Debug for VerifiedRevocationList {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = formatter.debug_struct("VerifiedRevocationList");
        debug.field("issuer", &self.issuer).field("this_update", &self.this_update).field("len", &self.len());
        debug.finish_non_exhaustive()
    }
}

/// Whose signature it is (§6.3.3 f and g).
fn signer(
    issuer: &[u8],
    algorithm: &[u8],
    signature: &[u8],
    tbs: &[u8],
    authorities: &[PathAuthority],
) -> Result<SpkiFingerprint, Error> {
    let Ok(([], algorithm)) = AlgorithmIdentifier::from_der(algorithm) else { return Err(damaged()) };
    let Ok(([], signature)) = BitString::from_der(signature) else { return Err(damaged()) };
    let mut refused = Error::InvalidCrl("it is by an authority that was not imported");
    for authority in authorities.iter().filter(|authority| authority.subject_der() == issuer) {
        let certificate = certificate::parse(authority.der())?;
        if !link::verifies(certificate.public_key(), &algorithm, &signature, tbs) {
            refused = Error::InvalidCrl("its signature does not verify with the key of its issuer");
            continue;
        }
        match certificate.key_usage() {
            Ok(Some(usage)) if !usage.value.crl_sign() => refused = Error::CrlNotPermitted,
            Ok(_) => return Ok(authority.key()),
            Err(_) => return Err(Error::MalformedCertificate("its keyUsage is damaged")),
        }
    }
    Err(refused)
}

/// `revokedCertificates ::= SEQUENCE OF SEQUENCE { userCertificate INTEGER, revocationDate Time, crlEntryExtensions … OPTIONAL }`
fn read_entries(entries: &[u8], is_version_2: bool) -> Result<Vec<[u8; SERIAL_OCTETS]>, Error> {
    let mut serials = Vec::new();
    let mut entries = Reader(entries);
    while !entries.0.is_empty() {
        let mut entry = Reader(entries.take(SEQUENCE)?.content);
        let serial = entry.take(INTEGER)?.content;
        let date = entry.any()?;
        if !matches!(date.tag, UTC_TIME | GENERALIZED_TIME) {
            return Err(damaged());
        }
        if let Some(extensions) = entry.take_if(SEQUENCE)? {
            if !is_version_2 {
                return Err(Error::InvalidCrl("it has extensions in version 1"));
            }
            check_entry_extensions(extensions.content)?;
        }
        entry.end()?;
        let serial = minimal(serial);
        match serial {
            [] => return Err(damaged()),
            // A sign octet stands before the twenty.
            [0, rest @ ..] if rest.len() <= SERIAL_OCTETS => serials.push(padded(rest)),
            // Negative, or longer than any certificate here may have: nobody can present it.
            [first, ..] if *first >= 0x80 || serial.len() > SERIAL_OCTETS => {}
            all => serials.push(padded(all)),
        }
    }
    Ok(serials)
}

/// A critical one other than the reason changes what the entry is about (certificateIssuer, §5.3.3).
fn check_entry_extensions(extensions: &[u8]) -> Result<(), Error> {
    let mut extensions = Reader(extensions);
    while !extensions.0.is_empty() {
        let mut extension = Reader(extensions.take(SEQUENCE)?.content);
        let id = extension.take(OBJECT_IDENTIFIER)?.content;
        let is_critical = extension.take_if(BOOLEAN)?.is_some_and(|critical| critical.content != [0]);
        if is_critical && id != REASON_CODE {
            return Err(Error::InvalidCrl("an entry has an unknown critical extension"));
        }
    }
    Ok(())
}

fn padded(serial: &[u8]) -> [u8; SERIAL_OCTETS] {
    let mut octets = [0; SERIAL_OCTETS];
    let start = SERIAL_OCTETS.saturating_sub(serial.len());
    octets[start..].copy_from_slice(&serial[serial.len().saturating_sub(SERIAL_OCTETS)..]);
    octets
}

#[derive(Default)]
struct Extensions {
    number: Option<Vec<u8>>,
    scope: Scope,
    scope_der: Vec<u8>,
}

impl Extensions {
    fn read(content: &[u8]) -> Result<Self, Error> {
        let mut outer = Reader(content);
        let mut list = outer.take(SEQUENCE)?.content;
        outer.end()?;
        let mut extensions = Vec::new();
        while !list.is_empty() {
            // Seven are defined; a list of thousands would cost a square of them below.
            if extensions.len() == 32 {
                return Err(Error::InvalidCrl("it has more than 32 extensions"));
            }
            let (rest, extension) = X509Extension::from_der(list).map_err(|_| damaged())?;
            extensions.push(extension);
            list = rest;
        }
        let mut read = Self { scope: CrlExtensions::read(&extensions)?.scope, ..Self::default() };
        for extension in &extensions {
            if extension.oid == OID_X509_EXT_CRL_NUMBER {
                let mut number = Reader(extension.value);
                read.number = Some(minimal_positive(number.take(INTEGER)?.content)?);
                number.end()?;
            } else if extension.oid == x509_parser::oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT {
                read.scope_der = extension.value.to_vec();
            }
        }
        Ok(read)
    }
}

/// A number's octets without sign octet, so that a longer one is a larger one.
fn minimal_positive(integer: &[u8]) -> Result<Vec<u8>, Error> {
    match integer {
        [] => Err(damaged()),
        [first, ..] if *first >= 0x80 => Err(Error::InvalidCrl("its number is negative")),
        _ => Ok(integer.iter().copied().skip_while(|octet| *octet == 0).collect()),
    }
}

fn damaged() -> Error {
    Error::InvalidCrl("it is damaged")
}

/// DER elements one after the other. Lengths are definite and in their shortest form (X.690 §10.1), so that there is one way to
/// read each list.
struct Reader<'a>(&'a [u8]);

struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
}

impl<'a> Reader<'a> {
    fn any(&mut self) -> Result<Element<'a>, Error> {
        let input = self.0;
        let (&tag, rest) = input.split_first().ok_or_else(damaged)?;
        // Tags of more than one octet stand in no list.
        if tag & 0x1f == 0x1f {
            return Err(damaged());
        }
        let (&first, rest) = rest.split_first().ok_or_else(damaged)?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f)).ok_or_else(damaged)?;
                let length = octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet));
                if length < 0x80 || octets.first() == Some(&0) {
                    return Err(damaged());
                }
                (length, rest)
            }
            _ => return Err(damaged()),
        };
        let (content, after) = rest.split_at_checked(length).ok_or_else(damaged)?;
        self.0 = after;
        Ok(Element { tag, content, whole: &input[..input.len() - after.len()] })
    }

    fn take(&mut self, tag: u8) -> Result<Element<'a>, Error> {
        let element = self.any()?;
        if element.tag == tag { Ok(element) } else { Err(damaged()) }
    }

    fn take_if(&mut self, tag: u8) -> Result<Option<Element<'a>>, Error> {
        if self.0.first() == Some(&tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// `Time ::= CHOICE { utcTime, generalTime }`, if one comes next; seconds since 1970.
    fn time(&mut self) -> Result<Option<i64>, Error> {
        match self.0.first() {
            Some(&(UTC_TIME | GENERALIZED_TIME)) => {
                let time = self.any()?;
                let Ok(([], time)) = ASN1Time::from_der(time.whole) else { return Err(Error::InvalidTime) };
                Ok(Some(time.timestamp()))
            }
            _ => Ok(None),
        }
    }

    fn end(&self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::InvalidCrl("something follows it")) }
    }
}
