use std::hash::{Hash, Hasher};
use std::sync::Arc;

use http::Method;
use policies::{ClientId, CredentialKind, CredentialRef, PartnerId, Principal};

use super::Counts;
use crate::listen::Listener;
use crate::store::usage::UsageRow;

/// Stands where too many different things were counted to keep them apart.
const FOLDED: &str = "*";
/// One proof for each method.
const CREDENTIALS_MAX: usize = 3;

/// What is counted apart. Making one allocates nothing.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its beginning, seconds since the Unix epoch.
    pub hour: i64,
    pub listener: Arc<Listener>,
    pub caller: Option<Caller>,
    pub place: Place,
    pub method: &'static str,
    /// `allowed`, or the code of a denial or fault.
    pub outcome: &'static str,
    folded: bool,
}

/// Whom it is counted for.
#[derive(Clone, Debug)]
pub struct Caller {
    client: ClientId,
    partner: Option<PartnerId>,
    credentials: [Option<CredentialRef>; CREDENTIALS_MAX],
}

/// Where the request went.
#[derive(Clone, Debug)]
pub enum Place {
    /// To no route.
    Nowhere,
    /// To a route, by its id.
    Route(Arc<str>),
    /// To an endpoint of ours.
    Own(&'static str),
}

impl Caller {
    /// Who was authenticated, with all it proved.
    pub fn of(principal: &Principal) -> Self {
        let client = principal.client();
        let mut credentials = [const { None }; CREDENTIALS_MAX];
        for (place, proof) in credentials.iter_mut().zip(principal.proofs()) {
            *place = Some(proof.credential.clone());
        }
        Self { client: client.id.clone(), partner: Some(client.partner.clone()), credentials }
    }

    /// A client that is known by name only: the token endpoint's.
    pub fn client(client: ClientId) -> Self {
        Self { client, partner: None, credentials: [const { None }; CREDENTIALS_MAX] }
    }

    /// What the credentials are counted under. A token lives for an hour and is one of many: tokens are counted together.
    fn credentials(&self) -> impl Iterator<Item = (CredentialKind, &str)> {
        self.credentials.iter().flatten().map(|credential| match credential.kind {
            CredentialKind::AccessToken => (CredentialKind::AccessToken, ""),
            kind => (kind, &*credential.id),
        })
    }

    fn credential_text(&self) -> String {
        let mut text = String::new();
        for (kind, id) in self.credentials() {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(kind.as_str());
            if !id.is_empty() {
                text.push(':');
                text.push_str(id);
            }
        }
        text
    }
}

impl Place {
    fn as_str(&self) -> &str {
        match self {
            Self::Nowhere => "",
            Self::Route(id) => id,
            Self::Own(name) => name,
        }
    }
}

impl Key {
    pub fn new(
        hour: i64,
        listener: &Arc<Listener>,
        caller: Option<Caller>,
        place: Place,
        method: &Method,
        outcome: &'static str,
    ) -> Self {
        Self {
            hour,
            listener: Arc::clone(listener),
            caller,
            place,
            method: method_name(method),
            outcome,
            folded: false,
        }
    }

    /// The same hour, listener, method and outcome, whoever it was: of these there are few.
    pub(super) fn fold(&mut self) {
        self.caller = None;
        self.place = Place::Own(FOLDED);
        self.folded = true;
    }

    pub(super) fn row(&self, counts: &Counts) -> UsageRow {
        let nobody = || if self.folded { FOLDED.to_owned() } else { String::new() };
        let caller = self.caller.as_ref();
        UsageRow {
            hour: self.hour,
            client: caller.map_or_else(nobody, |caller| caller.client.to_string()),
            partner: caller
                .map_or_else(nobody, |caller| caller.partner.as_ref().map_or_else(String::new, ToString::to_string)),
            credential: caller.map_or_else(nobody, Caller::credential_text),
            route: self.place.as_str().to_owned(),
            method: self.method.to_owned(),
            outcome: self.outcome.to_owned(),
            listener: self.listener.config.name.clone(),
            requests: stored(counts.requests),
            request_bytes: stored(counts.request_bytes),
            response_bytes: stored(counts.response_bytes),
            micros: stored(counts.micros),
            latency: counts.latency.map(stored),
        }
    }
}

impl PartialEq for Caller {
    fn eq(&self, other: &Self) -> bool {
        self.client == other.client && self.credentials().eq(other.credentials())
    }
}

impl Eq for Caller {}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.hour == other.hour
            && self.outcome == other.outcome
            && self.method == other.method
            && self.folded == other.folded
            && self.listener.config.name == other.listener.config.name
            && self.place.as_str() == other.place.as_str()
            && self.caller == other.caller
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hour.hash(state);
        // What tells most keys apart is enough: equality looks at the rest.
        self.outcome.hash(state);
        self.place.as_str().hash(state);
        if let Some(caller) = &self.caller {
            caller.client.as_str().hash(state);
            for (_, id) in caller.credentials() {
                id.hash(state);
            }
        }
    }
}

/// A stranger may make up methods: all that no route can have are one.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "CONNECT" => "CONNECT",
        "TRACE" => "TRACE",
        _ => "other",
    }
}

fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
