//! Routes that end inside this process: the admin API and its pages. They are axum routers, called with the permit that
//! let the request through, so that they have no second way in.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::request::Parts;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response};
use policies::{Permit, Principal};
use tower::ServiceExt;

use super::act::Scene;
use super::stop::{Malformed, Stop};
use crate::failure::Fault;

/// Largest body that a service of ours reads.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The caller of a service, as the gate knows it. In the request's extensions.
#[derive(Clone, Debug)]
pub struct Caller {
    /// `None` on a public page.
    pub client: Option<Arc<str>>,
    pub source: std::net::IpAddr,
    pub decision_id: Arc<str>,
}

/// The routers by the name that a route's action gives.
#[derive(Clone, Default)]
pub struct Services {
    routers: HashMap<&'static str, Router>,
}

impl Services {
    #[must_use]
    pub fn with(mut self, name: &'static str, router: Router) -> Self {
        self.routers.insert(name, router);
        self
    }

    pub(super) async fn call(
        &self,
        name: &str,
        permit: &Permit,
        parts: Parts,
        body: Incoming,
        scene: &Scene<'_>,
    ) -> Result<Response<Body>, Stop> {
        let router =
            self.routers.get(name).ok_or_else(|| Fault::new(format!("a route names the unknown service {name:?}")))?;
        let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect());
        let body = read.await.map_err(|_| Malformed::BodyTooSlow)?.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                Malformed::BodyTooLarge { bytes_max: BODY_BYTES_MAX as u64 }
            } else {
                Malformed::BodyUnreadable
            }
        })?;
        let body = body.to_bytes();
        scene.meter.took(body.len());
        let mut request = Request::from_parts(parts, Body::from(body));
        request.extensions_mut().insert(Caller {
            client: permit.principal().map(Principal::client).map(|client| Arc::from(client.id.as_str())),
            source: scene.connection.source,
            decision_id: Arc::from(scene.decision_id),
        });
        match router.clone().oneshot(request).await {
            Ok(response) => Ok(response),
            Err(impossible) => match impossible {},
        }
    }
}
