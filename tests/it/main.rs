//! The whole gate, from outside, through real sockets. One binary; each module says what of the product it holds.
//!
//! Nothing waits for wall time: the server's clock is the test's.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

/// The server on free ports, partners with all three credentials, connections and upstreams.
mod harness;

/// The control plane, over HTTP.
mod admin;
/// From where.
mod allowlists;
/// A partner that brings its own authority.
mod anchors;
/// Who did what, and what is never written down.
mod audit;
/// Who is asking.
mod authenticate;
/// What the methods cost and promise.
mod compare;
/// How it is said that they may not.
mod denials;
/// What is published for others: certificates and revocation lists.
mod distribution;
/// Going away and coming back; new certificates without either.
mod drain;
/// A token and a request in, a certificate out.
mod enrollment;
/// Enrolment by EST.
mod est;
/// Why a request would pass, or not.
mod explain;
/// Other proxies that ask.
mod forward_auth;
/// Bytes that two parsers read differently.
mod framing;
/// What was made elsewhere.
mod imports;
/// What is known of the credentials that are out.
mod inventory;
/// Keys that somebody found where they should not be.
mod leaks;
/// What bites, and whom.
mod limits;
/// Tokens: ours, bound ones, and those of other issuers.
mod oauth;
/// Whether one certificate is still good, for whoever asks.
mod ocsp;
/// What is in force, and from when.
mod policy;
/// Both ways to an upstream, and what it may believe.
mod proxy;
/// How much in a calendar period.
mod quotas;
/// The next certificate for the one that is shown.
mod renewal;
/// Cut off means cut off.
mod revocation;
/// One authority after another.
mod rotation;
/// Rules that bite, that only watch, and that are off.
mod rules;
/// What they may.
mod scopes;
/// Where a caller comes from, behind proxies too, and that every way judges it alike.
mod source;
/// How fast: clients, credentials, partners, routes; through changes of plan, restarts and crashes.
mod throttles;
/// How a decision came about, by its id.
mod trace;
/// How much of what each client used.
mod usage;
