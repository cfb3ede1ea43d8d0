//! Can others fetch what our certificates refer to (revocation lists, CA certificates), and is it fresh?

use std::collections::BTreeSet;

use bytes::Bytes;
use pki::RevocationList;

use super::{Finding, plain_http};
use crate::cli::connection::Connection;
use crate::cli::files;
use crate::cli::moment;

const CRL_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Below this part of its life a list should long have had a successor.
const LIFE_LEFT_MIN: f64 = 0.25;

/// Follows the addresses in the administrator's own chain and in the certificates of the authorities (DER).
pub(super) async fn look(connection: &Connection, authorities: &[Vec<u8>], now: i64) -> Vec<Finding> {
    let read = |path| files::read(path, files::BYTES_MAX).ok().and_then(|bytes| pki::pem_certificates(&bytes).ok());
    let (Some(chain), Some(anchors)) = (read(&connection.certificate), read(&connection.ca)) else {
        return vec![Finding::fail("crl", "the administrator's chain cannot be read")];
    };
    let known: Vec<&Vec<u8>> = chain.iter().chain(&anchors).chain(authorities).collect();
    let issuer_of = |certificate: &[u8]| known.iter().find(|issuer| pki::is_issued_by(certificate, issuer)).copied();
    let (mut findings, mut followed) = (Vec::new(), BTreeSet::new());
    for certificate in &known {
        let issuer = issuer_of(certificate);
        for url in pki::distribution_addresses(certificate).unwrap_or_default() {
            if followed.insert(url.clone()) {
                findings.push(match plain_http::get(&url, CRL_BYTES_MAX).await {
                    Ok(list) => judge(&url, &list, issuer.map(Vec::as_slice), now),
                    Err(why) => {
                        Finding::fail("crl", format!("{url}: {why}: partners that check it refuse our certificates"))
                    }
                });
            }
        }
        let Ok(addresses) = pki::authority_addresses(certificate) else { continue };
        for url in addresses.ca_issuers {
            if followed.insert(url.clone()) {
                findings.push(authority(&url, plain_http::get(&url, CRL_BYTES_MAX).await, issuer.map(Vec::as_slice)));
            }
        }
    }
    if !findings.iter().any(|finding| finding.check == "crl") {
        findings
            .push(Finding::warn("crl", "the administrator's certificates do not say where their revocation lists are"));
    }
    findings
}

fn authority(url: &str, answer: Result<Bytes, String>, issuer: Option<&[u8]>) -> Finding {
    let fail = |why: &str| {
        Finding::fail(
            "aia",
            format!("{url}: {why}: programs that complete chains by it cannot verify our certificates"),
        )
    };
    match (answer, issuer) {
        (Err(why), _) => fail(&why),
        (Ok(answer), Some(issuer)) if answer == issuer => {
            Finding::ok("aia", format!("{url}: the issuer's certificate"))
        }
        (Ok(_), _) => fail("what lies there is not the issuer's certificate"),
    }
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::authority;
    use crate::cli::doctor::Level;

    #[test]
    fn what_lies_at_the_addresses_is_looked_at() {
        let url = "http://pki.example.com/x";
        let found = |body: &'static [u8]| Ok(Bytes::from_static(body));
        assert_eq!(authority(url, found(b"issuer"), Some(b"issuer")).level, Level::Ok);
        assert_eq!(authority(url, found(b"another"), Some(b"issuer")).level, Level::Fail);
        assert_eq!(authority(url, Err("no route to host".to_owned()), Some(b"issuer")).level, Level::Fail);
    }
}
