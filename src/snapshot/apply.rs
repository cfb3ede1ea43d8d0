//! What each kind of change does to the memory.

use std::collections::HashMap;
use std::sync::Arc;

use super::api_keys::Sharing;
use super::policy_view::PolicyView;
use super::{Snapshot, certificate};
use crate::failure::Fault;
use crate::store::packet::Portion;
use crate::store::{self, Change, ChangeKind, Store};

/// What came of one change.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) connections_closed: usize,
    /// A newer binary wrote this: a policy (the one that stood is kept) or a whole kind of change.
    pub(super) not_understood: Option<Fault>,
}

impl Snapshot {
    /// Looks again at the row that the change names. Only a database that cannot be read makes it fail: a damaged row is
    /// taken out of memory (so nothing is let in by it) and logged, and must not hold up the revocations behind it.
    pub(super) async fn apply(&self, store: &Store, change: &Change) -> Result<Outcome, Fault> {
        let key = change.key.as_str();
        let kind = match &change.kind {
            Ok(kind) => *kind,
            Err(unknown) => {
                let fault = Fault::new(format!("the feed holds an unknown change kind: {unknown:?}"));
                return Ok(Outcome { not_understood: Some(fault), ..Outcome::default() });
            }
        };
        match kind {
            ChangeKind::Certificate => {
                return Ok(Outcome {
                    connections_closed: self.look_at_certificate(store, key).await?,
                    ..Outcome::default()
                });
            }
            ChangeKind::Policy => return self.look_at_policy(store).await,
            ChangeKind::Partner => self.policy().reload_partner(store, key).await?,
            ChangeKind::Client => {
                self.policy().reload_client(store, key).await?;
                self.graces.look_at(store, key).await?;
            }
            ChangeKind::ApiKey => match store::api_key::get(store, key).await? {
                Some(row) => self.api_keys.put(&row.into(), &self.policy(), &mut Sharing::default()),
                None => self.api_keys.remove(key),
            },
            ChangeKind::ApiKeyImport => self.load_api_keys(store, Portion::Import(import_id(key)?)).await?,
            ChangeKind::ClientImport => self.policy().load(store, Portion::Import(import_id(key)?)).await?,
            ChangeKind::ClientSecretImport => {
                self.load_client_secrets(store, Portion::Import(import_id(key)?)).await?;
            }
            ChangeKind::ClientSecret => {
                let secrets = store::client_secret::of_client(store, key).await?;
                self.client_secrets.put_all(key, secrets.into_iter().map(Into::into));
            }
            ChangeKind::Token => match store::revoked_token::get(store, key).await? {
                Some(row) => _ = self.revoked_tokens.pin().insert(row.jti.into()),
                None => _ = self.revoked_tokens.pin().remove(key),
            },
            ChangeKind::TrustAnchor => {
                self.anchors.look_at(store, key).await?;
                return Ok(Outcome { connections_closed: self.close_refused_foreign(), ..Outcome::default() });
            }
            ChangeKind::TrustAnchorLists => {
                self.anchors.look_at_lists(store, key).await?;
                return Ok(Outcome { connections_closed: self.close_refused_foreign(), ..Outcome::default() });
            }
            ChangeKind::Issuer => {
                // Denied first, the connections then: whoever registers in between finds the denial when it looks itself up.
                let denied = self.denied_issuers.reload(store).await?;
                denied.iter().for_each(|issuer| self.certificates.revoke_all_of(issuer));
                let connections_closed = denied.iter().map(|issuer| self.connections.close_issuer(issuer)).sum();
                self.issuers.send_modify(|count| *count += 1);
                return Ok(Outcome { connections_closed, ..Outcome::default() });
            }
            ChangeKind::SigningKey => self.signing_keys.send_modify(|count| *count += 1),
        }
        Ok(Outcome::default())
    }

    /// Closes the connections of certificates that we did not issue and that no anchor vouches for any more; returns how many.
    fn close_refused_foreign(&self) -> usize {
        let (view, now) = (self.policy(), self.clock.now());
        self.connections.close_foreign(|chain| match self.anchors.judge(chain, &view, now) {
            Ok(identity) => identity.status == policies::CredentialStatus::Active,
            // One of ours whose row was not here yet when the connection was made.
            Err(_) => chain.first().is_some_and(|leaf| {
                pki::ClientCertificate::parse(leaf).is_ok_and(|certificate| self.is_ours(&certificate))
            }),
        })
    }

    /// Returns how many connections it closed.
    async fn look_at_certificate(&self, store: &Store, key: &str) -> Result<usize, Fault> {
        let Some((issuer, serial)) = key.split_once('/') else {
            tracing::error!(key, "a change names no certificate");
            return Ok(0);
        };
        let row = store::certificate::get(store, issuer, serial).await?;
        if row.as_ref().is_some_and(|row| row.kind != store::certificate::CertificateKind::Client) {
            return Ok(0);
        }
        // The entry first and the connections then: whoever registers in between finds the new entry when it looks itself up.
        let good = row.is_some_and(|row| self.certificates.put(&row.into(), &mut HashMap::new()));
        match certificate::place(issuer, serial) {
            Ok((issuer, serial)) if !good => Ok(self.connections.close(&issuer, &serial)),
            Ok(_) => Ok(0),
            Err(fault) => {
                tracing::error!(key, error = fault.inside(), "a change names no certificate");
                Ok(0)
            }
        }
    }

    async fn look_at_policy(&self, store: &Store) -> Result<Outcome, Fault> {
        let newest = store::policy::newest(store).await?;
        let version = newest.as_ref().map_or(0, |row| row.version);
        if version == self.policy().version {
            // A burst of versions: the first of these changes already brought the newest.
            return Ok(Outcome::default());
        }
        match PolicyView::parse(newest) {
            Ok((version, policy)) => {
                let view = PolicyView::build(version, policy, store).await?;
                self.policy.store(Arc::new(view));
                tracing::info!(version, "policy in force");
                Ok(Outcome::default())
            }
            Err(fault) => {
                tracing::error!(
                    version,
                    error = fault.inside(),
                    "the newest policy cannot be read; the one before stays"
                );
                Ok(Outcome { not_understood: Some(fault), ..Outcome::default() })
            }
        }
    }
}

fn import_id(key: &str) -> Result<i64, Fault> {
    store::stored("import id", key)
}
