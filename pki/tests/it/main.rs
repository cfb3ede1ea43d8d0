//! The authority judged from outside, mostly by the `openssl` program, which must be installed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should panic")]
#![allow(clippy::disallowed_methods, reason = "OpenSSL dates what it makes by the clock")]

/// Roots, authorities below them, foreign authorities that are taken up.
mod authorities;
/// Revocation lists as OpenSSL sees them.
mod crl;
/// One root under another, while one follows the other.
mod cross;
/// Requests made by OpenSSL: which are accepted, and what becomes of them.
mod csr;
/// The formats of EST, and what renewal by it demands.
mod est;
/// Certificates and lists of somebody else: where they hang, and what they may say.
mod foreign;
/// What every test needs: authorities, a time, and OpenSSL.
mod harness;
/// Serials, thumbprints, key identifiers, identities: their one text form.
mod identifiers;
/// Private keys in files, and PKCS#12.
mod keys;
/// What each kind of certificate says, extension by extension.
mod leaves;
/// The last look before a certificate is signed.
mod lint;
/// Questions by OpenSSL, answers judged by OpenSSL.
mod ocsp;
/// Statements about all inputs, tried on random ones.
mod properties;
/// Revocation lists read back: OpenSSL's, ours, and damaged ones.
mod revocation_list;
/// Keys that others have too, or can compute.
mod weak_keys;
