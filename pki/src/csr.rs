//! Certificate requests from outside.

use std::fmt;

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::prelude::FromDer;

use crate::error::Error;
use crate::key::PublicKey;
use crate::pem;
use crate::signature;
use crate::spiffe_id::SpiffeId;
use crate::text;

const MAX_OCTETS: usize = 16 * 1024;

/// A PKCS#10 request (RFC 2986) whose signature by its own key was checked: the sender holds the private key.
///
/// Only the public key is meant to be used. Extensions are never copied: a profile decides what a certificate says. What the
/// request asks for is read to refuse it, or to compare it with what the caller has decided.
#[derive(Clone)]
pub struct VerifiedRequest {
    public_key: PublicKey,
    common_name: Option<String>,
    requested_names: Vec<RequestedName>,
    der: Vec<u8>,
}

/// A subjectAltName that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestedName {
    Uri(String),
    Dns(String),
    Email(String),
    /// 4 or 16 octets when it is well formed.
    Ip(Vec<u8>),
    /// Any other kind: directory names, user principal names, …
    Other,
}

impl VerifiedRequest {
    /// Reads and checks a request, PEM (one block, `CERTIFICATE REQUEST` or `NEW CERTIFICATE REQUEST`) or DER, of at most 16 KiB.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; [`Error::MalformedPem`]; [`Error::PrivateKeySent`]; [`Error::MalformedCsr`]; the errors of
    /// [`PublicKey::from_spki_der`]; [`Error::WeakSignature`] for SHA-1, MD5 and the like; [`Error::PossessionNotProved`];
    /// [`Error::CaRequested`] when it asks for CA:TRUE, keyCertSign or cRLSign.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_OCTETS {
            return Err(Error::TooLarge { what: "the certificate request", limit: "16 KiB" });
        }
        if pem::is_der(bytes) {
            return Self::parse_der(bytes);
        }
        let blocks = pem::blocks(bytes)?;
        let [block] = blocks.as_slice() else {
            return Err(Error::MalformedPem("give exactly one certificate request"));
        };
        match block.label.as_str() {
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Self::parse_der(&block.der),
            "CERTIFICATE" => Err(Error::MalformedPem("it is a certificate, not a certificate request")),
            _ => Err(Error::MalformedPem("it is not a certificate request")),
        }
    }

    /// The key, taken from the request's SubjectPublicKeyInfo.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The common name that is asked for; `None` if there is none, more than one, or no text.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// The subjectAltNames that are asked for. Copy none of them into a certificate unseen.
    pub fn requested_names(&self) -> &[RequestedName] {
        &self.requested_names
    }

    /// The request in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Refuses a request that asks for another name than the one it was sent for.
    ///
    /// A request need not name its identity: then it gets the expected one. But a request that asks for any other name is a
    /// mistake or an attack, and must not end in a certificate that looks as if it were granted: whoever asked for `DNS:` goes
    /// on to use it.
    ///
    /// # Errors
    /// [`Error::IdentityMismatch`] when a URI name, or a common name that is a `spiffe:` URI, is not exactly `expected`;
    /// [`Error::NameNotAllowed`] for a DNS name, an address and every other kind.
    pub fn check_identity(&self, expected: &SpiffeId) -> Result<(), Error> {
        let expected = expected.to_string();
        let uris = self.requested_names.iter().filter_map(|name| match name {
            RequestedName::Uri(uri) => Some(uri.as_str()),
            _ => None,
        });
        let spiffe = |name: &&str| name.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"));
        if let Some(asked) = uris.chain(self.common_name().filter(spiffe)).find(|asked| *asked != expected) {
            return Err(Error::IdentityMismatch { asked: text::shown(asked), expected });
        }
        match self.requested_names.iter().find(|name| !matches!(name, RequestedName::Uri(_))) {
            Some(name) => Err(Error::NameNotAllowed { asked: name.to_string(), expected }),
            None => Ok(()),
        }
    }

    fn parse_der(der: &[u8]) -> Result<Self, Error> {
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|_| Error::MalformedCsr("it is not a PKCS#10 request"))?;
        if !rest.is_empty() {
            return Err(Error::MalformedCsr("something follows it"));
        }
        let info = &request.certification_request_info;
        if info.version.0 != 0 {
            return Err(Error::MalformedCsr("its version is not 1"));
        }
        let public_key = PublicKey::from_spki_der(info.subject_pki.raw)?;
        signature::verify(&request.signature_algorithm, &request.signature_value, info.raw, &public_key)?;
        let mut common_names = info.subject.iter_common_name();
        let common_name = match (common_names.next(), common_names.next()) {
            (Some(name), None) => name.as_str().ok().map(str::to_owned),
            _ => None,
        };
        let mut requested_names = Vec::new();
        for attribute in info.iter_attributes() {
            if let ParsedCriAttribute::ExtensionRequest(requested) = attribute.parsed_attribute() {
                for extension in &requested.extensions {
                    read_extension(extension, &mut requested_names)?;
                }
            }
        }
        Ok(Self { public_key, common_name, requested_names, der: der.to_vec() })
    }
}

impl fmt::Debug for VerifiedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedRequest")
            .field("public_key", &self.public_key)
            .field("common_name", &self.common_name)
            .field("requested_names", &self.requested_names)
            .finish_non_exhaustive()
    }
}

/// Unknown extensions are passed over: Windows and Java send some with every request.
fn read_extension(extension: &X509Extension<'_>, names: &mut Vec<RequestedName>) -> Result<(), Error> {
    match extension.parsed_extension() {
        ParsedExtension::BasicConstraints(basic) if basic.ca => Err(Error::CaRequested("basicConstraints CA:TRUE")),
        ParsedExtension::KeyUsage(usage) if usage.key_cert_sign() => Err(Error::CaRequested("keyUsage keyCertSign")),
        ParsedExtension::KeyUsage(usage) if usage.crl_sign() => Err(Error::CaRequested("keyUsage cRLSign")),
        ParsedExtension::SubjectAlternativeName(requested) => {
            names.extend(requested.general_names.iter().map(RequestedName::read));
            Ok(())
        }
        // What cannot be read cannot be compared with the expected identity either.
        ParsedExtension::ParseError { .. } => Err(Error::MalformedCsr("an extension that it asks for is damaged")),
        _ => Ok(()),
    }
}

impl RequestedName {
    pub(crate) fn read(name: &GeneralName<'_>) -> Self {
        match name {
            GeneralName::URI(uri) => Self::Uri((*uri).into()),
            GeneralName::DNSName(name) => Self::Dns((*name).into()),
            GeneralName::RFC822Name(name) => Self::Email((*name).into()),
            GeneralName::IPAddress(octets) => Self::Ip(octets.to_vec()),
            _ => Self::Other,
        }
    }
}

impl fmt::Display for RequestedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(uri) => write!(f, "URI:{}", text::shown(uri)),
            Self::Dns(name) => write!(f, "DNS:{}", text::shown(name)),
            Self::Email(name) => write!(f, "email:{}", text::shown(name)),
            Self::Ip(octets) => {
                f.write_str("IP:")?;
                text::write_hex(f, octets)
            }
            Self::Other => f.write_str("other"),
        }
    }
}
