//! Who asks, as the gate proved it.

use axum::extract::FromRequestParts;
use http::StatusCode;
use http::request::Parts;

use super::problem::Problem;
use crate::gateway::Caller;
use crate::registry::Actor;

/// The administrator of this request. Without one there is no operation.
pub(super) struct Operator(pub(super) Actor);

impl<S: Send + Sync> FromRequestParts<S> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        actor(&parts.extensions).map(Self)
    }
}

/// The caller that the gate let in.
///
/// # Errors
/// 500 when there is none: then a guarded path was served as a public one, and closing is all that can be done here.
pub(super) fn actor(extensions: &http::Extensions) -> Result<Actor, Problem> {
    let proved = extensions.get::<Caller>().and_then(|caller| Some((caller.client.as_ref()?, caller.source)));
    let Some((client, source)) = proved else {
        tracing::error!("the admin API was reached without a proved caller");
        let message = "The server could not tell who is asking.";
        return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message));
    };
    Ok(Actor { name: client.to_string(), source: Some(source) })
}
