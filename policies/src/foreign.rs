//! Certificates of somebody else's authority: which names it may speak for here, and which client each name means.
//!
//! The authority is a partner's, and may be hostile or careless. So nothing that its certificates say is taken as it
//! stands: every name must be in normal form, every name must be one that the operator lets this authority use, and the
//! client follows from rules that the operator wrote, never from the certificate alone.

mod mapping;
mod name;
mod permitted;

use std::fmt;

use crate::client::ClientId;

pub use mapping::Mapping;
pub use name::{ForeignName, NameKind};
pub use permitted::PermittedName;

/// Most names in one certificate that are looked at; a certificate with more is refused.
pub const MAX_FOREIGN_NAMES: usize = 64;
/// Most permitted names, and most mappings, of one authority.
pub const MAX_FOREIGN_RULES: usize = 1_000;

/// The names of a certificate as they stand in it: read, not believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PresentedNames {
    /// dNSName (RFC 5280 §4.2.1.6).
    pub dns: Vec<String>,
    /// uniformResourceIdentifier.
    pub uris: Vec<String>,
    /// rfc822Name.
    pub emails: Vec<String>,
    /// How many names there are of other kinds: addresses, directory names, user principal names.
    pub others: usize,
    /// The subject's one common name; `None` when there is none or more than one.
    pub common_name: Option<String>,
}

/// What one authority of a partner may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignRules {
    permitted: Vec<PermittedName>,
    mappings: Vec<Mapping>,
}

/// Why a certificate of a partner's authority means no client. Always the caller's doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForeignRefusal {
    /// More than [`MAX_FOREIGN_NAMES`].
    TooManyNames,
    /// A name that two readers could read differently.
    NotCanonical(String),
    /// A name that this authority may not speak for.
    NotPermitted(String),
    /// Names of kinds that are not judged here, and the operator did not say that they may stand.
    OtherKinds(usize),
    /// No rule maps any of the names.
    Unmapped,
    /// Two rules, or two names, mean two clients.
    Ambiguous(ClientId, ClientId),
    /// What a template made of the name is not a client id.
    NoClientId(String),
}

impl ForeignRules {
    /// Reads the rules.
    ///
    /// # Errors
    /// Every fault, one sentence each: a text outside its grammar, a name of `own_trust_domain` (nobody else may speak for
    /// that), a mapping of a name that is not permitted, two mappings of one name, no mapping at all.
    pub fn parse(permitted: &[String], mappings: &[String], own_trust_domain: &str) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        for (what, list) in [("permitted names", permitted), ("mappings", mappings)] {
            if list.len() > MAX_FOREIGN_RULES {
                return Err(vec![format!("more than {MAX_FOREIGN_RULES} {what} are given")]);
            }
        }
        let mut read = Self { permitted: Vec::new(), mappings: Vec::new() };
        for text in permitted {
            match text.parse::<PermittedName>() {
                Ok(name) if name.is_of_trust_domain(own_trust_domain) => {
                    faults.push(format!("{text:?}: no other authority may speak for our own trust domain"));
                }
                Ok(name) => read.permitted.push(name),
                Err(error) => faults.push(error.to_string()),
            }
        }
        for text in mappings {
            match text.parse::<Mapping>() {
                Ok(mapping) => {
                    if !mapping.is_within(&read.permitted) {
                        faults.push(format!("{text:?}: its name is not one of the permitted names"));
                    }
                    if read.mappings.iter().any(|earlier| earlier.same_name(&mapping)) {
                        faults.push(format!("{text:?}: its name is mapped twice"));
                    }
                    read.mappings.push(mapping);
                }
                Err(error) => faults.push(error.to_string()),
            }
        }
        if mappings.is_empty() {
            faults.push("there is no mapping: no certificate of this authority would mean a client".to_owned());
        }
        if faults.is_empty() { Ok(read) } else { Err(faults) }
    }

    /// The client that these names mean.
    ///
    /// All names are judged, also those that no rule maps: an upstream may read them out of the certificate that it is
    /// handed, and would believe that we had.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn client_of(&self, presented: &PresentedNames) -> Result<ClientId, ForeignRefusal> {
        let count = presented.dns.len() + presented.uris.len() + presented.emails.len() + presented.others;
        if count > MAX_FOREIGN_NAMES {
            return Err(ForeignRefusal::TooManyNames);
        }
        let kinds =
            [(NameKind::Dns, &presented.dns), (NameKind::Uri, &presented.uris), (NameKind::Email, &presented.emails)];
        let mut names = Vec::with_capacity(count + 1);
        for (kind, texts) in kinds {
            for text in texts {
                let name = ForeignName::new(kind, text).map_err(ForeignRefusal::NotCanonical)?;
                if !self.permitted.iter().any(|permitted| permitted.contains(&name)) {
                    return Err(ForeignRefusal::NotPermitted(name.to_string()));
                }
                names.push(name);
            }
        }
        if presented.others > 0 && !self.permitted.contains(&PermittedName::Other) {
            return Err(ForeignRefusal::OtherKinds(presented.others));
        }
        // A common name is display text to most authorities: it is judged only where a rule reads it.
        if self.mappings.iter().any(|mapping| mapping.kind() == NameKind::CommonName)
            && let Some(text) = &presented.common_name
        {
            names.push(ForeignName::new(NameKind::CommonName, text).map_err(ForeignRefusal::NotCanonical)?);
        }
        let mut found: Option<ClientId> = None;
        for name in &names {
            for client in self.mappings.iter().filter_map(|mapping| mapping.client_of(name)) {
                let client = client.map_err(ForeignRefusal::NoClientId)?;
                match &found {
                    Some(other) if *other != client => return Err(ForeignRefusal::Ambiguous(other.clone(), client)),
                    _ => found = Some(client),
                }
            }
        }
        found.ok_or(ForeignRefusal::Unmapped)
    }

    /// The clients that are named outright, without a template.
    pub fn named_clients(&self) -> impl Iterator<Item = &ClientId> {
        self.mappings.iter().filter_map(Mapping::exact_client)
    }
}

impl ForeignRefusal {
    /// A stable word for metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooManyNames | Self::NotCanonical(_) => "malformed_name",
            Self::NotPermitted(_) | Self::OtherKinds(_) => "foreign_name",
            Self::Unmapped | Self::NoClientId(_) => "unmapped",
            Self::Ambiguous(..) => "ambiguous",
        }
    }
}

impl fmt::Display for ForeignRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyNames => write!(f, "it has more than {MAX_FOREIGN_NAMES} names"),
            Self::NotCanonical(fault) => f.write_str(fault),
            Self::NotPermitted(name) => write!(f, "its authority may not speak for {name}"),
            Self::OtherKinds(count) => write!(f, "it has {count} names of kinds that its authority may not use"),
            Self::Unmapped => f.write_str("none of its names is mapped to a client"),
            Self::Ambiguous(one, other) => write!(f, "its names mean both {one} and {other}"),
            Self::NoClientId(text) => write!(f, "its name makes {text:?}, which is no client id"),
        }
    }
}

#[cfg(test)]
mod tests;
