//! The names in a certificate of somebody else's authority.

use x509_parser::extensions::{GeneralName, SubjectAlternativeName};
use x509_parser::oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME;
use x509_parser::prelude::FromDer;

use crate::certificate;
use crate::error::Error;

/// The names as they stand in it, every one: read, not believed, and not in any normal form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubjectNames {
    /// dNSName (RFC 5280 §4.2.1.6).
    pub dns: Vec<String>,
    /// uniformResourceIdentifier.
    pub uris: Vec<String>,
    /// rfc822Name.
    pub emails: Vec<String>,
    /// How many names there are of other kinds.
    pub others: usize,
    /// The subject's common name; `None` when there is none or more than one: of two, one reader takes the first and another
    /// the last.
    pub common_name: Option<String>,
}

impl SubjectNames {
    /// Reads the DER.
    ///
    /// # Errors
    /// [`Error::MalformedCertificate`]: also when one single name cannot be read, since nobody could say whose it is.
    pub fn read(der: &[u8]) -> Result<Self, Error> {
        let damaged = || Error::MalformedCertificate("its subjectAltName is damaged");
        let certificate = certificate::parse(der)?;
        let mut names = Self::default();
        let mut common_names = certificate.subject().iter_common_name();
        if let (Some(name), None) = (common_names.next(), common_names.next()) {
            names.common_name = name.as_str().ok().map(str::to_owned);
        }
        let mut extensions = certificate.extensions().iter().filter(|found| found.oid == OID_X509_EXT_SUBJECT_ALT_NAME);
        let extension = extensions.next();
        if extensions.next().is_some() {
            return Err(damaged());
        }
        let Some(extension) = extension else { return Ok(names) };
        let Ok(([], alternative)) = SubjectAlternativeName::from_der(extension.value) else { return Err(damaged()) };
        for name in &alternative.general_names {
            match name {
                GeneralName::DNSName(text) => names.dns.push((*text).to_owned()),
                GeneralName::URI(text) => names.uris.push((*text).to_owned()),
                GeneralName::RFC822Name(text) => names.emails.push((*text).to_owned()),
                GeneralName::Invalid(..) => return Err(damaged()),
                _ => names.others += 1,
            }
        }
        Ok(names)
    }
}
