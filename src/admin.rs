//! The control plane over HTTP, and its pages for people.
//!
//! Everything under `/v1` is a thin skin over `registry`, `authority`, `oauth` and the logs: read the request strictly, call one
//! operation, show what it gave. Who may call is not judged here but by the gate, with the same stages as for everybody, before
//! this router is reached; `guard` is the second lock.

#![allow(unused_qualifications, reason = "utoipa's macros write them where a query is described")]

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::get;
use policies::ListenerFacts;

pub use self::enrollment::EnrollmentPlace;
pub use self::listener::ListedListener;
pub use self::readiness::{Check, Probe};

use crate::audit::Audit;
use crate::authority::Authority;
use crate::gateway::Explainer;
use crate::gateway::limits::Quotas;
use crate::inventory::ExpiryWatch;
use crate::oauth::OAuth;
use crate::registry::Registry;
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::store::audit_log::AuditLog;
use crate::usage::Usage;

mod api_key;
mod audit;
mod body;
mod certificate;
mod client;
mod client_renewal;
mod client_secret;
mod document;
mod enrollment;
mod expiring;
mod expiry;
mod explain;
mod guard;
mod import;
mod issuer;
mod listener;
mod metrics;
mod operator;
mod page;
mod pages;
mod partner;
mod path_part;
mod policy;
mod problem;
mod query;
mod quota;
mod readiness;
mod rotation;
mod shared_key;
mod status;
mod token;
mod trust_anchor;
mod usage;

/// The metrics of the process, in Prometheus' text format.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// What the control plane works on.
#[derive(Clone)]
pub struct AdminState {
    pub registry: Registry,
    pub authority: Authority,
    pub oauth: Arc<OAuth>,
    pub snapshot: Arc<Snapshot>,
    pub store: Store,
    /// To be flushed before the log of decisions is read.
    pub audit: Audit,
    pub audit_log: AuditLog,
    pub expiry: ExpiryWatch,
    /// To be flushed before the table is read.
    pub usage: Usage,
    pub explainer: Arc<Explainer>,
    pub quotas: Quotas,
    /// What the parts say of themselves; the database is asked besides.
    pub readiness: Probe,
    pub metrics: RenderMetrics,
    pub endpoints: Vec<ListedListener>,
    /// What documents are checked against.
    pub listeners: Arc<[ListenerFacts]>,
    /// What partners are told when they are invited.
    pub enrollment: EnrollmentPlace,
}

/// The router of the admin listener. The gate calls it with a [`crate::gateway::Caller`] in the request's extensions.
pub fn router(state: AdminState) -> Router {
    let (api, document) = document::api().split_for_parts();
    let pages = pages::Pages::new(&document::finish(document, &state.oauth.token_endpoint()));
    let guarded = api.route("/metrics", get(metrics::show)).layer(middleware::from_fn(guard::check));
    guarded
        .route("/livez", get(readiness::live))
        .route("/readyz", get(readiness::ready))
        .merge(pages.router())
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(middleware::from_fn(problem::write))
        .with_state(Arc::new(state))
}

#[cfg(test)]
mod tests;
