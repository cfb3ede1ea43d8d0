//! Answers of the server as tables: plain text that can be read, cut and pasted.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use super::moment;

/// One column: a heading, where its value lies in an item, and how to show it.
pub(super) struct Column {
    heading: &'static str,
    read: Read,
}

enum Read {
    Field(&'static str),
    Time { field: &'static str, absent: &'static str },
    Millis(&'static str),
    Made(fn(&Value, i64) -> String),
}

impl Column {
    /// A member as it is; lists are joined with blanks.
    pub(super) const fn field(heading: &'static str, field: &'static str) -> Self {
        Self { heading, read: Read::Field(field) }
    }

    /// Seconds since 1970; `absent` is shown where there is none.
    pub(super) const fn time(heading: &'static str, field: &'static str, absent: &'static str) -> Self {
        Self { heading, read: Read::Time { field, absent } }
    }

    /// Milliseconds since 1970.
    pub(super) const fn millis(heading: &'static str, field: &'static str) -> Self {
        Self { heading, read: Read::Millis(field) }
    }

    /// Made of the whole item and the time now.
    pub(super) const fn made(heading: &'static str, make: fn(&Value, i64) -> String) -> Self {
        Self { heading, read: Read::Made(make) }
    }

    fn cell(&self, item: &Value, now: i64) -> String {
        match self.read {
            Read::Field(field) => shown(item.get(field).unwrap_or(&Value::Null)),
            Read::Time { field, absent } => match item.get(field).and_then(Value::as_i64) {
                Some(at) => moment::with_distance(at, now),
                None => absent.to_owned(),
            },
            Read::Millis(field) => {
                item.get(field).and_then(Value::as_i64).map_or_else(|| "-".to_owned(), moment::rfc3339_millis)
            }
            Read::Made(make) => plain(&make(item, now)),
        }
    }
}

/// A table with a row for each item; `now` in seconds since 1970.
pub(super) fn of_items(items: &[Value], columns: &[Column], now: i64) -> String {
    let mut table = empty();
    table.set_header(columns.iter().map(|column| column.heading));
    for item in items {
        table.add_row(columns.iter().map(|column| column.cell(item, now)));
    }
    finish(&table)
}

/// The members of one object, one a line. PEM texts are left out: `export` prints those.
pub(super) fn of_object(object: &Value, now: i64) -> String {
    let mut table = empty();
    for (name, value) in object.as_object().into_iter().flatten().filter(|(name, _)| !name.ends_with("pem")) {
        match value.as_object().filter(|members| !members.is_empty()) {
            // One level of members is shown under the outer name: `counts clients`.
            Some(members) => members.iter().for_each(|(inner, value)| {
                table.add_row([label(name) + " " + &label(inner), member(inner, value, now)]);
            }),
            None => {
                table.add_row([label(name), member(name, value, now)]);
            }
        }
    }
    finish(&table)
}

fn label(name: &str) -> String {
    plain(&name.replace('_', " "))
}

fn member(name: &str, value: &Value, now: i64) -> String {
    let is_time = ["_at", "_update", "not_before", "not_after"].iter().any(|ending| name.ends_with(ending));
    match value.as_i64().filter(|_| is_time) {
        Some(at) => moment::with_distance(at, now),
        None => shown(value),
    }
}

/// Any JSON value in one line.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => plain(text),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(" "),
        other => plain(&other.to_string()),
    }
}

/// Names, paths and user agents come from outside: a control character in them would steer the reader's terminal.
pub(super) fn plain(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

fn empty() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn finish(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        // Each cell has a blank before it; the first column begins at the edge all the same.
        text.push_str(line.strip_prefix(' ').unwrap_or(&line).trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Column, of_items, of_object, plain};

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn items_are_rows() {
        const COLUMNS: [Column; 5] = [
            Column::field("ID", "id"),
            Column::field("ENABLED", "enabled"),
            Column::field("SCOPES", "scopes"),
            Column::time("EXPIRES", "expires_at", "never"),
            Column::made("NOTE", |item, _| item["id"].as_str().map_or_else(String::new, str::to_uppercase)),
        ];
        let items = [
            json!({"id": "a", "enabled": true, "scopes": ["x/y", "x/z"], "expires_at": NOW + 30 * 86_400}),
            json!({"id": "longer", "enabled": false, "scopes": [], "expires_at": null}),
        ];
        assert_eq!(
            of_items(&items, &COLUMNS, NOW),
            "\
ID      ENABLED  SCOPES   EXPIRES                         NOTE
a       yes      x/y x/z  2027-02-14T08:00:00Z (in 30 d)  A
longer  no       -        never                           LONGER
"
        );
    }

    #[test]
    fn objects_are_lines_without_their_pem() {
        let object = json!({"id": "4f", "not_after": NOW, "certificate_pem": "-----BEGIN", "limits": {"rate": 5}});
        assert_eq!(
            of_object(&object, NOW),
            "\
id           4f
not after    2027-01-15T08:00:00Z (in 0 s)
limits rate  5
"
        );
    }

    #[test]
    fn a_partner_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\u{9b}c\nd"), "a\\u{1b}[2Jb\\u{9b}c\\nd");
        let items = [json!({"id": "a\u{1b}[31m"})];
        assert!(!of_items(&items, &[Column::field("ID", "id")], NOW).contains('\u{1b}'));
    }
}
