use crate::compare::{
    Bytes, BytesReport, Comparison, Delay, Latency, MethodReport, Properties, Replayed, RevocationReport,
    ServerCpuReport, ShutReport,
};

const NOW: i64 = 1_800_000_000;

fn latency(p50_us: f64) -> Option<Latency> {
    Some(Latency { count: 30, min_us: p50_us / 2.0, p50_us, p99_us: p50_us * 3.0, max_us: p50_us * 4.0 })
}

fn way(max_ms: f64) -> ShutReport {
    ShutReport {
        from_sending: Some(Delay { count: 5, min_ms: 1.0, p50_ms: 2.0, max_ms }),
        from_answer: None,
        denied_by: vec!["closed"],
        served_after_answer: 0,
        not_denied: 0,
        disturbed: Vec::new(),
    }
}

fn method(name: &'static str, unavailable: Option<&str>) -> MethodReport {
    let is_measured = unavailable.is_none();
    let bytes = is_measured.then_some(Bytes { sent: 3194, received: 4779 });
    let latency = |p50_us| latency(p50_us).filter(|_| is_measured);
    MethodReport {
        id: "x",
        name,
        unavailable: unavailable.map(str::to_owned),
        first_call: latency(2_000.0),
        tcp_connect: latency(50.0),
        full_handshake: latency(1_000.0),
        resumed_handshake: latency(600.0),
        resumed_call: latency(800.0),
        not_resumed: 0,
        keep_alive: latency(120.0),
        token_fetch: None,
        bytes: BytesReport {
            full_handshake: bytes,
            first_call: bytes,
            resumed_call: bytes,
            keep_alive: bytes,
            token_fetch: None,
        },
        server_cpu: ServerCpuReport { first_call_us: Some(310.0), resumed_call_us: None, keep_alive_us: Some(9.4) },
        throttled_ms: 0,
        revocation: is_measured.then(|| RevocationReport {
            revoked: "certificate",
            rounds: 5,
            failed: Vec::new(),
            answered: latency(4_000.0),
            open_connection: way(3.0),
            new_connection: ShutReport { not_denied: 2, ..way(9.0) },
            resumed_session: way(5.0),
        }),
        properties: Properties {
            expiry: "always",
            revocation: "at once",
            shared_secret: "none",
            replay: "nothing to copy",
            rotation: "overlapping",
            expires_at: Some(NOW + 86_400 * 30),
            expiry_is_known: true,
            token_lifetime_seconds: None,
            replayed: Some(Replayed { is_served: false, answer: "401 no_credential".to_owned() }),
        },
    }
}

fn comparison(methods: Vec<MethodReport>) -> Comparison {
    Comparison {
        url: "https://127.0.0.1:1/test".to_owned(),
        client: Some("compare-1".to_owned()),
        client_is_temporary: true,
        tls: None,
        server_cpu_is_known: true,
        load_average: [Some(1.5), None],
        methods,
        revocation_skipped: None,
        warnings: vec!["something stayed".to_owned()],
    }
}

#[test]
fn every_figure_has_its_place() {
    let text = super::of(&comparison(vec![method("client certificate", None)]), NOW);
    for part in [
        "as compare-1, a temporary client",
        "load average of this machine 1.5 to ?",
        "1.00/2.00/6.00",
        "1.00/3.00",
        "120/360",
        "3194/4779",
        "310/-/9",
        "2.0/3.0 closed",
        "NOT DENIED 2 times",
        "in 30 d",
        "Here: denied",
        "warning: something stayed",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
}

#[test]
fn a_method_that_does_not_work_there_says_why() {
    let mut compared = comparison(vec![method("API key", Some("refused: 401 \u{1b}[2J"))]);
    compared.revocation_skipped = Some("--no-revoke was given".to_owned());
    let text = super::of(&compared, NOW);
    assert!(text.contains("not measured: API key: refused: 401 \\u{1b}[2J"), "{text}");
    assert!(text.contains("Revocation was not measured: --no-revoke was given"), "{text}");
    assert!(!text.contains("0.00"), "{text}");
}
