use std::time::Duration;

use super::super::measure::{Measured, NewCall};
use super::super::method::Method;
use super::super::properties::Properties;
use super::super::revocation::{Round, Shut};
use super::super::wire::Bytes;
use super::{Delay, MethodReport, RevocationReport};

fn denied(sending_ms: u64, from_answer_seconds: f64, by: &'static str) -> Shut {
    Shut::Denied { from_sending: Duration::from_millis(sending_ms), from_answer_seconds, by, served_after_answer: 1 }
}

fn round(open: Shut, new: Shut, resumed: Shut) -> Result<Round, String> {
    Ok(Round { answered: Duration::from_millis(4), open, new, resumed })
}

#[test]
fn a_method_that_was_not_measured_shows_no_zeros() {
    let measured = Measured { failed: Some("refused: 401 method_not_accepted".to_owned()), ..Measured::default() };
    let report = MethodReport::new(Method::ApiKey, &measured, Properties::of(Method::ApiKey));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["id"], "api_key");
    assert_eq!(json["unavailable"], "refused: 401 method_not_accepted");
    for member in ["first_call", "full_handshake", "resumed_call", "keep_alive", "revocation"] {
        assert!(json[member].is_null(), "{member}");
    }
    assert!(json["bytes"]["keep_alive"].is_null() && json["server_cpu"]["keep_alive_us"].is_null());
}

#[test]
fn medians_are_taken_in_each_direction() {
    let call = |total, sent, received| NewCall {
        tcp: Duration::from_micros(10),
        tls: Duration::from_micros(500),
        total: Duration::from_micros(total),
        handshake_bytes: Bytes { sent: 1, received: 2 },
        bytes: Bytes { sent, received },
    };
    let measured = Measured { full: vec![call(900, 5, 70), call(700, 9, 50), call(800, 7, 60)], ..Measured::default() };
    let report = MethodReport::new(Method::MutualTls, &measured, Properties::of(Method::MutualTls));
    assert_eq!(report.bytes.first_call, Some(Bytes { sent: 7, received: 60 }));
    assert_eq!(report.first_call.unwrap().p50_us, 800.0);
    assert_eq!((report.full_handshake.unwrap().max_us, report.tcp_connect.unwrap().min_us), (500.0, 10.0));
    assert_eq!(report.bytes.resumed_call, None);
}

#[test]
fn rounds_become_delays() {
    let rounds = [
        round(denied(3, -0.001, "closed"), denied(5, 0.002, "401"), Shut::Disturbed("not resumed".to_owned())),
        round(denied(4, 0.0005, "401"), Shut::NotDenied, denied(7, 0.003, "401")),
        Err("no answer".to_owned()),
        Err("no answer".to_owned()),
    ];
    let report = RevocationReport::new(Method::MutualTls, &rounds);
    assert_eq!((report.revoked, report.rounds, report.failed.len()), ("certificate", 4, 1));
    let open = &report.open_connection;
    assert_eq!(open.from_sending, Some(Delay { count: 2, min_ms: 3.0, p50_ms: 3.0, max_ms: 4.0 }));
    assert_eq!(open.from_answer, Some(Delay { count: 2, min_ms: -1.0, p50_ms: -1.0, max_ms: 0.5 }));
    assert_eq!((open.denied_by.as_slice(), open.served_after_answer), (["closed", "401"].as_slice(), 2));
    assert_eq!((report.new_connection.not_denied, report.resumed_session.disturbed.len()), (1, 1));
    let nothing = RevocationReport::new(Method::ApiKey, &[]);
    assert_eq!((nothing.answered, nothing.open_connection.from_sending), (None, None));
}
