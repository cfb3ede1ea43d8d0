//! A proxy may ask twice for one request of its client: its connection to us broke, or it came by the same rule again. The second
//! question is judged like the first, and paid for by it.

use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use http::header::AUTHORIZATION;
use http::request::Parts;
use metrics::counter;
use moka::sync::Cache;

use super::callers::Caller;
use crate::listen::Connection;

/// A proxy that asks again later than this has long answered its client.
const REMEMBERED: Duration = Duration::from_secs(30);
/// At 100 bytes each; the oldest are forgotten, and a repeat is then paid for twice.
const KEYS_MAX: u64 = 65_536;

/// The requests that were paid for.
pub(super) struct Repeats(Cache<[u8; 32], ()>);

/// One request: the proxy's name for it, and everything that is judged. The name alone would let two different requests share a fare.
pub(super) struct Key([u8; 32]);

impl Repeats {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(KEYS_MAX).time_to_live(REMEMBERED).build())
    }

    pub(super) fn is_paid(&self, key: &Key) -> bool {
        let paid = self.0.contains_key(&key.0);
        if paid {
            counter!("portcullis_forward_auth_repeats_total").increment(1);
        }
        paid
    }

    pub(super) fn paid(&self, key: &Key) {
        self.0.insert(key.0, ());
    }
}

impl Key {
    pub(super) fn of(caller: &Caller, id: &str, connection: &Connection, parts: &Parts) -> Self {
        let mut context = Context::new(&SHA256);
        let mut add = |bytes: &[u8]| {
            // Lengths keep (ab, c) and (a, bc) apart.
            context.update(&(bytes.len() as u64).to_be_bytes());
            context.update(bytes);
        };
        add(caller.name.as_bytes());
        add(id.as_bytes());
        add(connection.listener.config.name.as_bytes());
        add(connection.source.to_string().as_bytes());
        add(parts.method.as_str().as_bytes());
        add(parts.uri.to_string().as_bytes());
        for name in [AUTHORIZATION.as_str(), "x-api-key"] {
            add(parts.headers.get(name).map_or(&[], |value| value.as_bytes()));
        }
        add(connection.certificate.as_ref().map_or(&[], |peer| peer.certificate.thumbprint.as_bytes()));
        let mut key = [0; 32];
        key.copy_from_slice(context.finish().as_ref());
        Self(key)
    }
}
