use super::*;
use crate::store::usage::{UsageRow, add};

const HOUR: i64 = NOW.0 - NOW.0 % 3600;

fn row(hour: i64, client: &str, outcome: &str, requests: i64) -> UsageRow {
    let mut latency = [0; 13];
    latency[2] = requests;
    UsageRow {
        hour,
        client: client.into(),
        partner: "acme".into(),
        credential: "api-key:k1".into(),
        route: "GET /test".into(),
        method: "GET".into(),
        outcome: outcome.into(),
        listener: "gateway".into(),
        requests,
        request_bytes: 0,
        response_bytes: 10 * requests,
        micros: 100,
        latency,
    }
}

async fn server() -> Server {
    let server = Server::new().await;
    let rows = [
        row(HOUR - 30 * 3600, "a", "allowed", 1),
        row(HOUR - 3600, "a", "allowed", 2),
        row(HOUR - 3600, "b", "throttled", 4),
        row(HOUR, "a", "allowed", 8),
    ];
    let mut tx = server.state.store.begin().await.unwrap();
    assert!(add(&mut tx, "p", 1, &rows, NOW).await.unwrap());
    tx.commit().await.unwrap();
    server
}

fn requests(answer: &Value) -> Vec<i64> {
    answer["items"].as_array().unwrap().iter().map(|item| item["requests"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn rows_are_found_by_time_and_by_what_they_count() {
    let server = server().await;
    let get = async |query: &str| server.get(&format!("/v1/usage{query}")).await.ok(StatusCode::OK);
    assert_eq!(requests(&get("").await), [2, 4, 8], "the last 24 hours");
    assert_eq!(requests(&get("?from=0").await), [1, 2, 4, 8]);
    assert_eq!(requests(&get(&format!("?from=0&to={HOUR}")).await), [1, 2, 4]);
    assert_eq!(requests(&get("?client=b").await), [4]);
    assert_eq!(requests(&get("?outcome=allowed&listener=gateway&method=GET&partner=acme").await), [2, 8]);
    assert_eq!(requests(&get("?from=0&by=client").await), [11, 4]);
    let item = get("?from=0&by=outcome").await["items"][1].clone();
    assert_eq!((&item["outcome"], &item["client"], &item["hour"]), (&json!("throttled"), &Value::Null, &Value::Null));
    assert_eq!((&item["response_bytes"], &item["latency"][2]), (&json!(40), &json!(4)));
    let whole = get("").await;
    assert_eq!((&whole["items"][0]["complete"], &whole["items"][2]["complete"]), (&json!(true), &json!(false)));
}

#[tokio::test]
async fn parts_of_a_list_are_the_list() {
    let server = server().await;
    for by in ["", "&by=client,hour", "&by=outcome"] {
        let whole = server.get(&format!("/v1/usage?from=0{by}")).await.ok(StatusCode::OK);
        let (mut items, mut after) = (Vec::new(), String::new());
        loop {
            let part = server.get(&format!("/v1/usage?from=0&limit=1{by}{after}")).await.ok(StatusCode::OK);
            items.extend(part["items"].as_array().unwrap().clone());
            let Some(next) = part["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        assert_eq!(whole["items"], json!(items), "{by}");
        let ids: std::collections::HashSet<&str> = items.iter().map(|item| item["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), items.len());
    }
}

#[tokio::test]
async fn a_question_that_is_misspelt_is_refused() {
    let server = server().await;
    server.get("/v1/usage?by=colour").await.refused(StatusCode::UNPROCESSABLE_ENTITY, "invalid_by");
    server.get("/v1/usage?by=hour,hour").await.refused(StatusCode::UNPROCESSABLE_ENTITY, "invalid_by");
    server.get("/v1/usage?after=x").await.refused(StatusCode::UNPROCESSABLE_ENTITY, "invalid_cursor");
    server.get("/v1/usage?cleint=a").await.refused(StatusCode::BAD_REQUEST, "malformed_query");
}
