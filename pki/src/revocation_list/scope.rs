//! What a list is about.

use x509_parser::asn1_rs::{Any, Class, FromDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};

use crate::error::Error;

/// An issuingDistributionPoint (RFC 5280 §5.2.5), or none: then the list is about everything its issuer issued.
///
/// It is read here and not by x509-parser, which passes over a member that it cannot read: a list of one distribution point
/// would become one of all certificates.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    /// Addresses; none: every certificate of the issuer, wherever it points.
    addresses: Vec<String>,
    only_users: bool,
    only_authorities: bool,
    only_attributes: bool,
}

/// ```text
/// IssuingDistributionPoint ::= SEQUENCE {
///     distributionPoint [0] DistributionPointName OPTIONAL,   onlyContainsUserCerts      [1] BOOLEAN DEFAULT FALSE,
///     onlyContainsCACerts [2] BOOLEAN DEFAULT FALSE,          onlySomeReasons            [3] ReasonFlags OPTIONAL,
///     indirectCRL [4] BOOLEAN DEFAULT FALSE,                  onlyContainsAttributeCerts [5] BOOLEAN DEFAULT FALSE }
/// ```
const DISTRIBUTION_POINT: u32 = 0;
const ONLY_USERS: u32 = 1;
const ONLY_AUTHORITIES: u32 = 2;
const ONLY_SOME_REASONS: u32 = 3;
const INDIRECT: u32 = 4;
const ONLY_ATTRIBUTES: u32 = 5;
/// `DistributionPointName ::= CHOICE { fullName [0] GeneralNames, … }`
const FULL_NAME: u32 = 0;
/// `GeneralName ::= CHOICE { …, uniformResourceIdentifier [6] IA5String, … }`
const URI: u32 = 6;

impl Scope {
    /// Reads the extension's value.
    ///
    /// # Errors
    /// [`Error::InvalidCrl`], also for what cannot decide alone: an indirect list, one for some reasons, one whose distribution
    /// point has no address.
    pub(super) fn parse(value: &[u8]) -> Result<Self, Error> {
        let mut scope = Self::default();
        let mut last = None;
        for member in members(sequence(value)?)? {
            let tag = context_tag(&member)?;
            if last.is_some_and(|last| tag <= last) {
                return Err(damaged());
            }
            last = Some(tag);
            match tag {
                DISTRIBUTION_POINT => scope.addresses = addresses(member.data)?,
                ONLY_USERS => scope.only_users = boolean(&member)?,
                ONLY_AUTHORITIES => scope.only_authorities = boolean(&member)?,
                ONLY_SOME_REASONS => return Err(Error::InvalidCrl("it is about some reasons only")),
                INDIRECT if boolean(&member)? => {
                    return Err(Error::InvalidCrl("it is an indirect list, about certificates of other authorities"));
                }
                INDIRECT => {}
                ONLY_ATTRIBUTES => scope.only_attributes = boolean(&member)?,
                _ => return Err(damaged()),
            }
        }
        Ok(scope)
    }

    pub(super) fn covers(&self, certificate: &X509Certificate<'_>) -> Result<bool, Error> {
        Ok(self.covers_read(&Covered::read(certificate)?))
    }

    pub(super) fn covers_read(&self, certificate: &Covered) -> bool {
        let excluded = if certificate.is_authority { self.only_users } else { self.only_authorities };
        if excluded || self.only_attributes {
            return false;
        }
        self.addresses.is_empty() || self.addresses.iter().any(|address| certificate.addresses.contains(address))
    }
}

/// What of a certificate a scope is held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Covered {
    is_authority: bool,
    addresses: Vec<String>,
}

impl Covered {
    pub(super) fn read(certificate: &X509Certificate<'_>) -> Result<Self, Error> {
        let damaged = || Error::MalformedCertificate("its basicConstraints are damaged");
        let is_authority =
            certificate.basic_constraints().map_err(|_| damaged())?.is_some_and(|constraints| constraints.value.ca);
        let addresses = distribution_addresses(certificate)?.into_iter().map(str::to_owned).collect();
        Ok(Self { is_authority, addresses })
    }
}

/// The addresses of crlDistributionPoints (§4.2.1.13) that are for all reasons and of the certificate's own issuer.
pub(super) fn distribution_addresses<'a>(certificate: &'a X509Certificate<'_>) -> Result<Vec<&'a str>, Error> {
    let mut addresses = Vec::new();
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::CRLDistributionPoints(points) => {
                for point in points.iter().filter(|point| point.crl_issuer.is_none() && point.reasons.is_none()) {
                    if let Some(DistributionPointName::FullName(names)) = &point.distribution_point {
                        addresses.extend(names.iter().filter_map(|name| match name {
                            GeneralName::URI(uri) => Some(*uri),
                            _ => None,
                        }));
                    }
                }
            }
            ParsedExtension::ParseError { .. } => return Err(Error::MalformedCertificate("an extension is damaged")),
            _ => {}
        }
    }
    Ok(addresses)
}

fn addresses(distribution_point: &[u8]) -> Result<Vec<String>, Error> {
    let name = match members(distribution_point)?.as_slice() {
        [name] => name.clone(),
        _ => return Err(damaged()),
    };
    let mut addresses = Vec::new();
    if context_tag(&name)? == FULL_NAME {
        for name in members(name.data)? {
            if context_tag(&name)? == URI {
                addresses.push(std::str::from_utf8(name.data).map_err(|_| damaged())?.to_owned());
            }
        }
    }
    match addresses.is_empty() {
        true => Err(Error::InvalidCrl("its distribution point is not an address")),
        false => Ok(addresses),
    }
}

fn sequence(value: &[u8]) -> Result<&[u8], Error> {
    match Any::from_der(value) {
        Ok(([], element)) if element.class() == Class::Universal && element.tag().0 == 16 => Ok(element.data),
        _ => Err(damaged()),
    }
}

/// The elements that follow each other, up to the last octet.
fn members(mut content: &[u8]) -> Result<Vec<Any<'_>>, Error> {
    let mut members = Vec::new();
    while !content.is_empty() {
        let (rest, member) = Any::from_der(content).map_err(|_| damaged())?;
        members.push(member);
        content = rest;
    }
    Ok(members)
}

fn context_tag(element: &Any<'_>) -> Result<u32, Error> {
    match element.class() {
        Class::ContextSpecific => Ok(element.tag().0),
        _ => Err(damaged()),
    }
}

fn boolean(element: &Any<'_>) -> Result<bool, Error> {
    match element.data {
        [0] => Ok(false),
        [_] => Ok(true),
        _ => Err(damaged()),
    }
}

fn damaged() -> Error {
    Error::InvalidCrl("its issuingDistributionPoint is damaged")
}
