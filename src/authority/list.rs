//! Searching the register.

use ipnet::IpNet;
use pki::KeyAlgorithm;
use policies::UnixSeconds;
use serde::Serialize;

use super::Authority;
use super::certificate::{CertificateStatus, CertificateView};
use crate::failure::{Failure, Fault, Refusal};
use crate::store::LIST_LIMIT_MAX;
use crate::store::certificate::search::{self, CertificateSearch, Order, SearchPlace, SeenFilter};
use crate::store::certificate::{CertificateKind, CertificateRow, CertificateState, change_key};
use crate::store::sighting::{self, SightingKind};

/// How many certificates a list holds when nothing else is asked.
pub const LIST_LIMIT_DEFAULT: u32 = 100;

/// Which certificates to list. Empty: all, clients' and the installation's own, newest first.
///
/// Where it asks about the end, what ends next comes first. Where it asks about when it was last seen, that decides: what was
/// seen last comes first, or, with only `last_seen_before`, what was not seen for longest.
#[derive(Clone, Debug, Default)]
pub struct CertificateQuery {
    pub client: Option<String>,
    pub partner: Option<String>,
    pub state: Option<CertificateStatus>,
    /// `client`, `server`, …
    pub kind: Option<CertificateKind>,
    /// The key id of the authority that issued it.
    pub issuer: Option<pki::KeyId>,
    pub key_algorithm: Option<KeyAlgorithm>,
    /// Good ones that expire within so many seconds from now.
    pub expiring_within_seconds: Option<u32>,
    /// Those that end before this instant, whatever their state.
    pub expires_before: Option<UnixSeconds>,
    /// Those that end at or after this instant.
    pub expires_after: Option<UnixSeconds>,
    pub last_seen_before: Option<UnixSeconds>,
    pub last_seen_after: Option<UnixSeconds>,
    /// Last seen from this network.
    pub source: Option<IpNet>,
    /// Only those that were never seen.
    pub never_seen: bool,
    /// At most 1000; [`LIST_LIMIT_DEFAULT`] when absent.
    pub limit: Option<u32>,
    /// [`CertificateList::next`] of the list before.
    pub after: Option<String>,
}

/// A part of the list.
#[derive(Clone, Debug, Serialize)]
pub struct CertificateList {
    /// At most as many as were asked for. Fewer, even none, is not the end.
    pub certificates: Vec<CertificateView>,
    /// Asks for what follows; absent at the end.
    pub next: Option<String>,
}

impl Authority {
    /// Lists certificates.
    ///
    /// # Errors
    /// `invalid_cursor`, `invalid_limit`, `contradiction`.
    pub async fn list(&self, query: &CertificateQuery) -> Result<CertificateList, Failure> {
        let limit = query.limit.unwrap_or(LIST_LIMIT_DEFAULT);
        if limit == 0 || limit > LIST_LIMIT_MAX {
            let message = format!("The limit must lie between 1 and {LIST_LIMIT_MAX}.");
            return Err(Refusal::invalid("invalid_limit", message).into());
        }
        let wanted = wanted(query, limit, self.inner.clock.now())?;
        let found = search::search(&self.inner.store, &wanted).await?;
        let next = found.next.as_ref().map(|place| cursor(wanted.order, place));
        Ok(CertificateList { certificates: self.views(found.rows).await?, next })
    }

    /// Certificates as they are shown, with their last use.
    pub(super) async fn views(&self, rows: Vec<CertificateRow>) -> Result<Vec<CertificateView>, Fault> {
        let ids: Vec<String> = rows.iter().map(|row| change_key(&row.issuer_key_id, &row.serial)).collect();
        let mut seen = sighting::of(&self.inner.store, SightingKind::Certificate, &ids).await?;
        let views = rows.into_iter().zip(ids);
        Ok(views.map(|(row, id)| self.view(row).last_seen(seen.remove(&id))).collect())
    }
}

fn wanted(query: &CertificateQuery, limit: u32, now: UnixSeconds) -> Result<CertificateSearch, Refusal> {
    let seen = seen(query)?;
    let mut wanted = CertificateSearch {
        client: query.client.clone(),
        partner: query.partner.clone(),
        issuer_key_id: query.issuer.as_ref().map(pki::KeyId::to_string),
        key_algorithm: query.key_algorithm.map(|algorithm| algorithm.as_str().to_owned()),
        kind: query.kind,
        ends_from: query.expires_after,
        ends_before: query.expires_before,
        order: order(query, seen.as_ref()),
        seen,
        limit,
        ..Default::default()
    };
    wanted.after = query.after.as_deref().map(|text| place(wanted.order, text)).transpose()?;
    let state = match (query.state, query.expiring_within_seconds) {
        (state, None) => state,
        (None | Some(CertificateStatus::Issued), Some(seconds)) => {
            end_before(&mut wanted, UnixSeconds(now.0.saturating_add(i64::from(seconds)).saturating_add(1)));
            Some(CertificateStatus::Issued)
        }
        (Some(other), Some(_)) => {
            return Err(contradiction(format!(
                "What expires within some time is good now, so it is not {other}: ask for one or the other."
            )));
        }
    };
    (wanted.state, wanted.revoked) = match state {
        None => (None, None),
        Some(CertificateStatus::Revoked) => (None, Some(true)),
        Some(CertificateStatus::Reserved) => (Some(CertificateState::Reserved), Some(false)),
        Some(CertificateStatus::Orphaned) => (Some(CertificateState::Orphaned), Some(false)),
        Some(CertificateStatus::Issued) => {
            end_from(&mut wanted, now);
            (Some(CertificateState::Issued), Some(false))
        }
        Some(CertificateStatus::Expired) => {
            end_before(&mut wanted, now);
            (Some(CertificateState::Issued), Some(false))
        }
    };
    Ok(wanted)
}

fn seen(query: &CertificateQuery) -> Result<Option<SeenFilter>, Refusal> {
    let (from, before, sources) = (query.last_seen_after, query.last_seen_before, query.source.map(Into::into));
    let within = from.is_some() || before.is_some() || query.source.is_some();
    match (query.never_seen, within) {
        (true, true) => Err(contradiction("What was never seen was not seen at any time or from anywhere.".to_owned())),
        (true, false) => Ok(Some(SeenFilter::Never)),
        (false, true) => Ok(Some(SeenFilter::Within { from, before, sources })),
        (false, false) => Ok(None),
    }
}

fn order(query: &CertificateQuery, seen: Option<&SeenFilter>) -> Order {
    match seen {
        Some(SeenFilter::Within { from: None, before: Some(_), .. }) => Order::LongestUnseen,
        Some(SeenFilter::Within { .. }) => Order::LastSeen,
        Some(SeenFilter::Never) | None => {
            let by_end = query.expires_before.is_some()
                || query.expires_after.is_some()
                || query.expiring_within_seconds.is_some();
            if by_end { Order::NextToEnd } else { Order::Newest }
        }
    }
}

fn end_from(wanted: &mut CertificateSearch, instant: UnixSeconds) {
    wanted.ends_from = Some(wanted.ends_from.map_or(instant, |asked| asked.max(instant)));
}

fn end_before(wanted: &mut CertificateSearch, instant: UnixSeconds) {
    wanted.ends_before = Some(wanted.ends_before.map_or(instant, |asked| asked.min(instant)));
}

fn contradiction(message: String) -> Refusal {
    Refusal::invalid("contradiction", message)
}

/// A cursor names the order too: in another one its place would mean something else.
fn cursor(order: Order, place: &SearchPlace) -> String {
    format!("{}.{}.{}.{}", letter(order), place.at, place.serial, place.issuer_key_id)
}

fn place(order: Order, cursor: &str) -> Result<SearchPlace, Refusal> {
    let invalid = || {
        Refusal::invalid(
            "invalid_cursor",
            "Give the `next` of an earlier list, unchanged, with what was asked for then.",
        )
    };
    let parts: Vec<&str> = cursor.split('.').collect();
    match parts.as_slice() {
        [of, at, serial, issuer] if *of == letter(order) => Ok(SearchPlace {
            at: at.parse().map_err(|_| invalid())?,
            serial: (*serial).to_owned(),
            issuer_key_id: (*issuer).to_owned(),
        }),
        _ => Err(invalid()),
    }
}

fn letter(order: Order) -> &'static str {
    match order {
        Order::Newest => "n",
        Order::NextToEnd => "e",
        Order::LastSeen => "s",
        Order::LongestUnseen => "u",
    }
}
