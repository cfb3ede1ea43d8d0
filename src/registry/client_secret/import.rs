//! Secrets that clients use already with another authorization server.

use std::collections::HashMap;

use policies::UnixSeconds;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{ID_CHARS, LIVE_SECRETS_MAX, mac};
use crate::failure::{Failure, Refusal};
use crate::registry::import::{RowFaults, check_size};
use crate::registry::{Actor, Expiry, ImportOutcome, ImportTerms, Registry, base62, bounds};
use crate::snapshot::PolicyView;
use crate::store::client_secret::{self, ClientSecretRow};
use crate::store::import::{self, ImportKind};

/// Bytes of a secret that was chosen elsewhere. Shorter ones can be guessed at the token endpoint.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=256;

/// A secret to bring along.
#[derive(Debug)]
pub struct ImportedClientSecret {
    pub client: String,
    /// 16 to 256 visible ASCII characters (RFC 6749 appendix A.2 without the blank).
    pub secret: SecretString,
    pub name: Option<String>,
    pub expiry: Option<Expiry>,
}

impl Registry {
    /// Brings secrets along. The same secret of the same client is there already and stays as it is.
    ///
    /// # Errors
    /// `import_refused` with every row that is wrong; nothing of the part is then imported.
    pub async fn import_client_secrets(
        &self,
        actor: &Actor,
        terms: ImportTerms,
        secrets: Vec<ImportedClientSecret>,
    ) -> Result<ImportOutcome, Failure> {
        check_size(secrets.len())?;
        let now = self.clock.now();
        let (mut tx, view) = self.begin().await?;
        let (mut rows, mut faults) = (Vec::<ClientSecretRow>::with_capacity(secrets.len()), RowFaults::default());
        // How many of each client this part has brought, and which.
        let mut brought: HashMap<String, Vec<[u8; 32]>> = HashMap::with_capacity(secrets.len());
        let mut unchanged = 0;
        for (number, secret) in (terms.first_row..).zip(secrets) {
            match self.imported_secret_row(&view, secret, &mut brought, now) {
                Ok(Some(row)) => rows.push(row),
                Ok(None) => unchanged += 1,
                Err(Failure::Refused(refusal)) => faults.note(number, &refusal.to_string()),
                Err(fault) => return Err(fault),
            }
        }
        faults.check()?;
        let outcome = ImportOutcome { imported: rows.len(), unchanged };
        if terms.check_only || rows.is_empty() {
            return Ok(outcome);
        }
        let import_id = import::insert(&mut tx, ImportKind::ClientSecret, rows.len(), &actor.name, now).await?;
        client_secret::insert_import(&mut tx, &rows, import_id, now).await?;
        let detail = json!({ "secrets": outcome.imported, "unchanged": outcome.unchanged });
        actor.record(&mut tx, &self.clock, "client-secret.import", &import_id.to_string(), &detail).await?;
        self.commit(tx).await?;
        Ok(outcome)
    }

    /// `None`: it stands already.
    fn imported_secret_row(
        &self,
        view: &PolicyView,
        new: ImportedClientSecret,
        brought: &mut HashMap<String, Vec<[u8; 32]>>,
        now: UnixSeconds,
    ) -> Result<Option<ClientSecretRow>, Failure> {
        bounds::optional_line("name", new.name.as_deref(), bounds::NAME_CHARS_MAX)?;
        if view.client(&new.client).is_none() {
            let message = format!("There is no client {:?}.", new.client);
            return Err(Refusal::not_found("client_not_found", message).into());
        }
        let expires_at = new.expiry.map(|expiry| expiry.instant(now)).transpose()?;
        let text = new.secret.expose_secret();
        if !SECRET_BYTES.contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let (least, most) = (SECRET_BYTES.start(), SECRET_BYTES.end());
            let message = format!("A secret is {least} to {most} visible ASCII characters; this one is not.");
            return Err(Refusal::invalid("invalid_secret", message).into());
        }
        let hmac = mac(&self.pepper, text);
        let standing = self.snapshot.client_secrets(&new.client);
        let brought = brought.entry(new.client.clone()).or_default();
        if brought.contains(&hmac) {
            return Ok(None);
        }
        if let Some(same) = standing.iter().find(|entry| entry.hmac == hmac) {
            if !same.revoked {
                return Ok(None);
            }
            // A revoked secret that comes back would be revoked in name only.
            let message = format!("This secret of the client {} was revoked here.", new.client);
            return Err(Refusal::conflict("secret_used_before", message).into());
        }
        let live = standing.iter().filter(|entry| !entry.revoked && entry.expires_at.is_none_or(|end| now < end));
        if live.count() + brought.len() >= LIVE_SECRETS_MAX {
            let message = format!("The client {} would have more than {LIVE_SECRETS_MAX} live secrets.", new.client);
            return Err(Refusal::conflict("too_many_secrets", message).into());
        }
        brought.push(hmac);
        Ok(Some(ClientSecretRow {
            id: base62::random(ID_CHARS)?.to_string(),
            client_id: new.client,
            name: new.name,
            last4: text[text.len() - 4..].to_owned(),
            hmac: hmac.to_vec(),
            networks: None,
            created_at: now.0,
            expires_at: expires_at.map(|instant| instant.0),
            revoked_at: None,
            revocation_reason: None,
        }))
    }
}
