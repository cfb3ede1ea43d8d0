//! The crate's one error.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Why a certificate, key, request or list was refused.
///
/// [`Error::code`] is stable and meant for programs; the message says what to do and is meant for people. Neither ever holds a
/// private key or a passphrase. Text that came from outside is escaped and cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("the serial number is not valid: {0}")]
    InvalidSerial(&'static str),
    #[error("the serial number has {octets} octets: give 16 random octets, so that it cannot be guessed or repeat")]
    WeakSerial { octets: usize },
    #[error("not a SHA-256 thumbprint: give 64 hexadecimal digits, with or without colons")]
    InvalidThumbprint,
    #[error("not a key identifier: give 1 to 64 octets in hexadecimal, with or without colons")]
    InvalidKeyId,
    #[error("`{text}` is not an identity: {why}; write spiffe://<trust-domain>/partner/<partner>/client/<client>")]
    InvalidSpiffeId { text: String, why: &'static str },
    #[error("`{text}` is not a usable name: {why}")]
    InvalidName { text: String, why: &'static str },
    #[error("`{text}` is not a usable address: {why}")]
    InvalidUrl { text: String, why: &'static str },
    #[error("`{text}` is not a usable server name: {why}")]
    InvalidServerName { text: String, why: &'static str },
    #[error("`{0}` is not a key algorithm: use ecdsa-p256, ecdsa-p384, ed25519, rsa-2048, rsa-3072 or rsa-4096")]
    UnknownAlgorithm(String),
    #[error("`{0}` is not a revocation reason of RFC 5280: use for example key-compromise, superseded or unspecified")]
    UnknownReason(String),
    #[error("the profile is not usable: {0}")]
    InvalidProfile(String),
    #[error("the time is outside what a certificate can carry (1950 to 9999)")]
    InvalidTime,

    #[error("the key is too weak or of a kind that is not accepted: {0}")]
    WeakKey(String),
    #[error("the key cannot be read: {0}")]
    MalformedKey(&'static str),
    #[error("the key cannot be opened: the passphrase is wrong or the file is damaged")]
    WrongPassphrase,
    #[error("the passphrase is empty: give one, or keep the key in a key store")]
    EmptyPassphrase,
    #[error("{algorithm} keys are not allowed by the {profile} profile: use {allowed}")]
    KeyNotAllowed { algorithm: &'static str, profile: &'static str, allowed: String },
    #[error("the private key does not belong to the certificate: check that both files are of the same generation")]
    KeyMismatch,
    #[error(
        "this key already belongs to the issuing authority: make a new key for each certificate authority and client"
    )]
    KeyReused,

    #[error("the PEM text cannot be read: {0}")]
    MalformedPem(&'static str),
    #[error("{what} is larger than {limit}")]
    TooLarge { what: &'static str, limit: &'static str },
    #[error("a private key was sent: nobody but its owner may have it, so make a new key and send only the request")]
    PrivateKeySent,
    #[error("the certificate cannot be read: {0}")]
    MalformedCertificate(&'static str),

    #[error("the certificate request cannot be read: {0}")]
    MalformedCsr(&'static str),
    #[error(
        "the request's signature does not verify, so possession of the private key is not proved: sign it with its own key"
    )]
    PossessionNotProved,
    #[error("the request is signed with {0}: sign it again with SHA-256 or better (openssl req -sha256)")]
    WeakSignature(&'static str),
    #[error("the request asks for an authority ({0}): leave it out, only client certificates are issued")]
    CaRequested(&'static str),
    #[error("the request asks for `{asked}`, but it is for {expected}: send no URI name, or exactly that one")]
    IdentityMismatch { asked: String, expected: String },
    #[error(
        "the request's {what} is `{asked}`, the certificate's is `{current}`: a renewal repeats both (RFC 7030 §4.2.2)"
    )]
    NamesDiffer { what: &'static str, asked: String, current: String },
    #[error(
        "the request asks for `{asked}`, which is not granted: leave the subjectAltName out, or name exactly {expected}"
    )]
    NameNotAllowed { asked: String, expected: String },

    #[error("the profile is for {profile} certificates, the request is for a {request} certificate")]
    ProfileMismatch { profile: &'static str, request: &'static str },
    #[error("{asked} seconds were asked for, the profile allows at most {max}")]
    LifetimeTooLong { asked: i64, max: i64 },
    #[error("the lifetime must be at least one whole second")]
    InvalidLifetime,
    #[error("the issuing authority ends at {}: rotate it before issuing", rfc3339(.not_after))]
    OutlivesIssuer { not_after: OffsetDateTime },
    #[error("the issuing authority is not valid before {}: check the clock", rfc3339(.not_before))]
    IssuerNotYetValid { not_before: OffsetDateTime },
    #[error("the authority may not issue {0} certificates: its own certificate does not allow it")]
    IssuerNotPermitted(&'static str),
    #[error("the certificate is not usable as an authority: {0}")]
    NotAnAuthority(String),
    #[error("the certificate was prepared for another authority")]
    WrongIssuer,
    #[error("the authority may not sign revocation lists: its certificate lacks cRLSign")]
    CrlNotPermitted,
    #[error("the revocation list is not usable: {0}")]
    InvalidCrl(&'static str),
    #[error("`{0}` can be taken back, and a revocation here cannot: use another reason")]
    ReasonNotPermanent(&'static str),

    #[error("the OCSP message cannot be read: {0}")]
    MalformedOcsp(&'static str),
    #[error("the OCSP answer counts for nothing: {0}")]
    OcspNotBelieved(&'static str),
    #[error("the OCSP signer is not usable: {0}")]
    UnusableOcspSigner(&'static str),

    #[error("the PKCS#12 file cannot be made: {0}")]
    Pkcs12(&'static str),
    #[error("the key does not sign: {0}")]
    Signer(String),
    #[error("cryptography failed while {0}")]
    Crypto(&'static str),
    #[error("the certificate that was built is not what was asked for ({0}); nothing was signed")]
    Lint(&'static str),
}

impl Error {
    /// A stable snake_case name for programs, logs and answers.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidSerial(_) => "invalid_serial",
            Self::WeakSerial { .. } => "weak_serial",
            Self::InvalidThumbprint => "invalid_thumbprint",
            Self::InvalidKeyId => "invalid_key_id",
            Self::InvalidSpiffeId { .. } => "invalid_identity",
            Self::InvalidName { .. } => "invalid_name",
            Self::InvalidUrl { .. } => "invalid_url",
            Self::InvalidServerName { .. } => "invalid_server_name",
            Self::UnknownAlgorithm(_) => "unknown_algorithm",
            Self::UnknownReason(_) => "unknown_reason",
            Self::InvalidProfile(_) => "invalid_profile",
            Self::InvalidTime => "invalid_time",
            Self::WeakKey(_) => "weak_key",
            Self::MalformedKey(_) => "malformed_key",
            Self::WrongPassphrase => "wrong_passphrase",
            Self::EmptyPassphrase => "empty_passphrase",
            Self::KeyNotAllowed { .. } => "key_not_allowed",
            Self::KeyMismatch => "key_mismatch",
            Self::KeyReused => "key_reused",
            Self::MalformedPem(_) => "malformed_pem",
            Self::TooLarge { .. } => "too_large",
            Self::PrivateKeySent => "private_key_sent",
            Self::MalformedCertificate(_) => "malformed_certificate",
            Self::MalformedCsr(_) => "malformed_csr",
            Self::PossessionNotProved => "possession_not_proved",
            Self::WeakSignature(_) => "weak_signature",
            Self::CaRequested(_) => "ca_requested",
            Self::IdentityMismatch { .. } => "identity_mismatch",
            Self::NamesDiffer { .. } => "names_differ",
            Self::NameNotAllowed { .. } => "name_not_allowed",
            Self::ProfileMismatch { .. } => "profile_mismatch",
            Self::LifetimeTooLong { .. } => "lifetime_too_long",
            Self::InvalidLifetime => "invalid_lifetime",
            Self::OutlivesIssuer { .. } => "outlives_issuer",
            Self::IssuerNotYetValid { .. } => "issuer_not_yet_valid",
            Self::IssuerNotPermitted(_) => "issuer_not_permitted",
            Self::NotAnAuthority(_) => "not_an_authority",
            Self::WrongIssuer => "wrong_issuer",
            Self::CrlNotPermitted => "crl_not_permitted",
            Self::InvalidCrl(_) => "invalid_crl",
            Self::ReasonNotPermanent(_) => "reason_not_permanent",
            Self::MalformedOcsp(_) => "malformed_ocsp",
            Self::OcspNotBelieved(_) => "ocsp_not_believed",
            Self::UnusableOcspSigner(_) => "unusable_ocsp_signer",
            Self::Pkcs12(_) => "pkcs12_failed",
            Self::Signer(_) => "signer_failed",
            Self::Crypto(_) => "crypto_failed",
            Self::Lint(_) => "lint_failed",
        }
    }
}

fn rfc3339(time: &OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}
