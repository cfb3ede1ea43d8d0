//! `[[partner]]` and `[[client]]`

use super::build::Builder;
use super::reader::{Fields, Text};
use super::rules;
use crate::client::{ClientId, PartnerId};
use crate::policy::{DeclaredClient, DeclaredPartner};
use crate::rule::RuleMode;
use crate::scope::ScopeSet;

/// Most scopes of one client (Cognito allows 50).
pub const MAX_SCOPES_PER_CLIENT: usize = 1_000;

pub(super) fn read_partner<'d>(mut fields: Fields<'d>, builder: &mut Builder<'d>) {
    let faults = &mut builder.faults;
    let id = fields.required("id").map(|value| (value.at, value));
    let id = id.and_then(|(at, value)| Some((at, value.parsed(faults, PartnerId::try_from)?)));
    let name = fields.optional("name").and_then(|value| value.prose(faults));
    let contact = fields.optional("contact").and_then(|value| value.prose(faults));
    let networks = fields.optional("networks").and_then(|value| value.names(faults));
    let usage_plan = fields.optional("usage_plan").and_then(|value| value.string(faults));
    let network_mode = rules::of_networks(&mut fields, faults);
    fields.finish(faults);

    if let Some(plan) = usage_plan
        && let Some(Err(message)) = builder.policy.usage_plans.get(plan.text).map(|plan| plan.check_for_partner())
    {
        builder.faults.add(plan.at, message);
    }
    let (networks, usage_plan) = terms(networks, usage_plan, builder);
    let Some((at, id)) = id else { return };
    if builder.declare("partner", id.as_str(), at) {
        let name = name.unwrap_or_else(|| id.to_string());
        if network_mode != RuleMode::Enforce {
            builder.policy.partner_modes.insert(id.clone(), network_mode);
        }
        builder.policy.partners.push(DeclaredPartner { id, name, contact, networks, network_mode, usage_plan });
    }
}

pub(super) fn read<'d>(mut fields: Fields<'d>, builder: &mut Builder<'d>) {
    let faults = &mut builder.faults;
    let id = fields.required("id").map(|value| (value.at, value));
    let id = id.and_then(|(at, value)| Some((at, value.parsed(faults, ClientId::try_from)?)));
    let partner = fields.required("partner").map(|value| (value.at, value));
    let partner = partner.and_then(|(at, value)| Some((at, value.parsed(faults, PartnerId::try_from)?)));
    let scopes = fields.optional("scopes").map(|value| (value.at, value));
    let scopes = scopes.and_then(|(at, value)| {
        let scopes = value.strings(faults)?;
        if scopes.len() > MAX_SCOPES_PER_CLIENT {
            faults.add(at, format!("more than {MAX_SCOPES_PER_CLIENT} scopes"));
            return None;
        }
        Some(scopes)
    });
    // `networks = []` is refused: one reader would take it for nowhere, the next for anywhere.
    let networks = fields.optional("networks").and_then(|value| value.names(faults));
    let usage_plan = fields.optional("usage_plan").and_then(|value| value.string(faults));
    let description = fields.optional("description").and_then(|value| value.prose(faults));
    let network_mode = rules::of_networks(&mut fields, faults);
    fields.finish(faults);

    let scopes = scopes.map_or_else(ScopeSet::default, |scopes| builder.scope_set(scopes));
    let (networks, usage_plan) = terms(networks, usage_plan, builder);
    if let Some((at, partner)) = &partner
        && !builder.is_declared("partner", partner.as_str())
    {
        builder.declare("partner", partner.as_str(), *at);
        let declared = DeclaredPartner {
            id: partner.clone(),
            name: partner.to_string(),
            contact: None,
            network_mode: RuleMode::Enforce,
            networks: Vec::new(),
            usage_plan: None,
        };
        builder.policy.partners.push(declared);
    }
    let Some((at, id)) = id else { return };
    let is_new = builder.declare("client", id.as_str(), at);
    let Some((_, partner)) = partner else { return };
    if is_new {
        if network_mode != RuleMode::Enforce {
            builder.policy.client_modes.insert(id.clone(), network_mode);
        }
        builder.policy.clients.push(DeclaredClient {
            id,
            partner,
            scopes,
            networks,
            network_mode,
            usage_plan,
            description,
        });
    }
}

/// The references of a client or a partner, checked.
fn terms<'d>(
    networks: Option<Vec<Text<'d>>>,
    usage_plan: Option<Text<'d>>,
    builder: &mut Builder<'d>,
) -> (Vec<String>, Option<String>) {
    let networks = networks.unwrap_or_default();
    networks.iter().for_each(|name| builder.check_reference("network", *name));
    if let Some(plan) = usage_plan {
        builder.check_reference("usage_plan", plan);
    }
    let networks = networks.into_iter().map(|name| name.text.to_owned()).collect();
    (networks, usage_plan.map(|plan| plan.text.to_owned()))
}
