//! Every API key in memory: ours by their public part, those that were brought along by a keyed hash of their text.
//!
//! An installation may have a million. An entry stands inline in its map and shares what it can: some 150 bytes for each key.

use std::collections::HashMap;
use std::sync::Arc;

use policies::{ClientId, UnixSeconds};

use super::narrowing::Narrowing;
use super::policy_view::PolicyView;
use super::secret::hmac;
use crate::failure::Fault;
use crate::store::api_key::listed::ListedApiKey;
use crate::store::stored;

/// An API key: enough to recognise it, not to write it down. A clone counts references.
#[derive(Clone)]
pub struct ApiKeyEntry {
    /// The public part; of a key that was brought along an id that was given to it here.
    pub id: Arc<str>,
    pub client: ClientId,
    /// HMAC-SHA-256 of the secret part; of a key that was brought along, of its SHA-256. Compare it in constant time.
    pub hmac: [u8; 32],
    /// `i64::MAX`: never. An option would cost eight bytes more, a million times.
    ends: i64,
    narrowing: Option<Arc<Narrowing>>,
    pub revoked: bool,
    /// Whether it was brought along from elsewhere.
    pub imported: bool,
}

impl ApiKeyEntry {
    pub fn expires_at(&self) -> Option<UnixSeconds> {
        (self.ends != i64::MAX).then_some(UnixSeconds(self.ends))
    }

    /// What it may do less than its client.
    pub fn narrowing(&self) -> Option<&Narrowing> {
        self.narrowing.as_deref()
    }

    fn from_row(row: &ListedApiKey, view: &PolicyView, sharing: &mut Sharing) -> Result<Self, Fault> {
        let client = match view.client(&row.client_id) {
            Some(entry) => entry.client.id.clone(),
            None => stored("client id", &row.client_id)?,
        };
        Ok(Self {
            id: row.id.as_str().into(),
            client,
            hmac: hmac(&row.hmac)?,
            ends: row.expires_at.unwrap_or(i64::MAX),
            narrowing: sharing.narrowing(row),
            revoked: row.revoked,
            imported: row.imported,
        })
    }
}

impl std::fmt::Debug for ApiKeyEntry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = formatter.debug_struct("ApiKeyEntry");
        debug
            .field("id", &self.id)
            .field("client", &self.client)
            .field("revoked", &self.revoked)
            .finish_non_exhaustive()
    }
}

/// What many keys of one load have in common stands in memory once.
#[derive(Default)]
pub(super) struct Sharing {
    narrowings: HashMap<Lists, Arc<Narrowing>>,
}

/// The scopes and the networks of a row.
type Lists = (Option<Vec<String>>, Option<Vec<String>>);

impl Sharing {
    fn narrowing(&mut self, row: &ListedApiKey) -> Option<Arc<Narrowing>> {
        if row.scopes.is_none() && row.networks.is_none() {
            return None;
        }
        let lists = (row.scopes.clone(), row.networks.clone());
        let shared = self.narrowings.entry(lists).or_insert_with_key(|(scopes, networks)| {
            Arc::new(Narrowing::from_lists(scopes.as_deref(), networks.as_deref()))
        });
        Some(Arc::clone(shared))
    }
}

/// The beginning of a keyed hash. What a caller sends reaches the map only through the pepper, so that the time of a look-up says
/// nothing about the keys that are in it; the rest is compared in constant time.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Place([u8; 16]);

impl Place {
    fn of(hmac: &[u8; 32]) -> Self {
        let mut place = [0; 16];
        place.copy_from_slice(&hmac[..16]);
        Self(place)
    }
}

#[derive(Default)]
pub(super) struct ApiKeys {
    ours: papaya::HashMap<Arc<str>, ApiKeyEntry>,
    imported: papaya::HashMap<Place, ApiKeyEntry>,
}

impl ApiKeys {
    /// By id. Of a key that was brought along this looks through all of them: for whoever asks about a key, not for requests, in
    /// which only public parts of ours arrive.
    pub(super) fn get(&self, id: &str) -> Option<ApiKeyEntry> {
        let found = self.ours.pin().get(id).cloned();
        if found.is_some() || !id.starts_with(IMPORTED_ID_PREFIX) {
            return found;
        }
        self.imported.pin().values().find(|entry| *entry.id == *id).cloned()
    }

    pub(super) fn imported(&self, hmac: &[u8; 32]) -> Option<ApiKeyEntry> {
        self.imported.pin().get(&Place::of(hmac)).cloned()
    }

    pub(super) fn has_imported(&self) -> bool {
        !self.imported.is_empty()
    }

    /// Takes a row in. One that cannot be read is taken out: what is not known is not let in.
    pub(super) fn put(&self, row: &ListedApiKey, view: &PolicyView, sharing: &mut Sharing) {
        match ApiKeyEntry::from_row(row, view, sharing) {
            Ok(entry) if entry.imported => _ = self.imported.pin().insert(Place::of(&entry.hmac), entry),
            Ok(entry) => _ = self.ours.pin().insert(Arc::clone(&entry.id), entry),
            Err(fault) => {
                tracing::error!(id = row.id, error = fault.inside(), "an API key cannot be read and is refused");
                self.remove(&row.id);
            }
        }
    }

    pub(super) fn remove(&self, id: &str) {
        if self.ours.pin().remove(id).is_none() && id.starts_with(IMPORTED_ID_PREFIX) {
            self.imported.pin().retain(|_, entry| *entry.id != *id);
        }
    }
}

/// How the ids of keys begin that were brought along. The public parts of our own hold letters and digits only.
pub(crate) const IMPORTED_ID_PREFIX: &str = "imported-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<ApiKeyEntry>() <= 88, "{} bytes", size_of::<ApiKeyEntry>());
    }
}
