//! The result, for programs and for the tables of people.

use serde::Serialize;

use super::call::Agreed;
use super::latency::{Latency, microseconds, percentile};
use super::measure::{Measured, NewCall, ServerCpu};
use super::method::Method;
use super::properties::Properties;
use super::revocation::{Round, Shut};
use super::wire::Bytes;

/// Everything that was found.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// The route that was called.
    pub url: String,
    /// The client whose credentials were used.
    pub client: Option<String>,
    /// Whether that client was made for the purpose.
    pub client_is_temporary: bool,
    /// TLS version, cipher suite and key exchange of a full handshake.
    pub tls: Option<Agreed>,
    /// Whether the server runs on this machine, so that its CPU time could be read.
    pub server_cpu_is_known: bool,
    /// Of the last minute, before and after.
    pub load_average: [Option<f64>; 2],
    pub methods: Vec<MethodReport>,
    /// Why no revocation was measured.
    pub revocation_skipped: Option<String>,
    /// What the reader should know.
    pub warnings: Vec<String>,
}

/// One method.
#[derive(Debug, Serialize)]
pub struct MethodReport {
    pub id: &'static str,
    pub name: &'static str,
    /// Why nothing, or not everything, was measured.
    pub unavailable: Option<String>,
    /// New connection, full handshake, request, answer.
    pub first_call: Option<Latency>,
    /// Until TCP was connected.
    pub tcp_connect: Option<Latency>,
    /// TLS alone, until the client may send.
    pub full_handshake: Option<Latency>,
    pub resumed_handshake: Option<Latency>,
    /// New connection, resumed session, request, answer.
    pub resumed_call: Option<Latency>,
    /// Connections that the server did not resume.
    pub not_resumed: usize,
    pub keep_alive: Option<Latency>,
    /// A new connection to the token endpoint and a token.
    pub token_fetch: Option<Latency>,
    /// Medians of what went over TCP.
    pub bytes: BytesReport,
    /// What a call costs the server.
    pub server_cpu: ServerCpuReport,
    /// Waited for because of 429; in no latency.
    pub throttled_ms: u64,
    pub revocation: Option<RevocationReport>,
    pub properties: Properties,
}

/// Bytes by kind of call; handshakes are part of their calls.
#[derive(Debug, Serialize)]
pub struct BytesReport {
    pub full_handshake: Option<Bytes>,
    pub first_call: Option<Bytes>,
    pub resumed_call: Option<Bytes>,
    pub keep_alive: Option<Bytes>,
    pub token_fetch: Option<Bytes>,
}

/// CPU microseconds of the server for each call, the whole process.
#[derive(Debug, Serialize)]
pub struct ServerCpuReport {
    pub first_call_us: Option<f64>,
    pub resumed_call_us: Option<f64>,
    pub keep_alive_us: Option<f64>,
}

/// From the revocation to the first denial.
#[derive(Debug, Serialize)]
pub struct RevocationReport {
    /// What was revoked: certificate, API key or token.
    pub revoked: &'static str,
    pub rounds: usize,
    /// Rounds that could not be run.
    pub failed: Vec<String>,
    /// How long the admin API took to answer.
    pub answered: Option<Latency>,
    pub open_connection: ShutReport,
    pub new_connection: ShutReport,
    pub resumed_session: ShutReport,
}

/// One way in.
#[derive(Debug, PartialEq, Serialize)]
pub struct ShutReport {
    /// From sending the revocation to the arrival of the first denial.
    pub from_sending: Option<Delay>,
    /// From the arrival of its answer; below zero when the denial came first.
    pub from_answer: Option<Delay>,
    /// `401`, `closed`.
    pub denied_by: Vec<&'static str>,
    /// Requests sent after the revocation had been answered, and served all the same.
    pub served_after_answer: u32,
    /// Rounds in which nothing was denied at all.
    pub not_denied: usize,
    /// Rounds that do not count, and why.
    pub disturbed: Vec<String>,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Delay {
    pub count: usize,
    pub min_ms: f64,
    pub p50_ms: f64,
    pub max_ms: f64,
}

impl MethodReport {
    pub(super) fn new(method: Method, measured: &Measured, properties: Properties) -> Self {
        let full = |read: fn(&NewCall) -> std::time::Duration| Latency::of(measured.full.iter().map(read));
        let resumed = |read: fn(&NewCall) -> std::time::Duration| Latency::of(measured.resumed.iter().map(read));
        Self {
            id: method.id(),
            name: method.name(),
            unavailable: measured.failed.clone(),
            first_call: full(|call| call.total),
            tcp_connect: full(|call| call.tcp),
            full_handshake: full(|call| call.tls),
            resumed_handshake: resumed(|call| call.tls),
            resumed_call: resumed(|call| call.total),
            not_resumed: measured.not_resumed,
            keep_alive: Latency::of(measured.kept.iter().map(|(took, _)| *took)),
            token_fetch: Latency::of(measured.token_fetches.iter().map(|(took, _)| *took)),
            bytes: BytesReport {
                full_handshake: median(measured.full.iter().map(|call| call.handshake_bytes)),
                first_call: median(measured.full.iter().map(|call| call.bytes)),
                resumed_call: median(measured.resumed.iter().map(|call| call.bytes)),
                keep_alive: median(measured.kept.iter().map(|(_, bytes)| *bytes)),
                token_fetch: median(measured.token_fetches.iter().map(|(_, bytes)| *bytes)),
            },
            server_cpu: ServerCpuReport {
                first_call_us: per_call(measured.full_cpu),
                resumed_call_us: per_call(measured.resumed_cpu),
                keep_alive_us: per_call(measured.kept_cpu),
            },
            throttled_ms: u64::try_from(measured.throttled.total.as_millis()).unwrap_or(u64::MAX),
            revocation: None,
            properties,
        }
    }
}

fn per_call(cpu: ServerCpu) -> Option<f64> {
    cpu.per_call().map(microseconds)
}

/// Each direction for itself.
fn median(all: impl Iterator<Item = Bytes>) -> Option<Bytes> {
    let (mut sent, mut received): (Vec<_>, Vec<_>) = all.map(|bytes| (bytes.sent, bytes.received)).unzip();
    sent.sort_unstable();
    received.sort_unstable();
    let middle = sent.len().checked_sub(1)? / 2;
    Some(Bytes { sent: *sent.get(middle)?, received: *received.get(middle)? })
}

impl RevocationReport {
    pub(super) fn new(method: Method, rounds: &[Result<Round, String>]) -> Self {
        let good = || rounds.iter().flatten();
        let mut failed: Vec<_> = rounds.iter().filter_map(|round| round.as_ref().err().cloned()).collect();
        failed.dedup();
        Self {
            revoked: method.revoked().name(),
            rounds: rounds.len(),
            failed,
            answered: Latency::of(good().map(|round| round.answered)),
            open_connection: ShutReport::of(good().map(|round| &round.open)),
            new_connection: ShutReport::of(good().map(|round| &round.new)),
            resumed_session: ShutReport::of(good().map(|round| &round.resumed)),
        }
    }
}

impl ShutReport {
    fn of<'a>(all: impl Iterator<Item = &'a Shut>) -> Self {
        let (mut from_sending, mut from_answer) = (Vec::new(), Vec::new());
        let mut report = Self {
            from_sending: None,
            from_answer: None,
            denied_by: Vec::new(),
            served_after_answer: 0,
            not_denied: 0,
            disturbed: Vec::new(),
        };
        for shut in all {
            match shut {
                Shut::Denied { from_sending: sending, from_answer_seconds, by, served_after_answer } => {
                    from_sending.push(sending.as_secs_f64() * 1e3);
                    from_answer.push(from_answer_seconds * 1e3);
                    report.served_after_answer += served_after_answer;
                    if !report.denied_by.contains(by) {
                        report.denied_by.push(by);
                    }
                }
                Shut::NotDenied => report.not_denied += 1,
                Shut::Disturbed(why) => report.disturbed.push(why.clone()),
            }
        }
        report.from_sending = Delay::of(from_sending);
        report.from_answer = Delay::of(from_answer);
        report
    }
}

impl Delay {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let shown = |value: f64| (value * 100.0).round() / 100.0;
        Some(Self {
            count: values.len(),
            min_ms: shown(*values.first()?),
            p50_ms: shown(percentile(&values, 0.5)?),
            max_ms: shown(*values.last()?),
        })
    }
}

#[cfg(test)]
mod tests;
