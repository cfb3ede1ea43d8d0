//! The last day at a glance.

use std::collections::BTreeMap;

use serde_json::Value;

use super::HOUR_SECONDS;
use super::export::CLASSES;
use crate::cli::{moment, table};

/// Characters of the longest bar.
const WIDTH: u64 = 40;
/// Clients that are named.
const CLIENTS_MAX: usize = 10;

#[derive(Clone, Copy, Default)]
struct Sum {
    allowed: u64,
    denied: u64,
}

impl Sum {
    fn add(&mut self, row: &Value) {
        let requests = number(row, "requests");
        if row["outcome"] == "allowed" { self.allowed += requests } else { self.denied += requests }
    }

    fn all(self) -> u64 {
        self.allowed + self.denied
    }
}

/// `hours` are rows by hour and outcome, `clients` by client and outcome.
pub(super) fn draw(hours: &[Value], clients: &[Value], from: i64, now: i64) -> String {
    let mut by_hour: BTreeMap<i64, Sum> = BTreeMap::new();
    let (mut codes, mut total) = (BTreeMap::<String, u64>::new(), Sum::default());
    let (mut taken, mut given, mut latency) = (0, 0, [0_u64; CLASSES.len()]);
    for row in hours {
        by_hour.entry(row["hour"].as_i64().unwrap_or(0)).or_default().add(row);
        total.add(row);
        *codes.entry(table::shown(&row["outcome"])).or_default() += number(row, "requests");
        taken += number(row, "request_bytes");
        given += number(row, "response_bytes");
        for (class, count) in latency.iter_mut().enumerate() {
            *count += row["latency"][class].as_u64().unwrap_or(0);
        }
    }
    let most = by_hour.values().map(|sum| sum.all()).max().unwrap_or(0);
    let mut text = format!("Requests by hour (UTC) since {}: █ allowed, ░ denied\n\n", moment::rfc3339(from));
    let mut hour = from;
    while hour <= now {
        let sum = by_hour.get(&hour).copied().unwrap_or_default();
        text.push_str(&line(hour, from, sum, most));
        hour += HOUR_SECONDS;
    }
    text.push_str(&format!("\n{} allowed, {} denied\n", total.allowed, total.denied));
    text.push_str(&format!("{} in, {} out\n", bytes(taken), bytes(given)));
    if total.all() > 0 {
        let [half, most, nearly_all] = [50, 95, 99].map(|percent| quantile(&latency, percent));
        text.push_str(&format!("answered: half {half}, 95 % {most}, 99 % {nearly_all}\n"));
    }
    text.push_str(&denials(&codes));
    text.push_str(&names(clients));
    text
}

fn line(hour: i64, from: i64, sum: Sum, most: u64) -> String {
    let at = moment::rfc3339(hour);
    // The date where a day begins, the hour everywhere.
    let day = if hour == from || hour.rem_euclid(24 * HOUR_SECONDS) == 0 { at.get(..10) } else { None };
    let clock = at.get(11..16).unwrap_or_default();
    let all = bar(sum.all(), most);
    let denied = bar(sum.denied, most).min(all);
    let drawn = "█".repeat(all.saturating_sub(denied)) + &"░".repeat(denied);
    let counts = match (sum.all(), sum.denied) {
        (0, _) => String::new(),
        (all, 0) => format!(" {all}"),
        (all, denied) => format!(" {all} ({denied} denied)"),
    };
    let line = format!("{:10} {clock} {drawn}{counts}", day.unwrap_or_default());
    format!("{}\n", line.trim_end())
}

/// At least one character for what is not nothing.
fn bar(count: u64, most: u64) -> usize {
    let length = match count {
        0 => 0,
        _ => (count.saturating_mul(WIDTH) / most.max(1)).max(1),
    };
    usize::try_from(length).unwrap_or(0)
}

fn denials(codes: &BTreeMap<String, u64>) -> String {
    let mut denied: Vec<(&String, &u64)> = codes.iter().filter(|(code, _)| *code != "allowed").collect();
    denied.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let lines: Vec<String> = denied.iter().map(|(code, count)| format!("  {count:>8} {code}\n")).collect();
    if lines.is_empty() { String::new() } else { format!("\nDenied, by code:\n{}", lines.concat()) }
}

fn names(clients: &[Value]) -> String {
    let mut by_client: BTreeMap<&str, Sum> = BTreeMap::new();
    for row in clients {
        by_client.entry(row["client"].as_str().unwrap_or_default()).or_default().add(row);
    }
    let mut sorted: Vec<(&str, Sum)> = by_client.into_iter().collect();
    sorted.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.all()));
    let mut text = String::new();
    for (client, sum) in sorted.iter().take(CLIENTS_MAX) {
        let name = if client.is_empty() { "(nobody)".to_owned() } else { table::plain(client) };
        text.push_str(&format!("  {:>8} {name} ({} denied)\n", sum.all(), sum.denied));
    }
    match sorted.len().saturating_sub(CLIENTS_MAX) {
        0 => {}
        more => text.push_str(&format!("           and {more} more\n")),
    }
    if text.is_empty() { text } else { format!("\nClients:\n{text}") }
}

/// The class in which the request lies before which so many of a hundred were answered.
fn quantile(latency: &[u64; CLASSES.len()], percent: u64) -> String {
    let all: u64 = latency.iter().sum();
    let wanted = (all.saturating_mul(percent)).div_ceil(100);
    let mut passed = 0;
    for (count, class) in latency.iter().zip(CLASSES) {
        passed += count;
        if passed >= wanted {
            return if class == "longer" { "over 5s".to_owned() } else { format!("within {class}") };
        }
    }
    "-".to_owned()
}

fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let (mut amount, mut unit) = (count as f64, 0);
    while amount >= 1000.0 && unit + 1 < UNITS.len() {
        amount /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0);
    format!("{amount:.digits$} {}", UNITS.get(unit).copied().unwrap_or_default())
}

fn number(row: &Value, member: &str) -> u64 {
    row[member].as_u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::draw;

    const FROM: i64 = 1_800_000_000 - 9 * 3600;

    fn row(hour: i64, outcome: &str, requests: u64) -> Value {
        json!({"hour": FROM + hour * 3600, "client": format!("c{hour}"), "outcome": outcome, "requests": requests,
            "request_bytes": 0, "response_bytes": 500 * requests, "latency": [requests, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]})
    }

    #[test]
    fn hours_are_bars() {
        let rows = [row(0, "allowed", 30), row(0, "throttled", 10), row(2, "allowed", 1), row(2, "no_credential", 1)];
        assert_eq!(
            draw(&rows, &rows, FROM, FROM + 2 * 3600),
            "\
Requests by hour (UTC) since 2027-01-14T23:00:00Z: █ allowed, ░ denied

2027-01-14 23:00 ██████████████████████████████░░░░░░░░░░ 40 (10 denied)
2027-01-15 00:00
           01:00 █░ 2 (1 denied)

31 allowed, 11 denied
0 B in, 21.0 kB out
answered: half within 0.1ms, 95 % within 0.1ms, 99 % within 0.1ms

Denied, by code:
        10 throttled
         1 no_credential

Clients:
        40 c0 (10 denied)
         2 c2 (1 denied)
"
        );
    }

    #[test]
    fn nothing_is_an_empty_chart() {
        let drawn = draw(&[], &[], FROM, FROM);
        assert!(drawn.contains("0 allowed, 0 denied") && !drawn.contains("Clients"), "{drawn}");
    }
}
