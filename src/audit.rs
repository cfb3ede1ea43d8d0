//! Who did what, from where, and what we said. Decisions leave the data plane by a bounded queue and are written in
//! batches; administrative changes are written in the transaction that makes them (`store::audit_change`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::config::{AuditAllowed, AuditSettings};
use crate::failure::Fault;
use crate::store::audit_log::{AuditLog, DecisionRow};

/// Decisions waiting to be written. Beyond it they are counted and dropped: the data plane never waits for a disk.
const QUEUE_MAX: usize = 65_536;
/// The last part of the queue is kept for denials.
const DENIALS_RESERVED: usize = QUEUE_MAX / 4;
/// Rows in one transaction.
const BATCH_MAX: usize = 1_000;
/// After a failed write.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
const PRUNE_PERIOD: Duration = Duration::from_secs(600);
const DAY_MILLIS: i64 = 86_400_000;

/// How a decision came about, step by step, as JSON; written out by whoever writes the row.
pub type AccountOf = Box<dyn FnOnce() -> String + Send>;

enum Message {
    Decision(Box<DecisionRow>, Option<AccountOf>),
    Flush(oneshot::Sender<()>),
}

/// The way into the log.
#[derive(Clone, Debug)]
pub struct Audit {
    queue: mpsc::Sender<Message>,
    allowed: AuditAllowed,
    /// How many records the writer holds that could not be written. 0: it works.
    stuck: Arc<AtomicUsize>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Message")
    }
}

impl Audit {
    /// Starts the writer. It ends when every `Audit` is gone and the queue is written.
    pub fn start(log: AuditLog, settings: &AuditSettings, clock: Clock) -> (Self, JoinHandle<()>) {
        let (queue, incoming) = mpsc::channel(QUEUE_MAX);
        let stuck = Arc::new(AtomicUsize::new(0));
        let retention_millis = i64::from(settings.retention_days) * DAY_MILLIS;
        let writer = Writer { log, clock, retention_millis, stuck: Arc::clone(&stuck) };
        (Self { queue, allowed: settings.allowed, stuck }, tokio::spawn(writer.run(incoming)))
    }

    /// Whether a decision with this outcome becomes a row: callers can spare themselves the making of one.
    pub fn wants(&self, allowed: bool) -> bool {
        !allowed || self.allowed == AuditAllowed::All
    }

    /// Queues a decision.
    pub fn record(&self, row: DecisionRow) {
        self.queue(row, None);
    }

    /// Queues a decision together with its account.
    pub fn record_with(&self, row: DecisionRow, account: AccountOf) {
        self.queue(row, Some(account));
    }

    fn queue(&self, row: DecisionRow, account: Option<AccountOf>) {
        let allowed = row.outcome == "allowed";
        let full = allowed && self.queue.capacity() <= DENIALS_RESERVED;
        if full || self.queue.try_send(Message::Decision(Box::new(row), account)).is_err() {
            counter!("portcullis_audit_dropped_total").increment(1);
        }
    }

    /// Whether records reach the database.
    pub fn is_alive(&self) -> bool {
        !self.queue.is_closed() && self.stuck.load(Ordering::Relaxed) == 0
    }

    /// How many records are not written yet.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity() + self.stuck.load(Ordering::Relaxed)
    }

    /// What [`Audit::is_alive`] says, for people.
    pub fn health(&self) -> String {
        match self.is_alive() {
            true => "the audit log is written".to_owned(),
            false => format!("the audit log cannot be written; {} records wait in memory", self.waiting()),
        }
    }

    /// Returns when everything recorded before the call is in the database.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.queue.send(Message::Flush(done)).await.is_ok() {
            let _ = written.await;
        }
    }
}

struct Writer {
    log: AuditLog,
    clock: Clock,
    retention_millis: i64,
    stuck: Arc<AtomicUsize>,
}

impl Writer {
    async fn run(self, mut incoming: mpsc::Receiver<Message>) {
        let mut messages = Vec::with_capacity(BATCH_MAX);
        let mut prune = tokio::time::interval(PRUNE_PERIOD);
        prune.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                count = incoming.recv_many(&mut messages, BATCH_MAX) => {
                    if count == 0 {
                        return;
                    }
                    self.write(&mut messages, incoming.len()).await;
                }
                _ = prune.tick() => self.prune().await,
            }
        }
    }

    async fn write(&self, messages: &mut Vec<Message>, waiting: usize) {
        gauge!("portcullis_audit_queue").set(waiting as f64);
        let (mut rows, mut flushes) = (Vec::with_capacity(messages.len()), Vec::new());
        for message in messages.drain(..) {
            match message {
                Message::Decision(row, account) => rows.push((*row, account.map(|account| account()))),
                Message::Flush(done) => flushes.push(done),
            }
        }
        while !rows.is_empty() {
            match self.log.append(&rows).await {
                Ok(()) => {
                    rows.clear();
                    self.stuck.store(0, Ordering::Relaxed);
                }
                // The queue behind us fills meanwhile and drops visibly; what we hold is not lost.
                Err(fault) => {
                    self.stuck.store(rows.len(), Ordering::Relaxed);
                    counter!("portcullis_audit_write_failures_total").increment(1);
                    tracing::error!(fault = fault.inside(), "audit log cannot be written");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
        for done in flushes {
            let _ = done.send(());
        }
    }

    async fn prune(&self) {
        let before = self.clock.now_millis().saturating_sub(self.retention_millis);
        loop {
            match self.log.prune(before).await {
                Ok(0) => return,
                Ok(count) => tracing::debug!(count, "audit records past their retention removed"),
                Err(fault) => return log_prune_failure(&fault),
            }
        }
    }
}

fn log_prune_failure(fault: &Fault) {
    tracing::warn!(fault = fault.inside(), "old audit records could not be removed");
}

#[cfg(test)]
mod tests {
    use policies::UnixSeconds;

    use super::*;

    #[tokio::test]
    async fn a_log_that_cannot_be_written_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::open(&folder.path().join("audit.db")).await.unwrap();
        let settings = AuditSettings {
            allowed: AuditAllowed::All,
            retention_days: 1,
            denials_per_address: crate::config::Rate { per_second: 20.0, burst: 2_000 },
        };
        let (audit, writer) = Audit::start(log.clone(), &settings, Clock::manual(UnixSeconds(1_800_000_000)));
        audit.flush().await;
        assert!(audit.is_alive() && audit.waiting() == 0);
        log.close().await;
        audit.record(DecisionRow {
            id: "1".into(),
            at: 0,
            listener: "gateway".into(),
            source: "192.0.2.1".into(),
            http_method: "GET".into(),
            path: "/".into(),
            route: None,
            client: None,
            partner: None,
            auth_methods: None,
            credentials: None,
            outcome: "allowed".into(),
            status: 200,
            detail: None,
            shadow: None,
            micros: 1,
        });
        assert!(tokio::time::timeout(Duration::from_millis(500), audit.flush()).await.is_err());
        // The record, and the flush behind it.
        assert!(!audit.is_alive() && audit.waiting() >= 1, "{}", audit.health());
        writer.abort();
    }
}
