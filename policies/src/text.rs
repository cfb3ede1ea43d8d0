//! What every checked piece of text has in common: one macro for the traits, and the grammar of plain names.

use std::borrow::Cow;

use thiserror::Error;

/// A text that does not follow the grammar of what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{value:?} is not a valid {what}: {expected}")]
pub struct InvalidText {
    what: &'static str,
    value: String,
    expected: Cow<'static, str>,
}

impl InvalidText {
    /// Refuses `value`. Only its beginning is kept, so that a message cannot be made megabytes long.
    pub(crate) fn new(what: &'static str, value: &str, expected: impl Into<Cow<'static, str>>) -> Self {
        const SHOWN_CHARACTERS: usize = 80;
        let mut shown: String = value.chars().take(SHOWN_CHARACTERS).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        Self { what, value: shown, expected: expected.into() }
    }

    /// What the text should have been, such as `client id`.
    #[must_use]
    pub fn what(&self) -> &'static str {
        self.what
    }
}

/// Gives a `struct Name(Arc<str>)` with `fn check(&str) -> Result<(), InvalidText>` the traits of a checked text.
macro_rules! checked_text {
    ($name:ident) => {
        impl $name {
            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::text::InvalidText;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::check(text)?;
                Ok(Self(std::sync::Arc::from(text)))
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $crate::text::InvalidText;

            fn try_from(text: &str) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::text::InvalidText;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                &*self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                &*self.0 == *other
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use checked_text;

/// The grammar of names that people give to networks, usage plans, routes and listeners.
pub(crate) const NAME_GRAMMAR: &str = "1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit";

/// Whether `text` follows [`NAME_GRAMMAR`].
pub(crate) fn is_name(text: &str) -> bool {
    const MAX_NAME_BYTES: usize = 64;
    text.len() <= MAX_NAME_BYTES
        && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// The known word nearest to `wanted`, if it is near enough to be what was meant.
pub(crate) fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A typo in a large policy must not cost seconds.
    const MAX_COMPARED_BYTES: usize = 300;
    const MAX_CANDIDATES: usize = 300;
    if wanted.len() > MAX_COMPARED_BYTES {
        return None;
    }
    let allowed = (wanted.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .take(MAX_CANDIDATES)
        .filter(|word| word.len() <= MAX_COMPARED_BYTES)
        .filter_map(|word| edit_distance(wanted, word, allowed).map(|distance| (distance, word)))
        .min()
        .map(|(_, word)| word)
}

/// `; did you mean "…"?`, or nothing.
pub(crate) fn did_you_mean<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(wanted, known).map(|word| format!("; did you mean {word:?}?")).unwrap_or_default()
}

/// Distance in characters inserted, left out, changed or swapped with a neighbour, if it is at most `allowed`.
fn edit_distance(left: &str, right: &str, allowed: usize) -> Option<usize> {
    const MAX_UTF8_BYTES: usize = 4;
    // Scopes of one server share a long beginning, which need not be compared cell by cell.
    let common = left.bytes().zip(right.bytes()).take_while(|(from, to)| from == to).count();
    let start = (0..=common).rev().find(|at| left.is_char_boundary(*at)).unwrap_or(0);
    let (left, right) = (left.get(start..)?, right.get(start..)?);
    if left.len().abs_diff(right.len()) > MAX_UTF8_BYTES * allowed {
        return None;
    }
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    if left.len().abs_diff(right.len()) > allowed {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, from) in left.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, to) in right.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX - 1);
            let mut best = cell(&row, j) + usize::from(from != to);
            best = best.min(cell(&row, j + 1) + 1).min(cell(&next, j) + 1);
            let is_swap = i > 0 && j > 0 && right.get(j - 1) == Some(from) && left.get(i - 1) == Some(to);
            if is_swap {
                best = best.min(cell(&before, j - 1) + 1);
            }
            next.push(best);
        }
        // Two rows above what is allowed cannot lead back under it.
        if next.iter().chain(&row).all(|distance| *distance > allowed) {
            return None;
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().filter(|distance| *distance <= allowed)
}
