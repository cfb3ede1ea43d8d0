use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use super::{PATH, detail, either, what};
use crate::cli::admin_api::AdminApi;
use crate::cli::context::{Context, Outcome};
use crate::cli::error::CliError;
use crate::cli::moment;
use crate::cli::query::Query;
use crate::cli::table;

const POLL: Duration = Duration::from_secs(1);
/// Records are written in batches, a moment after they were made: so far back each poll looks again.
const OVERLAP_MILLIS: i64 = 10_000;
/// More records than this between two polls are cut, and it is said so.
const BATCH_MAX: usize = 10_000;
/// A server that restarts is waited for.
const FAILURES_MAX: u32 = 30;

/// Prints records from `begin` on (milliseconds since 1970) until Ctrl-C.
pub(super) async fn run(filter: &Query, begin: i64, context: &Context) -> Result<Outcome, CliError> {
    let mut api = context.api()?;
    let mut tail = Tail { begin, newest: begin, seen: HashMap::new() };
    let mut failures = 0;
    loop {
        match tail.poll(filter, &mut api, context).await {
            Ok(()) => failures = 0,
            Err(error) if error.is_reader_gone() || failures == 0 && tail.seen.is_empty() => return Err(error),
            Err(error) if failures >= FAILURES_MAX => return Err(error),
            Err(error) => {
                if failures == 0 {
                    context.output.note(&format!("{error}; trying again"));
                }
                failures += 1;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            _ = tokio::signal::ctrl_c() => return Ok(Outcome::Done),
        }
    }
}

struct Tail {
    begin: i64,
    newest: i64,
    /// Records that were printed and may come again, with their time.
    seen: HashMap<String, i64>,
}

impl Tail {
    async fn poll(&mut self, filter: &Query, api: &mut AdminApi, context: &Context) -> Result<(), CliError> {
        let since = self.newest.saturating_sub(OVERLAP_MILLIS).max(self.begin);
        let listing = api.list(PATH, &filter.clone().with("since", Some(since)), BATCH_MAX).await?;
        if listing.has_more {
            context.output.note(&format!("more than {BATCH_MAX} records at once: the oldest of them are not shown"));
        }
        for record in self.take_new(listing.items).into_iter().filter(|record| !is_question_to_the_log(record)) {
            let text = match context.output.is_json() {
                true => format!("{record}\n"),
                false => line(&record),
            };
            context.output.text(&text)?;
        }
        Ok(())
    }

    /// Those that were not printed yet, oldest first.
    fn take_new(&mut self, newest_first: Vec<Value>) -> Vec<Value> {
        let mut new = Vec::new();
        for record in newest_first.into_iter().rev() {
            let (Some(id), Some(at)) = (record["id"].as_str(), record["at"].as_i64()) else { continue };
            if self.seen.insert(id.to_owned(), at).is_none() {
                self.newest = self.newest.max(at);
                new.push(record);
            }
        }
        let oldest = self.newest.saturating_sub(OVERLAP_MILLIS);
        self.seen.retain(|_, at| *at >= oldest);
        new
    }
}

fn is_question_to_the_log(record: &Value) -> bool {
    record["path"] == PATH && record["http_method"] == "GET" && record["outcome"] == "allowed"
}

fn line(record: &Value) -> String {
    let at = record["at"].as_i64().map_or_else(String::new, moment::rfc3339_millis);
    format!(
        "{at}  {}  {}  {}  {}  {}  {}\n",
        either(record, "outcome", "action"),
        table::shown(&record["status"]),
        table::plain(&what(record, 0)),
        either(record, "client", "actor"),
        table::shown(&record["source"]),
        detail(record),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::{Value, json};

    use super::{OVERLAP_MILLIS, Tail, line};

    fn record(id: &str, at: i64) -> Value {
        json!({"id": id, "at": at})
    }

    fn ids(records: &[Value]) -> Vec<&str> {
        records.iter().filter_map(|record| record["id"].as_str()).collect()
    }

    #[test]
    fn each_record_is_printed_once_and_in_order() {
        let mut tail = Tail { begin: 0, newest: 0, seen: HashMap::new() };
        assert_eq!(ids(&tail.take_new(vec![record("b", 2), record("a", 1)])), ["a", "b"]);
        // One that was written late, with an earlier time, still comes.
        assert_eq!(
            ids(&tail.take_new(vec![record("c", 3), record("b", 2), record("late", 1), record("a", 1)])),
            ["late", "c"]
        );
        assert!(tail.take_new(vec![record("c", 3)]).is_empty());
        tail.take_new(vec![record("d", 4 + OVERLAP_MILLIS)]);
        assert_eq!(tail.seen.len(), 1, "what cannot come again is forgotten");
    }

    #[test]
    fn decisions_and_changes_are_lines() {
        let decision = json!({"at": 1_800_000_000_042_i64, "outcome": "credential_revoked", "status": 401, "http_method": "GET",
            "path": "/a\u{1b}", "client": "acme-orders", "source": "203.0.113.7", "detail": "certificate 5f"});
        assert_eq!(
            line(&decision),
            "2027-01-15T08:00:00.042Z  credential_revoked  401  GET /a\\u{1b}  acme-orders  203.0.113.7  certificate 5f\n"
        );
        let change = json!({"at": 1_800_000_000_042_i64, "action": "certificate.revoke", "target": "5f", "actor": "local",
            "detail": {"client": "acme-orders", "reason": "superseded", "scopes": null, "networks": []}});
        assert_eq!(
            line(&change),
            "2027-01-15T08:00:00.042Z  certificate.revoke  -  5f  local  -  client=acme-orders reason=superseded\n"
        );
    }
}
