//! Client secrets for the token endpoint (RFC 6749 §2.3.1): two may live at once, as in Cognito, so that one can be replaced
//! while the other is in use.

use policies::UnixSeconds;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{Actor, Expiry, Pepper, Registry, base62, bounds, check_narrowing, client};
use crate::failure::{Failure, Fault, Refusal};
use crate::store::Page;
use crate::store::client_secret::{self, ClientSecretRow};
use crate::store::sighting::{self, SightingKind};

pub use self::import::ImportedClientSecret;

mod import;

/// Live secrets of one client.
pub const LIVE_SECRETS_MAX: usize = 2;
/// Characters of a secret that is made here: 285 bits.
const SECRET_CHARS: usize = 48;
/// Characters of a secret that is brought along (Cognito's bounds).
const OWN_SECRET_CHARS: std::ops::RangeInclusive<usize> = 24..=64;
/// Characters of a secret's id.
const ID_CHARS: usize = 16;
/// Keeps the HMACs of client secrets apart from those of other secrets.
const DOMAIN: &str = "client-secret";

/// What must equal a stored HMAC, in constant time. Compute it for unknown clients too, so that the time taken does not say
/// which clients exist.
pub fn mac(pepper: &Pepper, presented: &str) -> [u8; 32] {
    pepper.hmac(DOMAIN, presented.as_bytes())
}

/// What a new secret is to be.
#[derive(Debug, Default)]
pub struct NewClientSecret {
    pub client: String,
    pub name: Option<String>,
    /// `None`: it never ends by itself.
    pub expiry: Option<Expiry>,
    /// Network names or CIDRs that it may be used from; `None`: wherever its client may call from.
    pub networks: Option<Vec<String>>,
    /// A secret that the partner has already, 24 to 64 of `[A-Za-z0-9_+]`; `None`: one is made.
    pub value: Option<SecretString>,
}

/// A secret, as people see it. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ClientSecret)]
pub struct ClientSecretView {
    pub id: String,
    pub client: String,
    pub name: Option<String>,
    pub last4: String,
    /// `active`, `expired` or `revoked`.
    pub status: &'static str,
    /// Networks or CIDRs that it may be used from, besides being one of the client's; absent: not narrowed.
    pub networks: Option<Vec<String>>,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    /// When the token endpoint last took it, to the minute; absent: it never did.
    pub last_seen_at: Option<i64>,
    /// From which address.
    pub last_seen_source: Option<String>,
    pub revoked_at: Option<i64>,
    pub revocation_reason: Option<String>,
}

/// A secret that was just made. The text is nowhere else.
#[derive(Debug)]
pub struct CreatedClientSecret {
    pub view: ClientSecretView,
    pub secret: SecretString,
}

impl ClientSecretView {
    fn new(row: ClientSecretRow, now: UnixSeconds) -> Self {
        let status = match (row.revoked_at, row.live_at(now)) {
            (Some(_), _) => "revoked",
            (None, true) => "active",
            (None, false) => "expired",
        };
        Self {
            id: row.id,
            client: row.client_id,
            name: row.name,
            last4: row.last4,
            status,
            networks: row.networks,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_seen_at: None,
            last_seen_source: None,
            revoked_at: row.revoked_at,
            revocation_reason: row.revocation_reason,
        }
    }
}

impl Registry {
    /// Makes a secret, or takes the one that is brought along.
    pub async fn create_client_secret(
        &self,
        actor: &Actor,
        new: NewClientSecret,
    ) -> Result<CreatedClientSecret, Failure> {
        bounds::optional_line("name", new.name.as_deref(), bounds::NAME_CHARS_MAX)?;
        let now = self.clock.now();
        let expires_at = new.expiry.map(|expiry| expiry.instant(now)).transpose()?;
        let imported = new.value.is_some();
        let secret = match new.value {
            Some(own) => checked(own)?,
            None => SecretString::from(base62::random(SECRET_CHARS)?.as_str()),
        };
        let text = secret.expose_secret();
        let (mut tx, view) = self.begin().await?;
        let client = client::found(&mut tx, &new.client).await?;
        check_narrowing(&view, &client, None, new.networks.as_deref())?;
        let hmac = mac(&self.pepper, text);
        let standing = client_secret::of_client(&mut tx, &client.id).await?;
        if standing.iter().filter(|row| row.live_at(now)).count() >= LIVE_SECRETS_MAX {
            let message = format!("The client {} has {LIVE_SECRETS_MAX} live secrets. Revoke one first.", client.id);
            return Err(Refusal::conflict("too_many_secrets", message).into());
        }
        if standing.iter().any(|row| row.hmac == hmac) {
            // A revoked secret that comes back would be revoked in name only.
            let message = "The client has, or had, this very secret. Take another one.";
            return Err(Refusal::conflict("secret_used_before", message).into());
        }
        let row = ClientSecretRow {
            id: base62::random(ID_CHARS)?.to_string(),
            client_id: client.id,
            name: new.name,
            last4: text[text.len() - 4..].to_owned(),
            hmac: hmac.to_vec(),
            networks: new.networks,
            created_at: now.0,
            expires_at: expires_at.map(|instant| instant.0),
            revoked_at: None,
            revocation_reason: None,
        };
        client_secret::insert(&mut tx, &row, now).await?;
        let detail = json!({
            "client": row.client_id, "name": row.name, "expires_at": row.expires_at, "networks": row.networks,
            "imported": imported,
        });
        actor.record(&mut tx, &self.clock, "client-secret.create", &row.id, &detail).await?;
        self.commit(tx).await?;
        Ok(CreatedClientSecret { view: ClientSecretView::new(row, now), secret })
    }

    /// Every secret of a client, newest first.
    pub async fn client_secrets(&self, client: &str) -> Result<Vec<ClientSecretView>, Failure> {
        let now = self.clock.now();
        let client = client::found(&self.store, client).await?;
        let rows = client_secret::of_client(&self.store, &client.id).await?;
        Ok(self.secrets_shown(rows, now).await?)
    }

    /// Secrets of all clients, newest first.
    pub async fn all_client_secrets(&self, page: Page) -> Result<Vec<ClientSecretView>, Failure> {
        let now = self.clock.now();
        let rows = client_secret::list(&self.store, page).await?;
        Ok(self.secrets_shown(rows, now).await?)
    }

    async fn secrets_shown(
        &self,
        rows: Vec<ClientSecretRow>,
        now: UnixSeconds,
    ) -> Result<Vec<ClientSecretView>, Fault> {
        let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        let mut seen = sighting::of(&self.store, SightingKind::ClientSecret, &ids).await?;
        let show = |row| {
            let mut view = ClientSecretView::new(row, now);
            if let Some(seen) = seen.remove(&view.id) {
                view.last_seen_at = Some(seen.last_seen_at);
                view.last_seen_source = Some(seen.source);
            }
            view
        };
        Ok(rows.into_iter().map(show).collect())
    }

    /// Ends a secret now. Again: nothing, the first instant and reason stand.
    pub async fn revoke_client_secret(
        &self,
        actor: &Actor,
        id: &str,
        reason: &str,
    ) -> Result<ClientSecretView, Failure> {
        bounds::line("reason", reason, bounds::REMARK_CHARS_MAX)?;
        let now = self.clock.now();
        let not_found = || Refusal::not_found("client_secret_not_found", format!("There is no client secret {id:?}."));
        let mut tx = self.store.begin().await?;
        if client_secret::revoke(&mut tx, id, reason, now).await? {
            actor.record(&mut tx, &self.clock, "client-secret.revoke", id, &json!({ "reason": reason })).await?;
        }
        let row = client_secret::get(&mut tx, id).await?.ok_or_else(not_found)?;
        self.commit(tx).await?;
        Ok(ClientSecretView::new(row, now))
    }
}

/// A secret that is brought along. Only characters that mean the same raw and form-encoded: client libraries differ in
/// whether they encode (RFC 6749 §2.3.1).
fn checked(own: SecretString) -> Result<SecretString, Refusal> {
    let text = own.expose_secret();
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+'));
    if !plain || !OWN_SECRET_CHARS.contains(&text.len()) {
        let (least, most) = (OWN_SECRET_CHARS.start(), OWN_SECRET_CHARS.end());
        let message = format!("A secret of your own must be {least} to {most} of the characters A-Z a-z 0-9 _ +.");
        return Err(Refusal::invalid("invalid_secret", message));
    }
    Ok(own)
}
