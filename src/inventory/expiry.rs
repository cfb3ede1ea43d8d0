//! What ends soon, of every kind, and who is told: the report, the metrics and the webhook.
//!
//! Credentials count when they are in use (or when the settings ask for all): an end that stops nobody wakes nobody. What is the
//! installation's own always counts. What renews itself is told of only when it should have done so long ago.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use policies::UnixSeconds;
use serde::Serialize;
use serde_json::json;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::webhook::Webhook;
use crate::authority::Authority;
use crate::clock::Clock;
use crate::config::ExpirySettings;
use crate::failure::Fault;
use crate::store::expiring::{self, EndingFilter};
use crate::store::expiry_notice::{self, ExpiryNotice};
use crate::store::{LIST_LIMIT_MAX, Page, Store};

const DAY: i64 = 86_400;
/// How often it is looked.
const PERIOD: Duration = Duration::from_secs(3600);
/// And after a look that failed, or a message that nobody took.
const RETRY_PERIOD: Duration = Duration::from_secs(300);
/// Items in one message.
const MESSAGE_ITEMS_MAX: usize = 200;
/// Own certificates that ended longer ago are history.
const OWN_PAST_SECONDS: i64 = 90 * DAY;
/// What renews itself does so when a third of its life is left, or at half of it.
const LIFE_LEFT_MIN: f64 = 0.25;
/// Threshold of what has ended, and of what should have renewed itself.
const ENDED: i64 = 0;
const LAPSING: i64 = -1;

/// What ends. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Expiry)]
pub struct ExpiryItem {
    /// `root`, `issuing`, `server-issuing`; `crl`, `ocsp-signer`, `server-certificate`; `client-certificate`, `api-key`,
    /// `client-secret`.
    pub kind: String,
    /// A certificate's is `<issuer>/<serial>`.
    pub id: String,
    /// For people: the subject, the file, or the client.
    pub name: String,
    pub client: Option<String>,
    pub partner: Option<String>,
    /// The partner's.
    pub contact: Option<String>,
    pub expires_at: i64,
    /// When it last let somebody in.
    pub last_seen_at: Option<i64>,
    /// Whether it renews itself.
    pub renews_itself: bool,
    /// How near it is: the smallest of the set numbers of days that are more than what is left; 0: it has ended; -1: it should have
    /// renewed itself long ago. Absent: there is time.
    pub threshold_days: Option<i64>,
}

/// A part of the report.
#[derive(Clone, Debug)]
pub struct ExpiryPart {
    pub items: Vec<ExpiryItem>,
    pub next: Option<u32>,
}

/// A listener's own certificate, which somebody else renews.
#[derive(Clone, Debug)]
pub struct ListenerCertificate {
    pub listener: String,
    pub path: PathBuf,
}

/// See the module. Clones are one.
#[derive(Clone, Debug)]
pub struct ExpiryWatch {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: ExpirySettings,
    environment: String,
    store: Store,
    authority: Authority,
    clock: Clock,
    files: Vec<ListenerCertificate>,
    webhook: Option<Webhook>,
    /// One look at a time: two would tell everything twice.
    looking: Mutex<()>,
}

impl ExpiryWatch {
    /// # Errors
    /// A fault when the webhook's URL or secret is not fit.
    pub fn new(
        settings: ExpirySettings,
        environment: String,
        store: Store,
        authority: Authority,
        clock: Clock,
        files: Vec<ListenerCertificate>,
    ) -> Result<Self, Fault> {
        let webhook = match (&settings.webhook_url, &settings.webhook_secret_file) {
            (Some(url), Some(secret)) => Some(Webhook::new(url, secret, settings.webhook_ca_file.clone())?),
            _ => None,
        };
        let looking = Mutex::default();
        Ok(Self { inner: Arc::new(Inner { settings, environment, store, authority, clock, files, webhook, looking }) })
    }

    /// What ends within so many seconds: what is our own first, whole, and then credentials, the next to end first. `unused`: also
    /// credentials that nobody uses.
    pub async fn report(&self, within_seconds: u32, unused: bool, page: Page) -> Result<ExpiryPart, Fault> {
        let now = self.inner.clock.now();
        let until = now.plus(within_seconds.into());
        let mut items = Vec::new();
        if page.offset == 0 {
            items = self.own().await?;
            items.retain(|item| item.expires_at < until.0 || item.threshold_days.is_some());
        }
        let filter = EndingFilter { now, until, seen_from: self.seen_from(now, unused) };
        let rows = expiring::ending(&self.inner.store, filter, page).await?;
        let full = u32::try_from(rows.len()).is_ok_and(|count| count >= page.limit);
        items.extend(rows.into_iter().map(|row| self.credential(row, now)));
        Ok(ExpiryPart { items, next: full.then(|| page.offset.saturating_add(page.limit)) })
    }

    /// Looks now: sets the metrics, and tells the webhook what was not told yet. Returns how much that was.
    ///
    /// # Errors
    /// A fault when the database does not answer or the webhook does not take a message; what was taken is not told again.
    pub async fn look(&self) -> Result<usize, Fault> {
        let _looking = self.inner.looking.lock().await;
        let now = self.inner.clock.now();
        let own = self.own().await?;
        for item in &own {
            gauge!("portcullis_expiry_seconds", "kind" => item.kind.clone(), "id" => item.id.clone())
                .set(item.expires_at as f64);
        }
        self.count(now).await?;
        let told: HashSet<ExpiryNotice> =
            expiry_notice::told(&self.inner.store, now.plus(-OWN_PAST_SECONDS)).await?.into_iter().collect();
        let mut due: Vec<ExpiryItem> = own.into_iter().filter(|item| is_due(item, &told)).collect();
        let mut page = Page::first(LIST_LIMIT_MAX);
        let farthest = self.inner.settings.notice_days.last().copied().unwrap_or_default();
        let until = now.plus(i64::from(farthest) * DAY + 1);
        let filter = EndingFilter { now, until, seen_from: self.seen_from(now, self.inner.settings.include_unused) };
        let mut sent = 0;
        loop {
            let rows = expiring::ending(&self.inner.store, filter, page).await?;
            let full = u32::try_from(rows.len()).is_ok_and(|count| count >= page.limit);
            due.extend(rows.into_iter().map(|row| self.credential(row, now)).filter(|item| is_due(item, &told)));
            sent += self.tell(&due, now).await?;
            due.clear();
            if !full {
                return Ok(sent);
            }
            page.offset = page.offset.saturating_add(page.limit);
        }
    }

    /// Looks every hour until the server drains.
    pub async fn run(self, draining: CancellationToken) {
        loop {
            let looked = tokio::select! {
                () = draining.cancelled() => return,
                looked = self.look() => looked,
            };
            let pause = match looked {
                Ok(_) => PERIOD,
                Err(fault) => {
                    tracing::error!(fault = fault.inside(), "what ends soon could not be told; it is tried again");
                    RETRY_PERIOD
                }
            };
            tokio::select! {
                () = draining.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn seen_from(&self, now: UnixSeconds, unused: bool) -> Option<UnixSeconds> {
        (!unused).then(|| now.plus(-i64::from(self.inner.settings.in_use_days) * DAY))
    }

    async fn count(&self, now: UnixSeconds) -> Result<(), Fault> {
        for days in &self.inner.settings.notice_days {
            for (used, seen_from) in [("yes", self.seen_from(now, false)), ("any", None)] {
                let filter = EndingFilter { now, until: now.plus(i64::from(*days) * DAY + 1), seen_from };
                let counts = expiring::count_ending(&self.inner.store, filter).await?;
                for kind in ["client-certificate", "api-key", "client-secret"] {
                    let count = counts.iter().find(|(counted, _)| counted == kind).map_or(0, |(_, count)| *count);
                    gauge!("portcullis_expiring", "kind" => kind, "within_days" => days.to_string(), "in_use" => used)
                        .set(count as f64);
                }
            }
        }
        Ok(())
    }

    async fn tell(&self, due: &[ExpiryItem], now: UnixSeconds) -> Result<usize, Fault> {
        for items in due.chunks(MESSAGE_ITEMS_MAX) {
            if let Some(webhook) = &self.inner.webhook {
                let id = uuid::Uuid::now_v7().to_string();
                let body = json!({
                    "type": "expiry.notice",
                    "timestamp": now.0,
                    "data": { "environment": self.inner.environment, "items": items },
                });
                let delivered = webhook.deliver(&id, body.to_string().into(), now).await;
                let outcome = if delivered.is_ok() { "done" } else { "failed" };
                counter!("portcullis_webhook_messages_total", "outcome" => outcome).increment(1);
                delivered?;
            }
            for item in items {
                tracing::warn!(
                    kind = item.kind,
                    id = item.id,
                    name = item.name,
                    partner = item.partner,
                    expires_at = item.expires_at,
                    threshold_days = item.threshold_days,
                    "ends soon"
                );
            }
            let notices: Vec<ExpiryNotice> = items.iter().filter_map(notice).collect();
            let mut tx = self.inner.store.begin().await?;
            expiry_notice::put_all(&mut tx, &notices, now).await?;
            tx.commit().await?;
        }
        Ok(due.len())
    }

    fn credential(&self, row: expiring::EndingRow, now: UnixSeconds) -> ExpiryItem {
        ExpiryItem {
            threshold_days: self.threshold(row.expires_at, now),
            kind: row.kind,
            id: row.id,
            name: row.client.clone(),
            client: Some(row.client),
            partner: Some(row.partner),
            contact: row.contact,
            expires_at: row.expires_at,
            last_seen_at: row.last_seen_at,
            renews_itself: false,
        }
    }

    fn threshold(&self, expires_at: i64, now: UnixSeconds) -> Option<i64> {
        let left = expires_at.saturating_sub(now.0);
        if left < 0 {
            return Some(ENDED);
        }
        let days = self.inner.settings.notice_days.iter().map(|days| i64::from(*days));
        days.into_iter().find(|days| left <= days * DAY)
    }

    /// The installation's own: authorities, lists, signers, and the certificates of the gate itself.
    async fn own(&self) -> Result<Vec<ExpiryItem>, Fault> {
        let now = self.inner.clock.now();
        let item = |kind: &str, id: String, name: String, expires_at: i64| ExpiryItem {
            kind: kind.to_owned(),
            id,
            name,
            client: None,
            partner: None,
            contact: None,
            expires_at,
            last_seen_at: None,
            renews_itself: false,
            threshold_days: self.threshold(expires_at, now),
        };
        let renewing = |kind: &str, id: String, name: String, begins_at: i64, expires_at: i64| ExpiryItem {
            renews_itself: true,
            threshold_days: lapse(begins_at, expires_at, now),
            ..item(kind, id, name, expires_at)
        };
        let mut items = Vec::new();
        let mut issuers = HashSet::new();
        for issuer in self.inner.authority.issuers() {
            if let Some(crl) = &issuer.crl {
                items.push(match issuer.kind {
                    // By hand, with the offline key, once a year.
                    "root" => item("crl", issuer.id.clone(), issuer.subject.clone(), crl.next_update),
                    _ => renewing("crl", issuer.id.clone(), issuer.subject.clone(), crl.this_update, crl.next_update),
                });
            }
            issuers.insert(issuer.id.clone());
            // A generation that retires ends after everything that it issued, and is meant to.
            if !matches!(issuer.state, "retiring" | "removed") {
                items.push(item(issuer.kind, issuer.id, issuer.subject, issuer.not_after));
            }
        }
        let mut newest = HashSet::new();
        for row in expiring::own_certificates(&self.inner.store, now.plus(-OWN_PAST_SECONDS)).await? {
            let (kind, of) = match row.kind.as_str() {
                "server" => ("server-certificate", String::new()),
                "ocsp" => ("ocsp-signer", row.issuer_key_id.clone()),
                _ => continue,
            };
            // The one that ends last is the one that counts.
            if issuers.contains(&row.issuer_key_id) && newest.insert((kind, of)) {
                let id = format!("{}/{}", row.issuer_key_id, row.serial);
                items.push(renewing(kind, id, row.subject, row.not_before, row.not_after));
            }
        }
        for file in &self.inner.files {
            match end_of(file.path.clone()).await {
                Ok(end) => {
                    items.push(item("server-certificate", file.listener.clone(), file.path.display().to_string(), end))
                }
                Err(fault) => {
                    tracing::warn!(listener = file.listener, fault = fault.inside(), "cannot tell when it ends")
                }
            }
        }
        items.sort_by_key(|item| item.expires_at);
        Ok(items)
    }
}

fn lapse(begins_at: i64, expires_at: i64, now: UnixSeconds) -> Option<i64> {
    let left = expires_at.saturating_sub(now.0);
    let life = expires_at.saturating_sub(begins_at).max(1);
    match left {
        ..0 => Some(ENDED),
        _ if (left as f64) < life as f64 * LIFE_LEFT_MIN => Some(LAPSING),
        _ => None,
    }
}

fn notice(item: &ExpiryItem) -> Option<ExpiryNotice> {
    let (kind, id) = (item.kind.clone(), item.id.clone());
    item.threshold_days.map(|threshold_days| ExpiryNotice { kind, id, expires_at: item.expires_at, threshold_days })
}

fn is_due(item: &ExpiryItem, told: &HashSet<ExpiryNotice>) -> bool {
    notice(item).is_some_and(|notice| !told.contains(&notice))
}

/// When the leaf of a PEM file ends.
async fn end_of(path: PathBuf) -> Result<i64, Fault> {
    let bytes = tokio::fs::read(&path).await.map_err(|error| Fault::new(format!("{}: {error}", path.display())))?;
    let unreadable = |error: pki::Error| Fault::new(format!("{}: {error}", path.display()));
    let chain = pki::pem_certificates(&bytes).map_err(unreadable)?;
    let leaf = chain.first().ok_or_else(|| Fault::new(format!("{} is empty", path.display())))?;
    Ok(pki::ClientCertificate::parse(leaf).map_err(unreadable)?.not_after)
}
