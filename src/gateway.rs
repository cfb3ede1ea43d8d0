//! The data plane. [`Gate::handle`] is the road of a request:
//!
//! ```text
//! Target::read -> routes.find -> authenticate -> authorize -> act -> respond -> audit
//!     Proof -> Principal -> Entitlement -> Permit
//! ```

mod account;
mod act;
mod authenticate;
mod authorize;
mod decision_id;
mod endpoints;
mod enroll;
mod est;
mod explain;
mod forward_auth;
mod identity_headers;
mod leaks;
mod limit_headers;
pub mod limits;
mod meters;
mod path;
mod renewal;
mod respond;
mod services;
mod sight;
mod stop;
mod submission;
mod target;
mod trail;

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use http::request::Parts;
use hyper::body::Incoming;
use hyper::{Request, Response};
use policies::{Denial, Permit, Route, RouteTable, Spent, Stage, Trace};

pub use act::Upstreams;
pub use decision_id::DecisionIds;
pub use endpoints::Pages;
pub use enroll::PATH as ENROLLMENT_PATH;
pub use explain::{ExplainAnswer, ExplainRequest, ExplainedListener, Explainer};
pub use forward_auth::ForwardAuth;
pub use leaks::Leaks;
pub use meters::Meters;
pub use services::{Caller, Services};

use crate::audit::Audit;
use crate::authority::Authority;
use crate::clock::Clock;
use crate::config::{LimitFields, Serves};
use crate::failure::RefusalKind;
use crate::inventory::Sightings;
use crate::listen::{Connection, Handler, Violation};
use crate::oauth::OAuth;
use crate::registry::Pepper;
use crate::snapshot::{PolicyView, Snapshot};
use crate::usage::Usage;
use act::Scene;
use limit_headers::LimitHeaders;
use limits::{AddressLimiter, AddressLimits, Limits};
use stop::{Malformed, Stop};
use target::Target;
use tokio_util::sync::CancellationToken;
use trail::Trail;

/// What a [`Gate`] is made of; nothing of it waits for the database on the way of a request.
pub struct GateParts {
    pub snapshot: Arc<Snapshot>,
    pub oauth: Arc<OAuth>,
    /// For what partners do with certificates themselves: enrolment and renewal.
    pub authority: Authority,
    pub pepper: Arc<Pepper>,
    pub clock: Clock,
    pub audit: Audit,
    /// How many denials of one address are recorded one by one.
    pub recorded_denials: AddressLimiter,
    pub meters: Meters,
    pub addresses: AddressLimits,
    pub limits: Arc<Limits>,
    /// When each credential last let somebody in.
    pub sightings: Sightings,
    /// How much of what each client uses.
    pub usage: Usage,
    pub upstreams: Upstreams,
    pub leaks: Leaks,
    pub services: Services,
    /// Proxies that ask us before they let a request through.
    pub forward_auth: ForwardAuth,
    /// The control plane's own routes: not in any document, so no document can open them.
    pub admin_routes: RouteTable,
    pub pages: Pages,
    pub body_bytes_max: u64,
    /// How callers are told of their limits.
    pub limit_fields: LimitFields,
    pub ids: DecisionIds,
    pub draining: CancellationToken,
}

/// What a request costs its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allowance {
    Spend,
    /// Nothing: the same request was paid for a moment ago.
    Paid,
}

/// The gate.
pub struct Gate(GateParts);

impl std::ops::Deref for Gate {
    type Target = GateParts;

    fn deref(&self) -> &GateParts {
        &self.0
    }
}

impl Gate {
    pub fn new(parts: GateParts) -> Self {
        Self(parts)
    }

    /// The limits of plans and routes.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// The limits of an address, for listeners that have no routes.
    pub fn may_request(&self, listener: &str, source: IpAddr) -> Result<(), std::time::Duration> {
        self.addresses.request(listener, source)
    }

    /// Forgets what needs no remembering.
    pub fn housekeep(&self) {
        self.addresses.housekeep();
        self.recorded_denials.housekeep();
        self.limits.throttles.sweep();
    }

    async fn judge(
        &self,
        connection: &Connection,
        parts: Parts,
        body: Incoming,
        violation: Option<Violation>,
        trail: &mut Trail<'_>,
    ) -> Result<Response<Body>, Stop> {
        // First of all: what is refused below costs us work and an audit row too.
        self.addresses
            .request(&connection.listener.config.name, connection.source)
            .map_err(|retry_after| Stop::AddressLimited { retry_after })?;
        if let Some(violation) = violation {
            return Err(Malformed::Framing(violation).into());
        }
        let target = Target::read(connection, &parts)?;
        let view = self.snapshot.policy();
        if let Some(endpoint) = endpoints::find(
            &self.oauth,
            connection.listener.config.serves,
            target.method.as_str(),
            target.path.as_str(),
        ) {
            trail.endpoint(endpoint.name());
            // In a box: what a request takes on its way is moved several times, and few come here.
            return Box::pin(endpoint.answer(self, connection, &view, parts, body, trail)).await;
        }
        let permit = self.admit(connection, &view, &target, Allowance::Spend, trail).await?;
        let (decision_id, meter) = (trail.decision_id(), trail.meter());
        let scene = Scene {
            connection,
            upstreams: &self.upstreams,
            services: &self.services,
            decision_id: &decision_id,
            meter: &meter,
            body_bytes_max: self.body_bytes_max,
        };
        trail.decided(self.clock.monotonic_nanos());
        act::act(permit, parts, body, scene).await
    }

    /// From the route to the permit: the same for what is answered here and for what another proxy answers.
    async fn admit(
        &self,
        connection: &Connection,
        view: &PolicyView,
        target: &Target<'_>,
        allowance: Allowance,
        trail: &mut Trail<'_>,
    ) -> Result<Permit, Stop> {
        let now = self.clock.now();
        let route = self.route(view, connection, target, &mut ())?;
        trail.route(&route);
        // Before any credential costs work.
        policies::check_source(&route, connection.source, trail.hear())?;
        let permit = if route.is_public() {
            let spent = match allowance {
                Allowance::Spend => self.limits.spend(None, &route, now).await?,
                Allowance::Paid => Spent::unlimited(),
            };
            policies::admit_public(route, connection.source, spent, trail.hear())?
        } else {
            let principal = authenticate::authenticate(self, view, target, now, &mut ()).await?;
            trail.principal(&principal);
            match allowance {
                Allowance::Spend => {
                    authorize::authorize(self, principal, route, connection.source, now, trail.hear()).await?
                }
                Allowance::Paid => authorize::authorize_again(principal, route, connection.source, trail.hear())?,
            }
        };
        if let Some(principal) = permit.principal() {
            sight::proofs(self, connection, principal.proofs(), &permit.route().id, now);
        }
        // Before the action: what an upstream fails at was counted all the same.
        trail.limits(LimitHeaders::of(permit.spent().limits(), self.limit_fields));
        Ok(permit)
    }

    /// Notes why a request ends here, counts what was not good against its address, and answers it.
    fn refuse(
        &self,
        connection: &Connection,
        mut stop: Stop,
        asked: &respond::Asked,
        trail: &mut Trail<'_>,
    ) -> Response<Body> {
        // The audit says what was wrong, whatever the caller is told.
        trail.stopped(&stop);
        if counts_as_failure(&stop)
            && let Err(retry_after) = self.addresses.failure(&connection.listener.config.name, connection.source)
        {
            stop = Stop::AddressLimited { retry_after };
        }
        if let Stop::Denied(denial) = &stop
            && !denial.limits().is_empty()
        {
            trail.limits(LimitHeaders::of(denial.limits(), self.limit_fields));
        }
        respond::respond(&stop, asked, trail.found_route(), &trail.decision_id())
    }

    /// No route: no.
    fn route<T: Trace>(
        &self,
        view: &PolicyView,
        connection: &Connection,
        target: &Target<'_>,
        trace: &mut T,
    ) -> Result<Arc<Route>, Denial> {
        let table = match connection.listener.config.serves {
            Serves::Admin => &self.admin_routes,
            Serves::Gateway | Serves::Pki => &view.policy.routes,
        };
        find_route(table, target.listener, target.method.as_str(), target.path.as_str(), trace)
    }
}

fn find_route<T: Trace>(
    table: &RouteTable,
    listener: &str,
    method: &str,
    path: &str,
    trace: &mut T,
) -> Result<Arc<Route>, Denial> {
    let Some(route) = table.find(listener, method, path) else {
        trace.step(Stage::Route, false, || format!("no route for {method} {path} on listener {listener}"));
        return Err(Denial::RouteNotFound { detail: format!("no route for {method} {path} on listener {listener}") });
    };
    trace.step(Stage::Route, true, || format!("route {}", route.id));
    Ok(Arc::clone(route))
}

impl Handler for Gate {
    async fn handle(
        &self,
        connection: Arc<Connection>,
        request: Request<Incoming>,
        violation: Option<Violation>,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        if violation.is_none()
            && let Some(question) = forward_auth::find(&self.forward_auth, connection.listener.config.serves, &parts)
        {
            return Box::pin(question.answer(self, &connection, parts, body)).await;
        }
        let mut trail = Trail::begin(self, &connection, &parts);
        let close = violation.is_some() || self.draining.is_cancelled() || connection.closing.is_cancelled();
        let asked = respond::Asked::of(&parts);
        let outcome = self.judge(&connection, parts, body, violation, &mut trail).await;
        let mut response = match outcome {
            Ok(answer) => respond::pass(answer, &trail.decision_id()),
            Err(stop) => self.refuse(&connection, stop, &asked, &mut trail),
        };
        trail.take_limits().write(response.headers_mut());
        if close && connection.protocol == crate::listen::Protocol::Http1 {
            response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
        }
        trail.finish(&response);
        response
    }

    fn may_handshake(&self, listener: &str, source: IpAddr) -> bool {
        self.addresses.handshake(listener, source).is_ok()
    }
}

/// Whether the address showed something that is not good. Showing nothing is not a failure, and neither is a good
/// credential that may not do this.
fn counts_as_failure(stop: &Stop) -> bool {
    match stop {
        Stop::Denied(denial) => matches!(
            denial,
            Denial::CredentialUnknown { .. }
                | Denial::CredentialExpired { .. }
                | Denial::CredentialRevoked { .. }
                | Denial::CredentialMismatch { .. }
                | Denial::InvalidToken { .. }
        ),
        Stop::Refused(refusal) => refusal.kind == RefusalKind::Unauthorized && refusal.code != enroll::NO_TOKEN,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of_output<A, F: Future>(_: impl Fn(A) -> F) -> usize {
        size_of::<F>()
    }

    /// Over HTTP/2 it is copied several times for each request; what few requests need belongs into a box of its own.
    #[test]
    fn what_a_request_takes_on_its_way_is_small() {
        type Given = (&'static Gate, Arc<Connection>, Request<Incoming>, Option<Violation>);
        let bytes = bytes_of_output(|(gate, connection, request, violation): Given| {
            gate.handle(connection, request, violation)
        });
        assert!(bytes < 4_096, "{bytes}");
    }
}
