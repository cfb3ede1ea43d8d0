//! Who stands on an authority, and would fall with it.

use std::collections::HashMap;
use std::pin::pin;

use futures_util::TryStreamExt;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::{Authority, IssuerKind, IssuerState};
use crate::failure::{Failure, Refusal};
use crate::store;
use crate::store::issuer::IssuerRow;

/// How many clients an answer names; the count is of all.
const SHOWN_MAX: usize = 1_000;
/// How many a refusal names.
const NAMED_MAX: usize = 20;

/// A client that has live certificates of an authority. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DependentClient {
    pub client: String,
    pub partner: Option<String>,
    /// Its live certificates under that authority.
    pub certificates: u32,
    /// The end of the last of them.
    pub until: i64,
    /// When one of them was last seen, some seconds late; absent: never.
    pub last_seen_at: Option<i64>,
    /// The address it came from then.
    pub last_seen_from: Option<String>,
    /// Key ids of the authorities that it sent then, nearest first; absent: its leaf alone, or never seen.
    pub last_seen_chain: Option<String>,
    /// Whether it has a live certificate of another authority that is trusted.
    pub has_replacement: bool,
    /// When such a one was last seen.
    pub replacement_last_seen_at: Option<i64>,
    /// Whether it would be shut out if the authority went now: it was not last seen with a replacement.
    pub would_break: bool,
}

/// Everything that stands on one authority.
pub(super) struct Dependents {
    /// Those that would break first, then by name.
    clients: Vec<DependentClient>,
    pub(super) until: Option<i64>,
    /// Sentences about what else stands on it.
    pub(super) blockers: Vec<String>,
}

impl Dependents {
    pub(super) fn would_break(&self) -> usize {
        self.clients.iter().filter(|client| client.would_break).count()
    }

    pub(super) fn shown(&self) -> Vec<DependentClient> {
        self.clients.iter().take(SHOWN_MAX).cloned().collect()
    }

    /// # Errors
    /// `issuers_below`, which no force overcomes: what is below would lose its root; `issuer_in_use` unless forced.
    pub(super) fn check_removable(&self, old: &IssuerRow, force: bool) -> Result<(), Refusal> {
        if !self.blockers.is_empty() {
            let message = format!("{} still carries others: rotate those first.", old.subject);
            return Err(Refusal::conflict("issuers_below", message).with_details(self.blockers.clone()));
        }
        let breaking = self.would_break();
        if breaking == 0 || force {
            return Ok(());
        }
        let named =
            self.clients.iter().filter(|client| client.would_break).take(NAMED_MAX).map(DependentClient::sentence);
        let message = format!("{breaking} clients would be shut out if {} went now.", old.subject);
        Err(Refusal::conflict("issuer_in_use", message).with_details(named.collect()))
    }
}

impl DependentClient {
    fn new(client: String) -> Self {
        Self {
            client,
            partner: None,
            certificates: 0,
            until: i64::MIN,
            last_seen_at: None,
            last_seen_from: None,
            last_seen_chain: None,
            has_replacement: false,
            replacement_last_seen_at: None,
            would_break: false,
        }
    }

    fn sentence(&self) -> String {
        let seen = match (self.last_seen_at, &self.last_seen_from) {
            (Some(at), Some(from)) => format!("last seen at {} from {from}", rfc3339(at)),
            _ => "never seen".to_owned(),
        };
        let until = rfc3339(self.until);
        format!("{}: {} live certificates until {until}, {seen}", self.client, self.certificates)
    }
}

impl Authority {
    pub(super) async fn dependents(&self, old: &IssuerRow) -> Result<Dependents, Failure> {
        let rows = store::issuer::list(&self.inner.store).await?;
        let below: Vec<&IssuerRow> =
            rows.iter().filter(|row| row.state != IssuerState::Removed && is_below(row, old)).collect();
        let mut blockers = Vec::new();
        let standing: Vec<&str> = match old.kind {
            IssuerKind::Issuing => vec![old.key_id.as_str()],
            IssuerKind::ServerIssuing => {
                blockers.extend(self.own_certificate_stands_on(old).await?);
                Vec::new()
            }
            IssuerKind::Root => {
                let named = |row: &&IssuerRow| format!("{} ({}) is below it", row.subject, row.state.as_str());
                blockers.extend(below.iter().map(named));
                let issuing = below.iter().filter(|row| row.kind == IssuerKind::Issuing);
                issuing.map(|row| row.key_id.as_str()).collect()
            }
        };
        let clients = self.clients_on(&standing, &rows).await?;
        Ok(Dependents { until: clients.iter().map(|client| client.until).max(), clients, blockers })
    }

    /// One pass over the live certificates: with a million of them some seconds, and memory by the number of clients only.
    async fn clients_on(&self, standing: &[&str], rows: &[IssuerRow]) -> Result<Vec<DependentClient>, Failure> {
        if standing.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.inner.clock.now();
        let accepted = |id: &str| {
            rows.iter().any(|row| row.key_id == id)
                && id.parse().is_ok_and(|id| self.inner.snapshot.issuer_denied(&id).is_none())
        };
        let (mut clients, mut accepts): (HashMap<String, DependentClient>, HashMap<String, bool>) = Default::default();
        let mut live = pin!(store::dependent::stream(&self.inner.store, now));
        while let Some(row) = live.try_next().await? {
            let stands = standing.contains(&row.issuer_key_id.as_str());
            let replaces =
                !stands && *accepts.entry(row.issuer_key_id.clone()).or_insert_with_key(|issuer| accepted(issuer));
            let client =
                clients.entry(row.client_id.clone()).or_insert_with(|| DependentClient::new(row.client_id.clone()));
            if stands {
                client.certificates += 1;
                client.until = client.until.max(row.not_after);
                if row.last_seen_at > client.last_seen_at {
                    client.last_seen_at = row.last_seen_at;
                    client.last_seen_from = row.source;
                    client.last_seen_chain = row.chain;
                }
            } else if replaces {
                client.has_replacement = true;
                client.replacement_last_seen_at = client.replacement_last_seen_at.max(row.last_seen_at);
            }
        }
        let policy = self.inner.snapshot.policy();
        // Nobody breaks who is shut out already: a tainted authority can be removed at once.
        let shut_out = !standing.iter().any(|id| accepted(id));
        let mut clients: Vec<_> = clients.into_values().filter(|client| client.certificates > 0).collect();
        for client in &mut clients {
            client.partner = policy.client(&client.client).map(|entry| entry.client.partner.to_string());
            // A replacement that nobody ever used may lie in a drawer.
            let moved =
                client.replacement_last_seen_at.is_some() && client.replacement_last_seen_at > client.last_seen_at;
            client.would_break = !moved && !shut_out;
        }
        clients.sort_by(|a, b| b.would_break.cmp(&a.would_break).then_with(|| a.client.cmp(&b.client)));
        Ok(clients)
    }

    /// The gate shows a certificate of this authority until it has one of the next.
    async fn own_certificate_stands_on(&self, old: &IssuerRow) -> Result<Option<String>, Failure> {
        let issuers = self.inner.issuers();
        let (active, now) = (issuers.server_issuing().key_id.to_string(), self.inner.clock.now());
        let renewed = active != old.key_id
            && store::dependent::live_server_certificates(&self.inner.store, &active, now).await? > 0;
        Ok((!renewed).then(|| "the gate's own server certificate".to_owned()))
    }
}

/// Whether `root` signed the certificate of `row`.
fn is_below(row: &IssuerRow, root: &IssuerRow) -> bool {
    root.kind == IssuerKind::Root
        && row.kind != IssuerKind::Root
        && pki::is_issued_by(&row.certificate, &root.certificate)
}

fn rfc3339(at: i64) -> String {
    use time::format_description::well_known::Rfc3339;
    let at_text = time::OffsetDateTime::from_unix_timestamp(at).ok().and_then(|at| at.format(&Rfc3339).ok());
    at_text.unwrap_or_else(|| at.to_string())
}
