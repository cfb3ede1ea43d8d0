//! The second lock before the API: somebody is proved, and a browser is not being used by another site.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};

use super::operator;
use super::problem::Problem;

/// A browser shows its client certificate to us whoever made it send the request. So a page on another site could have the
/// administrator's browser revoke things here (CSRF, CWE-352), or guess at answers by their timing; what browsers say of
/// themselves is asked, and programs say nothing.
pub(super) async fn check(request: Request, next: Next) -> Response {
    if let Err(problem) = operator::actor(request.extensions()) {
        return problem.into_response();
    }
    if is_cross_site(request.headers(), request.uri()) {
        let message = "A page of another site made the browser ask this. Open the console itself.";
        return Problem::new(StatusCode::FORBIDDEN, "cross_site_request", message).into_response();
    }
    next.run(request).await
}

/// W3C Fetch Metadata, which no page can forge; `Origin` (RFC 6454 §7) for browsers that have none.
fn is_cross_site(headers: &HeaderMap, uri: &Uri) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site != "same-origin" && site != "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    // HTTP/2 has the host in the target.
    let host = uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = host.or_else(|| headers.get(header::HOST).map(HeaderValue::as_bytes));
    let from = origin.as_bytes().strip_prefix(b"https://");
    match (from, host) {
        (Some(from), Some(host)) => !from.eq_ignore_ascii_case(host),
        _ => true,
    }
}
