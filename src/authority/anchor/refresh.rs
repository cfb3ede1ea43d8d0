//! Lists are fetched on schedule, so that a partner's revocations reach the gate without anybody's doing.

use std::time::Duration;

use futures_util::StreamExt as _;
use policies::UnixSeconds;
use tokio_util::sync::CancellationToken;

use super::fetch::{self, ListAddress};
use super::lists;
use crate::authority::Authority;
use crate::failure::{Failure, Fault};
use crate::store::anchor::{self, AnchorRow, ListRow, SourceRow};

/// How often it is looked whether a fetch is due.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// How soon a fetch that failed, or that brought a list which has lapsed, is tried again; doubled with each further failure.
const RETRY_SECONDS: i64 = 60;
/// Fetches at once: each may hold a list of 64 MiB.
const FETCHES_MAX: usize = 2;
/// Longest error that is kept, in characters.
const ERROR_CHARS_MAX: usize = 300;

impl Authority {
    /// Fetches lists when they are due, until `shutdown`. Spawn it once.
    pub async fn run_anchor_refresher(self, shutdown: CancellationToken) {
        loop {
            if let Err(failure) = self.refresh_due_anchors().await {
                tracing::error!(%failure, "revocation lists of partners could not be refreshed");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Fetches what is due now, and measures how much of their life the lists have left.
    ///
    /// # Errors
    /// A fault of the database; that a partner's server does not answer is written down and no error.
    pub async fn refresh_due_anchors(&self) -> Result<(), Failure> {
        let now = self.inner.clock.now();
        let rows = anchor::all(&self.inner.store).await?;
        let sources = anchor::all_sources(&self.inner.store).await?;
        let lists = anchor::all_lists(&self.inner.store).await?;
        for row in &rows {
            if let Some(end) = self.first_end(&row.id) {
                let left = (end - now.0) as f64;
                metrics::gauge!("portcullis_anchor_list_seconds_left", "anchor" => row.id.clone()).set(left);
            }
        }
        let due = sources.into_iter().filter_map(|source| {
            let row = rows.iter().find(|row| row.id == source.anchor_id)?;
            is_due(row, &source, &lists, now).then(|| self.fetch_source(row.clone(), source))
        });
        let mut fetches = futures_util::stream::iter(due).buffer_unordered(FETCHES_MAX);
        while let Some(fetched) = fetches.next().await {
            fetched?;
        }
        Ok(())
    }

    /// When the first authority of an anchor is without a list that counts; `None` when none has one.
    fn first_end(&self, id: &str) -> Option<i64> {
        let anchors = self.inner.snapshot.anchors();
        let lists = anchors.lists(id);
        let newest = |key| lists.iter().filter(|list| list.signer() == key).map(|list| list.next_update()).max();
        anchors.signers(id).iter().filter_map(|signer| newest(signer.key())).min()
    }

    /// Fetches every list of an anchor now.
    pub(super) async fn fetch_anchor(&self, id: &str) -> Result<(), Failure> {
        let Some(row) = anchor::get(&self.inner.store, id).await? else { return Ok(()) };
        for source in anchor::sources(&self.inner.store, id).await? {
            self.fetch_source(row.clone(), source).await?;
        }
        Ok(())
    }

    async fn fetch_source(&self, row: AnchorRow, source: SourceRow) -> Result<(), Failure> {
        let now = self.inner.clock.now();
        let mut tx = self.inner.store.begin().await?;
        let claimed = anchor::claim(&mut tx, &source, now).await?;
        tx.commit().await?;
        // Another node asks.
        if !claimed {
            return Ok(());
        }
        let outcome = match ListAddress::parse(&source.url) {
            Ok(address) => fetch::fetch(&address, row.allow_private_address).await,
            Err(error) => Err(error),
        };
        let outcome = match outcome {
            Ok(body) => self.take_fetched(&row.id, &source.url, body.to_vec()).await,
            Err(error) => Err(error),
        };
        let labels =
            [("anchor", row.id.clone()), ("outcome", if outcome.is_ok() { "done" } else { "failed" }.to_owned())];
        metrics::counter!("portcullis_anchor_fetches_total", &labels).increment(1);
        let error = outcome.err().map(|error| error.chars().take(ERROR_CHARS_MAX).collect::<String>());
        if let Some(error) = &error {
            tracing::warn!(
                anchor = row.id,
                url = source.url,
                error,
                "a partner's revocation list could not be refreshed"
            );
        }
        let mut tx = self.inner.store.begin().await?;
        anchor::attempted(&mut tx, &row.id, &source.url, error.as_deref(), self.inner.clock.now()).await?;
        Ok(tx.commit().await?)
    }

    /// Stores what was fetched and puts it in force. Whatever is wrong with it is a sentence for the operator.
    async fn take_fetched(&self, id: &str, url: &str, body: Vec<u8>) -> Result<(), String> {
        let take = async {
            let now = self.inner.clock.now();
            let anchors = self.inner.snapshot.anchors();
            let read = lists::read(Some(body), anchors.signers(id), now).await?;
            let mut tx = self.inner.store.begin().await?;
            self.inner.snapshot.catch_up(&self.inner.store).await?;
            // Removed while it was fetched, or its address was.
            if !anchor::sources(&mut tx, id).await?.iter().any(|source| source.url == url) {
                return Ok(0);
            }
            let news = lists::store(&mut tx, id, Some(url), read, &anchors.lists(id), now).await?;
            if news == 0 {
                return Ok(0);
            }
            let closed = self.commit(tx).await?;
            tracing::info!(
                anchor = id,
                url,
                lists = news,
                connections_closed = closed,
                "revocation lists of a partner are in force"
            );
            Ok(news)
        };
        take.await.map(drop).map_err(|failure: Failure| match failure {
            Failure::Refused(refusal) => refusal.message,
            Failure::Fault(fault) => told(&fault),
        })
    }
}

fn told(fault: &Fault) -> String {
    tracing::error!(fault = fault.inside(), "a fetched revocation list could not be taken up");
    fault.outside().to_owned()
}

fn is_due(row: &AnchorRow, source: &SourceRow, lists: &[ListRow], now: UnixSeconds) -> bool {
    let Some(attempted_at) = source.attempted_at else { return true };
    let lapsed = lists
        .iter()
        .filter(|list| list.anchor_id == row.id && list.source.as_deref() == Some(source.url.as_str()))
        .any(|list| list.next_update <= now.0);
    let retry = RETRY_SECONDS.saturating_mul(1 << source.failures.saturating_sub(1).clamp(0, 20));
    let pause = if source.failures > 0 || lapsed { retry.min(row.refresh_seconds) } else { row.refresh_seconds };
    // A clock that was set back must not keep it from asking.
    now.0 >= attempted_at.saturating_add(pause) || now.0 < attempted_at
}
