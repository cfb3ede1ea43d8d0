//! Which index a page takes.

use sqlx::{QueryBuilder, Sqlite};

use super::{CertificateSearch, Order};
use crate::failure::Fault;
use crate::store::Store;
use crate::store::certificate::CertificateState;

/// How a page finds its certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// All that the filter leaves.
    Few(Filter),
    /// Along the filter's own index.
    Along(Filter),
    /// Along the index of the order.
    Order,
}

impl Way {
    pub(super) fn takes_index_of(self, filter: Filter) -> bool {
        self == Self::Few(filter) || self == Self::Along(filter)
    }
}

/// Chooses it, by what the filters leave: at most `few` counts as few.
pub(super) async fn way(store: &Store, search: &CertificateSearch, few: i64) -> Result<Way, Fault> {
    let given = || Filter::ALL.into_iter().filter(|filter| filter.is_given(search));
    if search.order == Order::Newest
        && let Some(first) = given().next()
        && first.is_ordered()
        && (first == Filter::Client || given().count() == 1)
    {
        // Its index holds what is wanted, in order, with nothing between.
        return Ok(Way::Along(first));
    }
    for which in given() {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT COUNT(*) FROM (SELECT 1 FROM ");
        match which {
            Filter::Revoked => _ = query.push("revocations"),
            _ => {
                query.push("certificates c WHERE 1 = 1");
                condition(&mut query, search, which, true);
            }
        }
        query.push(" LIMIT ").push_bind(few + 1).push(")");
        let count: i64 = query.build_query_scalar().fetch_one(store.readers()).await?;
        if count <= few {
            return Ok(Way::Few(which));
        }
    }
    let along = given().find(|filter| filter.is_ordered() && search.order == Order::Newest);
    Ok(along.map_or(Way::Order, Way::Along))
}

/// The filters by equality.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    Client,
    Partner,
    Revoked,
    Unissued,
    KeyAlgorithm,
    Issuer,
}

impl Filter {
    pub(super) const ALL: [Self; 6] =
        [Self::Client, Self::Partner, Self::Revoked, Self::Unissued, Self::KeyAlgorithm, Self::Issuer];

    fn is_given(self, search: &CertificateSearch) -> bool {
        match self {
            Self::Client => search.client.is_some(),
            Self::Partner => search.partner.is_some(),
            Self::Revoked => search.revoked == Some(true),
            Self::Unissued => search.state.is_some_and(|state| state != CertificateState::Issued),
            Self::KeyAlgorithm => search.key_algorithm.is_some(),
            Self::Issuer => search.issuer_key_id.is_some(),
        }
    }

    /// Whether its index is in the order of issuance.
    fn is_ordered(self) -> bool {
        matches!(self, Self::Client | Self::KeyAlgorithm | Self::Issuer)
    }
}

/// One of the filters by equality. Where its index must not be taken, the column is made an expression.
pub(super) fn condition(query: &mut QueryBuilder<Sqlite>, search: &CertificateSearch, which: Filter, indexed: bool) {
    let open = |column: &str| if indexed { format!(" AND {column}") } else { format!(" AND {column} || ''") };
    match which {
        Filter::Client => {
            if let Some(client) = &search.client {
                query.push(open("c.client_id")).push(" = ").push_bind(client.clone());
            }
        }
        Filter::Partner => {
            if let Some(partner) = &search.partner {
                query.push(open("c.client_id")).push(" IN (SELECT id FROM clients WHERE partner_id = ");
                query.push_bind(partner.clone()).push(")");
            }
        }
        Filter::Issuer => {
            if let Some(issuer) = &search.issuer_key_id {
                query.push(open("c.issuer_key_id")).push(" = ").push_bind(issuer.clone());
            }
        }
        Filter::KeyAlgorithm => {
            if let Some(algorithm) = &search.key_algorithm {
                query.push(open("c.key_algorithm")).push(" = ").push_bind(algorithm.clone());
            }
        }
        Filter::Unissued => {
            if let Some(state) = search.state {
                // The index is a partial one: it is taken when its own condition stands in the statement.
                if indexed {
                    query.push(" AND c.state <> 'issued'");
                }
                query.push(open("c.state")).push(" = ").push_bind(state.as_str());
            }
        }
        Filter::Revoked => match search.revoked {
            Some(true) if indexed => {
                query.push(" AND (c.issuer_key_id, c.serial) IN (SELECT issuer_key_id, serial FROM revocations)");
            }
            Some(true) => _ = query.push(" AND r.revoked_at IS NOT NULL"),
            Some(false) => _ = query.push(" AND r.revoked_at IS NULL"),
            None => {}
        },
    }
}
