//! The end of certificates whose successor's overlap is over: the gate refuses them by itself, others must hear of it.

use std::time::Duration;

use pki::RevocationReason;
use tokio_util::sync::CancellationToken;

use super::{Authority, CertificateName, Selector};
use crate::failure::Failure;
use crate::registry::Actor;
use crate::store;

/// How late the lists for others may tell of it; the gate itself is never late.
const CHECK_EVERY: Duration = Duration::from_secs(30);
/// As many in one round: each is a transaction of its own, and an operator's revocation must come in between.
const ROUND_MAX: u32 = 200;

impl Authority {
    /// Revokes, as superseded, the certificates whose successor has taken their place; says how many.
    ///
    /// # Errors
    /// As [`Authority::revoke`].
    pub async fn revoke_superseded(&self) -> Result<usize, Failure> {
        let due = store::certificate::superseded(&self.inner.store, self.inner.clock.now(), ROUND_MAX).await?;
        let actor = Actor { name: "system:renewal".to_owned(), source: None };
        for row in &due {
            let name = CertificateName::Serial {
                issuer: Some(store::stored("issuer key id", &row.issuer_key_id)?),
                serial: store::stored("serial", &row.serial)?,
            };
            self.revoke(Selector::Certificate(name), RevocationReason::Superseded, &actor).await?;
        }
        Ok(due.len())
    }

    /// Looks for such certificates until `shutdown`. Spawn it once.
    pub async fn run_superseding(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(CHECK_EVERY) => {}
            }
            if let Err(error) = self.revoke_superseded().await {
                tracing::error!(%error, "superseded certificates could not be revoked; trying again");
            }
        }
    }
}
