//! Every fault of every document, with its place and what to do.

use policies::*;

use crate::fixtures::parse;

const GOOD: &str = r#"
[[resource_server]]
identifier = "api"
name = "API"
scopes = [{ name = "read" }, { name = "write", description = "Write" }]

[[network]]
name = "acme-offices"
cidrs = ["203.0.113.0/24"]

[[usage_plan]]
name = "standard"
throttle = { rate = 50, burst = 100 }
quota = { limit = 10, period = "month", anchor_day = 31 }

[[client]]
id = "acme-orders"
partner = "acme"
scopes = ["api/read"]
networks = ["acme-offices"]
usage_plan = "standard"

[[route]]
methods = ["GET"]
path = "/a/{id}"
accept = [["mutual_tls"]]
scopes = { any = ["api/read"] }
action = { mock = { status = 200 } }
"#;

/// `what => by what` is replaced in [`GOOD`] (`\n` is a line break), and below it stands the one fault that comes of
/// it.
const ONE_FAULT_EACH: &str = include_str!("document_faults.txt");

fn told(text: &str) -> Vec<String> {
    parse(text).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn one_fault_is_one_fault_with_its_place() {
    assert_eq!(told(GOOD), [""; 0]);
    let mut lines = ONE_FAULT_EACH.lines().peekable();
    let mut wrong = Vec::new();
    while let Some(change) = lines.next() {
        let (from, to) = change.split_once(" => ").unwrap();
        let mut expected = Vec::new();
        while let Some(fault) = lines.next_if(|line| line.starts_with("    ")) {
            expected.push(fault.trim().to_owned());
        }
        assert!(GOOD.contains(from) && expected.len() == 1, "{change}");
        let found = told(&GOOD.replacen(from, &to.replace("\\n", "\n"), 1));
        if found != expected {
            wrong.push(format!("{change}\n    {}", found.join("\n    ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn five_faults_are_five_faults() {
    let text = GOOD
        .replace("name = \"API\"", "nmae = \"API\"")
        .replace("[\"203.0.113.0/24\"]", "[\"203.0.113.0/33\", \"198.51.100.0/24\"]")
        .replace("rate = 50", "rate = 0")
        .replace("networks = [\"acme-offices\"]", "networks = [\"acme-ofices\"]")
        .replace("{ any = [\"api/read\"] }", "{ any = [\"api/reed\"] }");
    assert_eq!(
        told(&text),
        [
            "policy.toml:4:1: unknown field \"nmae\" in resource_server; did you mean \"name\"?",
            "policy.toml:9:10: \"203.0.113.0/33\" is not a valid CIDR: write it like 203.0.113.0/24 or 2001:db8::/48",
            "policy.toml:13:21: rate must be between 0.000001 and 1000000 requests per second",
            "policy.toml:20:13: unknown network \"acme-ofices\"; did you mean \"acme-offices\"?",
            "policy.toml:27:19: unknown scope \"api/reed\": resource server \"api\" has no scope \"reed\"; did you mean \"api/read\"?",
        ]
    );
}

#[test]
fn all_the_one_faults_that_fit_together_are_found_together() {
    // Each line of GOOD is broken once, by the first change listed for it.
    let mut text = GOOD.to_owned();
    let mut expected = 0;
    for (from, to) in ONE_FAULT_EACH.lines().filter_map(|line| line.split_once(" => ")) {
        let is_structure = from.starts_with("[[")
            || from == "name = \"acme-offices\""
            || from == "name = \"standard\""
            || to.contains("\\n")
            || from == "identifier = \"api\"";
        if !is_structure && text.contains(from) && !to.contains(from) {
            text = text.replacen(from, to, 1);
            expected += 1;
        }
    }
    let found = told(&text);
    assert!(expected >= 12, "{expected}");
    assert_eq!(found.len(), expected, "{text}\n{}", found.join("\n"));
}

#[test]
fn documents_are_one_policy() {
    let (declarations, rest) = GOOD.split_once("[[client]]").unwrap();
    let rest = format!("[[client]]{rest}");
    let documents = [Document::new("clients.toml", rest.as_str()), Document::new("networks.toml", declarations)];
    let policy = Policy::parse(&documents).unwrap();
    assert_eq!((policy.clients.len(), policy.networks.len(), policy.routes.routes().len()), (1, 1, 1));

    let twice = [Document::new("a.toml", GOOD), Document::new("b.toml", declarations)];
    let found: Vec<String> = Policy::parse(&twice).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "b.toml:3:14: resource_server \"api\" is declared twice, first at a.toml:3",
            "b.toml:8:8: network \"acme-offices\" is declared twice, first at a.toml:8",
            "b.toml:12:8: usage_plan \"standard\" is declared twice, first at a.toml:12",
        ]
    );
    assert!(Policy::parse(&[]).unwrap().routes.routes().is_empty());
}

#[test]
fn a_syntax_error_stops_only_its_own_document() {
    let broken = format!("{}\n[[network]]\nname = \"branch\ncidrs = 7\n", GOOD.replace("rate = 50", "rate = 0"));
    let other = "[[client]]\nid = \"b\"\npartner = \"Acme\"\nnetworks = [\"acme-offices\", \"nowhere\"]\n";
    let documents = [Document::new("broken.toml", broken), Document::new("other.toml", other)];
    let found: Vec<String> = Policy::parse(&documents).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "broken.toml:31:15: invalid basic string, expected `\"`",
            "other.toml:3:11: \"Acme\" is not a valid partner id: 1 to 63 lower-case letters, digits or '-', \
             beginning with a letter or digit",
            "other.toml:4:29: unknown network \"nowhere\"",
        ],
        "acme-offices is still known, and the broken file tells one fault"
    );
}

#[test]
fn places_count_lines_and_characters() {
    let crlf = GOOD.replace('\n', "\r\n").replace("\"acme-offices\"]", "\"ü-\", \"acme-ofices\"]");
    assert_eq!(told(&crlf)[1], "policy.toml:20:19: unknown network \"acme-ofices\"; did you mean \"acme-offices\"?");
    let marked = format!("\u{feff}{}", GOOD.replace("rate = 50", "rate = 0"));
    assert_eq!(told(&marked), ["policy.toml:13:21: rate must be between 0.000001 and 1000000 requests per second"]);
}

#[test]
fn limits() {
    let large = format!("#{}", "x".repeat(MAX_DOCUMENT_BYTES));
    assert_eq!(told(&large), ["policy.toml:1:1: the document is larger than 4194304 bytes"]);
    let many = vec![Document::new("x.toml", ""); MAX_DOCUMENTS + 1];
    assert_eq!(Policy::parse(&many).unwrap_err().len(), 1);
    let wrong = "[[client]]\nx = 1\n".repeat(2 * MAX_FAULTS);
    let found = parse(&wrong).unwrap_err();
    assert_eq!(found.len(), MAX_FAULTS);
    assert!(found.last().unwrap().message.ends_with("(and more faults, which are not listed)"));
    let scopes: String = (0..=MAX_SCOPES_PER_CLIENT).map(|n| format!("\"api/{n}\",")).collect();
    assert_eq!(told(&GOOD.replace("scopes = [\"api/read\"]", &format!("scopes = [{scopes}]"))).len(), 1);
    let defined: String = (0..=MAX_SCOPES_PER_RESOURCE_SERVER).map(|n| format!("{{name=\"{n}\"}},")).collect();
    let servers = format!("[[resource_server]]\nidentifier = \"x\"\nscopes = [{defined}]\n");
    assert_eq!(told(&servers), ["policy.toml:3:10: more than 1000 scopes"]);
    let routes: String = (0..=MAX_ROUTES)
        .map(|n| format!("[[route]]\nmethods=[\"GET\"]\npath=\"/{n}\"\npublic=true\naction={{mock={{}}}}\n"))
        .collect();
    assert_eq!(told(&routes).len(), 1);
    let deep = format!("x = {}{}", "[".repeat(5_000), "]".repeat(5_000));
    assert_eq!(told(&deep).len(), 1, "deep nesting is refused, not a stack overflow");
}

#[test]
fn a_hopeless_document_is_refused_in_reasonable_time() {
    let servers: String = (0..100)
        .map(|n| {
            let scopes: String = (0..200).map(|m| format!("{{name=\"scope-number-{m}\"}},")).collect();
            format!("[[resource_server]]\nidentifier=\"https://api.example.com/server-{n}\"\nscopes=[{scopes}]\n")
        })
        .collect();
    let networks: String =
        (0..5_000).map(|n| format!("[[network]]\nname=\"network-{n}\"\ncidrs=[\"10.0.0.0/8\"]\n")).collect();
    let scopes = "\"https://api.example.com/server-1/scope-nummer\",".repeat(MAX_SCOPES_PER_CLIENT - 1);
    let clients: String = (0..40)
        .map(|n| format!("[[client]]\nid=\"c{n}\"\npartner=\"p\"\nnetworks=[\"netwurk-{n}\"]\nscopes=[{scopes}]\n"))
        .collect();
    let text = format!("{servers}{networks}{clients}");
    assert!(text.len() > MAX_DOCUMENT_BYTES / 2, "{}", text.len());
    // Before names were compared with care, this took two minutes.
    assert_eq!(parse(&text).unwrap_err().len(), MAX_FAULTS);
}

#[test]
fn upstreams() {
    let faults = |upstream: &str| {
        told(&GOOD.replace("{ mock = { status = 200 } }", &format!("{{ proxy = {{ upstream = {upstream:?} }} }}")))
            .len()
    };
    for good in [
        "http://127.0.0.1:9000",
        "https://a.example",
        "https://a.example/",
        "https://a.example:8443/base/v1",
        "http://[::1]:80",
        "http://[2001:db8::1]",
        "http://localhost",
        "http://my_service.ns.svc.cluster.local:80/x.y/",
        "https://a.example./x",
    ] {
        assert_eq!(faults(good), 0, "{good}");
    }
    for bad in [
        "",
        "a.example",
        "//a.example",
        "ftp://a",
        "HTTP://a",
        "http:/a",
        "http://",
        "http:///x",
        "http://a b",
        "http://a?x=1",
        "http://a#x",
        "http://u:p@a",
        "http://@a",
        "http://a:",
        "http://a:0",
        "http://a:080",
        "http://a:65536",
        "http://a:x",
        "http://[::1",
        "http://[::1]x",
        "http://[fe80::1%eth0]",
        "http://[127.0.0.1]",
        "http://::1",
        "http://127.1",
        "http://0177.0.0.1",
        "http://2130706433",
        "http://0x7f000001.1",
        "http://a..b",
        "http://-a",
        "http://a-",
        "http://a/../b",
        "http://a/./b",
        "http://a//b",
        "http://a/%2e",
        "http://a/b;c",
        "http://a\\b",
        "http://\u{e4}",
        "http://a/{id}",
        "http://.",
        "file:///etc/passwd",
        "http://a/\n",
        "unix:/run/x",
    ] {
        assert_eq!(faults(bad), 1, "{bad:?}");
    }
    assert_eq!(faults(&format!("http://a/{}", "x".repeat(2_100))), 1);
}

#[test]
fn a_client_is_never_opened_by_a_lost_name() {
    let policy = crate::fixtures::policy(GOOD);
    let resolve = |scopes: &str, networks: &[&str], plan: Option<&str>| {
        let networks: Vec<String> = networks.iter().map(|name| (*name).to_owned()).collect();
        let scopes = ScopeSet::parse_list(scopes).unwrap();
        policy.resolve_client("c".parse().unwrap(), "p".parse().unwrap(), true, &scopes, &networks, plan)
    };
    let client = resolve("api/read portcullis/admin.read", &["acme-offices"], Some("standard")).unwrap();
    assert!(!client.networks.is_anywhere() && client.usage_plan.is_some());
    assert!(resolve("", &[], None).unwrap().networks.is_anywhere());
    let faults = resolve("api/x portcullis/root", &["acme-offices", "gone"], Some("gold")).unwrap_err();
    assert_eq!(
        faults,
        [
            "unknown scope \"api/x\": resource server \"api\" has no scope \"x\"",
            "unknown scope \"portcullis/root\": resource server \"portcullis\" has no scope \"root\"",
            "unknown network \"gone\"",
            "unknown usage plan \"gold\"",
        ]
    );
    assert_eq!(policy.allowlist(&["gone".to_owned()]).unwrap_err(), ["unknown network \"gone\""]);
    assert!(!policy.allowlist(&[]).unwrap().is_anywhere());
}
