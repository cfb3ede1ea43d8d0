//! Revocation lists of others, and our own as others see them.

mod compact;
mod scope;

use std::collections::HashMap;

use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{ParsedExtension, X509Extension};
use x509_parser::oid_registry::{
    OID_X509_EXT_DELTA_CRL_INDICATOR, OID_X509_EXT_ISSUER_DISTRIBUTION_POINT, OID_X509_EXT_REASON_CODE,
};
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::{CertificateRevocationList, RevokedCertificate};
use x509_parser::time::ASN1Time;

use crate::certificate;
use crate::error::Error;
use crate::key_id::KeyId;
use crate::link;
use crate::pem;
use crate::revocation::{RevocationReason, RevokedEntry};
use crate::serial::Serial;

pub use compact::{CoveredCertificate, VerifiedRevocationList};
use scope::Scope;

/// A million entries with reasons take 53 MB.
const MAX_LISTS: usize = 64 * 1024 * 1024;

/// A complete revocation list (RFC 5280 §5), read but not believed until [`RevocationList::verify`] says so.
///
/// Lists that cannot decide alone are refused when they are read: delta lists, indirect lists, lists for some reasons only,
/// and lists with a critical extension that is not known here (§5.2). So is a list without an end (§5.1.2.5): nobody could
/// tell whether it is stale. A missing number (§5.2.3) and version 1 are let pass: many small authorities write such lists,
/// and the judgement (§6.3.3) needs neither.
#[derive(Debug, Clone)]
pub struct RevocationList {
    der: Vec<u8>,
    issuer: String,
    issuer_der: Vec<u8>,
    authority_key_id: Option<KeyId>,
    number: Option<u64>,
    this_update: OffsetDateTime,
    next_update: OffsetDateTime,
    scope: Scope,
    revoked: HashMap<Box<[u8]>, Revocation>,
}

/// What a list says of one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    pub revoked_at: OffsetDateTime,
    pub reason: RevocationReason,
}

impl RevocationList {
    /// Reads all lists of a file: PEM (`X509 CRL`, one or more) or one in DER. At most 64 MiB.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; [`Error::MalformedPem`]; [`Error::InvalidCrl`] when one of them is not usable: a list that cannot be
    /// read could be the one that matters.
    pub fn read_all(bytes: &[u8]) -> Result<Vec<Self>, Error> {
        if bytes.len() > MAX_LISTS {
            return Err(Error::TooLarge { what: "the revocation list", limit: "64 MiB" });
        }
        if pem::is_der(bytes) {
            return Ok(vec![Self::parse(bytes)?]);
        }
        let blocks = pem::blocks(bytes)?;
        if blocks.is_empty() {
            return Err(Error::MalformedPem("there is no revocation list in it"));
        }
        blocks
            .iter()
            .map(|block| match block.label.as_str() {
                "X509 CRL" => Self::parse(&block.der),
                _ => Err(Error::MalformedPem("it holds something other than revocation lists")),
            })
            .collect()
    }

    /// Reads one list in DER.
    ///
    /// # Errors
    /// [`Error::InvalidCrl`] with the reason.
    pub fn parse(der: &[u8]) -> Result<Self, Error> {
        let (rest, list) = CertificateRevocationList::from_der(der).map_err(|_| Error::InvalidCrl("it is damaged"))?;
        if !rest.is_empty() {
            return Err(Error::InvalidCrl("something follows it"));
        }
        match list.version() {
            Some(version) if version.0 != 1 => return Err(Error::InvalidCrl("it is of an unknown version")),
            None if !list.extensions().is_empty() => return Err(Error::InvalidCrl("it has extensions in version 1")),
            _ => {}
        }
        if list.signature_algorithm != list.tbs_cert_list.signature {
            return Err(Error::InvalidCrl("it names two signature algorithms"));
        }
        let extensions = CrlExtensions::read(list.extensions())?;
        let end =
            list.next_update().ok_or(Error::InvalidCrl("it does not say when the next one comes (nextUpdate)"))?;
        let mut revoked = HashMap::new();
        for entry in list.iter_revoked_certificates() {
            if revoked.insert(minimal(entry.raw_serial()).into(), read_entry(entry)?).is_some() {
                return Err(Error::InvalidCrl("a serial number stands in it twice"));
            }
        }
        Ok(Self {
            issuer: list.issuer().to_string(),
            issuer_der: list.issuer().as_raw().to_vec(),
            authority_key_id: extensions.authority_key_id,
            number: extensions.number,
            this_update: date(list.last_update())?,
            next_update: date(end)?,
            scope: extensions.scope,
            revoked,
            der: der.to_vec(),
        })
    }

    /// The issuer's name, for people.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The list in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// cRLNumber (§5.2.3); `None` when there is none, or one that no authority counts up to in 64 bits.
    pub fn number(&self) -> Option<u64> {
        self.number
    }

    /// When it was made.
    pub fn this_update(&self) -> OffsetDateTime {
        self.this_update
    }

    /// When it ends: after that it says nothing about certificates that are not on it.
    pub fn next_update(&self) -> OffsetDateTime {
        self.next_update
    }

    /// How many certificates are on it.
    pub fn len(&self) -> usize {
        self.revoked.len()
    }

    /// Whether nothing is on it.
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }

    /// Everything on it, by serial number: what the authority's next list must go on saying.
    ///
    /// # Errors
    /// [`Error::InvalidSerial`] for a number that none of ours has.
    pub fn entries(&self) -> Result<Vec<RevokedEntry>, Error> {
        let mut entries = self
            .revoked
            .iter()
            .map(|(serial, revocation)| {
                Ok(RevokedEntry {
                    serial: Serial::from_der_integer(serial)?,
                    revoked_at: revocation.revoked_at,
                    reason: revocation.reason,
                })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        entries.sort_by_key(|entry| entry.serial);
        Ok(entries)
    }

    /// Whether it says that it is by the authority with this certificate (DER): the name, and the key identifier where both
    /// have one. Two generations of an authority may share a name; the list of one must not be taken for the other's.
    pub fn names(&self, authority: &[u8]) -> bool {
        let Ok(authority) = certificate::parse(authority) else { return false };
        if authority.subject().as_raw() != self.issuer_der {
            return false;
        }
        match (&self.authority_key_id, subject_key_id(&authority)) {
            (Some(of_list), Some(of_authority)) => *of_list == of_authority,
            _ => true,
        }
    }

    /// Verifies that the authority with this certificate (DER) signed it and may sign revocation lists (§6.3.3 f and g).
    ///
    /// # Errors
    /// [`Error::InvalidCrl`]; [`Error::CrlNotPermitted`] when the authority has a keyUsage without cRLSign.
    pub fn verify(&self, authority: &[u8]) -> Result<(), Error> {
        let authority = certificate::parse(authority)?;
        if authority.subject().as_raw() != self.issuer_der {
            return Err(Error::InvalidCrl("it is by another authority"));
        }
        match authority.key_usage() {
            Ok(Some(usage)) if !usage.value.crl_sign() => return Err(Error::CrlNotPermitted),
            Ok(_) => {}
            Err(_) => return Err(Error::MalformedCertificate("its keyUsage is damaged")),
        }
        let (_, list) =
            CertificateRevocationList::from_der(&self.der).map_err(|_| Error::InvalidCrl("it is damaged"))?;
        // x509-parser counts only what it has read of the list as signed: octets that it skipped make this fail.
        let verified = link::verifies(
            authority.public_key(),
            &list.signature_algorithm,
            &list.signature_value,
            list.tbs_cert_list.as_ref(),
        );
        verified.then_some(()).ok_or(Error::InvalidCrl("its signature does not verify with the key of its issuer"))
    }

    /// Whether the list is about certificates like this one (DER) of its issuer: by kind, and by the address where the
    /// certificate says that its list is.
    ///
    /// # Errors
    /// [`Error::MalformedCertificate`].
    pub fn covers(&self, certificate: &[u8]) -> Result<bool, Error> {
        self.scope.covers(&certificate::parse(certificate)?)
    }

    /// What it says of this certificate (DER): `None` when the certificate is not on it. Ask [`RevocationList::verify`] and
    /// [`RevocationList::covers`] before a `None` counts for anything.
    ///
    /// # Errors
    /// [`Error::MalformedCertificate`].
    pub fn revocation(&self, certificate: &[u8]) -> Result<Option<Revocation>, Error> {
        let certificate = certificate::parse(certificate)?;
        Ok(self.revoked.get(minimal(certificate.raw_serial())).copied())
    }
}

/// Where a certificate (DER) says that its issuer's list is (crlDistributionPoints, §4.2.1.13).
///
/// # Errors
/// [`Error::MalformedCertificate`].
pub fn distribution_addresses(certificate: &[u8]) -> Result<Vec<String>, Error> {
    let certificate = certificate::parse(certificate)?;
    Ok(scope::distribution_addresses(&certificate)?.into_iter().map(str::to_owned).collect())
}

#[derive(Default)]
struct CrlExtensions {
    authority_key_id: Option<KeyId>,
    number: Option<u64>,
    scope: Scope,
}

impl CrlExtensions {
    fn read(extensions: &[X509Extension<'_>]) -> Result<Self, Error> {
        let mut read = Self::default();
        for (index, extension) in extensions.iter().enumerate() {
            if extensions.iter().take(index).any(|earlier| earlier.oid == extension.oid) {
                return Err(Error::InvalidCrl("an extension stands in it twice"));
            }
            if extension.oid == OID_X509_EXT_DELTA_CRL_INDICATOR {
                return Err(Error::InvalidCrl("it is a delta list, and only complete ones are taken"));
            }
            match extension.parsed_extension() {
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    read.authority_key_id = id.key_identifier.as_ref().map(|id| KeyId::from_bytes(id.0)).transpose()?;
                }
                // §5.2.3: it must not be critical; one that is means something else.
                ParsedExtension::CRLNumber(number) if !extension.critical => read.number = u64::try_from(number).ok(),
                _ if extension.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT => {
                    read.scope = Scope::parse(extension.value)?
                }
                ParsedExtension::ParseError { .. } => return Err(Error::InvalidCrl("an extension is damaged")),
                _ if extension.critical => return Err(Error::InvalidCrl("it has an unknown critical extension")),
                _ => {}
            }
        }
        Ok(read)
    }
}

fn read_entry(entry: &RevokedCertificate<'_>) -> Result<Revocation, Error> {
    for extension in entry.extensions() {
        let known = extension.oid == OID_X509_EXT_REASON_CODE;
        // certificateIssuer among them: the entry would be about another authority's certificate (§5.3.3).
        if extension.critical && !known {
            return Err(Error::InvalidCrl("an entry has an unknown critical extension"));
        }
    }
    let reason = entry
        .reason_code()
        .and_then(|(_, code)| RevocationReason::ALL.into_iter().find(|reason| reason.code() == code.0));
    Ok(Revocation { revoked_at: date(entry.revocation_date)?, reason: reason.unwrap_or(RevocationReason::Unspecified) })
}

fn subject_key_id(certificate: &X509Certificate<'_>) -> Option<KeyId> {
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => KeyId::from_bytes(id.0).ok(),
        _ => None,
    })
}

/// An INTEGER without octets that say nothing. Some authorities pad; a miss would let a revoked certificate pass. `00 FF` is
/// 255 and `FF` is -1: those two stay apart.
fn minimal(mut serial: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = serial
        && rest.first().is_some_and(|next| *next < 0x80)
    {
        serial = rest;
    }
    serial
}

fn date(time: ASN1Time) -> Result<OffsetDateTime, Error> {
    OffsetDateTime::from_unix_timestamp(time.timestamp()).map_err(|_| Error::InvalidTime)
}
