//! The whole gate, from outside, through real sockets. One binary; each module says what of the product it holds.
//!
//! Nothing waits for wall time: the server's clock is the test's.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

/// The server on free ports, partners with all three credentials, connections and upstreams.
mod harness;

/// From where.
mod allowlists;
/// Who is asking.
mod authenticate;
/// What bites, and whom.
mod limits;
/// Cut off means cut off.
mod revocation;
/// What they may, and how it is said that they may not.
mod scopes;
