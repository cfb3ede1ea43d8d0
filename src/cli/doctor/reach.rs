//! Can others fetch what our certificates refer to (revocation lists, CA certificates, OCSP answers), and is it fresh?

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use pki::RevocationList;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Finding;
use crate::cli::connection::Connection;
use crate::cli::files;
use crate::cli::moment;

const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
const CRL_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Below this part of its life a list should long have had a successor.
const LIFE_LEFT_MIN: f64 = 0.25;
/// An empty SEQUENCE in Base64: no request, which a responder refuses in its own words (RFC 6960 §4.2.1, malformedRequest).
const NO_OCSP_REQUEST: &str = "MAA%3D";
const OCSP_RESPONSE: &str = "application/ocsp-response";

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
                findings.push(match fetch(&url).await {
                    Ok(answer) => judge(&url, &answer.body, issuer.map(Vec::as_slice), now),
                    Err(why) => {
                        Finding::fail("crl", format!("{url}: {why}: partners that check it refuse our certificates"))
                    }
                });
            }
        }
        let Ok(addresses) = pki::authority_addresses(certificate) else { continue };
        for url in addresses.ca_issuers {
            if followed.insert(url.clone()) {
                findings.push(authority(&url, fetch(&url).await, issuer.map(Vec::as_slice)));
            }
        }
        for url in addresses.ocsp {
            if followed.insert(url.clone()) {
                let asked = fetch(&format!("{}/{NO_OCSP_REQUEST}", url.trim_end_matches('/'))).await;
                findings.push(responder(&url, asked));
            }
        }
    }
    if !findings.iter().any(|finding| finding.check == "crl") {
        findings
            .push(Finding::warn("crl", "the administrator's certificates do not say where their revocation lists are"));
    }
    findings
}

fn authority(url: &str, answer: Result<Answer, String>, issuer: Option<&[u8]>) -> Finding {
    let fail = |why: &str| {
        Finding::fail(
            "aia",
            format!("{url}: {why}: programs that complete chains by it cannot verify our certificates"),
        )
    };
    match (answer, issuer) {
        (Err(why), _) => fail(&why),
        (Ok(answer), Some(issuer)) if answer.body == issuer => {
            Finding::ok("aia", format!("{url}: the issuer's certificate"))
        }
        (Ok(_), _) => fail("what lies there is not the issuer's certificate"),
    }
}

fn responder(url: &str, answer: Result<Answer, String>) -> Finding {
    match answer {
        Ok(answer) if answer.content_type.as_deref() == Some(OCSP_RESPONSE) => {
            Finding::ok("ocsp", format!("{url}: a responder answers"))
        }
        Ok(_) => Finding::fail("ocsp", format!("{url}: what answers there is no OCSP responder")),
        Err(why) => Finding::fail("ocsp", format!("{url}: {why}: partners that ask it refuse our certificates")),
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

struct Answer {
    content_type: Option<String>,
    body: Bytes,
}

async fn fetch(url: &str) -> Result<Answer, String> {
    timeout(FETCH_TIMEOUT, get(url)).await.map_err(|_| format!("no answer within {} s", FETCH_TIMEOUT.as_secs()))?
}

/// Plain HTTP, as RFC 5280 §4.2.1.13 has it: behind TLS a list could need itself.
async fn get(url: &str) -> Result<Answer, String> {
    let uri: Uri = url.parse().map_err(|_| "it is not a URL".to_owned())?;
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("it is not a plain http URL".to_owned());
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream =
        TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await.map_err(|error| error.to_string())?;
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(driver);
    let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, authority.as_str())
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.map(str::to_owned);
    // A responder says even "malformed" with 200 (RFC 6960 appendix A).
    if !response.status().is_success() && content_type.as_deref() != Some(OCSP_RESPONSE) {
        return Err(format!("the server answered {}", response.status()));
    }
    let body = Limited::new(response.into_body(), CRL_BYTES_MAX).collect().await.map_err(|error| error.to_string())?;
    Ok(Answer { content_type, body: body.to_bytes() })
}

#[cfg(test)]
mod tests {
    use super::{Answer, OCSP_RESPONSE, authority, responder};
    use crate::cli::doctor::Level;

    fn answer(content_type: &str, body: &'static [u8]) -> Result<Answer, String> {
        Ok(Answer { content_type: Some(content_type.to_owned()), body: body.into() })
    }

    #[test]
    fn what_lies_at_the_addresses_is_looked_at() {
        let url = "http://pki.example.com/x";
        assert_eq!(authority(url, answer("", b"issuer"), Some(b"issuer")).level, Level::Ok);
        assert_eq!(authority(url, answer("", b"another"), Some(b"issuer")).level, Level::Fail);
        assert_eq!(authority(url, Err("no route to host".to_owned()), Some(b"issuer")).level, Level::Fail);
        assert_eq!(responder(url, answer(OCSP_RESPONSE, b"\x30\x03\x0a\x01\x01")).level, Level::Ok);
        assert_eq!(responder(url, answer("text/html", b"<html>")).level, Level::Fail);
        assert_eq!(responder(url, Err("refused".to_owned())).level, Level::Fail);
    }
}
