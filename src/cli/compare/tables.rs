//! The comparison for people.

use comfy_table::{ContentArrangement, Table, presets};

use crate::cli::{moment, table};
use crate::compare::{Bytes, Comparison, Delay, Latency, MethodReport, Properties, RevocationReport, ShutReport};

/// Sentences are wrapped at this.
const WIDTH: u16 = 118;

/// All tables, one under the other. `now` in seconds since 1970.
pub(super) fn of(compared: &Comparison, now: i64) -> String {
    let mut text = head(compared);
    text.push_str(&section("How long a call takes", &latency(&compared.methods)));
    for report in &compared.methods {
        if let (Some(why), None) = (&report.unavailable, &report.first_call) {
            text.push_str(&format!("  not measured: {}: {}\n", report.name, table::plain(why)));
        }
    }
    text.push_str(&section("What it costs", &costs(compared)));
    match &compared.revocation_skipped {
        Some(why) => text.push_str(&format!("\nRevocation was not measured: {}\n", table::plain(why))),
        None => text.push_str(&section("From a revocation to the first denial", &revocation(&compared.methods))),
    }
    text.push_str(&section("What they promise", &properties(&compared.methods, now)));
    let footnotes = footnotes(compared);
    if !footnotes.is_empty() {
        text.push('\n');
    }
    for note in footnotes {
        text.push_str(&table::plain(&note));
        text.push('\n');
    }
    text
}

fn head(compared: &Comparison) -> String {
    let client = match (&compared.client, compared.client_is_temporary) {
        (Some(client), true) => format!("as {client}, a temporary client, now switched off"),
        (Some(client), false) => format!("as {client}"),
        (None, _) => "with the credentials given".to_owned(),
    };
    let tls = compared.tls.as_ref();
    let tls = tls.map(|tls| format!("{}, {}, {}", tls.version, tls.key_exchange, tls.cipher_suite)).unwrap_or_default();
    let [before, after] =
        compared.load_average.map(|load| load.map_or_else(|| "?".to_owned(), |load| load.to_string()));
    format!(
        "GET {}\n{}\n{tls}; load average of this machine {before} to {after}\n",
        table::plain(&compared.url),
        table::plain(&client),
    )
}

fn latency(methods: &[MethodReport]) -> Table {
    let mut made = rows(&[
        "METHOD",
        "FIRST CALL ms min/p50/p99",
        "FULL HANDSHAKE ms p50/p99",
        "RESUMED CALL ms p50/p99",
        "KEPT REQUEST µs p50/p99",
        "FETCHING A TOKEN ms p50/p99",
    ]);
    for report in methods.iter().filter(|report| report.first_call.is_some()) {
        made.add_row([
            report.name.to_owned(),
            report.first_call.map_or_else(dash, |all| format!("{}/{}", ms(all.min_us), milliseconds(all))),
            report.full_handshake.map_or_else(dash, milliseconds),
            report.resumed_call.map_or_else(dash, milliseconds),
            report.keep_alive.map_or_else(dash, |all| format!("{:.0}/{:.0}", all.p50_us, all.p99_us)),
            report.token_fetch.map_or_else(dash, milliseconds),
        ]);
    }
    made
}

fn costs(compared: &Comparison) -> Table {
    let mut heading =
        vec!["METHOD", "FIRST CALL bytes out/in", "RESUMED CALL bytes out/in", "KEPT REQUEST bytes out/in"];
    if compared.server_cpu_is_known {
        heading.push("SERVER CPU µs first/resumed/kept");
    }
    let mut made = rows(&heading);
    let bytes = |bytes: Option<Bytes>| bytes.map_or_else(dash, |bytes| format!("{}/{}", bytes.sent, bytes.received));
    let micros = |time: Option<f64>| time.map_or_else(dash, |time| format!("{time:.0}"));
    for report in compared.methods.iter().filter(|report| report.first_call.is_some()) {
        let (wire, cpu) = (&report.bytes, &report.server_cpu);
        let mut row =
            vec![report.name.to_owned(), bytes(wire.first_call), bytes(wire.resumed_call), bytes(wire.keep_alive)];
        if compared.server_cpu_is_known {
            row.push([cpu.first_call_us, cpu.resumed_call_us, cpu.keep_alive_us].map(micros).join("/"));
        }
        made.add_row(row);
    }
    made
}

fn revocation(methods: &[MethodReport]) -> Table {
    let mut made = rows(&[
        "METHOD",
        "REVOKED",
        "ANSWERED ms p50/max",
        "OPEN CONNECTION ms p50/max",
        "NEW ONE ms p50/max",
        "RESUMED ONE ms p50/max",
        "SERVED AFTER THE ANSWER",
    ]);
    for report in methods {
        let Some(revoked) = &report.revocation else { continue };
        let ways = ways(revoked);
        let served: u32 = ways.iter().map(|way| way.served_after_answer).sum();
        let mut row = vec![
            report.name.to_owned(),
            revoked.revoked.to_owned(),
            revoked.answered.map_or_else(dash, |all| format!("{}/{}", ms(all.p50_us), ms(all.max_us))),
        ];
        row.extend(ways.map(shut));
        row.push(served.to_string());
        made.add_row(row);
    }
    made
}

fn shut(way: &ShutReport) -> String {
    let by = |delay: Delay| format!("{:.1}/{:.1} {}", delay.p50_ms, delay.max_ms, way.denied_by.join(", "));
    match (way.from_sending, way.not_denied) {
        (_, not_denied) if not_denied > 0 => format!("NOT DENIED {not_denied} times"),
        (Some(delay), _) => by(delay),
        (None, _) => dash(),
    }
}

fn ways(revoked: &RevocationReport) -> [&ShutReport; 3] {
    [&revoked.open_connection, &revoked.new_connection, &revoked.resumed_session]
}

fn properties(methods: &[MethodReport], now: i64) -> Table {
    let mut made = rows(&["METHOD", "EXPIRY", "REVOCATION", "SHARED SECRET", "A COPIED REQUEST", "ROTATION"]);
    made.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    for report in methods {
        let known = &report.properties;
        made.add_row([
            report.name.to_owned(),
            sentence(known.expiry, ends(known, now)),
            sentence(known.revocation, denied_within(report)),
            known.shared_secret.to_owned(),
            sentence(known.replay, replayed(known)),
            known.rotation.to_owned(),
        ]);
        made.add_row([""]);
    }
    made
}

fn sentence(known: &str, found: Option<String>) -> String {
    found.map_or_else(|| known.to_owned(), |found| format!("{known}. Here: {found}"))
}

fn ends(known: &Properties, now: i64) -> Option<String> {
    match (known.expires_at, known.token_lifetime_seconds) {
        (Some(at), _) => Some(moment::distance(at, now)),
        (None, Some(lifetime)) => Some(format!("after {lifetime} s")),
        (None, None) => known.expiry_is_known.then(|| "never".to_owned()),
    }
}

fn denied_within(report: &MethodReport) -> Option<String> {
    let revoked = report.revocation.as_ref()?;
    let slowest = ways(revoked).into_iter().filter_map(|way| way.from_sending).map(|delay| delay.max_ms);
    slowest.max_by(f64::total_cmp).map(|slowest| format!("denied within {slowest:.0} ms"))
}

fn replayed(known: &Properties) -> Option<String> {
    let replayed = known.replayed.as_ref()?;
    Some(format!("{} without the certificate", table::plain(&replayed.answer)))
}

fn footnotes(compared: &Comparison) -> Vec<String> {
    let mut notes = Vec::new();
    for report in &compared.methods {
        if let (Some(why), Some(_)) = (&report.unavailable, &report.first_call) {
            notes.push(format!("{}: stopped early, {why}", report.name));
        }
        if report.not_resumed > 0 {
            notes.push(format!("{}: {} connections were not resumed", report.name, report.not_resumed));
        }
        if report.throttled_ms > 0 {
            notes.push(format!("{}: waited {} ms because of 429, in no latency", report.name, report.throttled_ms));
        }
        if let Some(revoked) = &report.revocation {
            let disturbed = ways(revoked).into_iter().flat_map(|way| &way.disturbed);
            for why in revoked.failed.iter().chain(disturbed) {
                notes.push(format!("{}: a revocation does not count, {why}", report.name));
            }
        }
    }
    if compared.server_cpu_is_known {
        notes.push(
            "Server CPU is that of its whole process: other callers' requests are in it. A first call includes the handshake."
                .to_owned(),
        );
    }
    notes.extend(compared.warnings.iter().map(|warning| format!("warning: {warning}")));
    notes
}

fn rows(heading: &[&str]) -> Table {
    let mut made = Table::new();
    made.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(heading);
    made
}

/// A title and a table under it, set off from what stands before.
fn section(title: &str, made: &Table) -> String {
    let mut text = format!("\n{title}\n");
    for line in made.lines() {
        let line = line.strip_prefix(' ').unwrap_or(&line).trim_end();
        if line.is_empty() {
            text.push('\n');
        } else {
            text.push_str(&format!("  {line}\n"));
        }
    }
    format!("{}\n", text.trim_end())
}

fn milliseconds(all: Latency) -> String {
    format!("{}/{}", ms(all.p50_us), ms(all.p99_us))
}

fn ms(micros: f64) -> String {
    format!("{:.2}", micros / 1000.0)
}

fn dash() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests;
