//! Whether two lists of networks have an address in common.

use std::collections::HashMap;

use super::allowlist;
use crate::policy::Policy;

/// Remembers what was asked: a thousand clients of one partner ask the same, and a list may hold 100 000 CIDRs.
#[derive(Default)]
pub(super) struct Overlaps(HashMap<(Vec<String>, Vec<String>), bool>);

impl Overlaps {
    /// Whether some address is in both; no names are anywhere.
    pub(super) fn any(&mut self, policy: &Policy, one: &[String], other: &[String]) -> bool {
        if one.is_empty() || other.is_empty() {
            return true;
        }
        let asked = (one.to_vec(), other.to_vec());
        if let Some(known) = self.0.get(&asked) {
            return *known;
        }
        let found = allowlist(policy, one).overlaps(&allowlist(policy, other));
        self.0.insert(asked, found);
        found
    }
}
