//! What is counted is what happened: for whom, where, how much, and each request once.

use std::time::Duration;

use http::Method as Verb;
use serde_json::Value;

use crate::harness::policy::{ACME, HELLO, SERVER, document, route};
use crate::harness::{Gateway, GatewayOptions, Http, Method, Upstream, borrowed};

const HOUR: Duration = Duration::from_secs(3600);

async fn rows(gateway: &Gateway, query: &str) -> Vec<Value> {
    let answer = gateway.admin().await.get(&format!("/v1/usage?limit=1000&listener=gateway{query}"), &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["items"].as_array().unwrap().clone()
}

/// Client, credential, route, method, outcome and requests of each row.
fn seen(rows: &[Value]) -> Vec<(String, String, String, String, String, i64)> {
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let mut seen: Vec<_> = rows
        .iter()
        .map(|row| {
            let [client, credential, route, method, outcome] =
                ["client", "credential", "route", "method", "outcome"].map(|name| text(row, name));
            (client, credential, route, method, outcome, row["requests"].as_i64().unwrap())
        })
        .collect();
    seen.sort();
    seen
}

#[tokio::test]
async fn each_credential_has_its_own_count() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    for (index, method) in Method::ALL.into_iter().enumerate() {
        let (mut session, headers) = acme.prepare(&gateway, method, Http::One).await;
        for _ in 0..=index {
            assert_eq!(session.get(&acme.path, &borrowed(&headers)).await.status, 200);
        }
        session.get("/test/both", &borrowed(&headers)).await;
    }
    let mut session = gateway.session().await;
    session.send(Verb::HEAD.as_str(), &acme.path, &[("x-api-key", &acme.api_key)], "").await.unwrap();
    session.get(&acme.path, &[]).await;
    session.get("/nowhere", &[]).await;
    session.send("BREW", "/nowhere", &[], "").await.unwrap();
    let client = acme.client_id.as_str();
    let certificate = format!("client-certificate:{}", acme.serial);
    let key = format!("api-key:{}", acme.api_key_id());
    let route =
        gateway.app.foundation.snapshot.policy().policy.routes.find("gateway", "GET", &acme.path).unwrap().id.clone();
    let both =
        gateway.app.foundation.snapshot.policy().policy.routes.find("gateway", "GET", "/test/both").unwrap().id.clone();
    let mut expected: Vec<(String, String, String, String, String, i64)> = [
        (client, &*certificate, &*route, "GET", "allowed", 1),
        (client, &*key, &*route, "GET", "allowed", 2),
        (client, "access-token", &*route, "GET", "allowed", 3),
        (client, &*certificate, &*both, "GET", "method_not_accepted", 1),
        (client, &*key, &*both, "GET", "method_not_accepted", 1),
        (client, "access-token", &*both, "GET", "method_not_accepted", 1),
        (client, &*key, &*route, "HEAD", "allowed", 1),
        (client, "", "oauth", "POST", "allowed", 1),
        ("", "", &*route, "GET", "no_credential", 1),
        ("", "", "", "GET", "route_not_found", 1),
        ("", "", "", "other", "route_not_found", 1),
    ]
    .map(|(client, credential, route, method, outcome, requests)| {
        (client.to_owned(), credential.to_owned(), route.to_owned(), method.to_owned(), outcome.to_owned(), requests)
    })
    .to_vec();
    expected.sort();
    let rows = rows(&gateway, "").await;
    assert_eq!(seen(&rows), expected);
    for row in &rows {
        let classes: i64 = row["latency"].as_array().unwrap().iter().map(|count| count.as_i64().unwrap()).sum();
        assert_eq!(classes, row["requests"].as_i64().unwrap(), "{row}");
        let partner = if row["route"] != "oauth" && row["client"] == client { "acme" } else { "" };
        assert_eq!(row["partner"], partner, "{row}");
    }
}

#[tokio::test]
async fn bytes_are_those_of_the_bodies() {
    let upstream = Upstream::start().await;
    let action = format!("{{ proxy = {{ upstream = \"{}\" }} }}", upstream.url());
    let proxied = route("\"GET\", \"POST\"", "/up/{*rest}", &action);
    let gateway = Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, &proxied]))).await;
    let acme = gateway.acme();
    let (mut given, mut taken) = (0, 0);
    for http in Http::BOTH {
        let (mut session, headers) = acme.prepare(&gateway, Method::ApiKey, http).await;
        for body in ["", "twelve bytes"] {
            let answer = session.send("POST", "/up/echo", &borrowed(&headers), body).await.unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
            given += answer.body.len();
            taken += body.len();
        }
        let answer = session.get(&acme.path, &borrowed(&headers)).await;
        given += answer.body.len();
        let denied = session.get("/nowhere", &[]).await;
        assert_eq!(denied.status, 404);
    }
    // The last bytes are counted when the body is gone, which may be after the client has read it.
    let counted = async {
        loop {
            let rows = rows(&gateway, "&by=client&client=acme-orders").await;
            let (request, response) = (&rows[0]["request_bytes"], &rows[0]["response_bytes"]);
            if *request == taken && *response == given {
                return;
            }
            assert!(
                request.as_u64().unwrap() <= taken as u64 && response.as_u64().unwrap() <= given as u64,
                "{rows:?}"
            );
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), counted).await.expect("all bytes in time");
    assert_eq!(rows(&gateway, "&by=client&client=acme-orders").await[0]["requests"], 6);
}

#[tokio::test]
async fn hours_stay_what_they_were() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    acme.call(&gateway, Method::ApiKey, &acme.path).await;
    gateway.advance(HOUR);
    acme.call(&gateway, Method::ApiKey, &acme.path).await;
    acme.call(&gateway, Method::ApiKey, &acme.path).await;
    let before = rows(&gateway, "").await;
    let gateway = gateway.restart().await;
    assert_eq!(rows(&gateway, "").await, before, "nothing is lost or doubled by a restart");
    acme.call(&gateway, Method::ApiKey, &acme.path).await;
    let requests: Vec<i64> =
        rows(&gateway, "&by=hour").await.iter().map(|row| row["requests"].as_i64().unwrap()).collect();
    assert_eq!(requests, [1, 3]);
    let gateway = gateway.crash().await;
    let requests: Vec<i64> =
        rows(&gateway, "&by=hour").await.iter().map(|row| row["requests"].as_i64().unwrap()).collect();
    assert_eq!(requests, [1, 3], "what was written stands");
}
