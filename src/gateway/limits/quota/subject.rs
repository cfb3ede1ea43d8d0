use std::sync::Arc;

use policies::{ClientId, PartnerId, PeriodKind, Quota, RuleMode};

use crate::store::quota::QuotaKey;

/// Whose requests a quota counts together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum QuotaSubject {
    Client(ClientId),
    /// All clients of the partner.
    Partner(PartnerId),
    /// A client's requests to one route, by the route's id.
    ClientRoute(ClientId, Arc<str>),
}

impl QuotaSubject {
    /// The name in the table and in answers.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Partner(_) => "partner",
            Self::ClientRoute(..) => "client_route",
        }
    }

    /// The client's or the partner's id.
    pub fn id(&self) -> &str {
        match self {
            Self::Client(client) | Self::ClientRoute(client, _) => client.as_str(),
            Self::Partner(partner) => partner.as_str(),
        }
    }

    /// The route's id, or nothing.
    pub fn route(&self) -> &str {
        match self {
            Self::ClientRoute(_, route) => route,
            Self::Client(_) | Self::Partner(_) => "",
        }
    }
}

/// A quota and whose it is: what one request asks of [`super::Quotas`].
#[derive(Clone, Debug)]
pub struct QuotaAsked<'a> {
    pub subject: QuotaSubject,
    pub quota: &'a Quota,
}

/// What has a counter of its own. Limit, time zone and anchor may change without its beginning anew; another kind of period
/// is another contract, and what is watched counts apart from what is enforced.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    subject: QuotaSubject,
    name: Arc<str>,
    period: PeriodKind,
    mode: RuleMode,
}

impl Key {
    pub(super) fn of(subject: QuotaSubject, quota: &Quota) -> Self {
        Self { subject, name: Arc::clone(quota.name()), period: quota.period, mode: quota.mode }
    }

    pub(super) fn row(&self) -> QuotaKey<'_> {
        QuotaKey {
            subject_kind: self.subject.kind(),
            subject: self.subject.id(),
            route: self.subject.route(),
            name: &self.name,
            period: self.period.as_str(),
            mode: self.mode.as_str(),
        }
    }
}
