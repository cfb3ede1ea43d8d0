//! Where a certificate says that its issuer can be found (authorityInfoAccess).

use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS, OID_PKIX_ACCESS_DESCRIPTOR_OCSP};

use crate::certificate;
use crate::error::Error;

/// The addresses of authorityInfoAccess (RFC 5280 §4.2.2.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthorityAddresses {
    /// Where the issuer's certificate lies.
    pub ca_issuers: Vec<String>,
    /// Where its OCSP responder answers.
    pub ocsp: Vec<String>,
}

/// Reads them from a certificate (DER).
///
/// # Errors
/// [`Error::MalformedCertificate`].
pub fn authority_addresses(certificate: &[u8]) -> Result<AuthorityAddresses, Error> {
    let certificate = certificate::parse(certificate)?;
    let mut addresses = AuthorityAddresses::default();
    for extension in certificate.extensions() {
        let ParsedExtension::AuthorityInfoAccess(access) = extension.parsed_extension() else { continue };
        for description in &access.accessdescs {
            let GeneralName::URI(uri) = &description.access_location else { continue };
            if description.access_method == OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS {
                addresses.ca_issuers.push((*uri).to_owned());
            } else if description.access_method == OID_PKIX_ACCESS_DESCRIPTOR_OCSP {
                addresses.ocsp.push((*uri).to_owned());
            }
        }
    }
    Ok(addresses)
}
