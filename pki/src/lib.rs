//! A private certificate authority as pure functions: bytes, keys, random serial octets and the time in, DER out.
//!
//! Nothing here reads a clock, a file or the network. Randomness is used only inside key generation, signatures and encryption.
//!
//! # The life of a certificate
//!
//! 1. **Authorities.** [`Issuer::self_signed`] makes the root, [`Issuer::subordinate`] the authorities below it: one for clients,
//!    one for the gateway's own servers. [`Issuer::load`] takes them up again after a restart, or imports foreign ones, and
//!    proves that what they issue chains. An authority signs by a [`Signer`]: a [`PrivateKey`], kept by
//!    [`PrivateKey::encrypt`] and [`PrivateKey::decrypt`], or a key that lies elsewhere (PKCS#11).
//! 2. **Request.** A partner makes a key and sends PKCS#10. [`VerifiedRequest::parse`] checks that the sender holds the key and
//!    asks for nothing improper; [`VerifiedRequest::check_identity`] that it is for whom it was invited to be.
//! 3. **Decision.** The caller writes a [`LeafRequest`]: name, [`SpiffeId`], lifetime and the key, and nothing else from the
//!    request. A [`Profile`] says what a certificate of that kind may be.
//! 4. **Preparation.** [`Issuer::prepare`] checks all of it, lays the certificate out, and reads it back with a second parser.
//!    Nothing is signed yet. The caller stores [`Prepared::tbs_der`] durably.
//! 5. **Signature.** [`Issuer::lint`] signs those octets under a throw-away key and judges the result ([`lint()`]);
//!    [`Issuer::sign_linted`] then signs exactly them and gives the [`IssuedCertificate`]. [`Issuer::sign`] does both. [`pkcs12`]
//!    packs it with its key for clients that need one file.
//! 6. **Use.** For every connection the gate reads the peer's leaf with [`ClientCertificate::parse`] and looks up (issuer key id,
//!    serial) among what was issued.
//! 7. **End.** It expires, or it is revoked for a [`RevocationReason`]; [`Issuer::sign_crl`] tells others,
//!    [`Issuer::draft_crl`] where the list may be long, and an [`OcspSigner`] tells whoever asks about one.
//!
//! # Example
//!
//! ```
//! use pki::{
//!     ClientCertificate, DistributionPoints, Identity, Issuer, KeyAlgorithm, LeafRequest, PrivateKey, Profile, ProfileKind,
//!     Serial,
//! };
//!
//! # fn main() -> Result<(), pki::Error> {
//! # let random = || { let mut octets = [0; 16]; aws_lc_rs::rand::fill(&mut octets).unwrap(); octets };
//! let now = time::OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
//! let root = Issuer::self_signed(
//!     &Profile::builtin(ProfileKind::Root),
//!     "Example Root",
//!     PrivateKey::generate(KeyAlgorithm::EcdsaP384)?,
//!     Serial::from_random(random()),
//!     now,
//! )?;
//! let issuing = Issuer::subordinate(
//!     &root,
//!     &Profile::builtin(ProfileKind::Issuing),
//!     "Example Clients",
//!     PrivateKey::generate(KeyAlgorithm::EcdsaP256)?,
//!     Serial::from_random(random()),
//!     &DistributionPoints::default(),
//!     now,
//! )?;
//! let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
//! let request = LeafRequest {
//!     common_name: "acme-orders".into(),
//!     organization: Some("Acme".into()),
//!     identity: Identity::Client("spiffe://api.example.com/partner/acme/client/acme-orders".parse()?),
//!     public_key: key.public_key().clone(),
//!     lifetime: None,
//! };
//! let profile = Profile::builtin(ProfileKind::Client);
//! let prepared =
//!     issuing.prepare(&profile, request, Serial::from_random(random()), &DistributionPoints::default(), now)?;
//! let issued = issuing.sign(prepared)?;
//!
//! let seen = ClientCertificate::parse(&issued.der)?;
//! assert_eq!(seen.issuer_key_id.as_ref(), Some(issuing.key_id()));
//! assert_eq!(seen.serial, issued.serial);
//! # Ok(())
//! # }
//! ```

mod authority_access;
mod ca_certificate;
mod certificate;
mod client_certificate;
mod cms;
mod crl;
mod csr;
mod der;
mod distribution_points;
mod error;
mod issuer;
mod key;
mod key_id;
mod leaf_request;
mod link;
mod lint;
mod name;
mod ocsp;
mod path;
mod pem;
mod pkcs12;
mod profile;
mod renewal_request;
mod request_body;
mod revocation;
mod revocation_list;
mod same_names;
mod serial;
mod signature;
mod signer;
mod spiffe_id;
mod subject_names;
mod text;
mod thumbprint;

pub use authority_access::{AuthorityAddresses, authority_addresses};
pub use ca_certificate::CaCertificate;
pub use certificate::IssuedCertificate;
pub use client_certificate::ClientCertificate;
pub use cms::{certs_only_cms, csr_attributes};
pub use crl::{Crl, CrlDraft, CrlRequest, CrlTerms, CrlToSign, SignedCrl};
pub use csr::{RequestedName, VerifiedRequest};
pub use distribution_points::DistributionPoints;
pub use error::Error;
pub use issuer::{Issuer, Linted, Prepared, authority_request};
pub use key::{KeyAlgorithm, PrivateKey, PublicKey};
pub use key_id::KeyId;
pub use leaf_request::{Identity, LeafRequest};
pub use link::{is_issued_by, issuer_name, may_sign_certificates, raw_names};
pub use lint::lint;
pub use name::AuthorityName;
pub use ocsp::{
    CertificateId, OcspAnswer, OcspIssuer, OcspQuery, OcspRefusal, OcspReply, OcspRequest, OcspSigner, OcspStatus,
};
pub use path::{PATH_INTERMEDIATES_MAX, Path, PathAuthority, check_foreign_leaf, find_paths};
pub use pem::{PemCrl, pem_certificate, pem_certificates, pem_crl, pem_request};
pub use pkcs12::pkcs12;
pub use profile::{
    BasicConstraintsConfig, ExtendedKeyUsage, KeyChange, KeyUsage, Profile, ProfileConfig, ProfileKind, RenewalConfig,
    ValidityConfig,
};
pub use renewal_request::renewal_request;
pub use request_body::request_in_body;
pub use revocation::{RevocationReason, RevokedEntry};
pub use revocation_list::{
    CoveredCertificate, Revocation, RevocationList, VerifiedRevocationList, distribution_addresses,
};
pub use same_names::check_same_names;
pub use serial::Serial;
pub use signer::{Signer, ecdsa_signature_der};
pub use spiffe_id::SpiffeId;
pub use subject_names::SubjectNames;
pub use text::read_hex;
pub use thumbprint::{SpkiFingerprint, Thumbprint};
