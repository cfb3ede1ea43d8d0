//! The SQL of a page, and of where the walk to it ends.

use sqlx::{QueryBuilder, Sqlite};

use super::way::{Filter, Way, condition};
use super::{CertificateSearch, Order, SearchPlace, SeenFilter};
use crate::failure::Fault;
use crate::store::Store;
use crate::store::certificate::change_key;

/// Sorts behind every key id.
const BEHIND_HEX: &str = "g";

/// Builds the statements; the order, the place and the window are spelt the same in both.
pub(super) struct Statement<'a> {
    pub(super) search: &'a CertificateSearch,
    pub(super) way: Way,
    pub(super) window: i64,
}

impl Statement<'_> {
    /// The last place that a walk looks at; `None` when it reaches the end of the list, or does not walk.
    pub(super) async fn window_end(&self, store: &Store) -> Result<Option<SearchPlace>, Fault> {
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

    pub(super) fn page(&self, window_end: Option<&SearchPlace>) -> QueryBuilder<Sqlite> {
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
    pub(super) fn window(&self) -> QueryBuilder<Sqlite> {
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
            query.push(", ").push_bind(change_key(&place.issuer_key_id, &place.serial)).push(")");
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
