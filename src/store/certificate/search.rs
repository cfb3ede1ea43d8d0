//! Searching the register: any filters together, a page at a time, and each page in bounded time however many certificates there
//! are.
//!
//! When one of the filters leaves few certificates, by its index, those are looked at and sorted. Otherwise the page walks along
//! an index in its order, and no further than a window: then it may be short, or empty, and still have a `next`.

use policies::UnixSeconds;

use self::statement::Statement;
use super::{CertificateKind, CertificateRow, CertificateState};
use crate::failure::Fault;
use crate::store::Store;
use crate::store::sighting::SourceRange;

mod statement;
mod way;

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
    let statement = Statement { search, way: way::way(store, search, limits.few).await?, window: limits.window };
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

#[cfg(test)]
mod tests;
