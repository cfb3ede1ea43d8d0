//! What the gate reads from the certificate of a peer.

use x509_parser::certificate::X509CertificateParser;
use x509_parser::error::X509Error;
use x509_parser::extensions::{
    AuthorityKeyIdentifier, BasicConstraints, GeneralName, KeyUsage, SubjectAlternativeName, X509Extension,
};
use x509_parser::nom::Parser as _;
use x509_parser::oid_registry::{
    OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE,
    OID_X509_EXT_KEY_USAGE, OID_X509_EXT_SUBJECT_ALT_NAME,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::der::is_canonical_envelope;
use crate::error::Error;
use crate::issuer;
use crate::key::{self, KeyAlgorithm};
use crate::key_id::KeyId;
use crate::profile::ExtendedKeyUsage;
use crate::serial::Serial;
use crate::spiffe_id::SpiffeId;
use crate::thumbprint::{SpkiFingerprint, Thumbprint};

/// Shorter RSA keys are within reach of whoever wants in.
const RSA_BITS_MIN: usize = 2048;

/// A peer's leaf certificate, read but not believed: TLS has verified its chain, the register decides what it is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientCertificate {
    /// authorityKeyIdentifier.keyIdentifier. With the serial number it names the row of the register.
    pub issuer_key_id: Option<KeyId>,
    pub serial: Serial,
    /// SHA-256 of the DER; what a token is bound to (RFC 8705).
    pub thumbprint: Thumbprint,
    /// Seconds since 1970, the first that is valid.
    pub not_before: i64,
    /// Seconds since 1970, the last that is valid.
    pub not_after: i64,
    /// The identity, if the subjectAltName holds exactly one URI and that has our form.
    pub spiffe_id: Option<SpiffeId>,
    /// For people and for foreign certificates that are mapped by it; `None` if there is none or more than one.
    pub common_name: Option<String>,
    /// SHA-256 of the public key.
    pub spki_fingerprint: SpkiFingerprint,
    /// The kind of the key; `None` for kinds that are not issued here. Its strength is not checked again.
    pub key_algorithm: Option<KeyAlgorithm>,
    /// Whether it is an authority's certificate, which must not come as a client's.
    pub is_ca: bool,
    /// `None`: the extension is absent.
    pub extended_key_usage: Option<Vec<ExtendedKeyUsage>>,
    /// Whether its keyUsage, if there is one, has digitalSignature.
    may_sign: bool,
    /// Of an RSA key.
    modulus_bits: Option<usize>,
}

impl ClientCertificate {
    /// Reads the DER of a leaf. Takes a few microseconds.
    ///
    /// # Errors
    /// [`Error::MalformedCertificate`]: not X.509, trailing octets, a repeated extension, or one of the extensions read here is
    /// damaged; [`Error::InvalidSerial`].
    pub fn parse(der: &[u8]) -> Result<Self, Error> {
        // Only the extensions that are used are read: half the time would go into the others.
        let (rest, certificate) = X509CertificateParser::new()
            .with_deep_parse_extensions(false)
            .parse(der)
            .map_err(|_| Error::MalformedCertificate("it is not X.509"))?;
        if !rest.is_empty() || !is_canonical_envelope(der) {
            return Err(Error::MalformedCertificate("something follows it, or it is not DER"));
        }
        let mut parsed = Self {
            issuer_key_id: None,
            serial: Serial::from_der_integer(certificate.raw_serial())?,
            thumbprint: Thumbprint::of(der),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            spiffe_id: None,
            common_name: None,
            spki_fingerprint: SpkiFingerprint::of(certificate.public_key().raw),
            key_algorithm: key::kind_of(certificate.public_key()),
            is_ca: false,
            extended_key_usage: None,
            may_sign: true,
            modulus_bits: modulus_bits(certificate.public_key()),
        };
        let mut common_names = certificate.subject().iter_common_name();
        if let (Some(name), None) = (common_names.next(), common_names.next()) {
            parsed.common_name = name.as_str().ok().map(str::to_owned);
        }
        for (index, extension) in certificate.extensions().iter().enumerate() {
            // Two of one kind: verifiers differ on which of them counts.
            if certificate.extensions()[..index].iter().any(|earlier| earlier.oid == extension.oid) {
                return Err(Error::MalformedCertificate("an extension stands in it twice"));
            }
            parsed.read(extension)?;
        }
        Ok(parsed)
    }

    fn read(&mut self, extension: &X509Extension<'_>) -> Result<(), Error> {
        if extension.oid == OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER {
            let id: AuthorityKeyIdentifier<'_> = whole(extension.value)?;
            self.issuer_key_id = id.key_identifier.map(|id| KeyId::from_bytes(id.0)).transpose()?;
        } else if extension.oid == OID_X509_EXT_BASIC_CONSTRAINTS {
            self.is_ca = whole::<BasicConstraints>(extension.value)?.ca;
        } else if extension.oid == OID_X509_EXT_KEY_USAGE {
            self.may_sign = whole::<KeyUsage>(extension.value)?.digital_signature();
        } else if extension.oid == OID_X509_EXT_EXTENDED_KEY_USAGE {
            self.extended_key_usage = Some(issuer::extended_key_usages(&whole(extension.value)?));
        } else if extension.oid == OID_X509_EXT_SUBJECT_ALT_NAME {
            let names: SubjectAlternativeName<'_> = whole(extension.value)?;
            let mut uris = names.general_names.iter().filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            });
            // Exactly one, as the SPIFFE X.509-SVID demands: of two, one reader takes the first and another the last.
            if let (Some(uri), None) = (uris.next(), uris.next()) {
                self.spiffe_id = uri.parse().ok();
            }
        }
        Ok(())
    }

    /// Whether it is a leaf whose key may sign a handshake and is long enough to. TLS libraries do not ask when they verify a chain.
    ///
    /// # Errors
    /// A sentence: keyUsage without digitalSignature (RFC 8446 §4.4.2.2), or RSA shorter than 2048 bits.
    pub fn check_use(&self) -> Result<(), &'static str> {
        if self.is_ca {
            return Err("it is an authority's certificate, not a client's");
        }
        if !self.may_sign {
            return Err("the certificate's keyUsage lacks digitalSignature");
        }
        match self.modulus_bits {
            Some(bits) if bits < RSA_BITS_MIN => Err("the certificate's RSA key is shorter than 2048 bits"),
            _ => Ok(()),
        }
    }

    /// Whether the extended key usages are exactly clientAuth, as in everything issued here.
    pub fn is_client_only(&self) -> bool {
        self.extended_key_usage.as_deref() == Some(&[ExtendedKeyUsage::ClientAuth])
    }
}

fn modulus_bits(key: &SubjectPublicKeyInfo<'_>) -> Option<usize> {
    match key.parsed() {
        Ok(PublicKey::RSA(key)) => {
            let modulus = key.modulus.iter().position(|octet| *octet != 0).map(|start| &key.modulus[start..])?;
            let spare = modulus.first()?.leading_zeros() as usize;
            Some(modulus.len() * 8 - spare)
        }
        _ => None,
    }
}

/// Reads an extension's value to its last octet.
fn whole<'a, T: FromDer<'a, X509Error>>(value: &'a [u8]) -> Result<T, Error> {
    match T::from_der(value) {
        Ok(([], extension)) => Ok(extension),
        _ => Err(Error::MalformedCertificate("an extension is damaged")),
    }
}
