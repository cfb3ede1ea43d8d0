//! From a name to a client: `uri:spiffe://acme.example/orders=acme-orders`, or with a template
//! `dns:{name}.m2m.acme.example=acme-{name}`.

use std::fmt;
use std::str::FromStr;

use super::name::{ForeignName, NameKind};
use super::permitted::PermittedName;
use crate::client::ClientId;
use crate::text::InvalidText;

/// What stands for the variable part, at most once on each side.
const PLACE: &str = "{name}";
/// What the place is filled with to see whether a template makes a name at all.
const SAMPLE: &str = "x";

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    name: Pattern,
    client: Target,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Exactly(ForeignName),
    /// The place lies between these two, inside one segment, label, mailbox or common name.
    Around {
        kind: NameKind,
        before: String,
        after: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Client(ClientId),
    Around { before: String, after: String },
}

impl Mapping {
    pub(super) fn kind(&self) -> NameKind {
        match &self.name {
            Pattern::Exactly(name) => name.kind(),
            Pattern::Around { kind, .. } => *kind,
        }
    }

    /// The client that `name` means by this rule; `None` when the rule is about other names.
    ///
    /// # Errors
    /// The text that the template made, when it is no client id.
    pub(super) fn client_of(&self, name: &ForeignName) -> Option<Result<ClientId, String>> {
        let filling = self.name.filling(name)?;
        Some(match &self.client {
            Target::Client(client) => Ok(client.clone()),
            Target::Around { before, after } => {
                let text = format!("{before}{filling}{after}");
                text.parse().map_err(|_| text)
            }
        })
    }

    pub(super) fn exact_client(&self) -> Option<&ClientId> {
        match &self.client {
            Target::Client(client) => Some(client),
            Target::Around { .. } => None,
        }
    }

    /// Common names are bounded by their rule alone.
    pub(super) fn is_within(&self, permitted: &[PermittedName]) -> bool {
        if self.kind() == NameKind::CommonName {
            return true;
        }
        let sample = self.name.sample();
        sample.is_some_and(|name| permitted.iter().any(|permitted| permitted.contains(&name)))
    }

    pub(super) fn same_name(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Pattern {
    /// What stands in the place; the empty text for a pattern without one.
    fn filling<'a>(&self, name: &'a ForeignName) -> Option<&'a str> {
        match self {
            Self::Exactly(exact) => (exact == name).then_some(""),
            Self::Around { kind, before, after } => {
                let rest = (*kind == name.kind()).then(|| name.as_str().strip_prefix(before.as_str()))??;
                // One segment and no more: `a/b` in the place of one name would let an authority reach past its own.
                rest.strip_suffix(after.as_str()).filter(|filling| {
                    !filling.is_empty()
                        && !filling.contains(['/', ':', '@', ' '])
                        && (*kind != NameKind::Dns || !filling.contains('.'))
                })
            }
        }
    }

    fn sample(&self) -> Option<ForeignName> {
        match self {
            Self::Exactly(name) => Some(name.clone()),
            Self::Around { kind, before, after } => ForeignName::new(*kind, &format!("{before}{SAMPLE}{after}")).ok(),
        }
    }

    fn read(kind: NameKind, text: &str) -> Option<Self> {
        let Some((before, after)) = split_once_only(text)? else {
            return ForeignName::new(kind, text).ok().map(Self::Exactly);
        };
        let pattern = Self::Around { kind, before: before.to_owned(), after: after.to_owned() };
        let sample = pattern.sample()?;
        // Normal form changes nothing in a template (capitals in a host would never match), and the part that says whose
        // name it is stands fixed: the host of a URI or a mailbox, two labels of a domain.
        let fixed = match kind {
            NameKind::Dns => after.matches('.').count() >= 2,
            NameKind::Uri if before.starts_with("urn:") => before.matches(':').count() >= 2,
            NameKind::Uri => before.matches('/').count() >= 3,
            NameKind::Email => after.contains('@'),
            NameKind::CommonName => true,
        };
        (fixed && sample.as_str() == format!("{before}{SAMPLE}{after}")).then_some(pattern)
    }
}

impl Target {
    fn read(text: &str) -> Option<Self> {
        Some(match split_once_only(text)? {
            None => Self::Client(text.parse().ok()?),
            Some((before, after)) => {
                format!("{before}{SAMPLE}{after}").parse::<ClientId>().ok()?;
                Self::Around { before: before.to_owned(), after: after.to_owned() }
            }
        })
    }
}

/// The text around the place; `Some(None)` without one, `None` with two or with stray braces.
fn split_once_only(text: &str) -> Option<Option<(&str, &str)>> {
    let stray = |text: &str| text.contains(['{', '}']);
    match text.split_once(PLACE) {
        None => (!stray(text)).then_some(None),
        Some((before, after)) => (!stray(before) && !stray(after)).then_some(Some((before, after))),
    }
}

impl FromStr for Mapping {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let read = || {
            // No client id holds a '='.
            let (name, client) = text.rsplit_once('=')?;
            let (kind, name) = NameKind::split(name)?;
            let mapping = Self { name: Pattern::read(kind, name)?, client: Target::read(client)? };
            // A client that varies needs a name that varies, and the other way round one client for all names is as good
            // as none: whoever the authority certifies would be that client.
            let varies = matches!(mapping.name, Pattern::Around { .. });
            (varies == matches!(mapping.client, Target::Around { .. })).then_some(mapping)
        };
        read().ok_or_else(|| {
            let expected = "kind:name=client with kind dns, uri, email or cn, such as uri:spiffe://acme.example/orders=acme-orders; \
                            {name} may stand once on both sides, inside one label or segment behind a fixed host";
            InvalidText::new("mapping", text, expected)
        })
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Pattern::Exactly(name) => name.fmt(f)?,
            Pattern::Around { kind, before, after } => write!(f, "{}:{before}{PLACE}{after}", kind.as_str())?,
        }
        match &self.client {
            Target::Client(client) => write!(f, "={client}"),
            Target::Around { before, after } => write!(f, "={before}{PLACE}{after}"),
        }
    }
}
