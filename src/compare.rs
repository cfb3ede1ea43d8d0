//! `portcullis compare`: the same request by each method, and what the methods cost and promise.
//!
//! It is a client. It calls a route over its own HTTP/1.1 connections, which count what goes over the wire, and through
//! the admin API it makes a client of its own whose credentials it revokes, to measure how long they go on working.

mod call;
mod control_plane;
mod endpoint;
mod identity;
mod latency;
mod measure;
mod method;
mod properties;
mod report;
mod revocation;
mod row;
mod server_process;
mod target;
mod temporary_client;
mod token;
mod wire;

use std::future::Future;

use secrecy::ExposeSecret;
use serde_json::Value;

pub use call::Agreed;
pub use latency::Latency;
pub use method::Method;
pub use properties::{Properties, Replayed};
pub use report::{BytesReport, Comparison, Delay, MethodReport, RevocationReport, ServerCpuReport, ShutReport};
pub use target::{Sources, Target};
pub use wire::Bytes;

use crate::clock::Clock;
use crate::failure::{Failure, Refusal};
use control_plane::ControlPlane;
use identity::Trust;
use measure::Measured;
use row::Row;
use target::Credentials;
use temporary_client::TemporaryClient;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// New connections for each method, and as many resumed ones.
    pub new_connections: usize,
    /// Requests on one kept connection for each method.
    pub kept_requests: usize,
    /// Tokens fetched for each method that needs one.
    pub token_fetches: usize,
    /// Revocations for each method; 0: nothing is made or revoked on the server.
    pub revocations: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { new_connections: 30, kept_requests: 500, token_fetches: 30, revocations: 5 }
    }
}

/// Who watches while it runs.
pub trait Progress {
    /// A part of so many steps begins.
    fn begin(&self, what: &str, steps: u64);
    /// So many steps are done.
    fn step(&self, steps: u64);
    /// Something that the reader must know even if nothing else comes.
    fn warn(&self, text: &str);
}

/// Compares the methods at `target`. When `cancelled` is ready it stops and cleans up.
///
/// # Errors
/// When nothing can be compared at all. A method that does not work there is a row that says so.
pub async fn compare(
    target: &Target,
    options: &Options,
    clock: &Clock,
    progress: &dyn Progress,
    cancelled: impl Future<Output = ()>,
) -> Result<Comparison, Failure> {
    let trust = Trust::new(&target.ca_pem, clock)?;
    let mut workshop = match open_workshop(target, options, &trust).await {
        Ok(workshop) => Ok(workshop),
        Err(Stopped::Skipped(why)) => Err(why),
        Err(Stopped::Failed(failure)) => return Err(failure),
    };
    let outcome = tokio::select! {
        outcome = run(target, options, &trust, workshop.as_mut(), progress) => outcome,
        () = cancelled => Err(Refusal::invalid("cancelled", "stopped before the end").into()),
    };
    let mut left_behind = None;
    if let Ok(Workshop { control, temporary }) = &mut workshop
        && let Err(failure) = temporary.disable(control).await
    {
        let id = &temporary.id;
        let warning = format!(
            "the temporary client {id} could not be switched off ({failure}): run `portcullis client disable {id}`; \
             its credentials end within the hour"
        );
        progress.warn(&warning);
        left_behind = Some(warning);
    }
    let mut comparison = outcome?;
    comparison.warnings.extend(left_behind);
    Ok(comparison)
}

/// What revocation needs: a way to the admin API, and a client whose credentials may go.
struct Workshop {
    control: ControlPlane,
    temporary: TemporaryClient,
}

/// Why there is no workshop.
enum Stopped {
    /// The comparison goes on without.
    Skipped(String),
    Failed(Failure),
}

async fn open_workshop(target: &Target, options: &Options, trust: &Trust) -> Result<Workshop, Stopped> {
    if options.revocations == 0 {
        return Err(Stopped::Skipped("--no-revoke was given".to_owned()));
    }
    let Some(access) = &target.admin else {
        return Err(Stopped::Skipped(
            "no administrator's certificate is at hand: give --data DIR, or --admin URL with --certificate and --key"
                .to_owned(),
        ));
    };
    let Some(like) = &target.client else {
        return Err(Stopped::Skipped("it is not known which client to be like: give --client-id".to_owned()));
    };
    let can_do_without = target.own.identity.is_some() || target.own.api_key.is_some() || target.own.secret.is_some();
    let stopped = |failure: Failure| {
        if can_do_without { Stopped::Skipped(failure.to_string()) } else { Stopped::Failed(failure) }
    };
    let mut control = ControlPlane::new(access, trust).map_err(|refusal| stopped(refusal.into()))?;
    let mut temporary = TemporaryClient::create(&mut control, like).await.map_err(stopped)?;
    if let Err(failure) = temporary.equip(&mut control).await {
        // Without credentials it can do nothing, but it is ours to clear away.
        let _ = temporary.disable(&mut control).await;
        return Err(stopped(failure));
    }
    Ok(Workshop { control, temporary })
}

async fn run(
    target: &Target,
    options: &Options,
    trust: &Trust,
    mut workshop: Result<&mut Workshop, &mut String>,
    progress: &dyn Progress,
) -> Result<Comparison, Failure> {
    let load_before = server_process::load_average();
    let (credentials, client, is_temporary) = match &workshop {
        Ok(workshop) if !target.own_are_meant => {
            (workshop.temporary.credentials.clone(), Some(workshop.temporary.id.clone()), true)
        }
        _ => (target.own.clone(), target.client.clone(), false),
    };
    if credentials.identity.is_none() && credentials.api_key.is_none() && credentials.secret.is_none() {
        let message = "there is no credential to compare: give --data DIR of a demo, or --client-certificate with \
                       --client-key, --api-key-file, or --client-id with --client-secret-file";
        return Err(Refusal::invalid("nothing_to_compare", message).into());
    }
    let mut facts = Facts::of_own(target);
    if let Ok(workshop) = &mut workshop {
        facts.ask_for_key(&mut workshop.control, target).await;
    }
    let mut reports = measured(target, options, trust, &credentials, &facts, progress).await;
    let tls = reports.iter_mut().find_map(|(_, agreed)| agreed.take());
    let mut methods: Vec<MethodReport> = reports.into_iter().map(|(report, _)| report).collect();
    let revocation_skipped = match workshop {
        Ok(workshop) => {
            progress.begin("revocations", (options.revocations * methods.len()) as u64);
            for (method, report) in Method::ALL.into_iter().zip(&mut methods) {
                if report.unavailable.is_none() || target.own_are_meant {
                    report.revocation = Some(revoked(method, target, options, trust, workshop, progress).await);
                }
            }
            None
        }
        Err(why) => Some(why.clone()),
    };
    Ok(Comparison {
        url: target.route.url.clone(),
        client,
        client_is_temporary: is_temporary,
        tls,
        server_cpu_is_known: methods.iter().any(|report| report.server_cpu.first_call_us.is_some()),
        load_average: [load_before, server_process::load_average()],
        methods,
        revocation_skipped,
        warnings: Vec::new(),
    })
}

/// Every method, in the order of [`Method::ALL`], whether it works there or not.
async fn measured(
    target: &Target,
    options: &Options,
    trust: &Trust,
    credentials: &Credentials,
    facts: &Facts,
    progress: &dyn Progress,
) -> Vec<(MethodReport, Option<Agreed>)> {
    let (mut rows, mut reasons) = (Vec::new(), Vec::new());
    for method in Method::ALL {
        match Row::prepare(method, target, trust, credentials).await {
            Ok(row) => rows.push(row),
            Err(why) => reasons.push((method, why)),
        }
    }
    let mut results = measure::measure(&mut rows, options, progress).await;
    let mut reports = Vec::new();
    for method in Method::ALL {
        let mut properties = facts.properties(method);
        let measured = match rows.iter().position(|row| row.method == method) {
            Some(index) => {
                let row = &rows[index];
                let measured = std::mem::take(&mut results[index]);
                if measured.failed.is_none() {
                    properties.replayed = properties::replay(row).await;
                }
                properties.token_lifetime_seconds =
                    row.token.as_ref().and_then(|fetched| fetched.token.lifetime_seconds);
                measured
            }
            None => {
                let why = reasons.iter().find(|(missing, _)| *missing == method).map(|(_, why)| why.clone());
                Measured { failed: why, ..Measured::default() }
            }
        };
        let agreed = measured.agreed.clone();
        reports.push((MethodReport::new(method, &measured, properties), agreed));
    }
    reports
}

async fn revoked(
    method: Method,
    target: &Target,
    options: &Options,
    trust: &Trust,
    workshop: &mut Workshop,
    progress: &dyn Progress,
) -> RevocationReport {
    let mut rounds = Vec::with_capacity(options.revocations);
    for _ in 0..options.revocations {
        rounds.push(revocation::round(method, target, trust, &workshop.temporary, &mut workshop.control).await);
        progress.step(1);
    }
    RevocationReport::new(method, &rounds)
}

/// When the user's own credentials end, as far as it can be known.
#[derive(Default)]
struct Facts {
    certificate_ends: Option<i64>,
    /// The inner `None`: never.
    key_ends: Option<Option<i64>>,
}

impl Facts {
    fn of_own(target: &Target) -> Self {
        let certificate = target.own.identity.as_ref().and_then(identity::Identity::certificate);
        Self { certificate_ends: certificate.map(|certificate| certificate.not_after), key_ends: None }
    }

    /// The second part of a key, `pc_<environment>_<id>_<secret>`, names it; it is public.
    async fn ask_for_key(&mut self, control: &mut ControlPlane, target: &Target) {
        let (Some(key), Some(client)) = (&target.own.api_key, &target.client) else { return };
        let Some(id) = key.expose_secret().split('_').nth(2) else { return };
        let Ok(keys) = control.get(&format!("/v1/api-keys?client={client}&limit=1000")).await else { return };
        let items = keys.get("items").and_then(Value::as_array).into_iter().flatten();
        let found = items.into_iter().find(|item| item.get("id").and_then(Value::as_str) == Some(id));
        self.key_ends = found.map(|key| key.get("expires_at").and_then(Value::as_i64));
    }

    fn properties(&self, method: Method) -> Properties {
        let mut properties = Properties::of(method);
        let ends = match method {
            Method::MutualTls => self.certificate_ends.map(Some),
            Method::ApiKey => self.key_ends,
            Method::ApiKeyWithCertificate => match (self.certificate_ends, self.key_ends) {
                (Some(certificate), Some(key)) => Some(Some(key.map_or(certificate, |key| key.min(certificate)))),
                _ => None,
            },
            Method::Bearer | Method::BoundToken => None,
        };
        properties.expiry_is_known = ends.is_some();
        properties.expires_at = ends.flatten();
        properties
    }
}
