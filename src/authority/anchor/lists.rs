//! Lists on their way from a file or an address to their place.

use std::sync::Arc;

use pki::{PathAuthority, VerifiedRevocationList};
use policies::UnixSeconds;

use super::latest_this_update;
use crate::authority::{foreign_refusal, off_thread};
use crate::failure::{Failure, Fault, Refusal};
use crate::store::Tx;
use crate::store::anchor::{self, ListRow};

/// Lists whose signatures were verified, with their octets.
pub(super) type Read = Vec<(VerifiedRevocationList, Vec<u8>)>;

/// Reads a file of lists. A million entries take a while.
pub(super) async fn read(
    bytes: Option<Vec<u8>>,
    signers: Vec<PathAuthority>,
    now: UnixSeconds,
) -> Result<Read, Failure> {
    let Some(bytes) = bytes else { return Ok(Vec::new()) };
    let read =
        off_thread("reading revocation lists", move || VerifiedRevocationList::read_all(&bytes, &signers)).await?;
    let read = read.map_err(foreign_refusal)?;
    for (list, _) in &read {
        if list.this_update() > latest_this_update(now) {
            let message = format!("The revocation list of {} says that it was made in the future.", list.issuer());
            return Err(Refusal::invalid("invalid_crl", message).into());
        }
    }
    Ok(read)
}

/// Stores each list in its place; says how many were news. A list that is older than the one held there refuses all: somebody
/// who answers for the partner could else play an old one back, and what was revoked since would be good again.
pub(super) async fn store(
    tx: &mut Tx,
    anchor_id: &str,
    source: Option<&str>,
    lists: Read,
    held: &[Arc<VerifiedRevocationList>],
    now: UnixSeconds,
) -> Result<usize, Failure> {
    let mut news = 0;
    for (list, der) in lists {
        let place = list.place();
        if let Some(standing) = held.iter().find(|standing| standing.place() == place) {
            if standing.digest() == list.digest() {
                continue;
            }
            if list.is_older_than(standing) {
                let message = format!("The revocation list of {} is older than the one that is held.", list.issuer());
                return Err(Refusal::conflict("crl_older", message).into());
            }
        }
        let row = ListRow {
            anchor_id: anchor_id.to_owned(),
            place: place.to_string(),
            digest: list.digest().to_string(),
            issuer: list.issuer().to_owned(),
            entries: i64::try_from(list.len())
                .map_err(|_| Fault::new("a list of more entries than there are numbers"))?,
            this_update: list.this_update(),
            next_update: list.next_update(),
            source: source.map(str::to_owned),
            stored_at: now.0,
        };
        anchor::put_list(tx, &row, &der, now).await?;
        news += 1;
    }
    Ok(news)
}
