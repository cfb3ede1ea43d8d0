//! JSON bodies, read strictly: a field that is not known is a typing error, and a typing error must not pass as "not given".

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// Largest body: policy documents of a large installation.
const BODY_BYTES_MAX: usize = 8 << 20;

/// A JSON body as `T`. No body at all is the empty object.
pub(super) struct Body<T>(pub(super) T);

/// `{}`, for operations that need nothing more than their path.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// A thing that was made: 201.
pub(super) struct Created<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, axum::Json(self.0)).into_response()
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let bytes = axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX).await.map_err(|_| {
            let message = format!("The body has more than {BODY_BYTES_MAX} bytes, or broke off.");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
        })?;
        if !is_json && !bytes.is_empty() {
            // Also what keeps forms of other sites out: a browser asks before it sends JSON across origins (CWE-352).
            let message = "The body must be JSON: send it with Content-Type: application/json.";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message));
        }
        read(if bytes.is_empty() { b"{}" } else { &bytes }).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// The path of the field that is wrong, and where it stands.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let malformed = |message| Problem::malformed("malformed_body", message);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let at = if path == "." { String::new() } else { format!("field {path}: ") };
        malformed(format!("The body cannot be read: {at}{}.", error.inner()))
    })?;
    reader.end().map_err(|error| malformed(format!("The body cannot be read: {error}.")))?;
    Ok(value)
}
