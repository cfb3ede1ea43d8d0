//! Keys that were made elsewhere: they open the door as they are, until they end and their clients have new ones.

use std::collections::HashMap;

use policies::UnixSeconds;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use subtle::ConstantTimeEq;

use super::imported::{IMPORTED_KEY_BYTES_MAX, IMPORTED_KEY_BYTES_MIN, PresentedImportedKey, mac_of_sha256};
use super::presented::PresentedApiKey;
use crate::failure::{Failure, Refusal};
use crate::registry::import::{RowFaults, check_size};
use crate::registry::narrowing::check_narrowing_of;
use crate::registry::{Actor, Expiry, ImportOutcome, ImportTerms, Registry, bounds};
use crate::snapshot::{IMPORTED_ID_PREFIX, PolicyView};
use crate::store::api_key::{self, ApiKeyRow, KeyHash};
use crate::store::import::{self, ImportKind};

/// Of a shorter key not even its end is kept for people to tell it by.
const TOLD_BY_ITS_END_MIN: usize = 20;

/// A key as it is known elsewhere.
#[derive(Debug)]
pub enum ForeignKey {
    /// Its text.
    Text(SecretString),
    /// Its SHA-256: the other place did not keep the text.
    Sha256([u8; 32]),
}

/// A key to bring along.
#[derive(Debug)]
pub struct ImportedApiKey {
    pub client: String,
    pub key: ForeignKey,
    pub name: Option<String>,
    pub expiry: Option<Expiry>,
    /// As with a new key.
    pub scopes: Option<Vec<String>>,
    pub networks: Option<Vec<String>>,
    /// How it ends, of a key that is known by its hash.
    pub last4: Option<String>,
}

impl Registry {
    /// Brings keys along. The same key of the same client is there already and stays as it is, also when it was revoked since.
    ///
    /// # Errors
    /// `import_refused` with every row that is wrong; nothing of the part is then imported.
    pub async fn import_api_keys(
        &self,
        actor: &Actor,
        terms: ImportTerms,
        keys: Vec<ImportedApiKey>,
    ) -> Result<ImportOutcome, Failure> {
        check_size(keys.len())?;
        let now = self.clock.now();
        let (mut tx, view) = self.begin().await?;
        let (mut rows, mut faults) = (Vec::with_capacity(keys.len()), RowFaults::default());
        let (mut seen, mut unchanged) = (HashMap::with_capacity(keys.len()), 0);
        for (number, key) in (terms.first_row..).zip(keys) {
            let row = match self.imported_row(&view, key, now) {
                Ok(row) => row,
                Err(refusal) => {
                    faults.note(number, &refusal.to_string());
                    continue;
                }
            };
            let Ok(hmac) = <[u8; 32]>::try_from(row.hmac.as_slice()) else { continue };
            let standing = self.snapshot.imported_api_key(&hmac).map(|entry| entry.client.to_string());
            let standing = standing.or_else(|| seen.insert(hmac, row.client_id.clone()));
            match standing {
                None => rows.push(row),
                Some(client) if client == row.client_id => unchanged += 1,
                Some(client) => faults.note(number, &format!("the client {client} has this very key")),
            }
        }
        faults.check()?;
        let outcome = ImportOutcome { imported: rows.len(), unchanged };
        if terms.check_only || rows.is_empty() {
            return Ok(outcome);
        }
        let import_id = import::insert(&mut tx, ImportKind::ApiKey, rows.len(), &actor.name, now).await?;
        for (index, row) in rows.iter_mut().enumerate() {
            row.id = format!("{IMPORTED_ID_PREFIX}{import_id}-{index}");
            row.import_id = Some(import_id);
        }
        api_key::insert_import(&mut tx, &rows, import_id, now).await?;
        let detail = json!({ "keys": outcome.imported, "unchanged": outcome.unchanged });
        actor.record(&mut tx, &self.clock, "api-key.import", &import_id.to_string(), &detail).await?;
        self.commit(tx).await?;
        Ok(outcome)
    }

    fn imported_row(&self, view: &PolicyView, key: ImportedApiKey, now: UnixSeconds) -> Result<ApiKeyRow, Refusal> {
        bounds::optional_line("name", key.name.as_deref(), bounds::NAME_CHARS_MAX)?;
        let entry = view
            .client(&key.client)
            .ok_or_else(|| Refusal::not_found("client_not_found", format!("There is no client {:?}.", key.client)))?;
        check_narrowing_of(
            view,
            &entry.client.id,
            &entry.client.scopes,
            key.scopes.as_deref(),
            key.networks.as_deref(),
        )?;
        let expires_at = self.keys.end_of_imported(key.expiry, now)?;
        let (hmac, hash_algorithm, last4) = match &key.key {
            ForeignKey::Text(text) => {
                let text = text.expose_secret();
                (self.imported_mac(text)?, KeyHash::Hmac, end_of(text))
            }
            ForeignKey::Sha256(hash) => {
                (mac_of_sha256(&self.pepper, hash), KeyHash::Sha256, key.last4.unwrap_or_default())
            }
        };
        let is_good = last4.len() == 4 && last4.bytes().all(|byte| byte.is_ascii_graphic());
        if !last4.is_empty() && !is_good {
            return Err(Refusal::invalid("invalid_last4", "The last four characters are not four visible ones."));
        }
        Ok(ApiKeyRow {
            // Given when all rows of the part are known.
            id: String::new(),
            client_id: key.client,
            name: key.name,
            prefix: String::new(),
            last4,
            hmac: hmac.to_vec(),
            hash_algorithm,
            import_id: None,
            scopes: key.scopes,
            networks: key.networks,
            created_at: now.0,
            expires_at: expires_at.map(|instant| instant.0),
            revoked_at: None,
            revocation_reason: None,
            replaced_by: None,
        })
    }

    fn imported_mac(&self, text: &str) -> Result<[u8; 32], Refusal> {
        let presented = PresentedImportedKey::parse(text).ok_or_else(|| {
            let message = format!(
                "A key is {IMPORTED_KEY_BYTES_MIN} to {IMPORTED_KEY_BYTES_MAX} visible ASCII characters; this one is not."
            );
            Refusal::invalid("invalid_key", message)
        })?;
        // It would open the door twice, and be revoked once.
        let ours = PresentedApiKey::parse(text).and_then(|ours| {
            let entry = self.snapshot.api_key(ours.id())?;
            bool::from(entry.hmac.ct_eq(&ours.mac(&self.pepper))).then_some(entry.id)
        });
        if let Some(id) = ours {
            return Err(Refusal::conflict("key_is_ours", format!("This is the key {id}, which was made here.")));
        }
        Ok(presented.mac(&self.pepper))
    }
}

/// The last four characters of a key that is long enough to spare them.
fn end_of(text: &str) -> String {
    if text.len() < TOLD_BY_ITS_END_MIN { String::new() } else { text[text.len() - 4..].to_owned() }
}
