//! What relying parties fetch over plain HTTP: the root, the issuing authorities' certificates and the revocation lists.
//!
//! Plain HTTP on purpose (RFC 5280 §8): over HTTPS a client would need the answer to check the server that gives it. Everything
//! here is public and signed, and is answered from memory but for long lists, which are read while they are sent.

mod content;

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Response, StatusCode};
use pki::{KeyId, Thumbprint};
use policies::UnixSeconds;
use time::OffsetDateTime;

use super::publish::{Published, Scope};
use super::{Authority, AuthoritySettings};
use crate::failure::Fault;
use crate::store::Store;
use content::{Form, Stored};

pub use content::Content;

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
    /// `GET` and `HEAD` of `/ca.pem` (the root), `/ca/<key id>.cer`, `/crl/<key id>.crl` and `/crl/<key id>.pem` (everything that
    /// the authority revoked), `/crl/<key id>/<n>.crl` (one partition, where there are any) and `/chain.crl.pem` (every complete
    /// list, as `ssl_crl` of nginx wants it). Anything else is 404, another method 405.
    pub fn answer(&self, method: &Method, path: &str, if_none_match: Option<&str>) -> Response<Content> {
        self.shelf().answer(&self.inner.store, method, path, if_none_match)
    }

    /// The newest complete list of an authority in DER, by its key id.
    ///
    /// # Errors
    /// A fault when it cannot be read.
    pub async fn crl(&self, issuer: &KeyId) -> Result<Option<Bytes>, Fault> {
        let Some(published) = self.inner.publisher.newest(issuer) else { return Ok(None) };
        let lists = vec![Listing::from(&*published).stored];
        Content::of_lists(&self.inner.store, Form::Der, lists).read().await.map(Some)
    }
}

impl AuthoritySettings {
    /// Where a list is found: what certificates say, and the list itself, byte for byte.
    pub(super) fn crl_address(&self, authority: &KeyId, scope: Scope) -> Option<String> {
        self.pki_url.as_ref().map(|url| format!("{url}{}", crl_path(authority, scope)))
    }
}

fn crl_path(authority: &KeyId, scope: Scope) -> String {
    match scope {
        Scope::Complete => format!("/crl/{authority}.crl"),
        Scope::Partition(partition) => format!("/crl/{authority}/{partition}.crl"),
    }
}

/// Everything that can be fetched, by path. Made anew when a list is published, and swapped whole.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    documents: BTreeMap<String, Document>,
}

/// An authority's certificate and newest lists, as they go on the [`Shelf`].
pub(super) struct Exhibit {
    pub(super) key_id: KeyId,
    pub(super) is_root: bool,
    pub(super) certificate_der: Vec<u8>,
    pub(super) created_at: UnixSeconds,
    /// None until the first.
    pub(super) lists: Vec<(Scope, Listing)>,
}

/// A published list.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    number: i64,
    signed_at: UnixSeconds,
    stored: Stored,
}

impl From<&Published> for Listing {
    fn from(published: &Published) -> Self {
        let row = &published.row;
        let stored = match &published.kept {
            Some(octets) => Stored::AtHand(octets.clone()),
            None => Stored::InPieces { list: row.list.clone(), octets: usize::try_from(row.octets).unwrap_or(0) },
        };
        Self { number: row.number, signed_at: UnixSeconds(row.this_update), stored }
    }
}

#[derive(Debug)]
struct Document {
    body: Body,
    content_type: HeaderValue,
    etag: HeaderValue,
    last_modified: HeaderValue,
}

#[derive(Debug)]
enum Body {
    Whole(Bytes),
    Lists(Form, Vec<Stored>),
}

impl Shelf {
    /// Lays out the authorities, the root first.
    pub(super) fn new(exhibits: impl Iterator<Item = Exhibit>) -> Self {
        let mut documents = BTreeMap::new();
        let mut complete = Vec::new();
        // Both roots, while one follows the other.
        let (mut roots, mut roots_since) = (String::new(), UnixSeconds(0));
        for exhibit in exhibits {
            let id = exhibit.key_id;
            if exhibit.is_root {
                roots.push_str(&pki::pem_certificate(&exhibit.certificate_der));
                roots_since = roots_since.max(exhibit.created_at);
            }
            documents
                .insert(format!("/ca/{id}.cer"), Document::new(PKIX_CERT, exhibit.certificate_der, exhibit.created_at));
            for (scope, list) in exhibit.lists {
                let one = std::slice::from_ref(&list);
                documents.insert(crl_path(&id, scope), Document::of_lists(Form::Der, one));
                if scope == Scope::Complete {
                    documents.insert(format!("/crl/{id}.pem"), Document::of_lists(Form::Pem, one));
                    complete.push(list);
                }
            }
        }
        if !roots.is_empty() {
            documents.insert("/ca.pem".to_owned(), Document::new(PEM, roots.into_bytes(), roots_since));
        }
        if !complete.is_empty() {
            documents.insert("/chain.crl.pem".to_owned(), Document::of_lists(Form::Pem, &complete));
        }
        Self { documents }
    }

    fn answer(&self, store: &Store, method: &Method, path: &str, if_none_match: Option<&str>) -> Response<Content> {
        let Some(document) = self.documents.get(path) else {
            return plain(StatusCode::NOT_FOUND, "There is nothing here. See /ca.pem and /chain.crl.pem.\n", method)
                .map(Content::Whole);
        };
        if method != Method::GET && method != Method::HEAD {
            let mut response =
                plain(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD.\n", method).map(Content::Whole);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let unchanged = if_none_match.is_some_and(|header| document.matches(header));
        let mut response = Response::new(Content::Whole(Bytes::new()));
        let headers = response.headers_mut();
        headers.insert(ETAG, document.etag.clone());
        headers.insert(LAST_MODIFIED, document.last_modified.clone());
        headers.insert(CACHE_CONTROL, cache_control());
        if unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        let content = match &document.body {
            Body::Whole(octets) => Content::Whole(octets.clone()),
            Body::Lists(form, lists) => Content::of_lists(store, *form, lists.clone()),
        };
        headers.insert(CONTENT_TYPE, document.content_type.clone());
        headers.insert(CONTENT_LENGTH, HeaderValue::from(content.octets()));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if method == Method::GET {
            *response.body_mut() = content;
        }
        response
    }
}

impl Document {
    fn new(content_type: &'static str, body: Vec<u8>, modified: UnixSeconds) -> Self {
        // The digest names the octets, so it is a strong validator (RFC 9110 §8.8.1), the same on every node.
        let tag = Thumbprint::of(&body).to_string();
        Self::tagged(content_type, &tag, Body::Whole(body.into()), modified)
    }

    /// An authority never signs two lists with one number, so numbers name the octets, and no list must be read for it.
    fn of_lists(form: Form, lists: &[Listing]) -> Self {
        let content_type = match form {
            Form::Der => PKIX_CRL,
            Form::Pem => PEM,
        };
        let tag =
            lists.iter().map(|list| format!("{}-{}", list.number, list.signed_at.0)).collect::<Vec<_>>().join(".");
        let modified = lists.iter().map(|list| list.signed_at).max().unwrap_or(UnixSeconds(0));
        let body = match Content::at_hand(form, lists.iter().map(|list| &list.stored)) {
            Some(octets) => Body::Whole(octets),
            None => Body::Lists(form, lists.iter().map(|list| list.stored.clone()).collect()),
        };
        Self::tagged(content_type, &tag, body, modified)
    }

    fn tagged(content_type: &'static str, tag: &str, body: Body, modified: UnixSeconds) -> Self {
        Self {
            body,
            content_type: HeaderValue::from_static(content_type),
            etag: HeaderValue::try_from(format!("\"{tag}\"")).unwrap_or(HeaderValue::from_static("\"\"")),
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

    const AT: UnixSeconds = UnixSeconds(784_111_777);

    /// A shelf that needs no store: everything on it is at hand.
    struct Laid(Shelf);

    impl Laid {
        fn answer(&self, method: &Method, path: &str, if_none_match: Option<&str>) -> Response<Bytes> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let folder = tempfile::tempdir().unwrap();
                let store = Store::open(&folder.path().join("portcullis.db")).await.unwrap();
                let (head, content) = self.0.answer(&store, method, path, if_none_match).into_parts();
                Response::from_parts(head, content.read().await.unwrap())
            })
        }
    }

    fn shelf() -> Laid {
        let listing = |octets: &'static [u8]| Listing {
            number: 7,
            signed_at: AT,
            stored: Stored::AtHand(Bytes::from_static(octets)),
        };
        let exhibit = |key_id: &str, is_root, certificate: &[u8], lists| Exhibit {
            key_id: key_id.parse().unwrap(),
            is_root,
            certificate_der: certificate.to_vec(),
            created_at: AT,
            lists,
        };
        let issuing = vec![(Scope::Complete, listing(b"ic")), (Scope::Partition(1), listing(b"i1"))];
        let exhibits = [
            exhibit("aa01", true, b"root", vec![(Scope::Complete, listing(b"rc"))]),
            exhibit("bb02", false, b"sub", issuing),
        ];
        Laid(Shelf::new(exhibits.into_iter()))
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
            ("/crl/bb02/1.crl", "application/pkix-crl", Some("i1")),
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
        for path in [
            "/",
            "",
            "/ca",
            "/ca/../ca.pem",
            "/crl/bb02.crl/",
            "/crl/BB02.crl",
            "/crl/bb02/0.crl",
            "/crl/bb02/01.crl",
            "/keys/root.key",
        ] {
            assert_eq!(shelf.answer(&Method::GET, path, None).status(), StatusCode::NOT_FOUND, "{path}");
        }
        let response = shelf.answer(&Method::POST, "/ca.pem", None);
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(header(&response, ALLOW), "GET, HEAD");
    }
}
