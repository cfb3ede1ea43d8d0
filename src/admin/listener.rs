//! Where this server answers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::ClientCertificates;

/// A listener as `/v1/status` tells it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ListedListener {
    pub name: String,
    pub url: String,
    /// `none`, `optional` or `required`.
    #[schema(value_type = String)]
    pub client_certificates: ClientCertificates,
}
