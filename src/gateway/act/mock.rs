use axum::body::Body;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::Response;
use policies::{Mock, Permit};

use crate::failure::Fault;
use crate::gateway::stop::Stop;

/// Answers what the document says. Without a content type of its own, a body that starts like JSON is called JSON.
pub(super) fn answer(_permit: &Permit, mock: &Mock, head: bool) -> Result<Response<Body>, Stop> {
    let body = if head { Body::empty() } else { Body::from(mock.body.clone()) };
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(mock.status)
        .map_err(|_| Fault::new(format!("a mock in the policy has the status {}", mock.status)))?;
    for (name, value) in &mock.headers {
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) else {
            return Err(Fault::new(format!("a mock in the policy has a malformed header {name:?}")).into());
        };
        response.headers_mut().append(name, value);
    }
    if !response.headers().contains_key(CONTENT_TYPE) && !mock.body.is_empty() {
        let json = mock.body.trim_start().starts_with(['{', '[']);
        let kind = if json { "application/json" } else { "text/plain; charset=utf-8" };
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    Ok(response)
}
