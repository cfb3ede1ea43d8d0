//! Who asks for a change.

use std::net::IpAddr;

use crate::clock::Clock;
use crate::failure::Fault;
use crate::store::Tx;
use crate::store::audit_change::{self, AuditChangeRow};

/// An administrator, as the audit names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The client id of the administrator, or `local` for one who works on the files.
    pub name: String,
    /// Where the request came from.
    pub source: Option<IpAddr>,
}

impl Actor {
    /// Someone with the data folder in hand.
    pub fn local() -> Self {
        Self { name: "local".into(), source: None }
    }

    /// Writes down what this actor does, in the transaction that does it: no change without its record, no record without
    /// its change. `action` is `noun.verb` (`certificate.issue`); `detail` is an object and must hold no secret.
    pub async fn record(
        &self,
        tx: &mut Tx,
        clock: &Clock,
        action: &str,
        target: &str,
        detail: &serde_json::Value,
    ) -> Result<(), Fault> {
        let at_millis = clock.now_millis();
        let row = AuditChangeRow {
            id: record_id(at_millis)?,
            at_millis,
            actor: self.name.clone(),
            source: self.source.map(|source| source.to_string()),
            action: action.into(),
            target: target.into(),
            detail: detail.to_string(),
        };
        audit_change::insert(tx, &row).await
    }
}

/// UUIDv7 (RFC 9562 §5.7) of the clock's time, not of the machine's.
fn record_id(at_millis: i64) -> Result<String, Fault> {
    let mut random = [0; 10];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Fault::new("no randomness for a record id"))?;
    let millis = u64::try_from(at_millis).unwrap_or(0);
    Ok(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string())
}
