//! How a caller proves itself.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::InvalidText;

/// One way to authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthMethod {
    /// A client certificate in the TLS handshake (RFC 8446 §4.4.2), `mutual_tls`.
    MutualTls,
    /// A key in the `X-API-Key` header (the API Gateway term), `api_key`.
    ApiKey,
    /// An OAuth 2.0 bearer token (RFC 6750), `bearer`.
    Bearer,
}

impl AuthMethod {
    /// All methods, in the order they are shown.
    pub const ALL: [Self; 3] = [Self::MutualTls, Self::ApiKey, Self::Bearer];

    /// The name in documents and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MutualTls => "mutual_tls",
            Self::ApiKey => "api_key",
            Self::Bearer => "bearer",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::MutualTls => 1,
            Self::ApiKey => 2,
            Self::Bearer => 4,
        }
    }
}

impl fmt::Display for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for AuthMethod {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|method| method.as_str() == text)
            .ok_or_else(|| InvalidText::new("authentication method", text, "one of mutual_tls, api_key, bearer"))
    }
}

impl Serialize for AuthMethod {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for AuthMethod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A set of methods: what one request proved, or one alternative that a route accepts.
///
/// In JSON a list of names; on screen `mutual_tls+api_key`, or `none`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthMethodSet(u8);

impl AuthMethodSet {
    /// No method at all.
    pub const EMPTY: Self = Self(0);

    /// The set of one method.
    #[must_use]
    pub const fn only(method: AuthMethod) -> Self {
        Self(method.bit())
    }

    /// This set and `method`.
    #[must_use]
    pub const fn with(self, method: AuthMethod) -> Self {
        Self(self.0 | method.bit())
    }

    /// Whether `method` is in it.
    #[must_use]
    pub const fn contains(self, method: AuthMethod) -> bool {
        self.0 & method.bit() != 0
    }

    /// Whether every method of `other` is in this set.
    #[must_use]
    pub const fn is_superset(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it holds no method.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Number of methods.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The methods, in the order of [`AuthMethod::ALL`].
    pub fn iter(self) -> impl Iterator<Item = AuthMethod> {
        AuthMethod::ALL.into_iter().filter(move |method| self.contains(*method))
    }
}

impl FromIterator<AuthMethod> for AuthMethodSet {
    fn from_iter<I: IntoIterator<Item = AuthMethod>>(methods: I) -> Self {
        methods.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl From<AuthMethod> for AuthMethodSet {
    fn from(method: AuthMethod) -> Self {
        Self::only(method)
    }
}

impl fmt::Display for AuthMethodSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (position, method) in self.iter().enumerate() {
            let separator = if position == 0 { "" } else { "+" };
            write!(f, "{separator}{method}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for AuthMethodSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for AuthMethodSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for AuthMethodSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<AuthMethod>::deserialize(deserializer)?.into_iter().collect())
    }
}
