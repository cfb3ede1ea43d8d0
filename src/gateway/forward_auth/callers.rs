use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderMap;
use http::header::HeaderName;
use policies::{
    Action, Allowlist, AuthMethod, AuthMethodSet, Denial, ErrorStyle, Route, RouteRules, ScopeRequirement,
    TrustedProxies,
};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::repeats::Repeats;
use crate::config::{Dialect, ForwardAuthSettings, ForwardedCertificate, Serves};
use crate::failure::{Failure, Fault, Refusal};
use crate::gateway::{Gate, authenticate};
use crate::listen::{Connection, Listener, PeerCertificate};
use crate::snapshot::PolicyView;

/// In which a proxy without a certificate proves itself.
pub(super) const SECRET: HeaderName = HeaderName::from_static("x-portcullis-caller-secret");
/// Shorter ones are guessed; `openssl rand -hex 32` makes 64.
const SECRET_BYTES_MIN: usize = 32;
const SECRET_BYTES_MAX: usize = 256;
/// The one in use and the one that comes.
const SECRETS_MAX: usize = 2;
const FILE_BYTES_MAX: u64 = 1024;

/// Who may ask on behalf of clients.
pub struct ForwardAuth {
    callers: Vec<Caller>,
    repeats: Repeats,
}

/// One proxy.
pub(super) struct Caller {
    pub name: Arc<str>,
    pub certificate: ForwardedCertificate,
    pub request_ids: bool,
    pub trusted_proxies: Option<TrustedProxies>,
    dialects: Vec<Dialect>,
    client: Option<String>,
    /// SHA-256: all of one length, so that comparing them tells nothing of it.
    secrets: Vec<[u8; 32]>,
    /// Each gateway listener, by its name, as the proxy's clients see it: with the proxy's hostnames.
    listeners: HashMap<String, Arc<Listener>>,
}

impl ForwardAuth {
    /// Reads the secrets.
    ///
    /// # Errors
    /// `forward_auth_secret` when a file cannot be read, may be read by everybody, or holds no good secret.
    pub fn load<'a>(
        settings: &[ForwardAuthSettings],
        listeners: impl Iterator<Item = &'a Listener> + Clone,
    ) -> Result<Self, Failure> {
        let callers = settings.iter().map(|settings| {
            let gateways = listeners.clone().filter(|listener| listener.config.serves == Serves::Gateway);
            let listeners = gateways.map(|listener| {
                let mut config = listener.config.clone();
                config.hostnames.clone_from(&settings.hostnames);
                (config.name.clone(), Arc::new(Listener { config, address: listener.address }))
            });
            Ok(Caller {
                name: Arc::from(settings.name.as_str()),
                certificate: settings.client_certificate,
                request_ids: settings.request_ids,
                trusted_proxies: settings.trusted_proxies.clone(),
                dialects: settings.dialects.clone(),
                client: settings.client.clone(),
                secrets: settings.secret_file.as_deref().map(secrets).transpose()?.unwrap_or_default(),
                listeners: listeners.collect(),
            })
        });
        Ok(Self { callers: callers.collect::<Result<_, Failure>>()?, repeats: Repeats::new() })
    }

    pub(super) fn is_off(&self) -> bool {
        self.callers.is_empty()
    }

    pub(super) fn repeats(&self) -> &Repeats {
        &self.repeats
    }

    /// Which proxy asks, or, for the audit, why nobody knows.
    pub(super) fn prove(
        &self,
        gate: &Gate,
        view: &PolicyView,
        connection: &Connection,
        headers: &HeaderMap,
        dialect: Dialect,
    ) -> Result<&Caller, String> {
        // The certificate is judged as on every route: live, enabled, from an allowed network, now.
        let holder = connection.certificate.as_ref().map(|peer| holder(gate, view, peer, connection.source));
        let secret = secret(headers);
        let proved = |caller: &&Caller| caller.is_proved(holder.as_ref(), secret.as_ref());
        match self.callers.iter().find(proved) {
            Some(caller) if caller.dialects.contains(&dialect) => Ok(caller),
            Some(caller) => Err(format!("{} does not speak it", caller.name)),
            None => Err(match (holder, secret) {
                (Some(Err(denial)), _) => denial.to_string(),
                (Some(Ok(client)), None) => format!("client {client} is not named in the settings"),
                (_, Some(_)) => "the secret is not that of a proxy in the settings".to_owned(),
                (None, None) => "neither a certificate nor one secret was shown".to_owned(),
            }),
        }
    }
}

impl Caller {
    /// All that the settings ask for, and one thing at least: that is checked where they are read.
    fn is_proved(&self, holder: Option<&Result<String, Denial>>, secret: Option<&[u8; 32]>) -> bool {
        let by_certificate = match (&self.client, holder) {
            (None, _) => true,
            (Some(client), Some(Ok(holder))) => client == holder,
            (Some(_), _) => false,
        };
        let by_secret = self.secrets.is_empty()
            || secret.is_some_and(|shown| self.secrets.iter().any(|own| bool::from(own.ct_eq(shown))));
        by_certificate && by_secret && (self.client.is_some() || !self.secrets.is_empty())
    }

    /// A listener as the proxy's clients see it.
    pub(super) fn listener(&self, own: &Arc<Listener>) -> Arc<Listener> {
        self.listeners.get(&own.config.name).map_or_else(|| Arc::clone(own), Arc::clone)
    }
}

/// The client whose certificate the proxy shows, as every route would judge it.
fn holder(gate: &Gate, view: &PolicyView, peer: &PeerCertificate, source: IpAddr) -> Result<String, Denial> {
    let principal = authenticate::by_certificate(gate, view, peer, gate.clock.now())?;
    let entitlement = policies::entitle(principal, Arc::clone(&ROUTE), source, &mut ())?;
    Ok(entitlement.principal().client().id.to_string())
}

static ROUTE: LazyLock<Arc<Route>> = LazyLock::new(|| {
    Arc::new(Route {
        id: Arc::from("forward-auth"),
        methods: Vec::new(),
        path: super::PREFIX.to_owned(),
        accept: vec![AuthMethodSet::EMPTY.with(AuthMethod::MutualTls)],
        scopes: ScopeRequirement::None,
        networks: Allowlist::anywhere(),
        listeners: None,
        throttle: None,
        rules: RouteRules::default(),
        errors: ErrorStyle::Standard,
        action: Action::Service("forward-auth"),
        summary: None,
        description: None,
    })
});

/// Of two, one program reads the first and another the last: then there is none.
fn secret(headers: &HeaderMap) -> Option<[u8; 32]> {
    let mut values = headers.get_all(SECRET).iter();
    let shown = values.next()?;
    values.next().is_none().then(|| hash(shown.as_bytes()))
}

fn hash(secret: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, secret).as_ref());
    hash
}

fn secrets(path: &Path) -> Result<Vec<[u8; 32]>, Failure> {
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;

    let refused = |what: String| Refusal::invalid("forward_auth_secret", format!("{} {what}.", path.display()));
    let file = std::fs::File::open(path).map_err(|error| refused(format!("cannot be read: {error}")))?;
    let metadata = file.metadata().map_err(Fault::from)?;
    if metadata.permissions().mode() & 0o007 != 0 {
        return Err(refused("may be read by everybody on this machine: chmod 600".to_owned()).into());
    }
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(|error| refused(format!("cannot be read: {error}")))?;
    let secrets: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let good = |secret: &&str| {
        (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&secret.len())
            && secret.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !(1..=SECRETS_MAX).contains(&secrets.len()) || !secrets.iter().all(good) {
        let what = "must hold one secret, or two on two lines while it is changed, each of 32 to 256 printable characters \
                    without blanks: openssl rand -hex 32";
        return Err(refused(what.to_owned()).into());
    }
    Ok(secrets.into_iter().map(|secret| hash(secret.as_bytes())).collect())
}
