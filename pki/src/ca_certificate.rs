//! What is read from an authority's certificate before chains may end at it.

use x509_parser::extensions::ParsedExtension;

use crate::certificate;
use crate::error::Error;
use crate::key_id::KeyId;
use crate::thumbprint::Thumbprint;

/// A certificate that may sign others: CA:TRUE, keyCertSign, and an EKU (if any) that lets it issue for clients.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaCertificate {
    pub subject: String,
    /// subjectKeyIdentifier, if there is one.
    pub key_id: Option<KeyId>,
    pub thumbprint: Thumbprint,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
    /// How many authorities may stand between it and a leaf (pathLenConstraint); `None`: any number.
    pub path_length: Option<u32>,
}

impl CaCertificate {
    /// Reads the DER.
    ///
    /// # Errors
    /// [`Error::MalformedCertificate`]; [`Error::NotAnAuthority`]: basicConstraints, keyUsage or extendedKeyUsage (RFC 5280
    /// §4.2.1.9, §4.2.1.3, §4.2.1.12) do not let it sign certificates of clients. TLS libraries take such an anchor without a word.
    pub fn parse(der: &[u8]) -> Result<Self, Error> {
        let read = Self::of_any_use(der)?;
        match certificate::parse(der)?.extended_key_usage() {
            Ok(None) => Ok(read),
            Ok(Some(usage)) if usage.value.any || usage.value.client_auth => Ok(read),
            Ok(Some(_)) => {
                Err(Error::NotAnAuthority(format!("{}: its extendedKeyUsage lacks clientAuth", read.subject)))
            }
            Err(_) => Err(Error::MalformedCertificate("its extendedKeyUsage is damaged")),
        }
    }

    /// Reads the DER of an authority, whatever it issues: for servers too.
    ///
    /// # Errors
    /// [`Error::MalformedCertificate`]; [`Error::NotAnAuthority`].
    pub fn of_any_use(der: &[u8]) -> Result<Self, Error> {
        let certificate = certificate::parse(der)?;
        let not_an_authority = |why: &str| Error::NotAnAuthority(format!("{}: {why}", certificate.subject()));
        let path_length = match certificate.basic_constraints() {
            Ok(Some(basic)) if basic.value.ca => basic.value.path_len_constraint,
            Ok(_) => return Err(not_an_authority("it is not a CA certificate (basicConstraints)")),
            Err(_) => return Err(Error::MalformedCertificate("its basicConstraints are damaged")),
        };
        match certificate.key_usage() {
            Ok(Some(usage)) if usage.value.key_cert_sign() => {}
            Ok(_) => return Err(not_an_authority("its keyUsage lacks keyCertSign")),
            Err(_) => return Err(Error::MalformedCertificate("its keyUsage is damaged")),
        }
        let mut key_id = None;
        for extension in certificate.extensions() {
            if let ParsedExtension::SubjectKeyIdentifier(id) = extension.parsed_extension() {
                key_id = Some(KeyId::from_bytes(id.0)?);
            }
        }
        Ok(Self {
            subject: certificate.subject().to_string(),
            key_id,
            thumbprint: Thumbprint::of(der),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            path_length,
        })
    }

    /// Whether it is within its validity at `seconds` since 1970.
    pub fn is_valid_at(&self, seconds: i64) -> bool {
        (self.not_before..=self.not_after).contains(&seconds)
    }
}
