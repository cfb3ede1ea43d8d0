use std::path::Path;

use super::ConfigFile;
use super::listener::canonical_hostname;

const GOOD: &str = r#"
environment = "demo"
trust_domain = "portcullis.internal"
[[listener]]
name = "gateway"
serves = "gateway"
address = "127.0.0.1:0"
hostnames = ["LocalHost", "[::1]"]
[[listener]]
name = "admin"
serves = "admin"
address = "127.0.0.1:0"
hostnames = ["localhost"]
[[listener]]
name = "pki"
serves = "pki"
address = "127.0.0.1:0"
"#;

fn check(text: &str) -> Result<super::Config, Vec<String>> {
    let file: ConfigFile = toml::from_str(text).map_err(|error| vec![error.to_string()])?;
    file.check(Path::new("data"))
}

#[test]
fn defaults_fill_what_is_left_out() {
    let config = check(GOOD).unwrap();
    assert_eq!(config.listeners[0].hostnames, ["localhost", "::1"]);
    assert_eq!(config.oauth.algorithm, super::SigningAlgorithm::Es256);
    assert!(config.limits.exempt.is_empty());
}

#[test]
fn every_fault_is_listed_at_once() {
    let text = GOOD.replace("\"demo\"", "\"De_mo\"").replace("127.0.0.1:0", "nowhere")
        + "[oauth]\ntoken_ttl_seconds = 1\nalgorithm = \"HS256\"\n[audit]\nallowed = \"some\"\n[limits]\nexempt = [\"0.0.0.0/0\"]\nheaders = \"all\"\n";
    let faults = check(&text).unwrap_err();
    for part in ["environment", "nowhere", "token_ttl", "HS256", "audit.allowed", "0.0.0.0/0", "limits.headers"] {
        assert!(faults.iter().any(|fault| fault.contains(part)), "{part} not in {faults:?}");
    }
}

#[test]
fn a_misspelt_setting_is_an_error() {
    assert!(check(&(GOOD.to_owned() + "[limits]\nconections_max = 5\n")).is_err());
}

#[test]
fn the_admin_listener_cannot_go_without_client_certificates() {
    let text = GOOD.replace("serves = \"admin\"", "serves = \"admin\"\nclient_certificates = \"none\"");
    assert!(check(&text).unwrap_err()[0].contains("admin"));
}

#[test]
fn hostnames_have_one_spelling() {
    assert_eq!(canonical_hostname("API.Example.com."), Some("api.example.com".to_owned()));
    assert_eq!(canonical_hostname("[2001:DB8::1]"), Some("2001:db8::1".to_owned()));
    for bad in ["", "a..b", "a_b", "-a", "host:443", "*"] {
        assert_eq!(canonical_hostname(bad), None, "{bad}");
    }
}

#[test]
fn nobody_is_believed_about_callers_unless_he_is_named() {
    let listener = &check(GOOD).unwrap().listeners[0];
    assert!(listener.proxy_protocol.is_none() && listener.trusted_proxies.is_none());
    let with = |more: &str| check(&GOOD.replacen("serves = \"gateway\"", &format!("serves = \"gateway\"\n{more}"), 1));
    let listener = &with("proxy_protocol = { from = [\"10.0.0.0/8\"] }\ntrusted_proxies = [\"2001:db8::1\"]")
        .unwrap()
        .listeners[0];
    assert!(listener.proxy_protocol.as_ref().unwrap().contains("10.1.2.3".parse().unwrap()));
    assert!(listener.trusted_proxies.as_ref().unwrap().contains("2001:db8::1".parse().unwrap()));
    assert!(with("trusted_proxies = []").unwrap().listeners[0].trusted_proxies.is_none());
    for bad in [
        "proxy_protocol = { from = [] }",
        "proxy_protocol = { from = [\"0.0.0.0/0\"] }",
        "proxy_protocol = { from = [\"10.0.0.1/8\"] }",
        "proxy_protocol = { from = [\"10.0.0.0/8\"], optional = true }",
        "proxy_protocol = true",
        "trusted_proxies = [\"::/0\"]",
        "trusted_proxies = [\"0.0.0.0/1\", \"128.0.0.0/1\"]",
        "trusted_proxies = [\"load-balancer\"]",
        "forwarded_header = \"forwarded\"",
        "trusted_proxies = [\"10.0.0.0/8\"]\nforwarded_header = \"x-real-ip\"",
    ] {
        assert!(with(bad).is_err(), "{bad}");
    }
    let all = "insecure_trust_everyone = true\ntrusted_proxies = [\"0.0.0.0/0\", \"::/0\"]\nproxy_protocol = { from = [\"::/0\"] }";
    assert!(with(all).unwrap().listeners[0].trusted_proxies.is_some());
}
