//! Searching the register.

use policies::UnixSeconds;
use serde::Serialize;

use super::Authority;
use super::certificate::{CertificateStatus, CertificateView};
use crate::failure::{Failure, Refusal};
use crate::store::certificate::{CertificateFilter, CertificatePlace, CertificateState};
use crate::store::{self, LIST_LIMIT_MAX, Page};

/// How many certificates a list holds when nothing else is asked.
pub const LIST_LIMIT_DEFAULT: u32 = 100;

/// Which certificates to list. Empty: all, clients' and the gate's own.
#[derive(Clone, Debug, Default)]
pub struct CertificateQuery {
    pub client: Option<String>,
    pub partner: Option<String>,
    pub state: Option<CertificateStatus>,
    /// Good ones that expire within so many seconds from now.
    pub expiring_within_seconds: Option<u32>,
    /// At most 1000; [`LIST_LIMIT_DEFAULT`] when absent.
    pub limit: Option<u32>,
    /// [`CertificateList::next`] of the list before.
    pub after: Option<String>,
}

/// Certificates, newest first.
#[derive(Clone, Debug, Serialize)]
pub struct CertificateList {
    pub certificates: Vec<CertificateView>,
    /// Asks for what follows; absent at the end.
    pub next: Option<String>,
}

impl Authority {
    /// Lists certificates, newest first.
    ///
    /// # Errors
    /// `invalid_cursor`, `invalid_limit`.
    pub async fn list(&self, query: &CertificateQuery) -> Result<CertificateList, Failure> {
        let limit = query.limit.unwrap_or(LIST_LIMIT_DEFAULT);
        if limit == 0 || limit > LIST_LIMIT_MAX {
            let message = format!("The limit must lie between 1 and {LIST_LIMIT_MAX}.");
            return Err(Refusal::invalid("invalid_limit", message).into());
        }
        let filter = filter(query, limit, self.inner.clock.now())?;
        let rows = store::certificate::list(&self.inner.store, &filter).await?;
        let full = u32::try_from(rows.len()).is_ok_and(|rows| rows == limit);
        let last = rows.last().filter(|_| full);
        let next = last.map(|row| format!("{}.{}.{}", row.created_at, row.serial, row.issuer_key_id));
        Ok(CertificateList { certificates: rows.into_iter().map(|row| self.view(row)).collect(), next })
    }
}

fn filter(query: &CertificateQuery, limit: u32, now: UnixSeconds) -> Result<CertificateFilter, Refusal> {
    let mut filter = CertificateFilter {
        client: query.client.clone(),
        partner: query.partner.clone(),
        after: query.after.as_deref().map(place).transpose()?,
        page: Page::first(limit),
        ..Default::default()
    };
    let state = match (query.state, query.expiring_within_seconds) {
        (state, None) => state,
        (None | Some(CertificateStatus::Issued), Some(seconds)) => {
            filter.ends_before = Some(UnixSeconds(now.0.saturating_add(i64::from(seconds)).saturating_add(1)));
            Some(CertificateStatus::Issued)
        }
        (Some(other), Some(_)) => {
            let message =
                format!("What expires within some time is good now, so it is not {other}: ask for one or the other.");
            return Err(Refusal::invalid("contradiction", message));
        }
    };
    (filter.state, filter.revoked) = match state {
        None => (None, None),
        Some(CertificateStatus::Revoked) => (None, Some(true)),
        Some(CertificateStatus::Reserved) => (Some(CertificateState::Reserved), Some(false)),
        Some(CertificateStatus::Orphaned) => (Some(CertificateState::Orphaned), Some(false)),
        Some(CertificateStatus::Issued) => {
            filter.ends_from = Some(now);
            (Some(CertificateState::Issued), Some(false))
        }
        Some(CertificateStatus::Expired) => {
            filter.ends_before = Some(now);
            (Some(CertificateState::Issued), Some(false))
        }
    };
    Ok(filter)
}

fn place(cursor: &str) -> Result<CertificatePlace, Refusal> {
    let invalid = || Refusal::invalid("invalid_cursor", "Give the `next` of an earlier list, unchanged.");
    let mut parts = cursor.split('.');
    let (Some(created_at), Some(serial), Some(issuer), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(invalid());
    };
    Ok(CertificatePlace {
        created_at: created_at.parse().map_err(|_| invalid())?,
        serial: serial.to_owned(),
        issuer_key_id: issuer.to_owned(),
    })
}
