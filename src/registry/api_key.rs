//! API keys: made once, shown once, narrowed, rotated with a grace period, revoked.

use std::collections::HashMap;

use policies::UnixSeconds;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

pub use self::import::{ForeignKey, ImportedApiKey};
pub use self::imported::PresentedImportedKey;
pub use self::leak::LeakOutcome;
pub use self::presented::PresentedApiKey;

pub(super) use self::presented::is_environment;

use self::presented::MintedApiKey;
use super::{Actor, Expiry, Registry, bounds, check_narrowing, client};
use crate::failure::{Failure, Fault, Refusal};
use crate::store::Read;
use crate::store::api_key::{self, ApiKeyFilter, ApiKeyRow, KeyHash};
use crate::store::sighting::{self, SightingKind, SightingRow};

mod import;
mod imported;
mod leak;
mod presented;

/// Live keys of one client. More is a program that makes keys in a loop.
pub const LIVE_KEYS_MAX: u32 = 100;
/// The longest time that a replaced key still opens the door.
pub const GRACE_SECONDS_MAX: i64 = 90 * 86_400;

/// What a new key is to be.
#[derive(Clone, Debug, Default)]
pub struct NewApiKey {
    pub client: String,
    pub name: Option<String>,
    /// `None`: it never ends by itself.
    pub expiry: Option<Expiry>,
    /// Some of the client's scopes; `None`: all of them, also those it is granted later.
    pub scopes: Option<Vec<String>>,
    /// Network names or CIDRs, beside the client's own; `None`: only the client's own.
    pub networks: Option<Vec<String>>,
}

/// A key, as people see it. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct ApiKeyView {
    pub id: String,
    pub client: String,
    pub name: Option<String>,
    /// `pc_<env>_<id>`: how the key begins. Empty for an imported one.
    pub prefix: String,
    /// How it ends. Empty when that is not known, or too much of the key.
    pub last4: String,
    /// Whether it was made elsewhere and brought along: replace it by one that was made here.
    pub imported: bool,
    /// `hmac`: what is stored comes from the key itself; `sha256`: from its SHA-256.
    pub hash_algorithm: &'static str,
    /// `active`, `rotating` (replaced, in its grace period), `expired` or `revoked`.
    pub status: &'static str,
    pub scopes: Option<Vec<String>>,
    pub networks: Option<Vec<String>>,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    /// When it last let somebody in, to the minute; absent: it never did.
    pub last_seen_at: Option<i64>,
    /// From which address.
    pub last_seen_source: Option<String>,
    /// At which route.
    pub last_seen_route: Option<String>,
    pub revoked_at: Option<i64>,
    pub revocation_reason: Option<String>,
    pub replaced_by: Option<String>,
}

/// A key that was just made. The text is nowhere else.
#[derive(Debug)]
pub struct CreatedApiKey {
    pub view: ApiKeyView,
    pub key: SecretString,
}

impl ApiKeyView {
    fn new(row: ApiKeyRow, now: UnixSeconds) -> Self {
        let status = if row.revoked_at.is_some() {
            "revoked"
        } else if !row.live_at(now) {
            "expired"
        } else if row.replaced_by.is_some() {
            "rotating"
        } else {
            "active"
        };
        Self {
            id: row.id,
            client: row.client_id,
            name: row.name,
            prefix: row.prefix,
            last4: row.last4,
            imported: row.import_id.is_some(),
            hash_algorithm: row.hash_algorithm.as_str(),
            status,
            scopes: row.scopes,
            networks: row.networks,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_seen_at: None,
            last_seen_source: None,
            last_seen_route: None,
            revoked_at: row.revoked_at,
            revocation_reason: row.revocation_reason,
            replaced_by: row.replaced_by,
        }
    }

    fn last_seen(mut self, seen: &mut HashMap<String, SightingRow>) -> Self {
        if let Some(seen) = seen.remove(&self.id) {
            self.last_seen_at = Some(seen.last_seen_at);
            self.last_seen_source = Some(seen.source);
            self.last_seen_route = seen.route;
        }
        self
    }
}

impl Registry {
    /// Makes a key.
    pub async fn create_api_key(&self, actor: &Actor, new: NewApiKey) -> Result<CreatedApiKey, Failure> {
        bounds::optional_line("name", new.name.as_deref(), bounds::NAME_CHARS_MAX)?;
        let now = self.clock.now();
        let expires_at = self.keys.end_of_new(new.expiry, now)?;
        let (mut tx, view) = self.begin().await?;
        let client = client::found(&mut tx, &new.client).await?;
        check_narrowing(&view, &client, new.scopes.as_deref(), new.networks.as_deref())?;
        if api_key::count_live(&mut tx, &client.id, now).await? >= i64::from(LIVE_KEYS_MAX) {
            let message = format!("The client {} has {LIVE_KEYS_MAX} live keys. Revoke some first.", client.id);
            return Err(Refusal::conflict("too_many_keys", message).into());
        }
        let minted = MintedApiKey::random(&self.environment, &self.pepper)?;
        let row = ApiKeyRow {
            id: minted.id,
            client_id: client.id,
            name: new.name,
            prefix: minted.prefix,
            last4: minted.last4,
            hmac: minted.hmac.to_vec(),
            hash_algorithm: KeyHash::Hmac,
            import_id: None,
            scopes: new.scopes,
            networks: new.networks,
            created_at: now.0,
            expires_at: expires_at.map(|instant| instant.0),
            revoked_at: None,
            revocation_reason: None,
            replaced_by: None,
        };
        api_key::insert(&mut tx, &row, now).await?;
        let detail = json!({
            "client": row.client_id, "name": row.name, "expires_at": row.expires_at, "scopes": row.scopes,
            "networks": row.networks,
        });
        actor.record(&mut tx, &self.clock, "api-key.create", &row.id, &detail).await?;
        self.commit(tx).await?;
        Ok(CreatedApiKey { view: ApiKeyView::new(row, now), key: minted.text })
    }

    /// Keys, newest first.
    pub async fn api_keys(&self, filter: &ApiKeyFilter) -> Result<Vec<ApiKeyView>, Failure> {
        let now = self.clock.now();
        let rows = api_key::list(&self.store, filter).await?;
        let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        let mut seen = sighting::of(&self.store, SightingKind::ApiKey, &ids).await?;
        let views = rows.into_iter().map(|row| ApiKeyView::new(row, now));
        Ok(views.map(|view| view.last_seen(&mut seen)).collect())
    }

    /// The key with the public part `id`.
    pub async fn api_key(&self, id: &str) -> Result<ApiKeyView, Failure> {
        let view = ApiKeyView::new(found(&self.store, id).await?, self.clock.now());
        let mut seen = sighting::of(&self.store, SightingKind::ApiKey, std::slice::from_ref(&view.id)).await?;
        Ok(view.last_seen(&mut seen))
    }

    /// Makes a successor with the same name, narrowing and length of life. The old key goes on for `grace_seconds` (0 to
    /// [`GRACE_SECONDS_MAX`]), and in no case longer than it would have.
    pub async fn rotate_api_key(&self, actor: &Actor, id: &str, grace_seconds: i64) -> Result<CreatedApiKey, Failure> {
        if !(0..=GRACE_SECONDS_MAX).contains(&grace_seconds) {
            let message = format!("The grace period must be 0 to {GRACE_SECONDS_MAX} seconds.");
            return Err(Refusal::invalid("invalid_grace", message).into());
        }
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let old = found(&mut tx, id).await?;
        if !old.live_at(now) {
            let message = format!("The key {id} is expired or revoked. Create a new one.");
            return Err(Refusal::conflict("key_not_live", message).into());
        }
        if let Some(successor) = &old.replaced_by {
            let message = format!("The key {id} was replaced by {successor} already. Rotate that one.");
            return Err(Refusal::conflict("key_already_rotated", message).into());
        }
        // Without grace the old one makes room for the new one.
        if grace_seconds > 0 && api_key::count_live(&mut tx, &old.client_id, now).await? >= i64::from(LIVE_KEYS_MAX) {
            let message = format!(
                "The client {} has {LIVE_KEYS_MAX} live keys. Revoke some first, or rotate without grace.",
                old.client_id
            );
            return Err(Refusal::conflict("too_many_keys", message).into());
        }
        let minted = MintedApiKey::random(&self.environment, &self.pepper)?;
        let lifetime_seconds = old.expires_at.map(|end| end.saturating_sub(old.created_at));
        let row = ApiKeyRow {
            id: minted.id,
            prefix: minted.prefix,
            last4: minted.last4,
            hmac: minted.hmac.to_vec(),
            hash_algorithm: KeyHash::Hmac,
            import_id: None,
            created_at: now.0,
            expires_at: self.keys.end_of_successor(lifetime_seconds, now).map(|end| end.0),
            ..old
        };
        api_key::insert(&mut tx, &row, now).await?;
        api_key::replace(&mut tx, id, &row.id, UnixSeconds(now.0.saturating_add(grace_seconds)), now).await?;
        let detail = json!({ "client": row.client_id, "replaced_by": row.id, "grace_seconds": grace_seconds });
        actor.record(&mut tx, &self.clock, "api-key.rotate", id, &detail).await?;
        self.commit(tx).await?;
        Ok(CreatedApiKey { view: ApiKeyView::new(row, now), key: minted.text })
    }

    /// Ends a key now. Again: nothing, the first instant and reason stand.
    pub async fn revoke_api_key(&self, actor: &Actor, id: &str, reason: &str) -> Result<ApiKeyView, Failure> {
        bounds::line("reason", reason, bounds::REMARK_CHARS_MAX)?;
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let row = found(&mut tx, id).await?;
        if api_key::revoke(&mut tx, id, reason, now).await? {
            let detail = json!({ "client": row.client_id, "reason": reason });
            actor.record(&mut tx, &self.clock, "api-key.revoke", id, &detail).await?;
        }
        let row = found(&mut tx, id).await?;
        self.commit(tx).await?;
        Ok(ApiKeyView::new(row, now))
    }
}

async fn found(from: impl Read, id: &str) -> Result<ApiKeyRow, Failure> {
    let row = api_key::get(from, id).await?;
    row.ok_or_else(|| Refusal::not_found("api_key_not_found", format!("There is no API key {id:?}.")).into())
}

/// Whether `text` can be the `<env>` of keys: `[a-z0-9]{1,16}`.
///
/// # Errors
/// A fault that says so, for the configuration to report at start.
pub fn check_environment(text: &str) -> Result<(), Fault> {
    if is_environment(text) {
        return Ok(());
    }
    Err(Fault::new(format!("the environment {text:?} must be 1 to 16 lower-case letters and digits")))
}

#[cfg(test)]
mod tests;
