//! What the running server shows.

use serde_json::Value;
use time::OffsetDateTime;
use time::macros::format_description;

use super::{Finding, Level, anchors, crl, in_one_line};
use crate::cli::admin_api::AdminApi;
use crate::cli::ca;
use crate::cli::query::Query;
use crate::cli::table;

/// Beyond this, certificates are refused as "not valid yet" and tokens as expired.
const SKEW_FAIL_SECONDS: u64 = 30;
const SKEW_WARN_SECONDS: u64 = 5;
const NOTICE_SECONDS: u64 = 30 * 86_400;
const LISTED_MAX: usize = 1_000;

pub(super) async fn look(mut api: AdminApi, now: i64) -> Vec<Finding> {
    let answer = match api.ask("/readyz").await {
        Ok(answer) => answer,
        // The rest needs a server; one finding is enough.
        Err(error) => return vec![Finding::fail("server", in_one_line(&error))],
    };
    let mut findings = Vec::new();
    findings.push(match answer.status.is_success() {
        true => Finding::ok("server", format!("{} is ready", api.connection().url)),
        false => Finding::fail("server", not_ready(&answer.body)),
    });
    findings.extend(answer.date.as_deref().and_then(date).map(|date| skew(date, now)));
    match api.get("/v1/status").await {
        Ok(status) => findings.extend(of_status(&status)),
        // Without this the other questions fail in the same way.
        Err(error) => {
            findings.push(Finding::fail("administrator", in_one_line(&error)));
            return findings;
        }
    }
    findings.extend(crl::look(api.connection(), now).await);
    match api.list(ca::PATH, &Query::default(), LISTED_MAX).await {
        Ok(listing) => findings.extend(listing.items.iter().filter_map(|issuer| authority(issuer, now))),
        Err(error) => findings.push(Finding::fail("authorities", in_one_line(&error))),
    }
    findings.extend(anchors::look(&mut api, now).await);
    let query = Query::default().with("expiring_within_seconds", Some(NOTICE_SECONDS));
    findings.push(match api.list("/v1/certificates", &query, LISTED_MAX).await {
        Ok(listing) => expiring(&listing.items),
        Err(error) => Finding::fail("expiring", in_one_line(&error)),
    });
    findings
}

fn not_ready(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let failed = body["checks"].as_array().into_iter().flatten().filter(|check| check["ok"] == false);
    let failed: Vec<_> =
        failed.map(|check| format!("{}: {}", table::shown(&check["name"]), table::shown(&check["detail"]))).collect();
    match failed.is_empty() {
        true => "it is not ready: see its log".to_owned(),
        false => format!("it is not ready: {}", failed.join("; ")),
    }
}

/// The Date header of RFC 9110 §5.6.7, in seconds since 1970.
fn date(text: &str) -> Option<i64> {
    let form =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    time::PrimitiveDateTime::parse(text, form)
        .ok()
        .map(|date: time::PrimitiveDateTime| date.assume_utc())
        .map(OffsetDateTime::unix_timestamp)
}

fn skew(date: i64, now: i64) -> Finding {
    let seconds = date.abs_diff(now);
    let message = format!("the server's clock and this machine's are {seconds} s apart");
    match seconds {
        0..=SKEW_WARN_SECONDS => Finding::ok("clock", message),
        seconds if seconds <= SKEW_FAIL_SECONDS => Finding::warn("clock", format!("{message}: let both follow NTP")),
        _ => {
            Finding::fail("clock", format!("{message}: certificates and tokens are judged wrong; let both follow NTP"))
        }
    }
}

fn of_status(status: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(version) = status["version"].as_str() {
        let own = env!("CARGO_PKG_VERSION");
        let level = if version == own { Level::Ok } else { Level::Warn };
        let message = format!("the server is {}, this program {own}", table::plain(version));
        findings.push(Finding { check: "version", level, message });
    }
    findings.push(match status["policy_version"].as_i64() {
        Some(version) if version > 0 => Finding::ok("policy", format!("version {version} is in force")),
        _ => Finding::warn("policy", "no policy is in force, so everything is denied: portcullis policy apply DIR"),
    });
    findings
}

fn authority(issuer: &Value, now: i64) -> Option<Finding> {
    let not_after = issuer["not_after"].as_i64()?;
    let what = format!("{} authority {}", table::shown(&issuer["kind"]), table::shown(&issuer["subject"]));
    let finding = Finding::expiry("authorities", &what, not_after, now, 180, "rotate it");
    (finding.level != Level::Ok || issuer["kind"] == "root").then_some(finding)
}

fn expiring(certificates: &[Value]) -> Finding {
    let clients = certificates.iter().filter(|certificate| certificate["kind"] != "server").count();
    match clients {
        0 => Finding::ok("expiring", "no client certificate expires within 30 d"),
        1 => Finding::warn(
            "expiring",
            "1 client certificate expires within 30 d: portcullis certificate list --expiring-within 30d",
        ),
        clients => Finding::warn(
            "expiring",
            format!(
                "{clients} client certificates expire within 30 d: portcullis certificate list --expiring-within 30d"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{date, expiring, not_ready, of_status, skew};
    use crate::cli::doctor::Level;

    #[test]
    fn the_date_header_is_read() {
        assert_eq!(date("Fri, 15 Jan 2027 08:00:00 GMT"), Some(1_800_000_000));
        assert_eq!(date("2027-01-15T08:00:00Z"), None);
    }

    #[test]
    fn clocks_may_differ_a_little() {
        for (seconds, level) in
            [(0, Level::Ok), (-5, Level::Ok), (6, Level::Warn), (30, Level::Warn), (-31, Level::Fail)]
        {
            assert_eq!(skew(1_800_000_000 + seconds, 1_800_000_000).level, level, "{seconds}");
        }
    }

    #[test]
    fn what_the_server_says_is_weighed() {
        let findings = of_status(&json!({"version": "0.0.0", "policy_version": 0}));
        assert!(findings.iter().all(|finding| finding.level == Level::Warn), "{findings:?}");
        let checks = json!({"checks": [{"name": "crl", "ok": false, "detail": "late"}, {"name": "audit", "ok": true}]});
        assert_eq!(not_ready(checks.to_string().as_bytes()), "it is not ready: crl: late");
        assert_eq!(not_ready(b""), "it is not ready: see its log");
        assert_eq!(expiring(&[]).level, Level::Ok);
        assert_eq!(expiring(&[json!({"kind": "server"})]).level, Level::Ok);
        assert_eq!(expiring(&[json!({"kind": "client"})]).level, Level::Warn);
    }
}
