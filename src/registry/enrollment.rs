//! Enrolments: a one-time token that lets a partner send a certificate request, so that no private key travels. Made, shown,
//! denied and cancelled here; what a token is good for, `authority` decides.

use pki::{KeyAlgorithm, Profile, ProfileKind};
use policies::UnixSeconds;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

pub use self::token::PresentedToken;

use self::token::MintedToken;
use super::{Actor, Registry, bounds, check_narrowing, client};
use crate::failure::{Failure, Refusal};
use crate::store::Read;
use crate::store::enrollment::{self, EnrollmentFilter, EnrollmentRow, EnrollmentState};

mod token;

/// How long a token may be used when nothing is said.
pub const TOKEN_TTL_SECONDS_DEFAULT: i64 = 86_400;
/// And at most: what lies longer in a mailbox is found there.
pub const TOKEN_TTL_SECONDS_MAX: i64 = 30 * 86_400;
/// How long a request is kept open for a decision, and its answer for the partner, even if the token has ended meanwhile.
pub const ANSWER_SECONDS_MAX: i64 = 14 * 86_400;
/// Tokens of one client that could be used at once. More is a program that makes tokens in a loop.
pub const OPEN_ENROLLMENTS_MAX: u32 = 20;
/// The only profile that partners' certificates have.
pub const PROFILE: &str = ProfileKind::Client.as_str();

/// What an enrolment is to allow.
#[derive(Clone, Debug, Default)]
pub struct NewEnrollment {
    pub client: String,
    /// How long the token may be used; `None`: [`TOKEN_TTL_SECONDS_DEFAULT`].
    pub ttl_seconds: Option<i64>,
    /// Whether a second person must agree before anything is issued.
    pub needs_approval: bool,
    /// `None`: [`PROFILE`].
    pub profile: Option<String>,
    /// The kinds of keys that are taken; `None`: all that the profile allows.
    pub key_algorithms: Option<Vec<KeyAlgorithm>>,
    /// Of the certificate; `None`: as the profile says.
    pub lifetime_seconds: Option<u32>,
    /// What the certificate is narrowed to, as in an issuance by hand.
    pub scopes: Option<Vec<String>>,
    pub networks: Option<Vec<String>>,
    /// For people.
    pub remark: Option<String>,
}

/// An enrolment, as people see it. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Enrollment)]
pub struct EnrollmentView {
    pub id: String,
    pub client: String,
    /// `open`, `pending` (a second person must decide), `approved`, `signing`, `issued`, `denied`, `cancelled` or `expired`.
    pub status: &'static str,
    pub needs_approval: bool,
    pub profile: String,
    /// The kinds of keys that are taken; null: all that the profile allows.
    pub key_algorithms: Option<Vec<String>>,
    /// Of the certificate; null: as the profile says.
    pub lifetime_seconds: Option<i64>,
    pub scopes: Option<Vec<String>>,
    pub networks: Option<Vec<String>>,
    pub remark: Option<String>,
    pub created_by: String,
    pub created_at: i64,
    /// Until then a request may come.
    pub expires_at: i64,
    /// When the request came, from where, and with which key.
    pub requested_at: Option<i64>,
    pub source: Option<String>,
    pub key_algorithm: Option<String>,
    /// SHA-256 of the request's public key: compare it with the partner's before you approve.
    pub spki_fingerprint: Option<String>,
    pub decided_by: Option<String>,
    pub decided_at: Option<i64>,
    /// What the one who decided said.
    pub decision: Option<String>,
    /// The certificate, from `signing` on.
    pub issuer: Option<String>,
    pub certificate: Option<String>,
    /// When the token first came with another key than that of its request: somebody else may have it.
    pub misused_at: Option<i64>,
}

/// An enrolment that was just made. The token is nowhere else.
#[derive(Debug)]
pub struct CreatedEnrollment {
    pub view: EnrollmentView,
    pub token: SecretString,
}

impl EnrollmentRow {
    /// Whether it is over without having ended: no request came in time, or nobody decided.
    pub fn expired_at(&self, now: UnixSeconds) -> bool {
        now.0 >= self.answerable_until()
    }

    /// Until when the token gets an answer.
    pub fn answerable_until(&self) -> i64 {
        self.requested_at.map_or(self.expires_at, |at| self.expires_at.max(at.saturating_add(ANSWER_SECONDS_MAX)))
    }
}

impl EnrollmentView {
    pub(crate) fn new(row: EnrollmentRow, now: UnixSeconds) -> Self {
        let over = matches!(row.state, EnrollmentState::Issued | EnrollmentState::Denied | EnrollmentState::Cancelled);
        Self {
            status: if !over && row.expired_at(now) { "expired" } else { row.state.as_str() },
            id: row.id,
            client: row.client_id,
            needs_approval: row.needs_approval,
            profile: row.profile,
            key_algorithms: row.key_algorithms,
            lifetime_seconds: row.lifetime_seconds,
            scopes: row.scopes,
            networks: row.networks,
            remark: row.remark,
            created_by: row.created_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            requested_at: row.requested_at,
            source: row.source,
            key_algorithm: row.key_algorithm,
            spki_fingerprint: row.spki_fingerprint,
            decided_by: row.decided_by,
            decided_at: row.decided_at,
            decision: row.decision,
            issuer: row.issuer_key_id,
            certificate: row.serial,
            misused_at: row.misused_at,
        }
    }
}

impl Registry {
    /// Makes a token for one client.
    ///
    /// # Errors
    /// `client_not_found`, `client_disabled`; `scope_not_granted`, `unknown_network`; `unknown_profile`, `key_not_allowed`,
    /// `lifetime_too_long`; `invalid_token_lifetime`; `too_many_enrollments`.
    pub async fn create_enrollment(&self, actor: &Actor, new: NewEnrollment) -> Result<CreatedEnrollment, Failure> {
        bounds::optional_line("remark", new.remark.as_deref(), bounds::REMARK_CHARS_MAX)?;
        let now = self.clock.now();
        let ttl_seconds = new.ttl_seconds.unwrap_or(TOKEN_TTL_SECONDS_DEFAULT);
        if !(1..=TOKEN_TTL_SECONDS_MAX).contains(&ttl_seconds) {
            let message = "A token can be used for at least a second and at most 30 days.";
            return Err(Refusal::invalid("invalid_token_lifetime", message).into());
        }
        let profile = new.profile.unwrap_or_else(|| PROFILE.to_owned());
        check_profile(&profile, new.key_algorithms.as_deref(), new.lifetime_seconds)?;
        let (mut tx, policy) = self.begin().await?;
        let client = client::found(&mut tx, &new.client).await?;
        if !client.in_force() {
            let message = format!("The client {} is disabled. Enable it first.", client.id);
            return Err(Refusal::conflict("client_disabled", message).into());
        }
        check_narrowing(&policy, &client, new.scopes.as_deref(), new.networks.as_deref())?;
        if enrollment::count_open(&mut tx, &client.id, now).await? >= i64::from(OPEN_ENROLLMENTS_MAX) {
            let message = format!("{} has {OPEN_ENROLLMENTS_MAX} open enrolments. Cancel some first.", client.id);
            return Err(Refusal::conflict("too_many_enrollments", message).into());
        }
        let minted = MintedToken::random(&self.environment, &self.pepper)?;
        let row = EnrollmentRow {
            id: minted.id,
            client_id: client.id,
            hmac: minted.hmac.to_vec(),
            profile,
            key_algorithms: new.key_algorithms.map(|kinds| kinds.iter().map(ToString::to_string).collect()),
            lifetime_seconds: new.lifetime_seconds.map(i64::from),
            scopes: new.scopes,
            networks: new.networks,
            remark: new.remark,
            needs_approval: new.needs_approval,
            state: EnrollmentState::Open,
            created_by: actor.name.clone(),
            created_at: now.0,
            expires_at: now.plus(ttl_seconds).0,
            key_algorithm: None,
            spki_fingerprint: None,
            source: None,
            requested_at: None,
            decided_by: None,
            decided_at: None,
            decision: None,
            issuer_key_id: None,
            serial: None,
            misused_at: None,
        };
        enrollment::insert(&mut tx, &row).await?;
        let detail = json!({
            "client": row.client_id, "expires_at": row.expires_at, "needs_approval": row.needs_approval,
            "key_algorithms": row.key_algorithms, "lifetime_seconds": row.lifetime_seconds, "scopes": row.scopes,
            "networks": row.networks,
        });
        actor.record(&mut tx, &self.clock, "enrollment.create", &row.id, &detail).await?;
        self.commit(tx).await?;
        Ok(CreatedEnrollment { view: EnrollmentView::new(row, now), token: minted.text })
    }

    /// Enrolments, newest first.
    pub async fn enrollments(&self, filter: &EnrollmentFilter) -> Result<Vec<EnrollmentView>, Failure> {
        let now = self.clock.now();
        let rows = enrollment::list(&self.store, filter).await?;
        Ok(rows.into_iter().map(|row| EnrollmentView::new(row, now)).collect())
    }

    /// The enrolment `id`.
    ///
    /// # Errors
    /// `enrollment_not_found`.
    pub async fn enrollment(&self, id: &str) -> Result<EnrollmentView, Failure> {
        Ok(EnrollmentView::new(found(&self.store, id).await?, self.clock.now()))
    }

    /// Turns a waiting request down. Whoever may create enrolments may do that, the creator too: it gives nobody anything.
    ///
    /// # Errors
    /// `enrollment_not_found`; `enrollment_not_pending`.
    pub async fn deny_enrollment(&self, actor: &Actor, id: &str, reason: &str) -> Result<EnrollmentView, Failure> {
        bounds::line("reason", reason, bounds::REMARK_CHARS_MAX)?;
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let row = found(&mut tx, id).await?;
        if row.state != EnrollmentState::Pending {
            return Err(not_pending(&row, now).into());
        }
        let (from, to) = (row.state, EnrollmentState::Denied);
        enrollment::decide(&mut tx, id, from, to, &actor.name, Some(reason), now).await?;
        let detail = json!({ "client": row.client_id, "reason": reason, "spki_fingerprint": row.spki_fingerprint });
        actor.record(&mut tx, &self.clock, "enrollment.deny", id, &detail).await?;
        let row = found(&mut tx, id).await?;
        self.commit(tx).await?;
        Ok(EnrollmentView::new(row, now))
    }

    /// Takes a token back before anything was issued with it. Again: nothing.
    ///
    /// # Errors
    /// `enrollment_not_found`; `enrollment_over` when a certificate was issued (revoke that) or a request was denied.
    pub async fn cancel_enrollment(&self, actor: &Actor, id: &str) -> Result<EnrollmentView, Failure> {
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let row = found(&mut tx, id).await?;
        match row.state {
            EnrollmentState::Cancelled => return Ok(EnrollmentView::new(row, now)),
            EnrollmentState::Open | EnrollmentState::Pending | EnrollmentState::Approved => {}
            EnrollmentState::Signing | EnrollmentState::Issued => {
                let message = "A certificate was issued for this enrolment. Revoke the certificate instead.";
                return Err(Refusal::conflict("enrollment_over", message).into());
            }
            EnrollmentState::Denied => {
                return Err(Refusal::conflict("enrollment_over", "This enrolment was denied already.").into());
            }
        }
        enrollment::decide(&mut tx, id, row.state, EnrollmentState::Cancelled, &actor.name, None, now).await?;
        actor
            .record(
                &mut tx,
                &self.clock,
                "enrollment.cancel",
                id,
                &json!({ "client": row.client_id, "was": row.state.as_str() }),
            )
            .await?;
        let row = found(&mut tx, id).await?;
        self.commit(tx).await?;
        Ok(EnrollmentView::new(row, now))
    }
}

/// The enrolment `id`, or `enrollment_not_found`.
pub(crate) async fn found(from: impl Read, id: &str) -> Result<EnrollmentRow, Failure> {
    let row = enrollment::get(from, id).await?;
    row.ok_or_else(|| Refusal::not_found("enrollment_not_found", format!("There is no enrolment {id:?}.")).into())
}

/// Why there is nothing to decide.
pub(crate) fn not_pending(row: &EnrollmentRow, now: UnixSeconds) -> Refusal {
    let why = match row.state {
        _ if row.expired_at(now) => "it has expired",
        EnrollmentState::Open => "no request has come yet",
        EnrollmentState::Approved => "it is approved already",
        EnrollmentState::Signing | EnrollmentState::Issued => "a certificate was issued already",
        EnrollmentState::Denied => "it was denied",
        EnrollmentState::Cancelled => "it was cancelled",
        EnrollmentState::Pending => "it waits for another decision",
    };
    Refusal::conflict(
        "enrollment_not_pending",
        format!("There is nothing to decide about the enrolment {}: {why}.", row.id),
    )
}

/// What could never be issued is refused before a partner is told to try.
fn check_profile(
    name: &str,
    key_algorithms: Option<&[KeyAlgorithm]>,
    lifetime_seconds: Option<u32>,
) -> Result<(), Refusal> {
    if name != PROFILE {
        let message = format!("There is no profile {name:?} for partners' certificates. There is {PROFILE:?}.");
        return Err(Refusal::invalid("unknown_profile", message));
    }
    let profile = Profile::builtin(ProfileKind::Client);
    if let Some(kinds) = key_algorithms {
        if kinds.is_empty() {
            return Err(Refusal::invalid("list_empty", "The list of key algorithms is empty. Leave it out for all."));
        }
        if let Some(kind) = kinds.iter().find(|kind| !profile.key_algorithms().contains(kind)) {
            return Err(Refusal::invalid("key_not_allowed", format!("The profile {name} has no {kind} keys.")));
        }
    }
    let longest = profile.max_lifetime().whole_seconds();
    match lifetime_seconds.map(i64::from) {
        Some(0) => Err(Refusal::invalid("invalid_lifetime", "The certificate must live for at least a second.")),
        Some(asked) if asked > longest => {
            let message = format!("{asked} seconds were asked for, the profile {name} allows at most {longest}.");
            Err(Refusal::invalid("lifetime_too_long", message))
        }
        _ => Ok(()),
    }
}
