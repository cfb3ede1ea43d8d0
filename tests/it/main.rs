//! The whole gate, from outside, through real sockets. One binary; each module says what of the product it holds.
//!
//! Nothing waits for wall time: the server's clock is the test's.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

/// The server on free ports, partners with all three credentials, connections and upstreams.
mod harness;

/// Who is asking.
mod authenticate;

/// What the methods cost and promise.
mod compare;
