//! The documents that are shown to people: each is read, and does what its comment says.

use std::sync::Arc;

use policies::*;

use crate::fixtures::{ip, methods, policy, proof};

const THREE_METHODS: &str = include_str!("../../samples/three-methods.toml");
const PARTNER_READ_ONLY: &str = include_str!("../../samples/partner-read-only.toml");
const REVERSE_PROXY: &str = include_str!("../../samples/reverse-proxy.toml");
const COGNITO_ISSUER: &str = include_str!("../../samples/cognito-issuer.toml");

/// What becomes of `GET /path` by `client`, having proved `proved`, called from `source`.
fn ask(policy: &Policy, client: &str, proved: &str, listener: &str, target: &str, source: &str) -> String {
    let (method, path) = target.split_once(' ').unwrap();
    let Some(route) = policy.routes.find(listener, method, path) else { return "route_not_found".to_owned() };
    let declared = policy.clients.iter().find(|declared| declared.id == client).unwrap();
    let networks = &declared.networks;
    let plan = declared.usage_plan.as_deref();
    let (id, partner) = (declared.id.clone(), declared.partner.clone());
    let client = policy.resolve_client(id, partner, true, &declared.scopes, networks, plan).unwrap();
    let proofs = methods(proved).iter().map(|method| Proof { client: client.id.clone(), ..proof(method) }).collect();
    let outcome = resolve(proofs, Arc::new(client))
        .and_then(|principal| entitle(principal, route.clone(), ip(source), &mut ()))
        .and_then(|entitlement| entitlement.admit(Spent::unlimited(), &mut ()));
    match outcome {
        Ok(permit) => permit.route().id.to_string(),
        Err(denial) => denial.code().to_owned(),
    }
}

#[test]
fn three_methods() {
    let policy = policy(THREE_METHODS);
    let ask = |proved: &str, path: &str| ask(&policy, "acme-orders", proved, "gateway", path, "203.0.113.7");
    for proved in ["mutual_tls", "api_key", "bearer", "mutual_tls+bearer"] {
        assert_eq!(ask(proved, "GET /test/hello-world"), "GET /test/hello-world", "{proved}");
    }
    assert_eq!(ask("", "GET /test/hello-world"), "no_credential");
    assert_eq!(ask("mutual_tls+api_key", "GET /test/both"), "GET /test/both");
    assert_eq!(ask("mutual_tls+api_key+bearer", "GET /test/both"), "GET /test/both");
    for proved in ["mutual_tls", "api_key", "bearer", "mutual_tls+bearer"] {
        assert_eq!(ask(proved, "GET /test/both"), "method_not_accepted", "{proved}");
    }
    assert_eq!(ask("mutual_tls", "POST /test/both"), "route_not_found");
    assert_eq!(ask("mutual_tls", "GET /test"), "route_not_found");

    let route = policy.routes.find("gateway", "GET", "/test/hello-world").unwrap();
    let Action::Mock(mock) = &route.action else { panic!("{}", route.action) };
    assert_eq!((mock.status, mock.body.as_str()), (200, r#"{"message": "hello world!"}"#));
    assert_eq!(mock.headers, [("content-type".to_owned(), "application/json".to_owned())]);
    let plan = &policy.usage_plans["standard"];
    assert_eq!(plan.throttle, Some(Throttle::new(50.0, 100).unwrap()));
    let quota = plan.quotas.first().unwrap();
    assert_eq!((quota.limit, quota.time_zone(), quota.anchor_day()), (100_000, "Asia/Dubai", 1));
    assert_eq!(policy.partners[0].name, "Acme Ltd");
    assert_eq!(policy.partners[0].contact.as_deref(), Some("integration@acme.example"));
}

#[test]
fn three_methods_moves_with_its_address() {
    // `portcullis demo` puts its own address into the identifier.
    let policy = policy(&THREE_METHODS.replace("https://127.0.0.1:8443", "https://localhost:41234"));
    assert!(policy.has_scope(&"https://localhost:41234/test/hello-world".parse().unwrap()));
}

#[test]
fn partner_read_only() {
    let policy = policy(PARTNER_READ_ONLY);
    let globex =
        |proved: &str, target: &str, source: &str| ask(&policy, "globex-reports", proved, "any", target, source);
    assert_eq!(globex("api_key", "GET /v1/orders", "203.0.113.7"), "list-orders");
    assert_eq!(globex("bearer", "HEAD /v1/orders/7", "2001:db8:1::7"), "read-order");
    assert_eq!(globex("api_key", "GET /v1/orders", "203.0.113.66"), "source_not_allowed");
    assert_eq!(globex("api_key", "GET /v1/orders", "198.51.100.1"), "source_not_allowed");
    assert_eq!(globex("api_key", "DELETE /v1/orders/7", "203.0.113.7"), "method_not_accepted");
    assert_eq!(globex("mutual_tls", "DELETE /v1/orders/7", "203.0.113.7"), "insufficient_scope");
    assert_eq!(globex("mutual_tls", "PATCH /v1/orders/7", "203.0.113.7"), "route_not_found");
    let own = |proved: &str, target: &str| ask(&policy, "own-operations", proved, "any", target, "192.0.2.1");
    assert_eq!(own("mutual_tls", "DELETE /v1/orders/7"), "change-orders");
    assert_eq!(own("bearer", "DELETE /v1/orders/7"), "method_not_accepted");
    let names: Vec<_> = policy.partners.iter().map(|partner| (partner.id.as_str(), partner.name.as_str())).collect();
    assert_eq!(names, [("globex", "globex"), ("example", "example")], "declared by being named");
    let route = policy.routes.find("any", "GET", "/v1/orders").unwrap();
    assert_eq!(route.errors, ErrorStyle::Aws);
    let status = policy.routes.find("any", "GET", "/status").unwrap();
    assert!(status.is_public() && admit_public(status.clone(), ip("192.0.2.1"), Spent::unlimited(), &mut ()).is_ok());
}

#[test]
fn reverse_proxy() {
    let policy = policy(REVERSE_PROXY);
    let ask = |proved: &str, listener: &str, target: &str, source: &str| {
        ask(&policy, "initech-payments", proved, listener, target, source)
    };
    assert_eq!(ask("api_key", "gateway", "GET /catalogue/books/7", "198.51.100.1"), "catalogue");
    assert_eq!(ask("api_key", "gateway", "GET /catalogue", "198.51.100.1"), "route_not_found");
    assert_eq!(ask("mutual_tls+bearer", "mtls", "POST /payments", "198.51.100.200"), "payments");
    assert_eq!(ask("mutual_tls+bearer", "gateway", "POST /payments", "198.51.100.200"), "route_not_found");
    assert_eq!(ask("mutual_tls", "mtls", "POST /payments", "198.51.100.200"), "method_not_accepted");
    assert_eq!(ask("mutual_tls+bearer", "mtls", "POST /payments", "198.51.100.150"), "source_not_allowed");
    let proxy = |listener: &str, method: &str, path: &str| {
        let route = policy.routes.find(listener, method, path).unwrap();
        let Action::Proxy(proxy) = &route.action else { panic!("{}", route.action) };
        proxy.clone()
    };
    assert_eq!(
        proxy("mtls", "POST", "/payments"),
        Proxy {
            upstream: "https://payments.internal.example:8443/base".to_owned(),
            timeout_seconds: 10,
            connect_timeout_seconds: 2,
            preserve_host: false,
        }
    );
    let catalogue = proxy("any", "GET", "/catalogue/x");
    assert_eq!((catalogue.timeout_seconds, catalogue.connect_timeout_seconds, catalogue.preserve_host), (30, 5, true));
    assert_eq!(policy.usage_plans["payments"].quotas[0].week_start(), Weekday::Sunday);
}

#[test]
fn cognito_issuer() {
    let policy = policy(COGNITO_ISSUER);
    let [cognito, keycloak] = policy.token_issuers.as_slice() else { panic!("two issuers") };
    assert_eq!(cognito.profile, TokenProfile::Cognito);
    assert_eq!(cognito.clients["4f7k2example9client1id"], "acme-orders");
    assert!(cognito.audiences.is_empty());
    assert_eq!((cognito.algorithms.join(" "), cognito.leeway_seconds), ("RS256".to_owned(), 30));
    assert_eq!(keycloak.profile, TokenProfile::Rfc9068);
    assert_eq!((keycloak.algorithms.join(" "), keycloak.leeway_seconds), ("RS256 ES256".to_owned(), 10));
    assert_eq!(
        ask(&policy, "acme-orders", "bearer", "any", "GET /test/hello-world", "192.0.2.1"),
        "GET /test/hello-world"
    );
    assert_eq!(
        ask(&policy, "acme-orders", "api_key", "any", "GET /test/hello-world", "192.0.2.1"),
        "method_not_accepted"
    );
}

#[test]
fn the_sample_of_the_design_is_a_policy() {
    let policy = policy(
        r#"
        [[resource_server]]
        identifier = "https://api.example.com/test"
        name = "Mock API"
        scopes = [{ name = "hello-world", description = "Hello world endpoints" }]
        [[network]]
        name = "acme-offices"
        cidrs = ["203.0.113.0/24", "2001:db8::/48"]
        except = ["203.0.113.66/32"]
        [[usage_plan]]
        name = "standard"
        throttle = { rate = 50, burst = 100 }
        quota = { limit = 100_000, period = "month", time_zone = "Asia/Dubai", anchor_day = 1 }
        [[client]]
        id = "acme-orders"
        partner = "acme"
        scopes = ["https://api.example.com/test/hello-world"]
        networks = ["acme-offices"]
        usage_plan = "standard"
        [[route]]
        methods = ["GET"]
        path = "/test/hello-world"
        accept = [["mutual_tls"], ["api_key"], ["bearer"]]
        scopes = { any = ["https://api.example.com/test/hello-world"] }
        action = { mock = { status = 200, body = '{"message": "hello world!"}' } }
        "#,
    );
    assert_eq!(
        ask(&policy, "acme-orders", "bearer", "any", "GET /test/hello-world", "203.0.113.7"),
        "GET /test/hello-world"
    );
    assert_eq!(
        ask(&policy, "acme-orders", "bearer", "any", "GET /test/hello-world", "203.0.113.66"),
        "source_not_allowed"
    );
}
