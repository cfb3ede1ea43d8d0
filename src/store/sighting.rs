//! `credential_sightings`: when a credential last let somebody in. Written in batches, never on a request's way.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use policies::UnixSeconds;
use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::{Read, Store, Tx, stored_names};
use crate::failure::Fault;

/// Ids in one statement; SQLite takes 32 766 parameters.
const IDS_MAX: usize = 1000;
/// Rows that one prune removes: what waits for the writer waits for one of them at most.
pub const PRUNE_MAX: u32 = 1000;

stored_names! {
    /// What was seen.
    SightingKind, "kind of sighting" {
        /// Its id is [`super::certificate::change_key`].
        Certificate => "certificate",
        ApiKey => "api-key",
        ClientSecret => "client-secret",
    }
}

/// The last time that a credential let somebody in.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct SightingRow {
    #[sqlx(try_from = "String")]
    pub kind: SightingKind,
    pub id: String,
    /// Seconds since the Unix epoch.
    pub last_seen_at: i64,
    /// The address it came from.
    pub source: String,
    pub route: Option<String>,
    /// Of a certificate: the key ids of the authorities that the client sent with it, nearest first, with blanks between.
    pub chain: Option<String>,
}

/// An address range in the form that is stored for comparing. Both ends belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRange {
    pub(super) first: String,
    pub(super) last: String,
}

impl From<IpNet> for SourceRange {
    fn from(network: IpNet) -> Self {
        Self { first: source_key(network.network()), last: source_key(network.broadcast()) }
    }
}

/// An address as text that sorts as its number does.
fn source_key(address: IpAddr) -> String {
    let address: Ipv6Addr = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    format!("{:032x}", address.to_bits())
}

/// Takes sightings in. What is known already and later stays.
pub async fn put_all(tx: &mut Tx, rows: &[SightingRow]) -> Result<(), Fault> {
    for row in rows {
        let key = row.source.parse().ok().map(source_key);
        sqlx::query(
            "INSERT INTO credential_sightings (kind, id, last_seen_at, source, route, chain, source_key)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (kind, id) DO UPDATE SET last_seen_at = excluded.last_seen_at, source = excluded.source,
                 route = excluded.route, chain = excluded.chain, source_key = excluded.source_key
             WHERE excluded.last_seen_at >= credential_sightings.last_seen_at",
        )
        .bind(row.kind.as_str())
        .bind(&row.id)
        .bind(row.last_seen_at)
        .bind(&row.source)
        .bind(&row.route)
        .bind(&row.chain)
        .bind(key)
        .execute(tx.connection())
        .await?;
    }
    Ok(())
}

/// When this credential was last seen.
pub async fn get(from: impl Read, kind: SightingKind, id: &str) -> Result<Option<SightingRow>, Fault> {
    let select = sqlx::query_as(
        "SELECT kind, id, last_seen_at, source, route, chain FROM credential_sightings WHERE kind = $1 AND id = $2",
    );
    from.row(select.bind(kind.as_str()).bind(id)).await
}

/// When these credentials of one kind were last seen, by their ids; those that never were are left out.
pub async fn of(store: &Store, kind: SightingKind, ids: &[String]) -> Result<HashMap<String, SightingRow>, Fault> {
    let mut found = HashMap::with_capacity(ids.len());
    for some in ids.chunks(IDS_MAX) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT kind, id, last_seen_at, source, route, chain FROM credential_sightings WHERE kind = ",
        );
        query.push_bind(kind.as_str()).push(" AND id IN (");
        let mut list = query.separated(", ");
        for id in some {
            list.push_bind(id);
        }
        query.push(")");
        let rows: Vec<SightingRow> = query.build_query_as().fetch_all(store.readers()).await?;
        found.extend(rows.into_iter().map(|row| (row.id.clone(), row)));
    }
    Ok(found)
}

/// Forgets up to [`PRUNE_MAX`] sightings from before `instant`; says how many.
pub async fn prune(tx: &mut Tx, instant: UnixSeconds) -> Result<u64, Fault> {
    let done = sqlx::query(
        "DELETE FROM credential_sightings WHERE (kind, id) IN
             (SELECT kind, id FROM credential_sightings WHERE kind IN ('certificate', 'api-key', 'client-secret')
                AND last_seen_at < $1 LIMIT $2)",
    )
    .bind(instant.0)
    .bind(PRUNE_MAX)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_a_range_of_keys() {
        for (network, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7/32", "192.0.2.7", "192.0.2.6"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
        ] {
            let range = SourceRange::from(network.parse::<IpNet>().unwrap());
            let within = |address: &str| {
                let key = source_key(address.parse().unwrap());
                range.first <= key && key <= range.last
            };
            assert!(within(inside) && !within(outside), "{network}");
        }
    }
}
