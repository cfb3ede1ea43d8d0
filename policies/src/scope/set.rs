//! A set of scopes.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Scope;
use crate::text::InvalidText;

/// Longest scope list that [`ScopeSet::parse_list`] reads, in bytes.
pub const MAX_SCOPE_LIST_BYTES: usize = 64 * 1024;

/// An ordered set of scopes without duplicates. A clone costs one reference count.
///
/// In JSON a list of strings; on screen separated by spaces, as in the `scope` parameter (RFC 6749 §3.3).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ScopeSet(Arc<[Scope]>);

impl ScopeSet {
    /// Reads a `scope` parameter (RFC 6749 §3.3): scope-tokens separated by single spaces; duplicates collapse and the
    /// empty string is the empty set.
    ///
    /// # Errors
    /// Any token that is not a [`Scope`], which an empty one between two spaces is not either; a list above
    /// [`MAX_SCOPE_LIST_BYTES`].
    pub fn parse_list(list: &str) -> Result<Self, InvalidText> {
        if list.len() > MAX_SCOPE_LIST_BYTES {
            return Err(InvalidText::new("scope list", list, "at most 65536 bytes"));
        }
        if list.is_empty() {
            return Ok(Self::default());
        }
        list.split(' ').map(str::parse).collect()
    }

    /// Whether `scope` is in the set, byte for byte.
    #[must_use]
    pub fn contains(&self, scope: impl AsRef<str>) -> bool {
        let wanted = scope.as_ref();
        self.0.binary_search_by(|scope| scope.as_str().cmp(wanted)).is_ok()
    }

    /// Whether every scope of this set is in `other`.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.iter().all(|scope| other.contains(scope))
    }

    /// Whether the two sets share a scope.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        self.iter().any(|scope| other.contains(scope))
    }

    /// The scopes that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        if self.is_subset(other) {
            return self.clone();
        }
        // Filtering keeps the order, so the result needs no sort.
        Self(self.iter().filter(|scope| other.contains(scope)).cloned().collect())
    }

    /// The scopes that are in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if other.is_subset(self) {
            return self.clone();
        }
        self.iter().chain(other.iter()).cloned().collect()
    }

    /// The scopes in byte order.
    pub fn iter(&self) -> std::slice::Iter<'_, Scope> {
        self.0.iter()
    }

    /// Number of scopes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Default for ScopeSet {
    fn default() -> Self {
        Self(Arc::from([]))
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes.into())
    }
}

impl<'a> IntoIterator for &'a ScopeSet {
    type Item = &'a Scope;
    type IntoIter = std::slice::Iter<'a, Scope>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialOrd for ScopeSet {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ScopeSet {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, scope) in self.iter().enumerate() {
            let separator = if position == 0 { "" } else { " " };
            write!(f, "{separator}{scope}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for ScopeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Scope>::deserialize(deserializer)?.into_iter().collect())
    }
}
