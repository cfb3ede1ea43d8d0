//! Envoy's `ext_authz` over gRPC: `envoy.service.auth.v3.Authorization/Check`, one message in and one out. Whatever goes wrong
//! is answered as a denial, never as a failed call: that one Envoy may be told to let through (`failure_mode_allow`).

mod message;

use std::convert::Infallible;

use axum::body::Body;
use bytes::{BufMut as _, BytesMut};
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use http_body_util::{BodyExt as _, Collected, Limited, StreamBody};
use hyper::Response;
use hyper::body::{Frame, Incoming};
use prost::Message as _;

use self::message::{
    Answer, AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse, HeaderValueOption, HttpRequest,
    HttpStatus, OkHttpResponse, Status,
};
use super::callers::Caller;
use super::certificate;
use super::original::{self, Original, Unreadable};
use crate::config::ForwardedCertificate;
use crate::gateway::endpoints::read_body;
use crate::gateway::identity_headers;
use crate::gateway::respond::DECISION_ID;
use crate::listen::PeerCertificate;

/// The service and method of gRPC.
pub(super) const PATH: &str = "/envoy.service.auth.v3.Authorization/Check";
/// Envoy takes 60 KiB of headers by default, and 96 KiB at most.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// Our denials have a few hundred.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Whether it is compressed, and its length.
const FRAME_HEAD_BYTES: usize = 5;
const MESSAGE: &str = "the CheckRequest";
/// `google.rpc.Code`.
const OK: i32 = 0;
const UNKNOWN: i32 = 2;
const PERMISSION_DENIED: i32 = 7;
const RESOURCE_EXHAUSTED: i32 = 8;
const UNAUTHENTICATED: i32 = 16;

/// What Envoy's client asked of it.
pub(super) async fn read(headers: &HeaderMap, body: Incoming, caller: &Caller) -> Result<Original, Unreadable> {
    let malformed = Unreadable::Malformed(MESSAGE);
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if kind != b"application/grpc" && kind != b"application/grpc+proto" {
        return Err(malformed);
    }
    let frame = read_body(body, MESSAGE_BYTES_MAX + FRAME_HEAD_BYTES).await.map_err(|_| malformed)?;
    of_attributes(attributes(&frame).ok_or(malformed)?, caller.certificate, caller.request_ids)
}

/// The one message of a unary call. We offer no compression.
fn attributes(frame: &[u8]) -> Option<AttributeContext> {
    let (head, message) = frame.split_first_chunk::<FRAME_HEAD_BYTES>()?;
    let [compressed, length @ ..] = head;
    let whole = *compressed == 0 && usize::try_from(u32::from_be_bytes(*length)).ok()? == message.len();
    whole.then(|| CheckRequest::decode(message).ok())??.attributes
}

fn of_attributes(
    attributes: AttributeContext,
    certificate: ForwardedCertificate,
    request_ids: bool,
) -> Result<Original, Unreadable> {
    let source = attributes.source.ok_or(Unreadable::Missing("the source"))?;
    let address =
        source.address.and_then(|address| address.socket_address).ok_or(Unreadable::Missing("the address"))?;
    let http = attributes.request.and_then(|request| request.http).ok_or(Unreadable::Missing("the request"))?;
    let headers = headers(&http)?;
    Ok(Original {
        source: original::address(&address.address, "the address of the source")?,
        certificate: peer(certificate, &headers, &source.certificate)?.map(Into::into),
        request_id: request_ids.then(|| original::request_id(&headers)).transpose()?,
        parts: original::rebuilt(
            original::method(&http.method)?,
            original::uri(&http.path, "the path")?,
            HeaderValue::from_str(&http.host)
                .ok()
                .filter(|host| !host.is_empty())
                .ok_or(Unreadable::Missing("the host"))?,
            headers,
        ),
    })
}

/// The client's headers, as lines where Envoy sends them so. Of joined ones two credentials are one that nobody has.
fn headers(http: &HttpRequest) -> Result<HeaderMap, Unreadable> {
    let malformed = Unreadable::Malformed("a header");
    let mut headers = HeaderMap::new();
    let mut append = |name: &str, value: &[u8]| {
        // The pseudo-headers of HTTP/2 stand beside them.
        if name.starts_with(':') {
            return Ok(());
        }
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed)?;
        headers.append(name, HeaderValue::from_bytes(value).map_err(|_| malformed)?);
        Ok(())
    };
    match &http.header_map {
        // One of the two: whoever fills both may mean either.
        Some(_) if !http.headers.is_empty() => return Err(Unreadable::Twice("the list of headers")),
        Some(lines) => lines.headers.iter().try_for_each(|line| {
            let value = if line.raw_value.is_empty() { line.value.as_bytes() } else { &line.raw_value };
            append(&line.key, value)
        })?,
        None => http.headers.iter().try_for_each(|(name, value)| append(name, value.as_bytes()))?,
    }
    Ok(headers)
}

/// What the header says and what Envoy says itself (`include_peer_certificate`) must be of one certificate. `Client-Cert` is none of
/// Envoy's headers, and in a question it has all that its client sent.
fn peer(kind: ForwardedCertificate, headers: &HeaderMap, proved: &str) -> Result<Option<PeerCertificate>, Unreadable> {
    const PROVED: &str = "the certificate of the source";
    let told = match kind {
        ForwardedCertificate::None => return Ok(None),
        ForwardedCertificate::Xfcc => certificate::forwarded(kind, headers)?,
        ForwardedCertificate::ClientCert => None,
    };
    if proved.is_empty() {
        return Ok(told);
    }
    let proved = certificate::peer(certificate::url_encoded_pem(proved, PROVED)?, PROVED)?;
    match told {
        Some(told) if told.chain.first() != proved.chain.first() => Err(Unreadable::Twice("the client certificate")),
        Some(told) => Ok(Some(told)),
        None => Ok(Some(proved)),
    }
}

/// An answer of the gate as a `CheckResponse`. `sent` are the headers that the client sent.
pub(super) async fn told(response: Response<Body>, sent: Option<&HeaderMap>) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let (code, answer) = if parts.status.is_success() {
        (OK, Answer::Ok(allowed(&parts.headers, sent)))
    } else {
        // Ours, and short; of one that could not be read the status would still be told.
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map(Collected::to_bytes).unwrap_or_default();
        let denied = DeniedHttpResponse {
            status: Some(HttpStatus { code: i32::from(parts.status.as_u16()) }),
            headers: parts.headers.iter().filter(|(name, _)| !is_of_the_message(name)).map(option).collect(),
            body: String::from_utf8(body.to_vec()).unwrap_or_default(),
        };
        (code(parts.status), Answer::Denied(denied))
    };
    unary(&CheckResponse { status: Some(Status { code }), answer: Some(answer) })
}

/// Who is asking, for the upstream, in the place of all that the client says in our name; the limits, for the client.
fn allowed(headers: &HeaderMap, sent: Option<&HeaderMap>) -> OkHttpResponse {
    let mut answer = OkHttpResponse::default();
    for (name, value) in headers.iter().filter(|(name, _)| !is_of_the_message(name) && *name != CACHE_CONTROL) {
        if !identity_headers::NAMES.contains(&name.as_str()) {
            answer.response_headers_to_add.push(option((name, value)));
        } else if value.is_empty() {
            answer.headers_to_remove.push(name.to_string());
        } else {
            answer.headers.push(option((name, value)));
        }
    }
    // The client may ask with it about what the gate decided.
    answer.response_headers_to_add.extend(headers.get(DECISION_ID).map(|value| option((&DECISION_ID, value))));
    let forged = sent.into_iter().flat_map(HeaderMap::keys).map(HeaderName::as_str).filter(|name| {
        identity_headers::is_ours(name)
            && !answer.headers.iter().filter_map(|set| set.header.as_ref()).any(|set| set.key == *name)
    });
    let removed: Vec<String> = forged.chain(identity_headers::CONSUMED.iter().copied()).map(str::to_owned).collect();
    answer.headers_to_remove.extend(removed);
    answer
}

/// Of the call, or of a connection that is not the client's.
fn is_of_the_message(name: &HeaderName) -> bool {
    [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name)
}

fn option((name, value): (&HeaderName, &HeaderValue)) -> HeaderValueOption {
    let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
    HeaderValueOption { header: Some(message::HeaderValue { key: name.to_string(), value, raw_value: Vec::new() }) }
}

/// For Envoy anything but 0 is a denial; its statistics and other readers may tell them apart.
fn code(status: StatusCode) -> i32 {
    match status {
        StatusCode::UNAUTHORIZED => UNAUTHENTICATED,
        StatusCode::TOO_MANY_REQUESTS => RESOURCE_EXHAUSTED,
        status if status.is_server_error() => UNKNOWN,
        _ => PERMISSION_DENIED,
    }
}

/// A call that succeeded, with its one message.
fn unary(message: &CheckResponse) -> Response<Body> {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(FRAME_HEAD_BYTES + length);
    frame.put_u8(0);
    // A denial is some hundred bytes, bounded above.
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    frame.put(message.encode_to_vec().as_slice());
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let frames = [Frame::data(frame.freeze()), Frame::trailers(trailers)].map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::new(StreamBody::new(futures_util::stream::iter(frames))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

#[cfg(test)]
mod tests;
