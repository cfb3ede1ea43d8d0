//! Searching the register: any filters together, a page at a time, and each page in bounded time however many certificates there
//! are.
//!
//! When one of the filters leaves few certificates, by its index, those are looked at and sorted. Otherwise the page walks along
//! an index in its order, and no further than a window: then it may be short, or empty, and still have a `next`.

use policies::UnixSeconds;
use sqlx::{QueryBuilder, Sqlite};

use super::{CertificateKind, CertificateRow, CertificateState};
use crate::failure::Fault;
use crate::store::Store;
use crate::store::sighting::SourceRange;

/// How many certificates a page looks at.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Along an index: at some 5 µs each, a page takes 15 ms at worst.
    window: i64,
    /// Here and there in the table, and sorts: some 10 µs each.
    few: i64,
}

const LIMITS: Limits = Limits { window: 2_500, few: 1_000 };

/// What to search for. Empty: all, newest first.
#[derive(Clone, Debug, Default)]
pub struct CertificateSearch {
    pub client: Option<String>,
    pub partner: Option<String>,
    pub issuer_key_id: Option<String>,
    /// As [`CertificateRow::key_algorithm`] has it.
    pub key_algorithm: Option<String>,
    pub kind: Option<CertificateKind>,
    pub state: Option<CertificateState>,
    pub revoked: Option<bool>,
    /// Those that end at or after this instant.
    pub ends_from: Option<UnixSeconds>,
    /// Those that end before this instant.
    pub ends_before: Option<UnixSeconds>,
    pub seen: Option<SeenFilter>,
    pub order: Order,
    /// Where the page before ended.
    pub after: Option<SearchPlace>,
    pub limit: u32,
}

/// Whether and when it last let somebody in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeenFilter {
    Never,
    /// At or after `from`, before `before`, from these addresses.
    Within {
        from: Option<UnixSeconds>,
        before: Option<UnixSeconds>,
        sources: Option<SourceRange>,
    },
}

/// What comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Newest,
    NextToEnd,
    /// Needs [`SeenFilter::Within`].
    LastSeen,
    /// The other way round; needs it too.
    LongestUnseen,
}

/// A place in the list: the instant that it is ordered by, and the certificate. What comes next comes strictly behind it, so
/// that nothing is skipped or shown twice while others are issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPlace {
    pub at: i64,
    pub serial: String,
    pub issuer_key_id: String,
}

/// A page.
#[derive(Clone, Debug)]
pub struct Found {
    pub rows: Vec<CertificateRow>,
    /// Absent at the end.
    pub next: Option<SearchPlace>,
}

/// One page of what is searched for.
pub async fn search(store: &Store, search: &CertificateSearch) -> Result<Found, Fault> {
    search_within(store, search, LIMITS).await
}

async fn search_within(store: &Store, search: &CertificateSearch, limits: Limits) -> Result<Found, Fault> {
    let statement = Statement { search, way: way(store, search, limits.few).await?, window: limits.window };
    let window_end = statement.window_end(store).await?;
    let mut rows =
        statement.page(window_end.as_ref()).build_query_as::<OrderedRow>().fetch_all(store.readers()).await?;
    let full = u32::try_from(rows.len()).is_ok_and(|count| count >= search.limit);
    let next = match rows.last() {
        Some(last) if full => Some(SearchPlace {
            at: last.ordered_by,
            serial: last.row.serial.clone(),
            issuer_key_id: last.row.issuer_key_id.clone(),
        }),
        _ => window_end,
    };
    Ok(Found { rows: rows.drain(..).map(|ordered| ordered.row).collect(), next })
}

#[derive(sqlx::FromRow)]
struct OrderedRow {
    #[sqlx(flatten)]
    row: CertificateRow,
    ordered_by: i64,
}

/// The filters by equality.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    Client,
    Partner,
    Revoked,
    Unissued,
    KeyAlgorithm,
    Issuer,
}

impl Filter {
    const ALL: [Self; 6] =
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

/// How a page finds its certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// All that the filter leaves.
    Few(Filter),
    /// Along the filter's own index.
    Along(Filter),
    /// Along the index of the order.
    Order,
}

impl Way {
    fn takes_index_of(self, filter: Filter) -> bool {
        self == Self::Few(filter) || self == Self::Along(filter)
    }
}

async fn way(store: &Store, search: &CertificateSearch, few: i64) -> Result<Way, Fault> {
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

/// One of the filters by equality. Where its index must not be taken, the column is made an expression.
fn condition(query: &mut QueryBuilder<Sqlite>, search: &CertificateSearch, which: Filter, indexed: bool) {
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

/// Sorts behind every key id.
const BEHIND_HEX: &str = "g";

/// Builds the statements; the order, the place and the window are spelt the same in both.
struct Statement<'a> {
    search: &'a CertificateSearch,
    way: Way,
    window: i64,
}

impl Statement<'_> {
    /// The last place that a walk looks at; `None` when it reaches the end of the list, or does not walk.
    async fn window_end(&self, store: &Store) -> Result<Option<SearchPlace>, Fault> {
        if self.is_few() {
            return Ok(None);
        }
        let mut query = self.window();
        let end: Option<(i64, String)> = query.build_query_as().fetch_optional(store.readers()).await?;
        Ok(end.and_then(|(at, tie)| match self.by_sighting() {
            true => tie.split_once('/').map(|(issuer, serial)| SearchPlace {
                at,
                serial: serial.to_owned(),
                issuer_key_id: issuer.to_owned(),
            }),
            // The window takes in that place whoever issued it: the next page begins behind all of them.
            false => {
                let issuer_key_id = if self.direction() == "DESC" { "" } else { BEHIND_HEX };
                Some(SearchPlace { at, serial: tie, issuer_key_id: issuer_key_id.to_owned() })
            }
        }))
    }

    fn is_few(&self) -> bool {
        matches!(self.way, Way::Few(_))
    }

    fn page(&self, window_end: Option<&SearchPlace>) -> QueryBuilder<Sqlite> {
        let mut query = QueryBuilder::new(concat!("SELECT ", columns!(), ", "));
        query.push(self.instant()).push(" AS ordered_by FROM ");
        // CROSS JOIN keeps the order of the tables: from the few, or along the index.
        const BY_ID: &str = "s.kind = 'certificate' AND s.id = c.issuer_key_id || '/' || c.serial";
        const REVOCATION: &str =
            " LEFT JOIN revocations r ON r.issuer_key_id = c.issuer_key_id AND r.serial = c.serial";
        match (self.by_sighting(), self.is_few()) {
            (false, _) => query.push("certificates c").push(REVOCATION).push(" WHERE 1 = 1"),
            (true, true) => query
                .push("certificates c CROSS JOIN credential_sightings s")
                .push(REVOCATION)
                .push(" WHERE ")
                .push(BY_ID),
            (true, false) => query.push("credential_sightings s CROSS JOIN certificates c").push(REVOCATION).push(
                " WHERE s.kind = 'certificate' AND c.issuer_key_id = substr(s.id, 1, instr(s.id, '/') - 1)
                    AND c.serial = substr(s.id, instr(s.id, '/') + 1)",
            ),
        };
        for which in Filter::ALL {
            condition(&mut query, self.search, which, self.way.takes_index_of(which));
        }
        self.other_filters(&mut query);
        self.behind(&mut query);
        if let Some(end) = window_end {
            self.until(&mut query, end);
        }
        self.order(&mut query);
        query.push(" LIMIT ").push_bind(i64::from(self.search.limit));
        query
    }

    /// The last place of the window, if it is full.
    fn window(&self) -> QueryBuilder<Sqlite> {
        let mut query = QueryBuilder::new("SELECT ");
        match self.search.order {
            Order::Newest => query.push("c.created_at, c.serial FROM certificates c WHERE 1 = 1"),
            Order::NextToEnd => query.push("c.not_after, c.serial FROM certificates c WHERE 1 = 1"),
            Order::LastSeen | Order::LongestUnseen => {
                query.push("s.last_seen_at, s.id FROM credential_sightings s WHERE s.kind = 'certificate'")
            }
        };
        if let Way::Along(filter) = self.way {
            condition(&mut query, self.search, filter, true);
        }
        if self.search.order == Order::NextToEnd {
            self.ends(&mut query, "c.not_after");
        }
        self.seen(&mut query, false);
        if let Some(after) = &self.search.after {
            let (instant, sign) = (self.instant(), self.sign());
            match self.search.order {
                Order::Newest | Order::NextToEnd => {
                    query.push(format!(" AND ({instant}, c.serial) {sign} (")).push_bind(after.at);
                    query.push(", ").push_bind(after.serial.clone()).push(")");
                }
                Order::LastSeen | Order::LongestUnseen => self.behind(&mut query),
            }
        }
        let direction = self.direction();
        let tie = if self.by_sighting() { "s.id" } else { "c.serial" };
        query.push(format!(" ORDER BY {} {direction}, {tie} {direction} LIMIT 1 OFFSET ", self.instant()));
        query.push_bind(self.window - 1);
        query
    }

    fn by_sighting(&self) -> bool {
        matches!(self.search.order, Order::LastSeen | Order::LongestUnseen)
    }

    /// What it is ordered by. Among few, without the index: else SQLite might walk along that to save the sorting.
    fn instant(&self) -> &'static str {
        match (self.search.order, self.is_few()) {
            (Order::Newest, false) => "c.created_at",
            (Order::Newest, true) => "c.created_at + 0",
            (Order::NextToEnd, false) => "c.not_after",
            (Order::NextToEnd, true) => "c.not_after + 0",
            (Order::LastSeen | Order::LongestUnseen, _) => "s.last_seen_at",
        }
    }

    fn direction(&self) -> &'static str {
        match self.search.order {
            Order::Newest | Order::LastSeen => "DESC",
            Order::NextToEnd | Order::LongestUnseen => "ASC",
        }
    }

    fn sign(&self) -> &'static str {
        if self.direction() == "DESC" { "<" } else { ">" }
    }

    fn behind(&self, query: &mut QueryBuilder<Sqlite>) {
        let Some(after) = &self.search.after else { return };
        self.compare(query, self.sign(), after);
    }

    fn until(&self, query: &mut QueryBuilder<Sqlite>, end: &SearchPlace) {
        let (instant, sign) = (self.instant(), if self.direction() == "DESC" { ">=" } else { "<=" });
        if self.by_sighting() {
            return self.compare(query, sign, end);
        }
        query.push(format!(" AND ({instant}, c.serial) {sign} (")).push_bind(end.at);
        query.push(", ").push_bind(end.serial.clone()).push(")");
    }

    fn compare(&self, query: &mut QueryBuilder<Sqlite>, sign: &str, place: &SearchPlace) {
        let instant = self.instant();
        if self.by_sighting() {
            query.push(format!(" AND ({instant}, s.id) {sign} (")).push_bind(place.at);
            query.push(", ").push_bind(super::change_key(&place.issuer_key_id, &place.serial)).push(")");
        } else {
            query.push(format!(" AND ({instant}, c.serial, c.issuer_key_id) {sign} (")).push_bind(place.at);
            query
                .push(", ")
                .push_bind(place.serial.clone())
                .push(", ")
                .push_bind(place.issuer_key_id.clone())
                .push(")");
        }
    }

    fn order(&self, query: &mut QueryBuilder<Sqlite>) {
        let (instant, direction) = (self.instant(), self.direction());
        match self.by_sighting() {
            true => query.push(format!(" ORDER BY {instant} {direction}, s.id {direction}")),
            false => query
                .push(format!(" ORDER BY {instant} {direction}, c.serial {direction}, c.issuer_key_id {direction}")),
        };
    }

    fn other_filters(&self, query: &mut QueryBuilder<Sqlite>) {
        if let Some(kind) = self.search.kind {
            query.push(" AND c.kind = ").push_bind(kind.as_str());
        }
        let by_end = self.search.order == Order::NextToEnd && !self.is_few();
        self.ends(query, if by_end { "c.not_after" } else { "c.not_after + 0" });
        self.seen(query, true);
    }

    fn ends(&self, query: &mut QueryBuilder<Sqlite>, column: &str) {
        if let Some(from) = self.search.ends_from {
            query.push(format!(" AND {column} >= ")).push_bind(from.0);
        }
        if let Some(before) = self.search.ends_before {
            query.push(format!(" AND {column} < ")).push_bind(before.0);
        }
    }

    /// `whole`: with what is no range of the order's index.
    fn seen(&self, query: &mut QueryBuilder<Sqlite>, whole: bool) {
        match &self.search.seen {
            None => {}
            Some(SeenFilter::Never) if whole => {
                query.push(
                    " AND NOT EXISTS (SELECT 1 FROM credential_sightings n WHERE n.kind = 'certificate'
                          AND n.id = c.issuer_key_id || '/' || c.serial)",
                );
            }
            Some(SeenFilter::Never) => {}
            Some(SeenFilter::Within { from, before, sources }) => {
                if let Some(from) = from {
                    query.push(" AND s.last_seen_at >= ").push_bind(from.0);
                }
                if let Some(before) = before {
                    query.push(" AND s.last_seen_at < ").push_bind(before.0);
                }
                if let Some(sources) = sources.as_ref().filter(|_| whole) {
                    query.push(" AND s.source_key BETWEEN ").push_bind(sources.first.clone());
                    query.push(" AND ").push_bind(sources.last.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
