//! What a permitted request gets. Every action takes the [`Permit`] by value: without one there is nothing to call.

mod mock;
mod proxy;

use std::sync::Arc;

use axum::body::Body;
use http::request::Parts;
use hyper::Response;
use hyper::body::Incoming;
use policies::{Action, Permit};

use super::services::Services;
use super::stop::Stop;
use crate::listen::Connection;
use crate::usage::Meter;

pub use proxy::Upstreams;

/// What an action may need to know beside the request.
pub(super) struct Scene<'a> {
    pub connection: &'a Connection,
    pub upstreams: &'a Upstreams,
    pub services: &'a Services,
    pub decision_id: &'a str,
    /// Counts the bodies.
    pub meter: &'a Arc<Meter>,
    pub body_bytes_max: u64,
}

/// Carries out the route's action.
pub(super) async fn act(
    permit: Permit,
    parts: Parts,
    body: Incoming,
    scene: Scene<'_>,
) -> Result<Response<Body>, Stop> {
    let route = Arc::clone(permit.route());
    match &route.action {
        Action::Mock(mock) => mock::answer(&permit, mock, parts.method == http::Method::HEAD),
        Action::Proxy(proxy) => Box::pin(proxy::forward(&permit, proxy, parts, body, &scene)).await,
        Action::Service(name) => Box::pin(scene.services.call(name, &permit, parts, body, &scene)).await,
    }
}
