//! What relying parties fetch over plain HTTP: the root, the issuing authorities' certificates and the revocation lists.
//!
//! Plain HTTP on purpose (RFC 5280 §8): over HTTPS a client would need the answer to check the server that gives it. Everything
//! here is public and signed, and is answered from memory.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Response, StatusCode};
use pki::{KeyId, Thumbprint};
use policies::UnixSeconds;
use time::OffsetDateTime;

use super::Authority;

/// How long a cache may keep an answer: the bound on how late a relying party that asks through one hears of a revocation.
pub const CACHE_MAX_AGE_SECONDS: u32 = 300;

/// RFC 5280 §4.2.2.1 and RFC 2585 §4.1: a certificate that caIssuers points to is served as DER.
const PKIX_CERT: &str = "application/pkix-cert";
/// RFC 2585 §4.2.
const PKIX_CRL: &str = "application/pkix-crl";
const PEM: &str = "application/x-pem-file";

impl Authority {
    /// Answers a request on the PKI listener. `if_none_match` is that header's value, where there is one.
    ///
    /// `GET` and `HEAD` of `/ca.pem` (the root), `/ca/<key id>.cer`, `/crl/<key id>.crl`, `/crl/<key id>.pem` and
    /// `/chain.crl.pem` (every list, as `ssl_crl` of nginx wants it). Anything else is 404, another method 405.
    pub fn answer(&self, method: &Method, path: &str, if_none_match: Option<&str>) -> Response<Bytes> {
        self.shelf().answer(method, path, if_none_match)
    }
}

/// Everything that can be fetched, by path. Made anew when a list is published, and swapped whole.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    documents: BTreeMap<String, Document>,
}

/// An authority's certificate and newest list, as they go on the [`Shelf`].
pub(super) struct Exhibit<'a> {
    pub(super) key_id: &'a KeyId,
    pub(super) is_root: bool,
    pub(super) certificate_der: &'a [u8],
    pub(super) created_at: UnixSeconds,
    /// The list's DER and when it was signed; `None` until the first.
    pub(super) crl: Option<(&'a [u8], UnixSeconds)>,
}

#[derive(Debug)]
struct Document {
    body: Bytes,
    content_type: HeaderValue,
    etag: HeaderValue,
    last_modified: HeaderValue,
}

impl Shelf {
    /// Lays out the authorities, the root first.
    pub(super) fn new(exhibits: &[Exhibit<'_>]) -> Self {
        let mut documents = BTreeMap::new();
        let mut all_lists = String::new();
        let mut newest_list = None;
        for exhibit in exhibits {
            let id = exhibit.key_id;
            let certificate = exhibit.certificate_der;
            documents
                .insert(format!("/ca/{id}.cer"), Document::new(PKIX_CERT, certificate.to_vec(), exhibit.created_at));
            if exhibit.is_root {
                let pem = pki::pem_certificate(certificate);
                documents.insert("/ca.pem".to_owned(), Document::new(PEM, pem.into_bytes(), exhibit.created_at));
            }
            if let Some((der, signed_at)) = exhibit.crl {
                let pem = pki::pem_crl(der);
                all_lists.push_str(&pem);
                newest_list = newest_list.max(Some(signed_at));
                documents.insert(format!("/crl/{id}.crl"), Document::new(PKIX_CRL, der.to_vec(), signed_at));
                documents.insert(format!("/crl/{id}.pem"), Document::new(PEM, pem.into_bytes(), signed_at));
            }
        }
        if let Some(signed_at) = newest_list {
            documents.insert("/chain.crl.pem".to_owned(), Document::new(PEM, all_lists.into_bytes(), signed_at));
        }
        Self { documents }
    }

    fn answer(&self, method: &Method, path: &str, if_none_match: Option<&str>) -> Response<Bytes> {
        let Some(document) = self.documents.get(path) else {
            return plain(StatusCode::NOT_FOUND, "There is nothing here. See /ca.pem and /chain.crl.pem.\n", method);
        };
        if method != Method::GET && method != Method::HEAD {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD.\n", method);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let unchanged = if_none_match.is_some_and(|header| document.matches(header));
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        headers.insert(ETAG, document.etag.clone());
        headers.insert(LAST_MODIFIED, document.last_modified.clone());
        headers.insert(CACHE_CONTROL, cache_control());
        if unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(CONTENT_TYPE, document.content_type.clone());
        headers.insert(CONTENT_LENGTH, HeaderValue::from(document.body.len()));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if method == Method::GET {
            *response.body_mut() = document.body.clone();
        }
        response
    }
}

impl Document {
    fn new(content_type: &'static str, body: Vec<u8>, modified: UnixSeconds) -> Self {
        // The digest names the octets, so it is a strong validator (RFC 9110 §8.8.1), the same on every node.
        let etag = HeaderValue::try_from(format!("\"{}\"", Thumbprint::of(&body)));
        Self {
            body: body.into(),
            content_type: HeaderValue::from_static(content_type),
            etag: etag.unwrap_or(HeaderValue::from_static("\"\"")),
            last_modified: HeaderValue::try_from(http_date(modified)).unwrap_or(HeaderValue::from_static("")),
        }
    }

    fn matches(&self, if_none_match: &str) -> bool {
        names_etag(if_none_match, &self.etag)
    }
}

/// Whether an If-None-Match header names this tag, or any. It compares weakly (RFC 9110 §13.1.2).
pub(super) fn names_etag(if_none_match: &str, etag: &HeaderValue) -> bool {
    if_none_match.trim() == "*"
        || if_none_match.split(',').any(|tag| {
            let tag = tag.trim();
            tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes()
        })
}

fn cache_control() -> HeaderValue {
    // no-transform: a proxy that recompresses would break the signature's bytes for clients that do not undo it.
    HeaderValue::try_from(format!("public, max-age={CACHE_MAX_AGE_SECONDS}, no-transform"))
        .unwrap_or(HeaderValue::from_static("no-cache"))
}

pub(super) fn plain(status: StatusCode, text: &'static str, method: &Method) -> Response<Bytes> {
    let body = if method == Method::HEAD { Bytes::new() } else { Bytes::from_static(text.as_bytes()) };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    response
}

/// IMF-fixdate (RFC 9110 §5.6.7).
pub(super) fn http_date(at: UnixSeconds) -> String {
    let at = OffsetDateTime::from_unix_timestamp(at.0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (weekday, month) = (at.weekday().to_string(), at.month().to_string());
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        weekday.get(..3).unwrap_or_default(),
        at.day(),
        month.get(..3).unwrap_or_default(),
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf() -> Shelf {
        let (root, issuing): (KeyId, KeyId) = ("aa01".parse().unwrap(), "bb02".parse().unwrap());
        let at = UnixSeconds(784_111_777);
        Shelf::new(&[
            Exhibit { key_id: &root, is_root: true, certificate_der: b"root", created_at: at, crl: Some((b"rc", at)) },
            Exhibit {
                key_id: &issuing,
                is_root: false,
                certificate_der: b"sub",
                created_at: at,
                crl: Some((b"ic", at)),
            },
        ])
    }

    fn header(response: &Response<Bytes>, name: http::header::HeaderName) -> &str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn serves_each_kind_as_its_rfc_says() {
        let shelf = shelf();
        for (path, content_type, body) in [
            ("/ca/bb02.cer", "application/pkix-cert", Some("sub")),
            ("/crl/bb02.crl", "application/pkix-crl", Some("ic")),
            ("/crl/aa01.pem", "application/x-pem-file", None),
            ("/ca.pem", "application/x-pem-file", None),
            ("/chain.crl.pem", "application/x-pem-file", None),
        ] {
            let response = shelf.answer(&Method::GET, path, None);
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(header(&response, CONTENT_TYPE), content_type, "{path}");
            assert_eq!(header(&response, LAST_MODIFIED), "Sun, 06 Nov 1994 08:49:37 GMT");
            assert_eq!(header(&response, CONTENT_LENGTH), response.body().len().to_string());
            if let Some(body) = body {
                assert_eq!(response.body(), body, "{path}");
            }
        }
        let lists = shelf.answer(&Method::GET, "/chain.crl.pem", None);
        assert_eq!(String::from_utf8_lossy(lists.body()).matches("BEGIN X509 CRL").count(), 2);
    }

    #[test]
    fn head_has_the_length_and_no_body() {
        let response = shelf().answer(&Method::HEAD, "/ca/bb02.cer", None);
        assert_eq!((response.body().len(), header(&response, CONTENT_LENGTH)), (0, "3"));
    }

    #[test]
    fn an_unchanged_document_is_not_sent_again() {
        let shelf = shelf();
        let etag = header(&shelf.answer(&Method::GET, "/ca.pem", None), ETAG).to_owned();
        for tag in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".to_owned()] {
            let response = shelf.answer(&Method::GET, "/ca.pem", Some(&tag));
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{tag}");
            assert!(response.body().is_empty());
            assert_eq!(header(&response, ETAG), etag);
        }
        assert_eq!(shelf.answer(&Method::GET, "/ca.pem", Some("\"other\"")).status(), StatusCode::OK);
    }

    #[test]
    fn all_else_is_refused_in_plain_text() {
        let shelf = shelf();
        for path in ["/", "", "/ca", "/ca/../ca.pem", "/crl/bb02.crl/", "/crl/BB02.crl", "/keys/root.key"] {
            assert_eq!(shelf.answer(&Method::GET, path, None).status(), StatusCode::NOT_FOUND, "{path}");
        }
        let response = shelf.answer(&Method::POST, "/ca.pem", None);
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(header(&response, ALLOW), "GET, HEAD");
    }
}
