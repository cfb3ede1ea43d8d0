//! Documents for people: what can be called here, and with which credentials, as OpenAPI 3.1 and as Swagger UI.
//!
//! Everything is made from the policy in force, so that it cannot say something else than the gate does. Nothing is loaded
//! from the internet.

pub use self::asset::Asset;
pub use self::docs::GatewayDocs;
pub use self::document::{PublishedListener, Site, gateway_document};
pub use self::renewal::{SERVED_BY_GATE, renewal_paths};
pub use self::security_schemes::security_schemes;
pub use self::swagger::SwaggerUi;

mod asset;
mod docs;
mod document;
mod operation;
mod renewal;
mod responses;
mod security_schemes;
mod swagger;
mod token_endpoint;

#[cfg(test)]
pub(crate) mod tests;
