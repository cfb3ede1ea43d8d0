//! Can others fetch our revocation lists where our certificates say they are, and are they fresh?

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
            findings.push(match fetch(&url).await {
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

async fn fetch(url: &str) -> Result<Bytes, String> {
    timeout(FETCH_TIMEOUT, get(url)).await.map_err(|_| format!("no answer within {} s", FETCH_TIMEOUT.as_secs()))?
}

/// Plain HTTP, as RFC 5280 §4.2.1.13 has it: behind TLS a list could need itself.
async fn get(url: &str) -> Result<Bytes, String> {
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
    if !response.status().is_success() {
        return Err(format!("the server answered {}", response.status()));
    }
    let body = Limited::new(response.into_body(), CRL_BYTES_MAX).collect().await.map_err(|error| error.to_string())?;
    Ok(body.to_bytes())
}
