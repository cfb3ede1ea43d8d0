//! `usage_hours`: how much of what each client used, hour by hour. Written in batches, never on a request's way.

use std::sync::Arc;

use policies::UnixSeconds;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Row, Sqlite};

use super::{LIST_LIMIT_MAX, Store, Tx};
use crate::failure::Fault;

/// Rows that one prune removes: what waits for the writer waits for one of them at most.
pub const PRUNE_MAX: u32 = 1000;
const LATENCY_CLASSES: usize = 13;
const SUMS: [&str; 4] = ["requests", "request_bytes", "response_bytes", "micros"];

/// One row. Texts are empty where there is none; times are seconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageRow {
    /// The beginning of the hour.
    pub hour: i64,
    pub client: String,
    /// `api-key:4fG…`, several with blanks between; `access-token` for all tokens together.
    pub credential: String,
    pub route: String,
    pub method: String,
    pub outcome: String,
    pub listener: String,
    pub partner: String,
    pub requests: i64,
    pub request_bytes: i64,
    pub response_bytes: i64,
    pub micros: i64,
    pub latency: [i64; LATENCY_CLASSES],
}

impl UsageRow {
    /// The primary key, in its order.
    pub fn place(&self) -> (i64, [&str; 6]) {
        let texts = [&self.client, &self.credential, &self.route, &self.method, &self.outcome, &self.listener];
        (self.hour, texts.map(String::as_str))
    }
}

impl FromRow<'_, SqliteRow> for UsageRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let mut latency = [0; LATENCY_CLASSES];
        for (class, count) in latency.iter_mut().enumerate() {
            *count = row.try_get(format!("latency_{class}").as_str())?;
        }
        Ok(Self {
            hour: row.try_get("hour")?,
            client: row.try_get("client")?,
            credential: row.try_get("credential")?,
            route: row.try_get("route")?,
            method: row.try_get("method")?,
            outcome: row.try_get("outcome")?,
            listener: row.try_get("listener")?,
            partner: row.try_get("partner")?,
            requests: row.try_get("requests")?,
            request_bytes: row.try_get("request_bytes")?,
            response_bytes: row.try_get("response_bytes")?,
            micros: row.try_get("micros")?,
            latency,
        })
    }
}

/// By what rows are told apart; what is left out is summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    Hour,
    Partner,
    Client,
    Credential,
    Route,
    Method,
    Outcome,
    Listener,
}

impl Dimension {
    pub const ALL: [Self; 8] = [
        Self::Hour,
        Self::Partner,
        Self::Client,
        Self::Credential,
        Self::Route,
        Self::Method,
        Self::Outcome,
        Self::Listener,
    ];

    /// The column, which is also its name in questions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Partner => "partner",
            Self::Client => "client",
            Self::Credential => "credential",
            Self::Route => "route",
            Self::Method => "method",
            Self::Outcome => "outcome",
            Self::Listener => "listener",
        }
    }

    /// What a row has in this dimension.
    pub fn of(self, row: &UsageRow) -> String {
        match self {
            Self::Hour => row.hour.to_string(),
            Self::Partner => row.partner.clone(),
            Self::Client => row.client.clone(),
            Self::Credential => row.credential.clone(),
            Self::Route => row.route.clone(),
            Self::Method => row.method.clone(),
            Self::Outcome => row.outcome.clone(),
            Self::Listener => row.listener.clone(),
        }
    }
}

/// Which rows, and how finely.
#[derive(Clone, Debug, Default)]
pub struct UsageFilter {
    /// Hours that begin at or after this, in seconds since the Unix epoch.
    pub from: i64,
    /// Hours that begin before this.
    pub to: i64,
    /// Equal to these.
    pub only: Vec<(Dimension, String)>,
    /// At least one.
    pub by: Vec<Dimension>,
    /// The values of `by` in the last row that is known.
    pub after: Option<Vec<String>>,
    pub limit: u32,
}

/// Adds a batch to what stands, unless this process has added it already: then `false`.
pub async fn add(tx: &mut Tx, process: &str, number: i64, rows: &[UsageRow], now: UnixSeconds) -> Result<bool, Fault> {
    let first = sqlx::query(
        "INSERT INTO usage_batches (process, number, at) VALUES ($1, $2, $3)
         ON CONFLICT (process) DO UPDATE SET number = excluded.number, at = excluded.at
         WHERE usage_batches.number < excluded.number",
    )
    .bind(process)
    .bind(number)
    .bind(now.0)
    .execute(tx.connection())
    .await?;
    if first.rows_affected() == 0 {
        return Ok(false);
    }
    let sums: Vec<String> = sums().collect();
    let mut statement =
        "INSERT INTO usage_hours (hour, client, credential, route, method, outcome, listener, partner".to_owned();
    sums.iter().for_each(|sum| statement.extend([", ", sum]));
    statement.push_str(") VALUES ($1");
    (2..=8 + sums.len()).for_each(|place| statement.push_str(&format!(", ${place}")));
    statement.push_str(
        ") ON CONFLICT (hour, client, credential, route, method, outcome, listener) DO UPDATE SET partner = excluded.partner",
    );
    sums.iter().for_each(|sum| statement.push_str(&format!(", {sum} = usage_hours.{sum} + excluded.{sum}")));
    let statement: Arc<str> = statement.into();
    for row in rows {
        let mut query = sqlx::query(sqlx::AssertSqlSafe(Arc::clone(&statement)))
            .bind(row.hour)
            .bind(&row.client)
            .bind(&row.credential)
            .bind(&row.route)
            .bind(&row.method)
            .bind(&row.outcome)
            .bind(&row.listener)
            .bind(&row.partner)
            .bind(row.requests)
            .bind(row.request_bytes)
            .bind(row.response_bytes)
            .bind(row.micros);
        for count in row.latency {
            query = query.bind(count);
        }
        query.execute(tx.connection()).await?;
    }
    Ok(true)
}

/// The columns that are added up.
fn sums() -> impl Iterator<Item = String> {
    SUMS.iter().map(|name| (*name).to_owned()).chain((0..LATENCY_CLASSES).map(|class| format!("latency_{class}")))
}

/// Rows in the order of `by`, summed up over what it leaves out.
pub async fn list(store: &Store, filter: &UsageFilter) -> Result<Vec<UsageRow>, Fault> {
    if filter.by.is_empty() || filter.after.as_ref().is_some_and(|after| after.len() != filter.by.len()) {
        return Err(Fault::new("usage was asked for by nothing, or after something else"));
    }
    let columns = filter.by.iter().map(|dimension| dimension.as_str()).collect::<Vec<_>>().join(", ");
    let mut query = QueryBuilder::<Sqlite>::new("SELECT ");
    for dimension in Dimension::ALL {
        query.push(match (filter.by.contains(&dimension), dimension) {
            (true, _) => dimension.as_str().to_owned(),
            (false, Dimension::Hour) => "0 AS hour".to_owned(),
            (false, _) => format!("'' AS {}", dimension.as_str()),
        });
        query.push(", ");
    }
    query.push(sums().map(|sum| format!("SUM({sum}) AS {sum}")).collect::<Vec<_>>().join(", "));
    query.push(" FROM usage_hours WHERE hour >= ").push_bind(filter.from);
    query.push(" AND hour < ").push_bind(filter.to);
    for (dimension, value) in &filter.only {
        query.push(format!(" AND {} = ", dimension.as_str())).push_bind(value);
    }
    if let Some(after) = &filter.after {
        query.push(format!(" AND ({columns}) > ("));
        let mut values = query.separated(", ");
        for (dimension, value) in filter.by.iter().zip(after) {
            match dimension {
                Dimension::Hour => values.push_bind(value.parse::<i64>().unwrap_or(i64::MAX)),
                _ => values.push_bind(value),
            };
        }
        query.push(")");
    }
    query.push(format!(" GROUP BY {columns} ORDER BY {columns} LIMIT "));
    query.push_bind(filter.limit.clamp(1, LIST_LIMIT_MAX));
    Ok(query.build_query_as().fetch_all(store.readers()).await?)
}

/// How many rows there are.
pub async fn count(store: &Store) -> Result<u64, Fault> {
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM usage_hours").fetch_one(store.readers()).await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Removes up to [`PRUNE_MAX`] of the oldest rows, of hours that began before `before` where it is given; says how many.
pub async fn prune(tx: &mut Tx, before: Option<UnixSeconds>) -> Result<u64, Fault> {
    let done = sqlx::query(
        "DELETE FROM usage_hours WHERE (hour, client, credential, route, method, outcome, listener) IN
             (SELECT hour, client, credential, route, method, outcome, listener FROM usage_hours
                WHERE hour < $1 ORDER BY hour LIMIT $2)",
    )
    .bind(before.map_or(i64::MAX, |before| before.0))
    .bind(PRUNE_MAX)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected())
}

/// Forgets the batches of processes that added nothing since `before`.
pub async fn forget_batches(tx: &mut Tx, before: UnixSeconds) -> Result<(), Fault> {
    sqlx::query("DELETE FROM usage_batches WHERE at < $1").bind(before.0).execute(tx.connection()).await?;
    Ok(())
}
