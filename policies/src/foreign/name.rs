//! One name in its one form.

use std::fmt;

/// Longest name that is looked at, in bytes.
const MAX_NAME_BYTES: usize = 1_024;

/// Where in a certificate a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameKind {
    /// subjectAltName, dNSName.
    Dns,
    /// subjectAltName, uniformResourceIdentifier.
    Uri,
    /// subjectAltName, rfc822Name.
    Email,
    /// The subject's common name.
    CommonName,
}

impl NameKind {
    /// The word before the colon in rules.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Uri => "uri",
            Self::Email => "email",
            Self::CommonName => "cn",
        }
    }

    /// Splits `uri:spiffe://…` into its kind and the rest.
    pub(super) fn split(text: &str) -> Option<(Self, &str)> {
        let (word, rest) = text.split_once(':')?;
        let kinds = [Self::Dns, Self::Uri, Self::Email, Self::CommonName];
        kinds.into_iter().find(|kind| kind.as_str() == word).map(|kind| (kind, rest))
    }
}

/// A name from a certificate, in normal form: a comparison of two is a comparison of bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ForeignName {
    kind: NameKind,
    text: String,
}

impl ForeignName {
    /// Takes a name that is in normal form, or that has only one: host names lose their capitals.
    ///
    /// # Errors
    /// A sentence for people. Wildcards, percent escapes, dot segments, empty segments, queries, ports, user parts and
    /// characters outside ASCII are refused: with any of them two texts could mean one client, or one text many
    /// (GHSA-59w7-v8rr-pr4p: a wildcard in an identity).
    pub fn new(kind: NameKind, text: &str) -> Result<Self, String> {
        let fault = |why: &str| Err(format!("the {} name {:?} {why}", kind.as_str(), shown(text)));
        if text.is_empty() || text.len() > MAX_NAME_BYTES {
            return fault("is empty or too long");
        }
        let text = match kind {
            NameKind::Dns => match host(text) {
                Some(host) => host,
                None => return fault("is not a host name without wildcard"),
            },
            NameKind::Uri if is_normal_uri(text) => text.to_owned(),
            NameKind::Uri => return fault("is not a URI in normal form"),
            NameKind::Email => match text.split_once('@').map(|(local, domain)| (local, host(domain))) {
                Some((local, Some(domain))) if is_word(local, b"._+-") => format!("{local}@{domain}"),
                _ => return fault("is not a plain address"),
            },
            NameKind::CommonName if is_word(text, b"._+- ") && text.trim() == text => text.to_owned(),
            NameKind::CommonName => return fault("holds more than letters, digits, spaces and . _ + -"),
        };
        Ok(Self { kind, text })
    }

    /// Where it stood.
    #[must_use]
    pub fn kind(&self) -> NameKind {
        self.kind
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for ForeignName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.text)
    }
}

/// Names come from a stranger and go into logs.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

fn is_word(text: &str, more: &[u8]) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
}

/// A host name (RFC 1123 §2.1) in lower case; `None` for anything else, wildcards and final dots among it.
pub(super) fn host(text: &str) -> Option<String> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && is_word(label, b"-_") && !label.starts_with('-') && !label.ends_with('-')
    };
    // A last label of digits makes an address, which is a name of another kind.
    let is_name = text.rsplit('.').next().is_some_and(|last| !last.bytes().all(|byte| byte.is_ascii_digit()));
    (text.len() <= 253 && is_name && text.split('.').all(is_label)).then(|| text.to_ascii_lowercase())
}

/// `scheme://host/segment/…` or `urn:nid:part:…`, with nothing in it that a reader could resolve to something else.
fn is_normal_uri(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix("urn:") {
        return rest.contains(':') && rest.split(':').all(is_segment);
    }
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
    let is_scheme = scheme.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_authority = host(authority).is_some_and(|host| host == authority);
    is_scheme && is_authority && path.is_none_or(|path| path.split('/').all(is_segment))
}

fn is_segment(segment: &str) -> bool {
    is_word(segment, b"._~-") && !segment.bytes().all(|byte| byte == b'.')
}
