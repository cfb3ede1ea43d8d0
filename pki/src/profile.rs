//! What each kind of certificate may say.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::Duration;

use crate::error::Error;
use crate::key::KeyAlgorithm;

/// The kinds of certificates that are issued, written in kebab-case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileKind {
    /// The trust anchor: signs issuing authorities only.
    Root,
    /// Issues client certificates and the signer of their OCSP answers.
    Issuing,
    /// Issues the gateway's own server certificates and the signer of their OCSP answers. Apart from `Issuing`, so that neither authority can stand in for the other.
    ServerIssuing,
    /// The gateway's server certificate.
    Server,
    /// A partner's client certificate.
    Client,
    /// The signer of OCSP answers (RFC 6960 §4.2.2.2).
    Ocsp,
    /// A root under another root, while one follows the other.
    Cross,
}

/// A keyUsage bit (RFC 5280 §4.2.1.3) that some profile sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyUsage {
    DigitalSignature,
    KeyCertSign,
    CrlSign,
}

/// An extended key usage (RFC 5280 §4.2.1.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExtendedKeyUsage {
    ServerAuth,
    ClientAuth,
    OcspSigning,
    /// anyExtendedKeyUsage: read from foreign certificates, never issued.
    Any,
    /// One that plays no part here: read from foreign certificates, never issued.
    Other,
}

/// A profile as it stands in a TOML file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileConfig {
    pub kind: ProfileKind,
    pub validity: ValidityConfig,
    pub basic_constraints: BasicConstraintsConfig,
    pub key_usage: Vec<KeyUsage>,
    #[serde(default)]
    pub extended_key_usage: Vec<ExtendedKeyUsage>,
    /// The kinds of keys that may be certified.
    pub key_algorithms: Vec<KeyAlgorithm>,
    #[serde(default)]
    pub renewal: RenewalConfig,
}

/// How a certificate of this kind is renewed with itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewalConfig {
    #[serde(default)]
    pub key_change: KeyChange,
}

/// Whether a renewed certificate may be for the key of the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyChange {
    /// A new key each time: then a key that leaked unnoticed ends with its certificate.
    #[default]
    Required,
    /// The old key will do: for key stores that cannot make a second one.
    Allowed,
}

impl KeyChange {
    /// The kebab-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Allowed => "allowed",
        }
    }
}

/// How long certificates live, in whole seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidityConfig {
    /// When the request does not say.
    pub default_seconds: u32,
    /// The most a request may ask for.
    pub max_seconds: u32,
    /// How far notBefore lies in the past, for clients whose clock is behind.
    #[serde(default = "five_minutes")]
    pub backdate_seconds: u32,
}

/// RFC 5280 §4.2.1.9.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicConstraintsConfig {
    pub ca: bool,
    pub path_length: Option<u8>,
}

fn five_minutes() -> u32 {
    300
}

/// A checked profile.
///
/// A file may choose lifetimes and key algorithms. What a kind of certificate *is* (authority or not, key usages) must stand in
/// the file, so that an auditor can read it, but cannot be loosened there: a client certificate that is also a server's lets a
/// partner impersonate the gateway to other partners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile(ProfileConfig);

impl Profile {
    /// The profile of this kind that is compiled in.
    #[allow(clippy::expect_used, reason = "the files are compiled in and a test reads each one")]
    pub fn builtin(kind: ProfileKind) -> Self {
        let toml = match kind {
            ProfileKind::Root => include_str!("../profiles/root.toml"),
            ProfileKind::Issuing => include_str!("../profiles/issuing.toml"),
            ProfileKind::ServerIssuing => include_str!("../profiles/server-issuing.toml"),
            ProfileKind::Server => include_str!("../profiles/server.toml"),
            ProfileKind::Client => include_str!("../profiles/client.toml"),
            ProfileKind::Ocsp => include_str!("../profiles/ocsp.toml"),
            ProfileKind::Cross => include_str!("../profiles/cross.toml"),
        };
        Self::from_toml(toml).expect("compiled-in profile")
    }

    /// Reads a profile from TOML text.
    ///
    /// # Errors
    /// [`Error::InvalidProfile`] with the line for a syntax error or an unknown field, and for what [`Profile::new`] refuses.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let config = toml::from_str(text).map_err(|error| Error::InvalidProfile(error.to_string()))?;
        Self::new(config)
    }

    /// Checks a profile.
    ///
    /// # Errors
    /// [`Error::InvalidProfile`] when a usage differs from what the kind demands, a lifetime is zero, above its maximum or above
    /// what the kind can bear, or no key algorithm is allowed.
    pub fn new(config: ProfileConfig) -> Result<Self, Error> {
        let refuse = |why: String| Err(Error::InvalidProfile(format!("{}: {why}", config.kind)));
        let rules = config.kind.rules();
        if config.basic_constraints
            != (BasicConstraintsConfig { ca: rules.path_length.is_some(), path_length: rules.path_length })
        {
            return refuse(match rules.path_length {
                Some(length) => format!("basic_constraints must be ca = true with path_length = {length}"),
                None => "basic_constraints must be ca = false without path_length".into(),
            });
        }
        if config.key_usage != rules.key_usage {
            return refuse(format!("key_usage must be exactly {:?}", rules.key_usage));
        }
        if config.extended_key_usage != rules.extended_key_usage {
            return refuse(format!("extended_key_usage must be exactly {:?}", rules.extended_key_usage));
        }
        let ValidityConfig { default_seconds, max_seconds, backdate_seconds } = config.validity;
        if default_seconds == 0 || default_seconds > max_seconds {
            return refuse("default_seconds must be at least 1 and at most max_seconds".into());
        }
        if max_seconds > rules.max_days * 86_400 {
            return refuse(format!("max_seconds must be at most {} days", rules.max_days));
        }
        if backdate_seconds > 3600 {
            return refuse("backdate_seconds must be at most 3600".into());
        }
        if config.key_algorithms.is_empty() {
            return refuse("key_algorithms is empty".into());
        }
        Ok(Self(config))
    }

    /// Its kind.
    pub fn kind(&self) -> ProfileKind {
        self.0.kind
    }

    /// The lifetime when the request does not say.
    pub fn default_lifetime(&self) -> Duration {
        Duration::seconds(self.0.validity.default_seconds.into())
    }

    /// The longest lifetime that may be asked for.
    pub fn max_lifetime(&self) -> Duration {
        Duration::seconds(self.0.validity.max_seconds.into())
    }

    /// How far notBefore lies before `now`.
    pub fn backdate(&self) -> Duration {
        Duration::seconds(self.0.validity.backdate_seconds.into())
    }

    /// The keyUsage bits, which are always critical.
    pub fn key_usage(&self) -> &[KeyUsage] {
        &self.0.key_usage
    }

    /// The extended key usages; empty for a root, which may be used for all.
    pub fn extended_key_usage(&self) -> &[ExtendedKeyUsage] {
        &self.0.extended_key_usage
    }

    /// pathLenConstraint of an authority; `None` for a certificate that is none.
    pub fn path_length(&self) -> Option<u8> {
        self.0.basic_constraints.path_length
    }

    /// The kinds of keys that may be certified.
    pub fn key_algorithms(&self) -> &[KeyAlgorithm] {
        &self.0.key_algorithms
    }

    /// Whether a renewal must bring a new key.
    pub fn key_change(&self) -> KeyChange {
        self.0.renewal.key_change
    }

    /// The text that was read.
    pub fn config(&self) -> &ProfileConfig {
        &self.0
    }

    pub(crate) fn check_key(&self, algorithm: KeyAlgorithm) -> Result<(), Error> {
        if self.key_algorithms().contains(&algorithm) {
            return Ok(());
        }
        let allowed: Vec<&str> = self.key_algorithms().iter().map(|algorithm| algorithm.as_str()).collect();
        Err(Error::KeyNotAllowed {
            algorithm: algorithm.as_str(),
            profile: self.kind().as_str(),
            allowed: allowed.join(", "),
        })
    }

    /// The lifetime to grant: what was asked for, or the default.
    pub(crate) fn lifetime(&self, asked: Option<Duration>) -> Result<Duration, Error> {
        let lifetime = asked.unwrap_or(self.default_lifetime());
        if lifetime < Duration::SECOND {
            return Err(Error::InvalidLifetime);
        }
        if lifetime > self.max_lifetime() {
            let (asked, max) = (lifetime.whole_seconds(), self.max_lifetime().whole_seconds());
            return Err(Error::LifetimeTooLong { asked, max });
        }
        Ok(Duration::seconds(lifetime.whole_seconds()))
    }
}

struct Rules {
    path_length: Option<u8>,
    key_usage: &'static [KeyUsage],
    extended_key_usage: &'static [ExtendedKeyUsage],
    max_days: u32,
}

impl ProfileKind {
    /// All kinds.
    pub const ALL: [Self; 7] =
        [Self::Root, Self::Issuing, Self::ServerIssuing, Self::Server, Self::Client, Self::Ocsp, Self::Cross];

    /// The kebab-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Issuing => "issuing",
            Self::ServerIssuing => "server-issuing",
            Self::Server => "server",
            Self::Client => "client",
            Self::Ocsp => "ocsp",
            Self::Cross => "cross",
        }
    }

    fn rules(self) -> Rules {
        use ExtendedKeyUsage::{ClientAuth, OcspSigning, ServerAuth};
        const SIGN_OTHERS: &[KeyUsage] = &[KeyUsage::KeyCertSign, KeyUsage::CrlSign];
        const SIGN: &[KeyUsage] = &[KeyUsage::DigitalSignature];
        let (path_length, key_usage, extended_key_usage, max_days): (_, _, &'static [_], _) = match self {
            // One level of issuing authorities; and above them, during a change of roots, the root that follows.
            Self::Root => (Some(2), SIGN_OTHERS, &[], 25 * 366),
            Self::Cross => (Some(1), SIGN_OTHERS, &[], 25 * 366),
            Self::Issuing => (Some(0), SIGN_OTHERS, &[ClientAuth, OcspSigning], 10 * 366),
            Self::ServerIssuing => (Some(0), SIGN_OTHERS, &[ServerAuth, OcspSigning], 10 * 366),
            Self::Server => (None, SIGN, &[ServerAuth], 398),
            Self::Client => (None, SIGN, &[ClientAuth], 398),
            Self::Ocsp => (None, SIGN, &[OcspSigning], 90),
        };
        Rules { path_length, key_usage, extended_key_usage, max_days }
    }
}

impl fmt::Display for ProfileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
