//! What a rotation did, or would do.

use serde::Serialize;
use utoipa::ToSchema;

use super::dependents::{DependentClient, Dependents};
use super::{Generations, IssuerKind, IssuerState};
use crate::store::issuer::IssuerRow;

/// A step of a rotation, and who depends on the authority that goes. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Rotation {
    /// `root`, `issuing` or `server-issuing`.
    pub kind: &'static str,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// What was done, or would be.
    pub steps: Vec<RotationStep>,
    /// A request (PKCS#10) that the root's ceremony must certify before the rotation can go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_pem: Option<String>,
    /// SHA-256 of the key in it, as the ceremony shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_spki_sha256: Option<String>,
    /// Key id of the authority that goes in the end: the oldest retiring one, or the active one.
    pub old: String,
    pub old_subject: String,
    /// The last second of the last live certificate that depends on it; absent when there is none.
    pub overlap_until: Option<i64>,
    /// Who has live certificates of it: those that would break if it went now, first. At most 1000.
    pub clients: Vec<DependentClient>,
    /// How many of all clients would break.
    pub would_break: usize,
    /// What else stands on it: authorities below a root, the gate's own certificate.
    pub blockers: Vec<String>,
    /// Connections that were closed.
    pub connections_closed: usize,
    /// What to do next, for people.
    pub next: String,
}

/// One step.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RotationStep {
    /// `request`, `prepare`, `trust`, `activate` or `remove`.
    pub step: &'static str,
    /// The authority that moved; absent of what is only planned.
    pub issuer: Option<String>,
    pub subject: Option<String>,
}

impl RotationStep {
    pub(super) fn planned(step: &'static str) -> Self {
        Self { step, issuer: None, subject: None }
    }

    pub(super) fn done(step: &'static str, row: &IssuerRow) -> Self {
        Self { step, issuer: Some(row.key_id.clone()), subject: Some(row.subject.clone()) }
    }
}

impl Rotation {
    pub(super) fn new(kind: IssuerKind, dry_run: bool, old: &IssuerRow, dependents: &Dependents) -> Self {
        Self {
            kind: kind.as_str(),
            dry_run,
            steps: Vec::new(),
            request_pem: None,
            request_spki_sha256: None,
            old: old.key_id.clone(),
            old_subject: old.subject.clone(),
            overlap_until: dependents.until,
            clients: dependents.shown(),
            would_break: dependents.would_break(),
            blockers: dependents.blockers.clone(),
            connections_closed: 0,
            next: String::new(),
        }
    }
}

pub(super) fn to_be_certified(kind: IssuerKind) -> String {
    let kind = kind.as_str();
    format!(
        "Let the root sign the request (`portcullis ca ceremony sign-issuing --kind {kind}`), then bring the certificate: \
         `portcullis ca rotate {kind} --next FILE`."
    )
}

pub(super) fn advice(generations: &Generations, dependents: &Dependents) -> String {
    let kind = generations.active.kind.as_str();
    let again = format!("`portcullis ca rotate {kind}`");
    match (&generations.next, generations.retiring.first()) {
        (Some(next), _) if next.state == IssuerState::Prepared => {
            format!("{again} hands {} out: it becomes trusted, and issues nothing yet.", next.subject)
        }
        (Some(next), _) if next.kind == IssuerKind::Root => format!(
            "Give partners the new `ca.pem`, which holds both roots. When they have it, {again} makes {} the root of new \
             authorities.",
            next.subject
        ),
        (Some(next), _) => format!("{again} makes {} the one that issues.", next.subject),
        (None, Some(old)) if dependents.would_break() > 0 || !dependents.blockers.is_empty() => {
            format!("{} stays trusted until nothing stands on it: {again} --dry-run tells who does.", old.subject)
        }
        (None, Some(old)) => format!("Nothing stands on {} any more: {again} removes it.", old.subject),
        (None, None) => format!("{again} prepares the next generation."),
    }
}
