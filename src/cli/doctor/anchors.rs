//! Authorities of partners: what would refuse their clients, or soon will.

use serde_json::Value;

use super::{Finding, in_one_line};
use crate::cli::admin_api::AdminApi;
use crate::cli::query::Query;
use crate::cli::table;

const PATH: &str = "/v1/trust-anchors";
const ANCHORS_MAX: usize = 1_000;
/// A partner needs weeks to roll a root out.
const NOTICE_DAYS: i64 = 60;

pub(super) async fn look(api: &mut AdminApi, now: i64) -> Vec<Finding> {
    match api.list(PATH, &Query::default(), ANCHORS_MAX).await {
        Ok(listing) => listing.items.iter().flat_map(|anchor| of_anchor(anchor, now)).collect(),
        Err(error) => vec![Finding::fail("trust anchors", in_one_line(&error))],
    }
}

fn of_anchor(anchor: &Value, now: i64) -> Vec<Finding> {
    let id = table::shown(&anchor["id"]);
    let mut findings = Vec::new();
    for authority in anchor["authorities"].as_array().into_iter().flatten() {
        let subject = table::shown(&authority["subject"]);
        let remedy = "ask the partner for the next one, then `portcullis anchor import … --replace`";
        let ends = authority["not_after"].as_i64().unwrap_or_default();
        findings.push(Finding::expiry("trust anchor", &format!("{id}: {subject}"), ends, now, NOTICE_DAYS, remedy));
        let list = table::shown(&authority["revocation_list"]);
        if list != "current" {
            let consequence = match anchor["revocation"].as_str() {
                Some("required") if list != "grace" => "certificates that it issued are refused",
                Some("required") => "certificates that it issued will be refused when the grace is over",
                _ => "what it revoked since is not known",
            };
            let remedy = format!("`portcullis anchor refresh {id}` fetches lists, or takes one with --crl");
            let message = format!("{id}: the revocation list of {subject}: {list}; {consequence}. {remedy}");
            findings.push(Finding::warn("trust anchor", message));
        }
    }
    for source in anchor["sources"].as_array().into_iter().flatten().filter(|source| source["error"].is_string()) {
        let (url, error) = (table::shown(&source["url"]), table::shown(&source["error"]));
        findings.push(Finding::warn("trust anchor", format!("{id}: {url} could not be fetched: {error}")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::of_anchor;
    use crate::cli::doctor::Level;

    #[test]
    fn what_would_refuse_clients_is_told() {
        let now = 1_800_000_000;
        let anchor = |list: &str, revocation: &str| {
            json!({
                "id": "acme-ca", "revocation": revocation,
                "authorities": [{"subject": "CN=Acme", "not_after": now + 400 * 86_400, "revocation_list": list}],
                "sources": [{"url": "http://pki.acme.example/x", "error": null}],
            })
        };
        let warned = |list, revocation| {
            let findings = of_anchor(&anchor(list, revocation), now);
            findings.iter().filter(|finding| finding.level == Level::Warn).map(|finding| finding.message.clone()).next()
        };
        assert_eq!(warned("current", "required"), None);
        assert!(warned("missing", "required").unwrap().contains("are refused"));
        assert!(warned("lapsed", "best-effort").unwrap().contains("not known"));
        assert!(warned("grace", "required").unwrap().contains("will be refused"));
    }
}
