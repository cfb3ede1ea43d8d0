//! `[[network]]`

use std::sync::Arc;

use ipnet::IpNet;

use super::build::Builder;
use super::fault::Faults;
use super::reader::{Fields, Value};
use crate::network::{MAX_CIDRS, Network, parse_cidr};
use crate::text;

pub(super) fn read<'d>(mut fields: Fields<'d>, builder: &mut Builder<'d>) {
    let faults = &mut builder.faults;
    let name = fields.required("name").and_then(|value| value.string(faults));
    let included = fields.required("cidrs").and_then(|value| {
        let at = value.at;
        let found = cidrs(value, faults)?;
        if found.is_empty() {
            faults.add(at, "cidrs is empty: nobody could call from this network");
        }
        Some(found)
    });
    let except = fields.optional("except").and_then(|value| cidrs(value, faults));
    fields.finish(faults);

    let Some(name) = name else { return };
    if !text::is_name(name.text) {
        faults.add(name.at, format!("{:?} is not a network name: {}", name.text, text::NAME_GRAMMAR));
        builder.misname("network", name.text);
        return;
    }
    if !builder.declare("network", name.text, name.at) {
        return;
    }
    let included: Vec<IpNet> = included.unwrap_or_default().into_iter().flatten().collect();
    let except: Vec<IpNet> = except.unwrap_or_default().into_iter().flatten().collect();
    if included.is_empty() {
        return; // said above
    }
    match Network::new(name.text, included, except) {
        Ok(network) => {
            builder.policy.networks.insert(name.text.to_owned(), Arc::new(network));
        }
        Err(error) => builder.faults.add(name.at, error.to_string()),
    }
}

/// One entry for each element; `None` where it is faulty.
fn cidrs<'d>(value: Value<'d>, faults: &mut Faults<'d>) -> Option<Vec<Option<IpNet>>> {
    let at = value.at;
    let elements = value.elements(faults)?;
    if elements.len() > MAX_CIDRS {
        faults.add(at, format!("more than {MAX_CIDRS} CIDRs in one network"));
        return None;
    }
    Some(elements.into_iter().map(|element| element.parsed(faults, parse_cidr)).collect())
}
