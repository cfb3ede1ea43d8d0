//! Reads tables field by field and lists what is wrong instead of stopping.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{At, Faults};
use crate::text::{did_you_mean, nearest};

/// Longest free text, in bytes.
pub(super) const MAX_TEXT_BYTES: usize = 4_096;

/// A table whose fields are asked for one by one; [`Fields::finish`] then knows what is unknown and what is missing.
pub(super) struct Fields<'d> {
    what: &'static str,
    at: At,
    table: &'d DeTable<'d>,
    known: Vec<&'static str>,
    missing: Vec<&'static str>,
}

impl<'d> Fields<'d> {
    /// The top of a document.
    pub(super) fn of_document(index: usize, table: &'d DeTable<'d>) -> Self {
        Self::new("the document", At::start_of(index), table)
    }

    fn new(what: &'static str, at: At, table: &'d DeTable<'d>) -> Self {
        Self { what, at, table, known: Vec::new(), missing: Vec::new() }
    }

    /// Where the table begins.
    pub(super) fn at(&self) -> At {
        self.at
    }

    /// Whether anything at all is written in it.
    pub(super) fn has_any(&self) -> bool {
        !self.table.is_empty()
    }

    /// A field that may be absent.
    pub(super) fn optional(&mut self, name: &'static str) -> Option<Value<'d>> {
        self.known.push(name);
        self.table.get(name).map(|value| Value::new(name, self.at.document(), value))
    }

    /// A field that must be there. What stands under a misspelt name is read in its place: the misspelling is one
    /// fault, and whatever refers to, say, the id that was meant shall not be another.
    pub(super) fn required(&mut self, name: &'static str) -> Option<Value<'d>> {
        let value = self.optional(name);
        if value.is_some() {
            return value;
        }
        self.missing.push(name);
        self.misspelt(name)
    }

    /// What stands under a name that is nearly this one.
    pub(super) fn misspelt(&self, name: &'static str) -> Option<Value<'d>> {
        let is_misspelt = |key: &str| nearest(key, [name]).is_some_and(|meant| meant != key);
        let (_, value) = self.table.iter().find(|(key, _)| is_misspelt(key.get_ref()))?;
        Some(Value::new(name, self.at.document(), value))
    }

    /// An array of tables, `[[name]]`.
    pub(super) fn tables(&mut self, name: &'static str, faults: &mut Faults<'d>) -> Vec<Fields<'d>> {
        let written = self.optional(name);
        // `[[netwrok]]` will be listed as unknown, but its networks are known.
        let is_misspelt = |key: &str| nearest(key, [name]).is_some_and(|meant| meant != key);
        let misspelt = self.table.iter().filter(|(key, _)| is_misspelt(key.get_ref()));
        let misspelt = misspelt.map(|(_, value)| Value::new(name, self.at.document(), value));
        let mut tables = Vec::new();
        for value in written.into_iter().chain(misspelt) {
            if let DeValue::Table(table) = value.value {
                faults.add(value.at, format!("write [[{name}]] with two brackets: there may be several"));
                tables.push(Fields::new(name, value.at, table));
                continue;
            }
            let elements = value.elements(faults).unwrap_or_default();
            tables.extend(elements.into_iter().filter_map(|element| element.table(name, faults)));
        }
        tables
    }

    /// Lists fields that were never asked for, and required ones that are not there.
    pub(super) fn finish(mut self, faults: &mut Faults<'d>) {
        for key in self.table.keys() {
            let written = key.get_ref().as_ref();
            if self.known.contains(&written) {
                continue;
            }
            // `identifer = …` is one fault, not an unknown field and a missing one.
            let meant = nearest(written, self.known.iter().copied());
            self.missing.retain(|name| Some(*name) != meant);
            let hint = match meant {
                Some(name) => format!("; did you mean {name:?}?"),
                None => format!("; known fields: {}", self.known.join(", ")),
            };
            faults.add(
                At::new(self.at.document(), key.span().start),
                format!("unknown field {written:?} in {}{hint}", self.what),
            );
        }
        for name in self.missing {
            faults.add(self.at, format!("{} has no field {name:?}", self.what));
        }
    }
}

/// A string of a document.
#[derive(Clone, Copy)]
pub(super) struct Text<'d> {
    pub(super) text: &'d str,
    pub(super) at: At,
}

/// A value, not yet of any type.
pub(super) struct Value<'d> {
    field: &'static str,
    is_element: bool,
    pub(super) at: At,
    value: &'d DeValue<'d>,
}

impl<'d> Value<'d> {
    fn new(field: &'static str, document: usize, value: &'d Spanned<DeValue<'d>>) -> Self {
        Self { field, is_element: false, at: At::new(document, value.span().start), value: value.get_ref() }
    }

    fn element(field: &'static str, document: usize, value: &'d Spanned<DeValue<'d>>) -> Self {
        Self { is_element: true, ..Self::new(field, document, value) }
    }

    /// The text, if it happens to be a string; never a fault.
    pub(super) fn as_text(&self) -> Option<Text<'d>> {
        self.value.as_str().map(|text| Text { text, at: self.at })
    }

    pub(super) fn string(self, faults: &mut Faults<'d>) -> Option<Text<'d>> {
        match self.value {
            DeValue::String(text) => Some(Text { text, at: self.at }),
            _ => self.wrong_type("a string", faults),
        }
    }

    /// A string that `parse` accepts.
    pub(super) fn parsed<T, E: std::fmt::Display>(
        self,
        faults: &mut Faults<'d>,
        parse: impl FnOnce(&'d str) -> Result<T, E>,
    ) -> Option<T> {
        let Text { text, at } = self.string(faults)?;
        parse(text).map_err(|error| faults.add(at, error.to_string())).ok()
    }

    /// Text for people, on one or more lines. Control characters are refused: they would forge log lines and terminal
    /// output.
    pub(super) fn prose(self, faults: &mut Faults<'d>) -> Option<String> {
        let field = self.field;
        let Text { text, at } = self.string(faults)?;
        if text.len() > MAX_TEXT_BYTES {
            faults.add(at, format!("{field} is longer than {MAX_TEXT_BYTES} bytes"));
            return None;
        }
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            faults.add(at, format!("{field} holds control characters"));
            return None;
        }
        Some(text.to_owned())
    }

    /// One of a few words.
    pub(super) fn one_of<T: Copy>(self, words: &[(&'static str, T)], faults: &mut Faults<'d>) -> Option<T> {
        let field = self.field;
        let Text { text, at } = self.string(faults)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            let hint = did_you_mean(text, words.iter().map(|(word, _)| *word));
            faults.add(at, format!("{field} {text:?} is not one of {}{hint}", known.join(", ")));
        }
        found
    }

    pub(super) fn boolean(self, faults: &mut Faults<'d>) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong_type("true or false", faults),
        }
    }

    /// A whole number in `range`.
    pub(super) fn integer(self, range: RangeInclusive<i64>, faults: &mut Faults<'d>) -> Option<i64> {
        let DeValue::Integer(written) = self.value else { return self.wrong_type("a whole number", faults) };
        let number =
            i64::from_str_radix(written.as_str(), written.radix()).ok().filter(|number| range.contains(number));
        if number.is_none() {
            faults.add(self.at, format!("{} must be between {} and {}", self.field, range.start(), range.end()));
        }
        number
    }

    /// A number with or without a fraction.
    pub(super) fn number(self, faults: &mut Faults<'d>) -> Option<f64> {
        let number = match self.value {
            // A float takes decimal integers of any size; for other radixes an i64 is plenty.
            DeValue::Integer(written) if written.radix() == 10 => written.as_str().parse().ok(),
            #[allow(clippy::cast_precision_loss, reason = "rates are far below 2^53")]
            DeValue::Integer(written) => i64::from_str_radix(written.as_str(), written.radix()).ok().map(|n| n as f64),
            DeValue::Float(written) => written.as_str().parse().ok(),
            _ => return self.wrong_type("a number", faults),
        };
        if number.is_none() {
            faults.add(self.at, format!("{} is not a number that can be used", self.field));
        }
        number
    }

    pub(super) fn elements(self, faults: &mut Faults<'d>) -> Option<Vec<Value<'d>>> {
        match self.value {
            DeValue::Array(array) => {
                Some(array.iter().map(|value| Value::element(self.field, self.at.document(), value)).collect())
            }
            _ => self.wrong_type("a list", faults),
        }
    }

    /// A list of strings. Elements of another type are faults and left out.
    pub(super) fn strings(self, faults: &mut Faults<'d>) -> Option<Vec<Text<'d>>> {
        Some(self.elements(faults)?.into_iter().filter_map(|element| element.string(faults)).collect())
    }

    /// A list of different strings, at least one.
    pub(super) fn names(self, faults: &mut Faults<'d>) -> Option<Vec<Text<'d>>> {
        let (field, at) = (self.field, self.at);
        let elements = self.elements(faults)?;
        if elements.is_empty() {
            faults.add(at, format!("{field} is empty; name at least one"));
            return None;
        }
        let mut names: Vec<Text<'d>> = Vec::with_capacity(elements.len());
        let mut seen = std::collections::HashSet::with_capacity(elements.len());
        for name in elements.into_iter().filter_map(|element| element.string(faults)).collect::<Vec<_>>() {
            if seen.insert(name.text) {
                names.push(name);
            } else {
                faults.add(name.at, format!("{:?} is listed twice in {field}", name.text));
            }
        }
        Some(names)
    }

    pub(super) fn table(self, what: &'static str, faults: &mut Faults<'d>) -> Option<Fields<'d>> {
        match self.value {
            DeValue::Table(table) => Some(Fields::new(what, self.at, table)),
            _ => self.wrong_type("a table", faults),
        }
    }

    /// A table whose keys are data.
    pub(super) fn entries(self, faults: &mut Faults<'d>) -> Option<Vec<(Text<'d>, Value<'d>)>> {
        let (field, document) = (self.field, self.at.document());
        let DeValue::Table(table) = self.value else { return self.wrong_type("a table", faults) };
        let entry = |(key, value): (&'d Spanned<toml::de::DeString<'d>>, &'d Spanned<DeValue<'d>>)| {
            let key = Text { text: key.get_ref().as_ref(), at: At::new(document, key.span().start) };
            (key, Value::element(field, document, value))
        };
        Some(table.iter().map(entry).collect())
    }

    fn wrong_type<T>(self, expected: &str, faults: &mut Faults<'d>) -> Option<T> {
        let article = if matches!(self.value, DeValue::Array(_) | DeValue::Integer(_)) { "an" } else { "a" };
        let subject = if self.is_element { "an entry of " } else { "" };
        let (field, found) = (self.field, self.value.type_str());
        faults.add(self.at, format!("{subject}{field} must be {expected}, not {article} {found}"));
        None
    }
}
