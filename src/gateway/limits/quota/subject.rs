use std::sync::Arc;

use policies::{Client, ClientId, LimitSubject, PartnerId, PeriodKind, Quota, Route, RuleMode, UsagePlan};

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
    /// The same as the kind of subject that all limits know.
    pub fn limit_subject(&self) -> LimitSubject {
        match self {
            Self::Client(_) => LimitSubject::Client,
            Self::Partner(_) => LimitSubject::Partner,
            Self::ClientRoute(..) => LimitSubject::ClientRoute,
        }
    }

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

/// What a request of this client to this route is counted against; what is off is not. No two have the same counter.
pub(crate) fn quotas_of_request<'a>(client: &'a Client, route: &Route) -> Vec<QuotaAsked<'a>> {
    let mut asked = Vec::new();
    let is_on = |quota: &&Quota| quota.mode != RuleMode::Off;
    if let Some(plan) = &client.usage_plan {
        let own = plan.quotas.iter().filter(is_on);
        asked.extend(own.map(|quota| QuotaAsked { subject: QuotaSubject::Client(client.id.clone()), quota }));
        if let Some(limits) = plan.routes.get(&route.id) {
            let quotas = limits.quotas.iter().filter(is_on);
            asked.extend(quotas.map(|quota| QuotaAsked { subject: on_route(client, &route.id), quota }));
        }
    }
    if let Some(plan) = &client.partner_usage_plan {
        asked.extend(quotas_of_partner(&client.partner, plan).into_iter().filter(|asked| is_on(&asked.quota)));
    }
    asked
}

/// All quotas of a client by itself, on single routes too.
pub fn quotas_of_client(client: &Client) -> Vec<QuotaAsked<'_>> {
    let Some(plan) = &client.usage_plan else { return Vec::new() };
    let own = plan.quotas.iter();
    let own = own.map(|quota| QuotaAsked { subject: QuotaSubject::Client(client.id.clone()), quota });
    let on_routes =
        plan.routes.iter().flat_map(|(route, limits)| limits.quotas.iter().map(move |quota| (route, quota)));
    own.chain(on_routes.map(|(route, quota)| QuotaAsked { subject: on_route(client, route), quota })).collect()
}

fn on_route(client: &Client, route: &Arc<str>) -> QuotaSubject {
    QuotaSubject::ClientRoute(client.id.clone(), Arc::clone(route))
}

/// Those that the clients of a partner on this plan share.
pub fn quotas_of_partner<'a>(partner: &PartnerId, plan: &'a UsagePlan) -> Vec<QuotaAsked<'a>> {
    let quotas = plan.quotas.iter();
    quotas.map(|quota| QuotaAsked { subject: QuotaSubject::Partner(partner.clone()), quota }).collect()
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
