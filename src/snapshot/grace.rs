//! Which clients' certificates still renew themselves after their end, and for how long.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::failure::Fault;
use crate::store::{self, Store};

/// Few clients have one. In the rare change of one the longest is found anew.
#[derive(Default)]
pub(super) struct Graces {
    by_client: papaya::HashMap<Arc<str>, i64>,
    longest: AtomicI64,
}

impl Graces {
    pub(super) async fn load(store: &Store) -> Result<Self, Fault> {
        let graces = Self::default();
        for row in store::renewal_terms::with_grace(store).await? {
            graces.by_client.pin().insert(row.client_id.as_str().into(), row.grace_seconds);
        }
        graces.find_longest();
        Ok(graces)
    }

    pub(super) async fn look_at(&self, store: &Store, client: &str) -> Result<(), Fault> {
        let terms = store::renewal_terms::get(store, client).await?;
        let changed = match terms.map_or(0, |terms| terms.grace_seconds) {
            grace if grace > 0 => self.by_client.pin().insert(client.into(), grace) != Some(&grace),
            _ => self.by_client.pin().remove(client).is_some(),
        };
        if changed {
            self.find_longest();
        }
        Ok(())
    }

    pub(super) fn of(&self, client: &str) -> i64 {
        if self.longest() == 0 {
            return 0;
        }
        self.by_client.pin().get(client).copied().unwrap_or(0)
    }

    pub(super) fn longest(&self) -> i64 {
        self.longest.load(Ordering::Acquire)
    }

    /// Changes are applied by one task at a time.
    fn find_longest(&self) {
        let longest = self.by_client.pin().values().copied().max().unwrap_or(0);
        self.longest.store(longest, Ordering::Release);
    }
}
