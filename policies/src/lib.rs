//! May this principal do this, from here, now?
//!
//! The decision on one page. Everything comes in as an argument: no I/O, no clock, no randomness, no async.
//!
//! ```text
//! documents ── Policy::parse ──▶ Policy { routes, networks, usage plans, clients, … } or every fault with its line
//!
//!   RouteTable::find(listener, method, path)      Route, or nothing: deny (RouteNotFound)
//!   check_source(route, source)                   the route's allowlist, before any signature is verified
//!
//!   [Proof] ── resolve(client) ──▶ Principal      every proof names one client; scopes = what every one of them allows
//!   Principal ── entitle(route, source) ──▶ Entitlement
//!       1. methods proved ⊇ some alternative the route accepts      MethodNotAccepted
//!       2. source in the partner's allowlist and the client's       SourceNotAllowed
//!       3. source in each credential's allowlist                    SourceNotAllowed
//!       4. client enabled, each credential active now               CredentialRevoked, CredentialExpired
//!       5. scopes                                                   InsufficientScope
//!   Entitlement ── admit(Spent) ──▶ Permit        Throttled, QuotaExceeded
//! ```
//!
//! The first step that fails names the [`Denial`]. Each type of the chain is made only from the one before it, and
//! actions take the [`Permit`] by value: no permit, no action. A [`Trace`] overhears every step for `explain`, on the
//! same code path.
//!
//! ```
//! use policies::{AuthMethod, CredentialKind, CredentialRef, CredentialStatus, Document, Policy, Proof, Spent};
//!
//! let text = include_str!("../samples/three-methods.toml");
//! let policy = Policy::parse(&[Document::new("three-methods.toml", text)]).expect("a sample has no faults");
//! let declared = &policy.clients[0];
//! let client = policy.resolve_client(
//!     declared.id.clone(),
//!     declared.partner.clone(),
//!     true,
//!     &declared.scopes,
//!     &declared.networks,
//!     declared.usage_plan.as_deref(),
//! ).expect("all its references are known");
//!
//! let route = policy.routes.find("gateway", "GET", "/test/hello-world").expect("declared").clone();
//! let proof = Proof {
//!     method: AuthMethod::ApiKey,
//!     credential: CredentialRef { kind: CredentialKind::ApiKey, id: "k1".into() },
//!     client: client.id.clone(),
//!     status: CredentialStatus::Active,
//!     scopes: None,
//!     networks: None,
//! };
//! let principal = policies::resolve(vec![proof], client.into())?;
//! let entitlement = policies::entitle(principal, route, "203.0.113.7".parse().unwrap(), &mut ())?;
//! let permit = entitlement.admit(Spent::unlimited(), &mut ())?;
//! assert_eq!(permit.principal().unwrap().client().id, "acme-orders");
//! # Ok::<(), policies::Denial>(())
//! ```

mod client;
mod credential;
mod decision;
mod denial;
mod document;
mod foreign;
mod forwarded;
mod gcra;
mod limit;
mod method;
mod network;
mod plan;
mod policy;
mod principal;
mod route;
mod rule;
mod scope;
mod source;
mod text;
mod time;
mod token_issuer;
mod trace;
mod url;

pub use client::{Client, ClientId, PartnerId, PartnerTerms};
pub use credential::{CredentialKind, CredentialRef, CredentialStatus, Proof, status_at};
pub use decision::{Entitlement, Permit, admit_public, entitle};
pub use denial::Denial;
pub use document::{
    Document, DocumentFault, ListenerFacts, MAX_DOCUMENT_BYTES, MAX_DOCUMENTS, MAX_FAULTS, MAX_SCOPES_PER_CLIENT,
    MAX_SCOPES_PER_RESOURCE_SERVER, RegistryFacts, Surroundings,
};
pub use foreign::{
    ForeignName, ForeignRefusal, ForeignRules, MAX_FOREIGN_NAMES, MAX_FOREIGN_RULES, Mapping, NameKind, PermittedName,
    PresentedNames,
};
pub use forwarded::{ForwardedFault, ForwardedHeader, MAX_HOPS, TrustedProxies, address};
pub use gcra::Gcra;
pub use limit::{LimitKind, LimitName, LimitState, LimitSubject, Spent, ThrottleRule, throttle_rules};
pub use method::{AuthMethod, AuthMethodSet};
pub use network::{Allowlist, MAX_CIDRS, Network, canonical, is_public_address, parse_cidr};
pub use plan::{
    MAX_BURST, MAX_QUOTA_LIMIT, MAX_QUOTAS, MAX_RATE_PER_SECOND, MIN_RATE_PER_SECOND, PeriodKind, PlanError, Quota,
    QuotaPeriod, RouteLimits, Throttle, UsagePlan, Weekday,
};
pub use policy::{Change, ChangeKind, DeclaredClient, DeclaredPartner, Policy, difference};
pub use principal::{Principal, resolve};
pub use route::{
    Action, DEFAULT_CONNECT_TIMEOUT_SECONDS, DEFAULT_TIMEOUT_SECONDS, ErrorStyle, MAX_CONNECT_TIMEOUT_SECONDS,
    MAX_MOCK_BODY_BYTES, MAX_MOCK_HEADERS, MAX_PATH_BYTES, MAX_PATH_PARAMETERS, MAX_ROUTES, MAX_TIMEOUT_SECONDS, Mock,
    Proxy, Route, RouteFault, RouteTable, ScopeRequirement,
};
pub use rule::{ClientRules, RouteRules, RuleMode};
pub use scope::{
    ADMIN_READ, ADMIN_SCOPES, ADMIN_WRITE, INTROSPECT, MAX_SCOPE_LIST_BYTES, MAX_SCOPE_PART_BYTES,
    RESERVED_RESOURCE_SERVER, ResourceServer, Scope, ScopeDefinition, ScopeSet, is_reserved_scope,
};
pub use source::{check_caller, check_source};
pub use text::InvalidText;
pub use time::UnixSeconds;
pub use token_issuer::{
    DEFAULT_LEEWAY_SECONDS, DEFAULT_TOKEN_ALGORITHMS, MAX_LEEWAY_SECONDS, TOKEN_ALGORITHMS, TokenIssuer, TokenProfile,
};
pub use trace::{Refusals, Stage, Step, Trace};
