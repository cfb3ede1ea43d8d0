//! Portcullis: one rustls server at the edge of an API that lets machines in by client certificate, API key or token.
//!
//! The road of a request, readable in [`gateway`]:
//!
//! ```text
//! Target::read -> routes.find -> authenticate -> authorize -> act -> respond -> audit
//!                     Proof -> Principal -> Entitlement -> Permit
//! ```
//!
//! A module imports only what stands below it in this list; `scripts/check` holds it:
//! `cli · app · admin · openapi · compare · gateway · oauth · usage · listen · inventory · authority · registry · audit · snapshot ·
//! store · telemetry · config · clock · failure`, then the crates `policies` and `pki`, which never know each other.

pub mod admin;
pub mod app;
pub mod audit;
pub mod authority;
pub mod cli;
pub mod clock;
pub mod compare;
pub mod config;
pub mod failure;
pub mod gateway;
pub mod inventory;
pub mod listen;
pub mod oauth;
pub mod openapi;
pub mod registry;
pub mod snapshot;
pub mod store;
pub mod telemetry;
pub mod usage;
