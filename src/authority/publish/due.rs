//! Which list, and which of them are due.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pki::KeyId;

use crate::failure::Fault;
use crate::store::crl::COMPLETE;

/// What a list is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::authority) enum Scope {
    /// Some of what its authority issued: the certificates that name this list.
    Partition(u32),
    /// Everything that its authority issued.
    Complete,
}

impl Scope {
    pub(super) fn of_row(scope: i64) -> Result<Self, Fault> {
        match scope {
            COMPLETE => Ok(Self::Complete),
            _ => u32::try_from(scope)
                .map(Self::Partition)
                .map_err(|_| Fault::new(format!("the database holds a list of an unknown scope: {scope}"))),
        }
    }

    /// The partition of a certificate that names this list: 0 where nothing is divided.
    pub(in crate::authority) fn partition(self) -> i64 {
        match self {
            Self::Complete => 0,
            Self::Partition(partition) => i64::from(partition),
        }
    }

    pub(super) fn as_row(self) -> i64 {
        match self {
            Self::Complete => COMPLETE,
            Self::Partition(partition) => i64::from(partition),
        }
    }
}

/// One of the lists of one authority.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::authority) struct ListName {
    pub(in crate::authority) issuer: KeyId,
    pub(in crate::authority) scope: Scope,
}

impl ListName {
    pub(in crate::authority) fn new(issuer: &KeyId, scope: Scope) -> Self {
        Self { issuer: issuer.clone(), scope }
    }
}

impl fmt::Display for ListName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scope {
            Scope::Complete => write!(formatter, "{}", self.issuer),
            Scope::Partition(partition) => write!(formatter, "{}/{partition}", self.issuer),
        }
    }
}

/// The lists that are out of date. Its size is bounded by the number of lists there are.
#[derive(Debug, Default)]
pub(in crate::authority) struct Due {
    of: BTreeMap<KeyId, Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    all: bool,
    complete: bool,
    partitions: BTreeSet<u32>,
}

impl Due {
    pub(super) fn add_all(&mut self, issuer: &KeyId) {
        self.of.entry(issuer.clone()).or_default().all = true;
    }

    /// A revocation in a partition stands in the complete list too.
    pub(super) fn add(&mut self, issuer: &KeyId, partition: u32) {
        let lists = self.of.entry(issuer.clone()).or_default();
        lists.complete = true;
        lists.partitions.insert(partition);
    }

    pub(super) fn add_list(&mut self, name: &ListName) {
        let lists = self.of.entry(name.issuer.clone()).or_default();
        match name.scope {
            Scope::Complete => lists.complete = true,
            Scope::Partition(partition) => _ = lists.partitions.insert(partition),
        }
    }

    pub(super) fn holds(&self, name: &ListName) -> bool {
        self.of.get(&name.issuer).is_some_and(|lists| {
            lists.all
                || match name.scope {
                    Scope::Complete => lists.complete,
                    Scope::Partition(partition) => lists.partitions.contains(&partition),
                }
        })
    }

    pub(super) fn issuers(&self) -> impl Iterator<Item = &KeyId> {
        self.of.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_makes_its_partition_and_the_complete_list_due() {
        let (one, two): (KeyId, KeyId) = ("aa01".parse().unwrap(), "bb02".parse().unwrap());
        let mut due = Due::default();
        due.add(&one, 3);
        due.add_all(&two);
        for (issuer, scope, wanted) in [
            (&one, Scope::Complete, true),
            (&one, Scope::Partition(3), true),
            (&one, Scope::Partition(2), false),
            (&two, Scope::Complete, true),
            (&two, Scope::Partition(200), true),
        ] {
            assert_eq!(due.holds(&ListName::new(issuer, scope)), wanted, "{issuer} {scope:?}");
        }
        assert_eq!(due.issuers().count(), 2);
    }

    #[test]
    fn scopes_rest_in_the_table_and_come_back() {
        for scope in [Scope::Complete, Scope::Partition(0), Scope::Partition(255)] {
            assert_eq!(Scope::of_row(scope.as_row()).unwrap(), scope);
        }
        assert!(Scope::of_row(-2).is_err());
    }
}
