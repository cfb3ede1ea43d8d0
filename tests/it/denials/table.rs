//! The table of denials in docs/errors.md is what the gate really answers.

use std::collections::BTreeMap;
use std::path::Path;

use crate::harness::Answer;

/// Set to write the table anew.
const BLESS: &str = "PORTCULLIS_BLESS";
const BEGIN: &str = "<!-- denials: tests/it/denials.rs writes what stands between, with PORTCULLIS_BLESS=1 -->";
const END: &str = "<!-- /denials -->";

/// What was answered, by number of the case: what it was, and one cell for each preset.
#[derive(Default)]
pub(super) struct Table(BTreeMap<usize, (String, Vec<String>)>);

impl Table {
    pub(super) fn answered(&mut self, case: usize, what: &str, answer: &Answer) {
        let row = self.0.entry(case).or_insert_with(|| (what.to_owned(), Vec::new()));
        row.1.push(cell(answer));
    }

    /// Panics where the document says something else.
    pub(super) fn is_documented(&self) {
        let rows = self.0.values().map(|(what, cells)| format!("| {what} | {} |\n", cells.join(" | ")));
        let table = format!("| what is wrong | `standard` | `aws` |\n|---|---|---|\n{}", rows.collect::<String>());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
        let text = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = text.split_once(BEGIN).expect("the mark of the table");
        let (between, after) = rest.split_once(END).expect("the end of the table");
        if std::env::var_os(BLESS).is_some() {
            std::fs::write(&path, format!("{before}{BEGIN}\n\n{table}\n{END}{after}")).unwrap();
            return;
        }
        assert_eq!(between.trim(), table.trim(), "docs/errors.md; run with {BLESS}=1 when the change is meant");
    }
}

/// ``429 `throttled`, type `quota-exceeded`; `retry-after`, `ratelimit` ``.
fn cell(answer: &Answer) -> String {
    let body = answer.json();
    let mut text = match body["code"].as_str() {
        Some(code) => {
            format!("{} `{code}`, message `{}`", answer.status.as_u16(), body["message"].as_str().unwrap_or(""))
        }
        None => format!("{} `{body}`", answer.status.as_u16()),
    };
    if let Some((_, kind)) = body["type"].as_str().and_then(|kind| kind.rsplit_once('#')) {
        text.push_str(&format!(", type `{kind}` with `violated-policies` `{}`", body["violated-policies"]));
    }
    for challenge in answer.headers.get_all("www-authenticate") {
        text.push_str(&format!("; `www-authenticate: {}`", shown(challenge.to_str().unwrap())));
    }
    if let Some(kind) = answer.header("x-amzn-errortype") {
        text.push_str(&format!("; `x-amzn-errortype: {kind}`"));
    }
    for name in ["retry-after", "ratelimit-policy", "ratelimit"] {
        if answer.header(name).is_some() {
            text.push_str(&format!("; `{name}`"));
        }
    }
    // A pipe would end the cell.
    text.replace('|', "\\|")
}

/// A challenge; a scope in it has the address of this run.
fn shown(challenge: &str) -> String {
    match challenge.split_once("scope=\"") {
        Some((before, _)) => format!("{before}scope=\"…\""),
        None => challenge.to_owned(),
    }
}
