//! What the running server shows.

use serde_json::Value;
use time::OffsetDateTime;
use time::macros::format_description;

use super::{Finding, Level, anchors, in_one_line, ocsp, reach};
use crate::cli::admin_api::AdminApi;
use crate::cli::ca;
use crate::cli::expiry;
use crate::cli::moment;
use crate::cli::query::Query;
use crate::cli::table;

/// Beyond this, certificates are refused as "not valid yet" and tokens as expired.
const SKEW_FAIL_SECONDS: u64 = 30;
const SKEW_WARN_SECONDS: u64 = 5;
/// A change that was recorded so long after now.
const CLOCK_BACK_SECONDS: i64 = 60;
const NOTICE_SECONDS: u64 = 30 * 86_400;
const LISTED_MAX: usize = 1_000;
const ROOT_LIST_NOTICE_DAYS: i64 = 30;
/// A list is followed by the next at half of its life.
const LIST_LIFE_LEFT_MIN: f64 = 0.25;

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
        Ok(status) => {
            findings.extend(of_status(&status));
            findings.extend(recorded(&status, answer.date.as_deref().and_then(date).unwrap_or(now)));
        }
        // Without this the other questions fail in the same way.
        Err(error) => {
            findings.push(Finding::fail("administrator", in_one_line(&error)));
            return findings;
        }
    }
    let mut authorities = Vec::new();
    match api.list(ca::PATH, &Query::default(), LISTED_MAX).await {
        Ok(listing) => {
            findings.extend(listing.items.iter().filter_map(|issuer| authority(issuer, now)));
            findings.extend(listing.items.iter().filter_map(|issuer| ocsp_signer(issuer, now)));
            findings.extend(listing.items.iter().filter_map(|issuer| list(issuer, now)));
            authorities.extend(listing.items.iter().filter_map(certificate).flatten());
        }
        Err(error) => findings.push(Finding::fail("authorities", in_one_line(&error))),
    }
    findings.extend(anchors::look(&mut api, now).await);
    findings.extend(reach::look(api.connection(), &authorities, now).await);
    findings.extend(ocsp::look(api.connection(), now).await);
    let query = Query::default().with("within_seconds", Some(NOTICE_SECONDS));
    findings.extend(match api.list(expiry::PATH, &query, LISTED_MAX).await {
        Ok(listing) => expiring(&listing.items, now),
        Err(error) => vec![Finding::fail("expiring", in_one_line(&error))],
    });
    findings.push(match api.list("/v1/shared-keys", &Query::default(), LISTED_MAX).await {
        Ok(listing) => shared_keys(&listing.items),
        Err(error) => Finding::fail("keys", in_one_line(&error)),
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
    let kind = table::shown(&issuer["kind"]);
    let what = format!("{kind} authority {}", table::shown(&issuer["subject"]));
    let (active, retiring) = (issuer["state"] == "active", issuer["state"] == "retiring");
    if issuer["tainted_at"].is_i64() {
        let message = format!("{what} is tainted, and nothing that it issued is accepted: ");
        return Some(match active {
            true => Finding::fail("authorities", format!("{message}portcullis ca rotate {kind} --to active")),
            false => Finding::warn("authorities", format!("{message}portcullis ca rotate {kind} --to removed")),
        });
    }
    // It ends after everything that it issued, and is meant to.
    if retiring {
        return None;
    }
    let remedy = format!("portcullis ca rotate {kind} --to active");
    let finding = Finding::expiry("authorities", &what, not_after, now, 180, &remedy);
    (finding.level != Level::Ok || issuer["kind"] == "root").then_some(finding)
}

/// The delegate that signs an authority's OCSP answers: the server renews it when a third of its fourteen days is left.
fn ocsp_signer(issuer: &Value, now: i64) -> Option<Finding> {
    let subject = table::shown(&issuer["subject"]);
    let remedy = "it should have renewed itself: see the server's log";
    match issuer["ocsp_signer_not_after"].as_i64() {
        Some(end) => Some(Finding::expiry("ocsp", &format!("the OCSP signer of {subject}"), end, now, 3, remedy)),
        None if issuer["ocsp"] == true => {
            let message = format!("{subject} has no OCSP signer, and its certificates send others to ask: {remedy}");
            Some(Finding::fail("ocsp", message))
        }
        None => None,
    }
}

/// The list of an authority that ends first, when it should long have had a successor. The root's is signed by hand.
fn list(issuer: &Value, now: i64) -> Option<Finding> {
    let end = issuer["crl_ends_first"].as_i64().or_else(|| ca::crl(issuer, "next_update"))?;
    let what = format!("a revocation list of {}", table::shown(&issuer["subject"]));
    if issuer["kind"] == "root" {
        let remedy = "bring its key, stop the server and run `portcullis ca sign-crl`";
        return Some(Finding::expiry("crl", &what, end, now, ROOT_LIST_NOTICE_DAYS, remedy));
    }
    let begin = ca::crl(issuer, "this_update")?;
    if end < now {
        return Some(Finding::fail(
            "crl",
            format!("{what} has ended: whoever checks it refuses every certificate; see the log"),
        ));
    }
    let left = (end - now) as f64 / (end - begin).max(1) as f64;
    let late = format!("{what} has {:.0} % of its life left and no successor: see the log", left * 100.0);
    (left < LIST_LIFE_LEFT_MIN).then(|| Finding::warn("crl", late))
}

/// The DER of an authority's certificate.
fn certificate(issuer: &Value) -> Option<Vec<Vec<u8>>> {
    pki::pem_certificates(issuer["certificate_pem"].as_str()?.as_bytes()).ok()
}

/// What the server wrote down lies in the past, unless its clock was set back: then certificates that have expired work again.
fn recorded(status: &Value, now: i64) -> Option<Finding> {
    let newest = status["newest_record_at"].as_i64()?;
    (newest.saturating_sub(now) > CLOCK_BACK_SECONDS).then(|| {
        let message = format!("the newest administrative change is dated {}", moment::with_distance(newest, now));
        Finding::fail("clock", format!("{message}: the server's clock has been set back; let it follow NTP"))
    })
}

/// What is the installation's own has a line each; credentials in use are counted.
fn expiring(items: &[Value], now: i64) -> Vec<Finding> {
    let mut findings = Vec::new();
    for item in items.iter().filter(|item| item["client"].is_null()) {
        let what = format!("{} {}", table::shown(&item["kind"]), table::shown(&item["name"]));
        let end = item["expires_at"].as_i64().map_or_else(String::new, |at| moment::with_distance(at, now));
        match item["threshold_days"].as_i64() {
            Some(0) => findings.push(Finding::fail("expiring", format!("{what} ended {end}"))),
            Some(-1) => findings.push(Finding::warn(
                "expiring",
                format!("{what} ends {end} and should have renewed itself: see the server's log"),
            )),
            // Authorities have a line of their own, with more notice.
            Some(_) if !matches!(item["kind"].as_str(), Some("root" | "issuing" | "server-issuing")) => {
                findings.push(Finding::warn("expiring", format!("{what} ends {end}: renew it")));
            }
            _ => {}
        }
    }
    let remedy = "portcullis expiry";
    findings.push(match items.iter().filter(|item| !item["client"].is_null()).count() {
        0 => Finding::ok("expiring", "no credential in use expires within 30 d"),
        1 => Finding::warn("expiring", format!("1 credential in use expires within 30 d: {remedy}")),
        count => Finding::warn("expiring", format!("{count} credentials in use expire within 30 d: {remedy}")),
    });
    findings
}

fn shared_keys(keys: &[Value]) -> Finding {
    match keys {
        [] => Finding::ok("keys", "no two clients share a key"),
        [first, ..] => Finding::warn(
            "keys",
            format!(
                "{} keys are shared by several clients, one by {}: whoever has one of them can be each; issue new ones",
                keys.len(),
                table::shown(&first["clients"])
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{authority, date, expiring, list, not_ready, ocsp_signer, of_status, recorded, shared_keys, skew};
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
    fn ocsp_signers_that_lapse_are_seen() {
        let (now, day) = (1_800_000_000, 86_400);
        let level = |issuer| ocsp_signer(&issuer, now).map(|finding| finding.level);
        for (end, wanted) in [(now + 5 * day, Level::Ok), (now + 2 * day, Level::Warn), (now - 1, Level::Fail)] {
            assert_eq!(level(json!({"subject": "CA", "ocsp": true, "ocsp_signer_not_after": end})), Some(wanted));
        }
        assert_eq!(level(json!({"subject": "CA", "ocsp": true, "ocsp_signer_not_after": null})), Some(Level::Fail));
        assert_eq!(level(json!({"subject": "Root", "ocsp": false, "ocsp_signer_not_after": null})), None);
    }

    #[test]
    fn lists_are_missed_before_they_end() {
        let level = |kind: &str, begin: i64, end: i64| {
            let issuer = json!({"kind": kind, "subject": "CN=x", "crl_this_update": begin, "crl_next_update": end + 5, "crl_ends_first": end});
            list(&issuer, 1_000_000).map(|finding| finding.level)
        };
        assert_eq!(level("issuing", 950_000, 1_050_000), None);
        assert_eq!(level("issuing", 910_000, 1_010_000), Some(Level::Warn));
        assert_eq!(level("issuing", 900_000, 999_999), Some(Level::Fail));
        assert_eq!(level("root", 0, 1_000_000 + 29 * 86_400), Some(Level::Warn));
        assert_eq!(level("root", 0, 1_000_000 + 31 * 86_400), Some(Level::Ok));
        assert!(list(&json!({"kind": "issuing"}), 0).is_none(), "a server of before");
    }

    #[test]
    fn authorities_that_end_or_are_tainted_are_found() {
        let day = 86_400;
        let level = |state: &str, days: i64, tainted: Option<i64>| {
            let issuer = json!({"kind": "issuing", "subject": "CN=a", "state": state, "not_after": days * day, "tainted_at": tainted});
            authority(&issuer, 0).map(|finding| finding.level)
        };
        assert_eq!(level("active", 900, None), None);
        assert_eq!(level("active", 100, None), Some(Level::Warn));
        assert_eq!(level("retiring", 100, None), None);
        assert_eq!(level("active", 900, Some(1)), Some(Level::Fail));
        assert_eq!(level("retiring", 900, Some(1)), Some(Level::Warn));
    }

    #[test]
    fn what_the_server_says_is_weighed() {
        let findings = of_status(&json!({"version": "0.0.0", "policy_version": 0}));
        assert!(findings.iter().all(|finding| finding.level == Level::Warn), "{findings:?}");
        let checks = json!({"checks": [{"name": "crl", "ok": false, "detail": "late"}, {"name": "audit", "ok": true}]});
        assert_eq!(not_ready(checks.to_string().as_bytes()), "it is not ready: crl: late");
        assert_eq!(not_ready(b""), "it is not ready: see its log");
    }

    #[test]
    fn what_ends_is_told_with_what_to_do() {
        let levels = |items: &[serde_json::Value]| -> Vec<Level> {
            expiring(items, 1_800_000_000).iter().map(|finding| finding.level).collect()
        };
        assert_eq!(levels(&[]), [Level::Ok]);
        let own = |kind: &str, threshold: Option<i64>| json!({"kind": kind, "name": "x", "client": null, "expires_at": 1_800_000_000, "threshold_days": threshold});
        assert_eq!(levels(&[own("server-certificate", None)]), [Level::Ok], "there is time");
        assert_eq!(levels(&[own("ocsp-signer", Some(-1))]), [Level::Warn, Level::Ok]);
        assert_eq!(levels(&[own("crl", Some(0))]), [Level::Fail, Level::Ok]);
        assert_eq!(levels(&[own("server-certificate", Some(14))]), [Level::Warn, Level::Ok]);
        assert_eq!(levels(&[own("issuing", Some(30))]), [Level::Ok], "authorities have their own line");
        assert_eq!(levels(&[json!({"kind": "api-key", "client": "acme-orders", "threshold_days": 7})]), [Level::Warn]);
    }

    #[test]
    fn a_clock_that_went_back_and_a_shared_key_are_seen() {
        assert!(recorded(&json!({"newest_record_at": 1_800_000_060}), 1_800_000_000).is_none());
        assert_eq!(recorded(&json!({"newest_record_at": 1_800_000_061}), 1_800_000_000).unwrap().level, Level::Fail);
        assert!(recorded(&json!({"newest_record_at": null}), 0).is_none());
        assert_eq!(shared_keys(&[]).level, Level::Ok);
        assert_eq!(shared_keys(&[json!({"clients": ["a", "b"]})]).level, Level::Warn);
    }
}
