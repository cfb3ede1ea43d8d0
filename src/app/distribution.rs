//! The PKI listener: CRLs, CA certificates and the OCSP responder over plain HTTP, for whoever must check our certificates
//! elsewhere.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response};

use crate::authority::{Authority, Content, OCSP_BODY_BYTES_MAX, is_ocsp};
use crate::gateway::Gate;
use crate::listen::{Connection, Handler, Violation};

/// An OCSP question is small: who takes longer to send it is keeping a connection.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Distribution {
    pub authority: Authority,
    pub gate: Arc<Gate>,
}

impl Handler for Distribution {
    async fn handle(
        &self,
        connection: Arc<Connection>,
        request: Request<Incoming>,
        violation: Option<Violation>,
    ) -> Response<Body> {
        let plain = |status: u16, text: String| {
            let mut response = Response::new(Body::from(text));
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_REQUEST);
            let kind = http::HeaderValue::from_static("text/plain; charset=utf-8");
            response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
            response
        };
        if let Some(violation) = violation {
            return plain(400, format!("{violation}\n"));
        }
        if self.gate.may_request(&connection.listener.config.name, connection.source).is_err() {
            return plain(429, "too many requests from this address\n".to_owned());
        }
        if is_ocsp(request.uri().path()) {
            let (head, body) = request.into_parts();
            let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, OCSP_BODY_BYTES_MAX).collect()).await;
            let body = read.ok().and_then(Result::ok).map(|body| body.to_bytes());
            return self.authority.answer_ocsp(&head, body).await.map(Body::from);
        }
        let if_none_match = request.headers().get(http::header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        let answer = self.authority.answer(request.method(), request.uri().path(), if_none_match);
        answer.map(|content| match content {
            Content::Whole(octets) => Body::from(octets),
            lists => Body::from_stream(lists.into_stream()),
        })
    }

    fn may_handshake(&self, listener: &str, source: IpAddr) -> bool {
        self.gate.may_handshake(listener, source)
    }
}
