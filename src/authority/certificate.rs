//! A certificate as it is shown, and the ways to name one.

use std::fmt;
use std::str::FromStr;

use pki::{KeyId, Serial, Thumbprint};
use policies::UnixSeconds;
use serde::Serialize;
use utoipa::ToSchema;

use super::Authority;
use crate::failure::{Failure, Fault, Refusal};
use crate::store;
use crate::store::certificate::{CertificateRow, CertificateState};
use crate::store::sighting::{SightingKind, SightingRow};

/// A certificate, as it is shown. Times are seconds since the Unix epoch, ids are lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Certificate)]
pub struct CertificateView {
    /// The serial number.
    pub id: String,
    /// The key id of the authority that issued it.
    pub issuer: String,
    /// `client`, or `server` for the gate's own.
    pub kind: &'static str,
    pub client: Option<String>,
    pub partner: Option<String>,
    /// For people: the row decides whom a certificate stands for.
    pub subject: String,
    /// `ecdsa-p256`, `rsa-3072`, …; absent where it was not written down.
    pub key_algorithm: Option<String>,
    pub state: CertificateStatus,
    /// The first second of validity.
    pub not_before: i64,
    /// The last second of validity.
    pub not_after: i64,
    pub created_at: i64,
    /// SHA-256 of the DER; absent until issued.
    pub thumbprint: Option<String>,
    /// What it is narrowed to; absent: all that its client may.
    pub scopes: Option<Vec<String>>,
    /// Where it may be used; absent: wherever its client may be.
    pub networks: Option<Vec<String>>,
    /// When it last let somebody in, to the minute; absent: it never did.
    pub last_seen_at: Option<i64>,
    /// From which address.
    pub last_seen_source: Option<String>,
    /// On which route.
    pub last_seen_route: Option<String>,
    pub revoked_at: Option<i64>,
    /// RFC 5280 §5.3.1, kebab-case.
    pub reason: Option<String>,
    /// Only where one certificate is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pem: Option<String>,
}

/// Where in its life a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateStatus {
    /// Its serial is taken, it is not signed yet.
    Reserved,
    /// Good, or not yet valid by some minutes.
    Issued,
    /// Its issuance broke off: it was given to nobody and is never accepted.
    Orphaned,
    Revoked,
    Expired,
}

impl CertificateStatus {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Reserved, Self::Issued, Self::Orphaned, Self::Revoked, Self::Expired];

    /// The kebab-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Issued => "issued",
            Self::Orphaned => "orphaned",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }

    fn of(row: &CertificateRow, now: UnixSeconds) -> Self {
        match row.state {
            _ if row.revoked_at.is_some() => Self::Revoked,
            CertificateState::Reserved => Self::Reserved,
            CertificateState::Orphaned => Self::Orphaned,
            CertificateState::Issued if row.not_after < now.0 => Self::Expired,
            CertificateState::Issued => Self::Issued,
        }
    }
}

impl fmt::Display for CertificateStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for CertificateStatus {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            Refusal::invalid("unknown_state", format!("There is no such state of a certificate. There are {known}."))
        })
    }
}

/// How people name one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateName {
    /// `<serial>`, or `<issuer key id>/<serial>` where two authorities used one serial.
    Serial { issuer: Option<KeyId>, serial: Serial },
    /// SHA-256 of the DER: 64 digits, which no serial has.
    Thumbprint(Thumbprint),
}

impl FromStr for CertificateName {
    type Err = Refusal;

    /// Hex in any case, with or without colons.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let text = text.trim();
        if let Ok(thumbprint) = text.parse() {
            return Ok(Self::Thumbprint(thumbprint));
        }
        let refuse = |error: pki::Error| Refusal::invalid(error.code(), super::sentence(&error));
        let (issuer, serial) = match text.split_once('/') {
            Some((issuer, serial)) => (Some(issuer.parse().map_err(refuse)?), serial),
            None => (None, text),
        };
        Ok(Self::Serial { issuer, serial: serial.parse().map_err(refuse)? })
    }
}

impl Authority {
    /// One certificate, with its PEM where it was signed.
    ///
    /// # Errors
    /// `certificate_not_found`; `certificate_ambiguous` with the choices when several authorities used the serial.
    pub async fn show(&self, name: &CertificateName) -> Result<CertificateView, Failure> {
        let row = one(self.find(&self.inner.store, name).await?)?;
        let der = store::certificate::der(&self.inner.store, &row.issuer_key_id, &row.serial).await?;
        let id = store::certificate::change_key(&row.issuer_key_id, &row.serial);
        let seen = store::sighting::get(&self.inner.store, SightingKind::Certificate, &id).await?;
        Ok(CertificateView { pem: der.as_deref().map(pki::pem_certificate), ..self.view(row).last_seen(seen) })
    }

    /// Every certificate of that name.
    pub(super) async fn find(
        &self,
        from: impl store::Read,
        name: &CertificateName,
    ) -> Result<Vec<CertificateRow>, Fault> {
        match name {
            CertificateName::Serial { issuer: Some(issuer), serial } => {
                let row = store::certificate::get(from, &issuer.to_string(), &serial.to_string()).await?;
                Ok(row.into_iter().collect())
            }
            CertificateName::Serial { issuer: None, serial } => {
                store::certificate::find_by_serial(from, &serial.to_string()).await
            }
            CertificateName::Thumbprint(thumbprint) => {
                let row = store::certificate::find_by_thumbprint(from, &thumbprint.to_string()).await?;
                Ok(row.into_iter().collect())
            }
        }
    }

    pub(super) fn view(&self, row: CertificateRow) -> CertificateView {
        let client = row.client_id.as_deref().and_then(|id| self.inner.snapshot.policy().client(id));
        CertificateView {
            state: CertificateStatus::of(&row, self.inner.clock.now()),
            id: row.serial,
            issuer: row.issuer_key_id,
            kind: row.kind.as_str(),
            partner: client.map(|entry| entry.client.partner.to_string()),
            client: row.client_id,
            subject: row.subject,
            key_algorithm: row.key_algorithm,
            not_before: row.not_before,
            not_after: row.not_after,
            created_at: row.created_at,
            thumbprint: row.thumbprint,
            scopes: row.scopes,
            networks: row.networks,
            last_seen_at: None,
            last_seen_source: None,
            last_seen_route: None,
            revoked_at: row.revoked_at,
            reason: row.revocation_reason,
            pem: None,
        }
    }
}

impl CertificateView {
    pub(super) fn last_seen(mut self, seen: Option<SightingRow>) -> Self {
        if let Some(seen) = seen {
            self.last_seen_at = Some(seen.last_seen_at);
            self.last_seen_source = Some(seen.source);
            self.last_seen_route = seen.route;
        }
        self
    }
}

/// Exactly one, or a refusal that says how to name one.
pub(super) fn one(mut rows: Vec<CertificateRow>) -> Result<CertificateRow, Refusal> {
    match (rows.pop(), rows.is_empty()) {
        (Some(row), true) => Ok(row),
        (None, _) => {
            Err(Refusal::not_found("certificate_not_found", "There is no certificate of that serial or thumbprint."))
        }
        (Some(last), false) => {
            let choices =
                rows.iter().chain([&last]).map(|row| format!("{}/{}", row.issuer_key_id, row.serial)).collect();
            let message = "Several authorities used this serial. Name one as <issuer>/<serial>.";
            Err(Refusal::conflict("certificate_ambiguous", message).with_details(choices))
        }
    }
}
