//! One binary for the whole crate, from outside.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed; clippy's own allowance ends at helpers")]

mod addresses; // thirty spellings of addresses, CIDRs
mod decision_table; // who may do what, as a table
mod difference; // what `policy plan` shows
mod document_faults; // every fault, with its place
mod fixtures; // short ways to write clients, proofs, routes
mod identifiers; // client and partner ids, methods, status
mod lint; // what is well formed and probably not meant
mod properties; // what must hold for all inputs
mod quota_calendar; // periods in time zones
mod routes; // which route rules a path
mod rules; // what a rule in each of its modes does
mod samples; // the documents that are shown to people
mod scope_grammar; // RFC 6749 §3.3 and Cognito's form
mod throttles; // rates, beside governor
