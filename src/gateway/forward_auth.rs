//! Asked by another proxy whether it may let a request through: nginx `auth_request`, Traefik `ForwardAuth`, Caddy `forward_auth`,
//! Envoy `ext_authz`. Only a proxy that proves itself is answered. What it says of its client becomes a connection and a request,
//! and these travel the same road as all others; only the action is the proxy's.
//!
//! What cannot be read is denied (GHSA-68wm-pfjf-wqp6: a malformed URI was answered 200).

mod answer;
mod callers;
mod certificate;
mod ext_authz;
mod original;
mod repeats;

use axum::body::Body;
use http::request::Parts;
use http::{HeaderMap, Method};
use hyper::Response;
use hyper::body::Incoming;
use metrics::counter;

pub use callers::ForwardAuth;

use super::stop::Stop;
use super::target::Target;
use super::trail::Trail;
use super::{Allowance, Gate, respond};
use crate::config::{Dialect, Serves};
use crate::failure::Refusal;
use crate::listen::Connection;
use callers::Caller;
use original::Original;

/// Under which every endpoint lies.
pub(super) const PREFIX: &str = "/forward-auth/";

/// A question of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Question(Dialect);

/// Whether a request is one. There are no such endpoints until the settings name who may ask.
pub(super) fn find(forward_auth: &ForwardAuth, serves: Serves, parts: &Parts) -> Option<Question> {
    if forward_auth.is_off() || serves != Serves::Gateway {
        return None;
    }
    if parts.uri.path() == ext_authz::PATH {
        return Some(Question(Dialect::EnvoyGrpc));
    }
    let rest = parts.uri.path().strip_prefix(PREFIX)?;
    // Envoy puts the path of its client behind the endpoint's.
    let name = rest.split_once('/').map_or(rest, |(name, _)| name);
    let dialect = Dialect::ALL.into_iter().find(|dialect| dialect.as_str() == name)?;
    if dialect == Dialect::EnvoyGrpc {
        return None;
    }
    (dialect == Dialect::Envoy || rest == name).then_some(Question(dialect))
}

impl Question {
    /// The answer, as the proxy understands it.
    pub(super) async fn answer(
        self,
        gate: &Gate,
        connection: &Connection,
        parts: Parts,
        body: Incoming,
    ) -> Response<Body> {
        let Self(dialect) = self;
        let head = parts.method == Method::HEAD;
        let view = gate.snapshot.policy();
        let caller = match gate.forward_auth.prove(gate, &view, connection, &parts.headers, dialect) {
            Ok(caller) => caller,
            Err(detail) => return stranger(gate, connection, &parts, dialect, head, &detail).await,
        };
        let original = match dialect {
            Dialect::EnvoyGrpc => ext_authz::read(&parts.headers, body, caller).await,
            _ => Original::read(dialect, caller, &parts),
        };
        match original {
            Ok(original) => judge(gate, connection, caller, dialect, original, head).await,
            Err(unreadable) => {
                let mut trail = Trail::begin(gate, connection, &parts);
                let message = format!("What the proxy asks cannot be read: {unreadable}.");
                let stop = Refusal::forbidden("malformed_forward_auth", message).into();
                let asked = respond::Asked::of(&parts);
                let response = gate.refuse(connection, stop, &asked, &mut trail);
                finish(trail, caller, dialect, response, None).await
            }
        }
    }
}

/// Whoever asks without proof is told nothing of anybody.
async fn stranger(
    gate: &Gate,
    connection: &Connection,
    parts: &Parts,
    dialect: Dialect,
    head: bool,
    detail: &str,
) -> Response<Body> {
    let mut trail = Trail::begin(gate, connection, parts);
    let asked = respond::Asked::of(parts).with_head(head);
    let (listener, source) = (&connection.listener.config.name, connection.source);
    let limited = gate.addresses.request(listener, source).and_then(|()| gate.addresses.failure(listener, source));
    let stop = match limited {
        Err(retry_after) => Stop::AddressLimited { retry_after },
        Ok(()) => {
            let message = "Only a proxy that proves itself is answered here, by its certificate or its secret.";
            Refusal::forbidden("forward_auth_caller", message).into()
        }
    };
    let response = gate.refuse(connection, stop, &asked, &mut trail);
    trail.explain(format!("forward-auth in the dialect {}: {detail}", dialect.as_str()));
    trail.finish(&response);
    answer::told(dialect, response, None).await
}

/// The road, on behalf of the proxy's client.
async fn judge(
    gate: &Gate,
    connection: &Connection,
    caller: &Caller,
    dialect: Dialect,
    original: Original,
    head: bool,
) -> Response<Body> {
    let Original { parts, source, certificate, request_id } = original;
    let on_behalf = Connection {
        id: connection.id,
        listener: caller.listener(&connection.listener),
        source,
        peer: connection.peer,
        protocol: connection.protocol,
        server_name: None,
        certificate,
        closing: connection.closing.clone(),
    };
    let mut trail = Trail::begin(gate, &on_behalf, &parts);
    let asked = respond::Asked::of(&parts).with_head(head);
    let repeat = request_id.map(|id| repeats::Key::of(caller, &id, &on_behalf, &parts));
    let outcome = decide(gate, &on_behalf, &parts, repeat.as_ref(), &mut trail).await;
    let response = match outcome {
        Ok(permit) => answer::allowed(dialect, &permit, on_behalf.certificate.as_deref(), &trail.decision_id()),
        Err(stop) => gate.refuse(&on_behalf, stop, &asked, &mut trail),
    };
    finish(trail, caller, dialect, response, Some(&parts.headers)).await
}

async fn decide(
    gate: &Gate,
    on_behalf: &Connection,
    parts: &Parts,
    repeat: Option<&repeats::Key>,
    trail: &mut Trail<'_>,
) -> Result<policies::Permit, Stop> {
    let listener = &on_behalf.listener.config.name;
    let limited = gate.addresses.request(listener, on_behalf.source);
    limited.map_err(|retry_after| Stop::AddressLimited { retry_after })?;
    let target = Target::read(on_behalf, parts)?;
    let view = gate.snapshot.policy();
    let paid = repeat.is_some_and(|key| gate.forward_auth.repeats().is_paid(key));
    let allowance = if paid { Allowance::Paid } else { Allowance::Spend };
    let permit = gate.admit(on_behalf, &view, &target, allowance, trail).await?;
    if let Some(key) = repeat {
        gate.forward_auth.repeats().paid(key);
    }
    Ok(permit)
}

async fn finish(
    mut trail: Trail<'_>,
    caller: &Caller,
    dialect: Dialect,
    mut response: Response<Body>,
    sent: Option<&HeaderMap>,
) -> Response<Body> {
    trail.take_limits().write(response.headers_mut());
    let allowed = response.status().is_success();
    counter!(
        "portcullis_forward_auth_total",
        "caller" => caller.name.clone(),
        "dialect" => dialect.as_str(),
        "answer" => if allowed { "allowed" } else { "denied" }
    )
    .increment(1);
    if allowed {
        trail.explain(format!("asked by {} in the dialect {}", caller.name, dialect.as_str()));
    }
    trail.finish(&response);
    answer::told(dialect, response, sent).await
}
