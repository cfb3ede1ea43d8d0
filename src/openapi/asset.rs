//! A page, style sheet or script that lies in the binary.

use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

/// What a browser may do with our pages: run our own files and talk to us, nothing else. No inline script and no `eval`, so that
/// text which gets into a page by mistake stays text (CWE-79); no frames around it (CWE-1021).
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Beside the type and the tag, on every asset.
const FIXED_HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    // Always asked again, and answered with 304 most of the time: an upgraded server must not meet its old scripts.
    (header::CACHE_CONTROL, "no-cache"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Bytes with what HTTP says about them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Asset {
    pub bytes: Bytes,
    pub content_type: &'static str,
    /// A strong entity tag (RFC 9110 §8.8.3), quotes included.
    pub etag: Arc<str>,
}

impl Asset {
    /// The tag is made of the bytes.
    pub fn new(content_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let digest = digest::digest(&digest::SHA256, &bytes);
        let hex: String = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self { bytes, content_type, etag: format!("\"{hex}\"").into() }
    }

    /// 200 with the bytes, or 304 when the browser has them already (`If-None-Match`, RFC 9110 §13.1.2).
    pub fn answer(&self, request: &HeaderMap) -> Response<Bytes> {
        let known = request.get_all(header::IF_NONE_MATCH).iter().any(|value| self.is_named_in(value));
        let mut response = Response::new(if known { Bytes::new() } else { self.bytes.clone() });
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        }
        for (name, value) in FIXED_HEADERS {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        if let Ok(etag) = HeaderValue::from_str(&self.etag) {
            response.headers_mut().insert(header::ETAG, etag);
        }
        response
    }

    fn is_named_in(&self, if_none_match: &HeaderValue) -> bool {
        let tags = if_none_match.to_str().unwrap_or_default().split(',').map(str::trim);
        tags.map(|tag| tag.strip_prefix("W/").unwrap_or(tag)).any(|tag| tag == "*" || tag == &*self.etag)
    }
}
