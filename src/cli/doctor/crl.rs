//! Can others fetch our revocation lists where our certificates say they are, and are they fresh?

use pki::RevocationList;

use super::{Finding, plain_http};
use crate::cli::connection::Connection;
use crate::cli::files;
use crate::cli::moment;

const CRL_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Below this part of its life a list should long have had a successor.
const LIFE_LEFT_MIN: f64 = 0.25;

/// Follows the distribution points of the administrator's own chain: its issuer's list and the root's.
pub(super) async fn look(connection: &Connection, now: i64) -> Vec<Finding> {
    let read = |path| files::read(path, files::BYTES_MAX).ok().and_then(|bytes| pki::pem_certificates(&bytes).ok());
    let (Some(chain), Some(anchors)) = (read(&connection.certificate), read(&connection.ca)) else {
        return vec![Finding::fail("crl", "the administrator's chain cannot be read")];
    };
    let mut findings = Vec::new();
    for certificate in &chain {
        let issuer = chain.iter().chain(&anchors).find(|issuer| pki::is_issued_by(certificate, issuer));
        let addresses = pki::distribution_addresses(certificate).unwrap_or_default();
        for url in addresses {
            findings.push(match plain_http::get(&url, CRL_BYTES_MAX).await {
                Ok(der) => judge(&url, &der, issuer.map(Vec::as_slice), now),
                Err(why) => {
                    Finding::fail("crl", format!("{url}: {why}: partners that check it refuse our certificates"))
                }
            });
        }
    }
    if findings.is_empty() {
        findings
            .push(Finding::warn("crl", "the administrator's certificates do not say where their revocation lists are"));
    }
    findings
}

fn judge(url: &str, der: &[u8], issuer: Option<&[u8]>, now: i64) -> Finding {
    let list = match RevocationList::parse(der) {
        Ok(list) => list,
        Err(error) => return Finding::fail("crl", format!("{url}: {error}")),
    };
    match issuer.map(|issuer| list.verify(issuer)) {
        Some(Ok(())) => {}
        Some(Err(error)) => return Finding::fail("crl", format!("{url}: {error}")),
        None => return Finding::fail("crl", format!("{url}: its issuer is not in the chain")),
    }
    let (begin, end) = (list.this_update().unix_timestamp(), list.next_update().unix_timestamp());
    let left = (end - now) as f64 / (end - begin).max(1) as f64;
    let message = format!("{url}: {} revoked, the next list is due {}", list.len(), moment::with_distance(end, now));
    match left {
        ..0.0 => Finding::fail(
            "crl",
            format!("{message}: it has lapsed; is the server's clock right, and does its log show failures?"),
        ),
        0.0..LIFE_LEFT_MIN => Finding::warn(
            "crl",
            format!(
                "{message}: it should have been renewed at half its life: see the log, and for the root run `portcullis ca sign-crl`"
            ),
        ),
        _ => Finding::ok("crl", message),
    }
}
