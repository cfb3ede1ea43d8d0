//! `[[token_issuer]]`

use std::collections::BTreeMap;

use super::build::Builder;
use super::fault::Faults;
use super::reader::{Fields, Value};
use crate::client::ClientId;
use crate::token_issuer::{
    DEFAULT_LEEWAY_SECONDS, DEFAULT_TOKEN_ALGORITHMS, MAX_LEEWAY_SECONDS, TOKEN_ALGORITHMS, TokenIssuer, TokenProfile,
};
use crate::url::HttpUrl;

/// Longest issuer, audience and foreign client id, in bytes.
const MAX_CLAIM_BYTES: usize = 512;

pub(super) fn read<'d>(mut fields: Fields<'d>, builder: &mut Builder<'d>) {
    let at = fields.at();
    let faults = &mut builder.faults;
    let issuer = fields.required("issuer").map(|value| (value.at, value));
    let issuer = issuer.and_then(|(at, value)| Some((at, value.parsed(faults, |text| claim("issuer", text))?)));
    let jwks_uri = fields.required("jwks_uri").and_then(|value| value.parsed(faults, jwks_uri));
    let profiles = TokenProfile::ALL.map(|profile| (profile.as_str(), profile));
    let profile = fields.required("profile").and_then(|value| value.one_of(&profiles, faults));
    let audiences_value = fields.optional("audiences");
    let clients_value = fields.optional("clients");
    if fields.misspelt("audiences").is_none() && fields.misspelt("clients").is_none() {
        check_profile(profile, audiences_value.as_ref(), clients_value.as_ref(), at, faults);
    }
    let audiences = audiences_value.and_then(|value| audiences(value, faults));
    let algorithms = fields.optional("algorithms").map(|value| algorithms(value, faults));
    let clients = clients_value.and_then(|value| clients(value, faults));
    let ca_file = fields.optional("ca_file").and_then(|value| value.parsed(faults, ca_file));
    let leeway = fields.optional("leeway_seconds");
    let leeway = leeway.and_then(|value| value.integer(0..=i64::from(MAX_LEEWAY_SECONDS), faults));
    fields.finish(faults);

    let Some((at, issuer)) = issuer else { return };
    // Two entries for one `iss` would let the order of the file choose whose keys count.
    let is_new = builder.declare("token_issuer", &issuer, at);
    let (Some(jwks_uri), Some(profile), true) = (jwks_uri, profile, is_new) else { return };
    builder.policy.token_issuers.push(TokenIssuer {
        issuer,
        jwks_uri,
        profile,
        audiences: audiences.unwrap_or_default(),
        algorithms: algorithms.unwrap_or_else(|| DEFAULT_TOKEN_ALGORITHMS.into_iter().map(str::to_owned).collect()),
        clients: clients.unwrap_or_default(),
        ca_file,
        leeway_seconds: leeway.and_then(|leeway| u32::try_from(leeway).ok()).unwrap_or(DEFAULT_LEEWAY_SECONDS),
    });
}

/// Something must tie a token to us: an audience, or with Cognito, whose access tokens carry no `aud`, a known client
/// id. Else a token made for any other service of the same issuer would be taken (RFC 8725 §2.8).
fn check_profile<'d>(
    profile: Option<TokenProfile>,
    audiences: Option<&Value<'d>>,
    clients: Option<&Value<'d>>,
    at: super::At,
    faults: &mut Faults<'d>,
) {
    match (profile, audiences, clients) {
        (Some(TokenProfile::Cognito), Some(audiences), _) => {
            faults.add(
                audiences.at,
                "Cognito access tokens carry no audience; remove audiences and map the app clients in clients",
            );
        }
        (Some(TokenProfile::Cognito), None, None) => {
            faults.add(at, "token_issuer with profile \"cognito\" needs clients: its client ids mapped to ours");
        }
        (Some(TokenProfile::Rfc9068 | TokenProfile::Generic), None, _) => {
            faults.add(at, "token_issuer needs audiences: the \"aud\" values that mean this gateway");
        }
        _ => {}
    }
}

fn claim(what: &str, text: &str) -> Result<String, String> {
    let good = (1..=MAX_CLAIM_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if good {
        Ok(text.to_owned())
    } else {
        Err(format!("{what} {text:?} must be 1 to {MAX_CLAIM_BYTES} visible ASCII characters"))
    }
}

/// Whoever can change the keys in flight can sign any token, so plain http stays on the machine. Only literal addresses
/// count: a name called localhost is whatever the resolver says.
fn jwks_uri(text: &str) -> Result<String, String> {
    let url = HttpUrl::parse(text)?;
    if url.is_https || url.address.is_some_and(|address| address.is_loopback()) {
        Ok(text.to_owned())
    } else {
        Err(format!("jwks_uri {text:?} must be https; http is for loopback addresses such as 127.0.0.1 only"))
    }
}

fn ca_file(text: &str) -> Result<String, &'static str> {
    let good = (1..=MAX_CLAIM_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
    if good { Ok(text.to_owned()) } else { Err("ca_file must be a path to a PEM file") }
}

fn audiences<'d>(value: Value<'d>, faults: &mut Faults<'d>) -> Option<Vec<String>> {
    let mut audiences = Vec::new();
    for name in value.names(faults)? {
        match claim("audience", name.text) {
            Ok(audience) => audiences.push(audience),
            Err(message) => faults.add(name.at, message),
        }
    }
    Some(audiences)
}

fn algorithms<'d>(value: Value<'d>, faults: &mut Faults<'d>) -> Vec<String> {
    let mut algorithms = Vec::new();
    for name in value.names(faults).unwrap_or_default() {
        if TOKEN_ALGORITHMS.contains(&name.text) {
            algorithms.push(name.text.to_owned());
        } else {
            let known = TOKEN_ALGORITHMS.join(", ");
            faults.add(name.at, format!("algorithm {:?} is not allowed; choose from {known}", name.text));
        }
    }
    algorithms
}

fn clients<'d>(value: Value<'d>, faults: &mut Faults<'d>) -> Option<BTreeMap<String, ClientId>> {
    let at = value.at;
    let entries = value.entries(faults)?;
    if entries.is_empty() {
        faults.add(at, "clients is empty: no token of this issuer could name a client");
    }
    let mut clients = BTreeMap::new();
    for (theirs, ours) in entries {
        let ours = ours.parsed(faults, ClientId::try_from);
        match claim("client id", theirs.text) {
            Ok(theirs) => clients.extend(ours.map(|ours| (theirs, ours))),
            Err(message) => faults.add(theirs.at, message),
        }
    }
    Some(clients)
}
