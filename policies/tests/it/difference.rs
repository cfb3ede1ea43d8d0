//! What `policy plan` shows.

use policies::*;

use crate::fixtures::policy;

const SAMPLE: &str = include_str!("../../samples/reverse-proxy.toml");
const ISSUERS: &str = include_str!("../../samples/cognito-issuer.toml");

fn plan(old: &str, new: &str) -> Vec<String> {
    difference(&policy(old), &policy(new)).iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_changes_nothing() {
    assert!(plan(SAMPLE, SAMPLE).is_empty());
    assert!(plan(SAMPLE, &SAMPLE.replace("# In front", "# Before")).is_empty());
    let reordered =
        SAMPLE.replace("\"198.51.100.0/25\", \"198.51.100.192/26\"", "\"198.51.100.192/26\", \"198.51.100.0/25\"");
    assert!(plan(SAMPLE, &reordered).is_empty());
}

#[test]
fn everything_is_new_in_the_first_version() {
    let changes = difference(&Policy::default(), &policy(SAMPLE));
    assert!(changes.iter().all(|change| change.kind == ChangeKind::Added));
    let ids: Vec<String> = changes.iter().map(|change| format!("{} {}", change.what, change.id)).collect();
    assert_eq!(
        ids,
        [
            "resource_server shop",
            "network banks",
            "usage_plan payments",
            "partner initech",
            "client initech-payments",
            "route catalogue",
            "route payments",
        ]
    );
    let removed = difference(&policy(SAMPLE), &Policy::default());
    assert!(removed.iter().all(|change| change.kind == ChangeKind::Removed && change.details.is_empty()));
    assert_eq!(removed.len(), 7);
    assert_eq!(removed[1].to_string(), "- network banks");
}

/// Whatever can change a decision is shown.
#[test]
fn every_field_shows_when_it_changes() {
    let cases = [
        (SAMPLE, "\"Shop\"", "\"Store\"", "~ resource_server shop (name: Shop -> Store)"),
        (
            SAMPLE,
            "\"Make payments\"",
            "\"Pay\"",
            "~ resource_server shop (scopes: catalogue (Read the catalogue), payments (Make payments) -> catalogue (Read the catalogue), payments (Pay))",
        ),
        (
            SAMPLE,
            "0/25",
            "0/26",
            "~ network banks (cidrs: 198.51.100.0/25, 198.51.100.192/26 -> 198.51.100.0/26, 198.51.100.192/26)",
        ),
        (SAMPLE, "cidrs =", "except = [\"198.51.100.1\"]\ncidrs =", "~ network banks (except:  -> 198.51.100.1/32)"),
        (
            SAMPLE,
            "rate = 0.5",
            "rate = 1",
            "~ usage_plan payments (throttle: 0.5 per second, burst 5 -> 1 per second, burst 5)",
        ),
        (
            SAMPLE,
            "\"sunday\"",
            "\"monday\"",
            "~ usage_plan payments (quota: 2000 per week from Sunday, America/New_York -> 2000 per week from Monday, America/New_York)",
        ),
        (SAMPLE, "\"Initech Bank\"", "\"Initech\"", "~ partner initech (name: Initech Bank -> Initech)"),
        (SAMPLE, "contact = \"api@initech.example\"", "", "~ partner initech (contact: api@initech.example -> none)"),
        (
            SAMPLE,
            "partner = \"initech\"\nscopes = [\"shop/catalogue\", \"shop/payments\"]",
            "partner = \"initech\"\nscopes = [\"shop/payments\"]",
            "~ client initech-payments (scopes: shop/catalogue shop/payments -> shop/payments)",
        ),
        (SAMPLE, "networks = [\"banks\"]\nusage", "usage", "~ client initech-payments (networks: banks -> anywhere)"),
        (SAMPLE, "usage_plan = \"payments\"", "", "~ client initech-payments (usage_plan: payments -> none)"),
        (SAMPLE, "[\"POST\"]", "[\"POST\", \"PUT\"]", "~ route payments (methods: POST -> POST, PUT)"),
        (SAMPLE, "\"/payments\"", "\"/pay\"", "~ route payments (path: /payments -> /pay)"),
        (
            SAMPLE,
            "[[\"mutual_tls\", \"bearer\"]]",
            "[[\"mutual_tls\"], [\"bearer\"]]",
            "~ route payments (accept: mutual_tls+bearer -> mutual_tls or bearer)",
        ),
        (
            SAMPLE,
            "scopes = { all = [\"shop/payments\"] }",
            "",
            "~ route payments (scopes: all of: shop/payments -> no scope)",
        ),
        (SAMPLE, "networks = [\"banks\"]\nlisteners", "listeners", "~ route payments (networks: banks -> anywhere)"),
        (SAMPLE, "listeners = [\"mtls\"]", "", "~ route payments (listeners: mtls -> all)"),
        (
            SAMPLE,
            "listeners = [\"mtls\"]",
            "listeners = [\"mtls\"]\nrules = { networks = \"shadow\", scopes = \"off\" }",
            "~ route payments (rules: none -> networks shadow, scopes off)",
        ),
        (
            SAMPLE,
            "networks = [\"banks\"]\nusage",
            "networks = [\"banks\"]\nrules = { networks = \"shadow\" }\nusage",
            "~ client initech-payments (rules: none -> networks shadow)",
        ),
        (
            SAMPLE,
            "contact = \"api@initech.example\"",
            "contact = \"api@initech.example\"\nrules = { networks = \"off\" }",
            "~ partner initech (rules: none -> networks off)",
        ),
        (
            SAMPLE,
            "listeners = [\"mtls\"]",
            "listeners = [\"mtls\"]\nerrors = \"aws\"",
            "~ route payments (errors: standard -> aws)",
        ),
        (
            SAMPLE,
            ", preserve_host = true",
            "",
            "~ route catalogue (action: proxy http://127.0.0.1:9000, 30 s, connect 5 s, host preserved -> proxy http://127.0.0.1:9000, 30 s, connect 5 s)",
        ),
        (
            ISSUERS,
            "leeway_seconds = 10",
            "",
            "~ token_issuer https://login.partner.example/realms/b2b (leeway_seconds: 10 -> 30)",
        ),
        (
            ISSUERS,
            "[\"RS256\"]",
            "[\"ES256\"]",
            "~ token_issuer https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example (algorithms: RS256 -> ES256)",
        ),
        (
            ISSUERS,
            "= \"acme-orders\" }",
            "= \"other\" }",
            "~ token_issuer https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example (clients: 4f7k2example9client1id = acme-orders -> 4f7k2example9client1id = other)",
        ),
        (
            ISSUERS,
            "hello world!",
            "hello!",
            "~ route GET /test/hello-world (action: mock 200 \"{\\\"message\\\": \\\"hello world!\\\"}\" content-type: application/json -> mock 200 \"{\\\"message\\\": \\\"hello!\\\"}\" content-type: application/json)",
        ),
    ];
    for (sample, from, to, expected) in cases {
        assert!(sample.contains(from), "{from}");
        assert_eq!(plan(sample, &sample.replacen(from, to, 1)), [expected]);
    }
}

#[test]
fn a_renamed_thing_is_one_gone_and_one_new() {
    let changes = plan(SAMPLE, &SAMPLE.replace("name = \"catalogue\"\nmethods", "name = \"books\"\nmethods"));
    assert_eq!(changes.len(), 2);
    assert!(changes[0].starts_with("+ route books (methods: GET; path: /catalogue/{*rest}; accept:"), "{}", changes[0]);
    assert_eq!(changes[1], "- route catalogue");
}

#[test]
fn a_long_list_shows_what_came_and_went() {
    let sample = |numbers: std::ops::Range<u8>| {
        let cidrs: Vec<String> = numbers.map(|n| format!("\"10.{n}.0.0/16\"")).collect();
        format!("[[network]]\nname = \"n\"\ncidrs = [{}]\n", cidrs.join(","))
    };
    assert_eq!(
        plan(&sample(0..100), &sample(1..102)),
        ["~ network n (cidrs: +10.100.0.0/16, +10.101.0.0/16, -10.0.0.0/16)"]
    );
    let twice = sample(0..100).replace("\"10.1.0.0/16\"", "\"10.1.0.0/16\",\"10.1.0.0/16\"");
    assert!(plan(&sample(0..100), &twice).is_empty(), "an entry given twice changes nothing");
}

#[test]
fn a_change_has_a_json_shape() {
    let changes = difference(&policy(SAMPLE), &policy(&SAMPLE.replace("rate = 0.5", "rate = 1")));
    assert_eq!(
        toml::to_string(&changes[0]).unwrap(),
        "kind = \"changed\"\nwhat = \"usage_plan\"\nid = \"payments\"\n\
         details = [\"throttle: 0.5 per second, burst 5 -> 1 per second, burst 5\"]\n"
    );
}
