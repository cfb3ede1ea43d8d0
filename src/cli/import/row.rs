//! Rows as other systems write them, as the server takes them.

use serde_json::{Map, Value, json};

use super::records::Fields;
use crate::cli::moment::Instant;

/// What rows do not say themselves.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    pub(super) client: Option<String>,
    pub(super) client_from: Option<String>,
}

/// One row, of which members are taken until none is left.
pub(in crate::cli) struct Row<'a> {
    fields: Fields,
    defaults: &'a Defaults,
    made: Map<String, Value>,
}

impl<'a> Row<'a> {
    pub(super) fn new(fields: Fields, defaults: &'a Defaults) -> Self {
        Self { fields, defaults, made: Map::new() }
    }

    fn text(&mut self, field: &str) -> Result<Option<String>, String> {
        match self.fields.remove(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(format!("{field} is not text")),
        }
    }

    fn keep_text(&mut self, field: &str) -> Result<(), String> {
        if let Some(text) = self.text(field)? {
            self.made.insert(field.to_owned(), text.into());
        }
        Ok(())
    }

    /// A JSON list, or words with blanks between: neither scopes nor networks hold any.
    fn keep_list(&mut self, field: &str) -> Result<(), String> {
        let list = match self.fields.remove(field) {
            None => return Ok(()),
            Some(Value::String(text)) => text.split_ascii_whitespace().map(Value::from).collect(),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(format!("{field} is neither a list nor words with blanks between")),
        };
        if !list.is_empty() {
            self.made.insert(field.to_owned(), Value::Array(list));
        }
        Ok(())
    }

    /// Seconds since 1970, or RFC 3339.
    fn keep_expiry(&mut self) -> Result<(), String> {
        let Some(text) = self.text("expires_at")? else { return Ok(()) };
        let at = match text.parse::<i64>() {
            Ok(seconds) => seconds,
            Err(_) => text.parse::<Instant>()?.unix_seconds,
        };
        self.made.insert("expires_at".to_owned(), json!(at));
        Ok(())
    }

    fn keep_client(&mut self) -> Result<(), String> {
        let column = self.defaults.client_from.as_deref().unwrap_or("client");
        // The column may say something else as well: a name that is the client's id stays the key's name.
        let named = match self.fields.get(column) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => return Err(format!("{column} is not text")),
            None => None,
        };
        self.fields.remove("client");
        let client = named.or_else(|| self.defaults.client.clone()).ok_or_else(|| {
            format!("it names no client: give it a column {column:?}, or say --client for all rows that have none")
        })?;
        self.made.insert("client".to_owned(), client.into());
        Ok(())
    }

    /// What is left was misspelt, or means something that we would drop.
    fn finish(mut self, known: &[&str]) -> Result<Option<Value>, String> {
        if let Some(column) = &self.defaults.client_from {
            self.fields.remove(column);
        }
        match self.fields.keys().next() {
            Some(unknown) => Err(format!("the column {unknown:?} is not known; known are {}", known.join(", "))),
            None => Ok(Some(Value::Object(self.made))),
        }
    }
}

/// A client: `id`, `partner`, `description`, `scopes`, `networks`, `usage_plan`.
pub(in crate::cli) fn client(mut row: Row<'_>) -> Result<Option<Value>, String> {
    for field in ["id", "partner", "description", "usage_plan"] {
        row.keep_text(field)?;
    }
    row.keep_list("scopes")?;
    row.keep_list("networks")?;
    for needed in ["id", "partner"] {
        if !row.made.contains_key(needed) {
            return Err(format!("it has no {needed}"));
        }
    }
    row.finish(&["id", "partner", "description", "scopes", "networks", "usage_plan"])
}

/// A key: `key` or `sha256` (or `hash` with `hash_algorithm`), `client`, `name`, `expires_at`, `scopes`, `networks`, `last4`; and
/// the columns of an API Gateway export: `description`, `enabled` and `usageplanids`.
pub(in crate::cli) fn key(mut row: Row<'_>) -> Result<Option<Value>, String> {
    if !enabled(&mut row)? {
        return Ok(None);
    }
    row.keep_client()?;
    let algorithm = row.text("hash_algorithm")?;
    if let Some(hash) = row.text("hash")? {
        match algorithm.as_deref().map(str::to_ascii_lowercase).as_deref() {
            Some("sha256" | "sha-256") => row.made.insert("sha256".to_owned(), hash.into()),
            Some(other) => {
                return Err(format!("keys that are known by their {other} cannot be recognised; sha256 can"));
            }
            None => return Err("a hash needs a hash_algorithm".to_owned()),
        };
    }
    for field in ["key", "sha256", "last4", "name"] {
        row.keep_text(field)?;
    }
    let description = row.text("description")?;
    if !row.made.contains_key("name")
        && let Some(description) = description
    {
        row.made.insert("name".to_owned(), description.into());
    }
    // Here the plan is the client's.
    row.fields.remove("usageplanids");
    row.keep_list("scopes")?;
    row.keep_list("networks")?;
    row.keep_expiry()?;
    if row.made.contains_key("key") == row.made.contains_key("sha256") {
        return Err("it needs a key or its sha256, one of them".to_owned());
    }
    row.finish(&[
        "key",
        "sha256",
        "hash",
        "hash_algorithm",
        "client",
        "name",
        "expires_at",
        "scopes",
        "networks",
        "last4",
    ])
}

/// A client secret: `client` (or `client_id`), `secret` (or `client_secret`), `name`, `expires_at`.
pub(in crate::cli) fn secret(mut row: Row<'_>) -> Result<Option<Value>, String> {
    if !enabled(&mut row)? {
        return Ok(None);
    }
    for (alias, field) in [("client_id", "client"), ("client_secret", "secret")] {
        if let Some(value) = row.fields.remove(alias) {
            row.fields.entry(field).or_insert(value);
        }
    }
    row.keep_client()?;
    row.keep_text("secret")?;
    row.keep_text("name")?;
    row.keep_expiry()?;
    if !row.made.contains_key("secret") {
        return Err("it has no secret".to_owned());
    }
    row.finish(&["client", "secret", "name", "expires_at"])
}

/// What is switched off elsewhere is not switched on by being brought here.
fn enabled(row: &mut Row<'_>) -> Result<bool, String> {
    match row.fields.remove("enabled") {
        None => Ok(true),
        Some(Value::Bool(enabled)) => Ok(enabled),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err("enabled is neither true nor false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(value: Value) -> Fields {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn an_export_of_api_gateway_is_understood() {
        let defaults = Defaults { client: None, client_from: Some("name".to_owned()) };
        let row = |enabled: &str| {
            let row = json!({
                "key": "apikey1234abcdefghij0123456789", "name": "acme-orders", "description": "An imported key",
                "enabled": enabled, "usageplanids": "c7y23b",
            });
            key(Row::new(fields(row), &defaults))
        };
        let expected = json!({"client": "acme-orders", "key": "apikey1234abcdefghij0123456789", "name": "acme-orders"});
        assert_eq!(row("TRUE"), Ok(Some(expected)));
        assert_eq!(row("false"), Ok(None));
        assert!(row("yes").is_err());
    }

    #[test]
    fn a_hash_says_which() {
        let defaults = Defaults { client: Some("acme-orders".to_owned()), client_from: None };
        let row = |value: Value| key(Row::new(fields(value), &defaults));
        let read = row(
            json!({"hash": "00ff", "hash_algorithm": "SHA256", "scopes": "a/b c/d", "expires_at": "2030-01-01T00:00:00Z"}),
        );
        let expected =
            json!({"client": "acme-orders", "sha256": "00ff", "scopes": ["a/b", "c/d"], "expires_at": 1_893_456_000});
        assert_eq!(read, Ok(Some(expected)));
        for wrong in [
            json!({"hash": "00ff"}),
            json!({"hash": "00ff", "hash_algorithm": "bcrypt"}),
            json!({"key": "abcdefgh", "sha256": "00ff"}),
            json!({"key": "abcdefgh", "expires": "2030-01-01T00:00:00Z"}),
            json!({"name": "nothing"}),
        ] {
            assert!(row(wrong.clone()).is_err(), "{wrong}");
        }
        let nobody = Defaults::default();
        assert!(key(Row::new(fields(json!({"key": "abcdefgh"})), &nobody)).unwrap_err().contains("--client"));
    }
}
