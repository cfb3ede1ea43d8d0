//! Short ways to write clients, proofs and routes.

use std::net::IpAddr;
use std::sync::Arc;

use policies::*;

pub(crate) fn scopes(list: &str) -> ScopeSet {
    let names =
        list.split_whitespace().map(|name| if name.contains('/') { name.to_owned() } else { format!("api/{name}") });
    names.map(|name| name.parse::<Scope>().unwrap()).collect()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn network(name: &str, cidrs: &[&str], except: &[&str]) -> Arc<Network> {
    let parse = |list: &[&str]| list.iter().map(|cidr| parse_cidr(cidr).unwrap()).collect::<Vec<_>>();
    Arc::new(Network::new(name, parse(cidrs), parse(except)).unwrap())
}

pub(crate) fn only_from(cidr: &str) -> Allowlist {
    Allowlist::of(vec![network("only", &[cidr], &[])])
}

pub(crate) fn client(granted: &str) -> Client {
    Client {
        id: "acme-orders".parse().unwrap(),
        partner: "acme".parse().unwrap(),
        enabled: true,
        scopes: scopes(granted),
        networks: Allowlist::anywhere(),
        rules: ClientRules::default(),
        usage_plan: None,
        partner_networks: Allowlist::anywhere(),
        partner_usage_plan: None,
    }
}

pub(crate) fn proof(method: AuthMethod) -> Proof {
    let kind = match method {
        AuthMethod::MutualTls => CredentialKind::ClientCertificate,
        AuthMethod::ApiKey => CredentialKind::ApiKey,
        AuthMethod::Bearer => CredentialKind::AccessToken,
    };
    Proof {
        method,
        credential: CredentialRef { kind, id: Arc::from("1") },
        client: "acme-orders".parse().unwrap(),
        status: CredentialStatus::Active,
        scopes: None,
        networks: None,
    }
}

pub(crate) fn methods(text: &str) -> AuthMethodSet {
    text.split('+').filter(|name| !name.is_empty()).map(|name| name.parse::<AuthMethod>().unwrap()).collect()
}

pub(crate) fn route(method: &str, path: &str) -> Route {
    Route {
        id: Arc::from(format!("{method} {path}")),
        methods: method.split(',').map(str::to_owned).collect(),
        path: path.to_owned(),
        accept: AuthMethod::ALL.into_iter().map(AuthMethodSet::only).collect(),
        scopes: ScopeRequirement::None,
        networks: Allowlist::anywhere(),
        throttle: None,
        rules: RouteRules::default(),
        listeners: None,
        errors: ErrorStyle::Standard,
        action: Action::Mock(Mock { status: 200, headers: vec![], body: String::new() }),
        summary: None,
        description: None,
    }
}

pub(crate) fn parse(text: &str) -> Result<Policy, Vec<DocumentFault>> {
    Policy::parse(&[Document::new("policy.toml", text)])
}

/// What a test expects to be fine; prints the faults if it is not.
pub(crate) fn policy(text: &str) -> Policy {
    parse(text)
        .unwrap_or_else(|faults| panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}
