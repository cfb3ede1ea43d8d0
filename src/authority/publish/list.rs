//! Making one list: its entries go from the register into pieces, page by page, and what is held at once does not grow with them.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use pki::{CrlDraft, CrlTerms, CrlToSign, RevocationReason, RevokedEntry, Serial, SignedCrl};
use policies::UnixSeconds;

use crate::authority::{instant, off_thread, random_serial, refused};
use crate::failure::{Failure, Fault};
use crate::store::crl::CrlRow;
use crate::store::revocation::{EntryFilter, EntryPage, RevocationRow};
use crate::store::{self, Store, stored};

/// How many revocations are read from the register at once.
const PAGE: u32 = 5000;
/// What is read at once when a list is sent.
const PIECE_OCTETS: usize = 256 * 1024;
/// So many pieces are written in one transaction: each waits for the disk, and holds up who revokes in the meantime.
const PIECES_AT_ONCE: usize = 8;
/// A list up to this size is kept in memory, where most requests for one then end.
const KEPT_OCTETS_MAX: usize = 64 * 1024;
/// How far the clock of a reader may be behind ours before a new list looks to it as if it came from the future.
const BACKDATE_SECONDS: i64 = 300;

/// What a list is to be.
pub(super) struct Plan {
    pub(super) signer: Arc<pki::Issuer>,
    pub(super) key_id: String,
    /// The scope, as in the table.
    pub(super) scope: i64,
    /// The partitions whose revocations stand in it.
    pub(super) partitions: std::ops::Range<i64>,
    pub(super) terms: CrlTerms,
    pub(super) ends_from: UnixSeconds,
}

/// A list that is signed, and stored but for the pieces that are given here.
pub(super) struct Written {
    pub(super) row: CrlRow,
    /// The whole list, where it is short.
    pub(super) kept: Option<Bytes>,
    rest: Vec<(i64, Vec<u8>)>,
}

impl Written {
    /// Stores what is missing.
    pub(super) async fn complete(&self, tx: &mut store::Tx, now: UnixSeconds) -> Result<(), Fault> {
        for (position, octets) in &self.rest {
            store::crl::write_piece(tx, &self.row.list, *position, octets, now).await?;
        }
        Ok(())
    }
}

/// Writes and signs a list. What was stored of it when this fails is taken back.
pub(super) async fn write(store: &Store, plan: Plan, now: UnixSeconds) -> Result<Written, Failure> {
    // A name of its own: another process may be making the list of the same number.
    let list = random_serial()?.to_string();
    let written = draft(store, plan, &list, now).await;
    if written.is_err() {
        forget(store, &list).await;
    }
    written
}

/// Takes back what was stored of a list that is not published. What this leaves goes with the next housekeeping.
pub(super) async fn forget(store: &Store, list: &str) {
    let forgotten = async {
        let mut tx = store.begin().await?;
        store::crl::discard(&mut tx, list).await?;
        tx.commit().await
    };
    if let Err(error) = forgotten.await {
        tracing::warn!(list, %error, "pieces of a list that is not published could not be removed yet");
    }
}

async fn draft(store: &Store, plan: Plan, list: &str, now: UnixSeconds) -> Result<Written, Failure> {
    let Plan { signer, key_id, scope, partitions, terms, ends_from } = plan;
    let draft = signer.draft_crl(&terms).map_err(refused)?;
    let mut pen = Pen { store, list, now, draft: Some(draft), open: Vec::new(), pieces: Vec::new(), position: 1 };
    for partition in partitions {
        let filter = EntryFilter { issuer_key_id: &key_id, crl_partition: partition, ends_from };
        // Orphans first: one that is revoked in between then comes twice and is left out the second time; the other way round it
        // would be missing.
        let mut orphans = BTreeSet::new();
        let mut after = String::new();
        loop {
            let page = store::revocation::orphans_page(store, &filter, &after, PAGE).await?;
            let Some(last) = page.last_serial() else { break };
            after = last.to_owned();
            orphans.extend(page.rows()?.iter().map(|row| row.serial.to_owned()));
            pen.write(page, Arc::default()).await?;
        }
        let orphans = Arc::new(orphans);
        let mut page = store::revocation::page(store, &filter, "", PAGE).await?;
        while let Some(last) = page.last_serial() {
            after = last.to_owned();
            // The next page is read while this one is written.
            let next = store::revocation::page(store, &filter, &after, PAGE);
            let written = pen.write(std::mem::take(&mut page), Arc::clone(&orphans));
            let (written, next) = tokio::join!(written, next);
            written?;
            page = next?;
        }
    }
    pen.sign(signer, key_id, scope).await
}

/// Writes the entries into pieces.
struct Pen<'a> {
    store: &'a Store,
    list: &'a str,
    now: UnixSeconds,
    draft: Option<CrlDraft>,
    /// The piece that is being filled.
    open: Vec<u8>,
    /// Full ones that are not stored yet.
    pieces: Vec<Vec<u8>>,
    /// Of the first of `pieces`. What comes before the entries is written last, at 0.
    position: i64,
}

impl Pen<'_> {
    /// Writes a page, but for what stands in the list already.
    async fn write(&mut self, page: EntryPage, standing: Arc<BTreeSet<String>>) -> Result<(), Failure> {
        let mut draft = self.draft.take().ok_or_else(|| Fault::new("a list is written after an error"))?;
        let mut open = std::mem::take(&mut self.open);
        let (draft, open, full) = off_thread("writing a revocation list", move || {
            let mut full = Vec::new();
            let rows = page.rows()?;
            for row in rows.iter().filter(|row| standing.is_empty() || !standing.contains(row.serial)) {
                draft.push(&entry(row)?, &mut open).map_err(refused)?;
                if open.len() >= PIECE_OCTETS {
                    full.push(std::mem::replace(&mut open, Vec::with_capacity(PIECE_OCTETS + 64)));
                }
            }
            Ok::<_, Failure>((draft, open, full))
        })
        .await??;
        (self.draft, self.open) = (Some(draft), open);
        self.pieces.extend(full);
        if self.pieces.len() >= PIECES_AT_ONCE { self.store().await } else { Ok(()) }
    }

    async fn store(&mut self) -> Result<(), Failure> {
        let mut tx = self.store.begin().await?;
        for piece in self.pieces.drain(..) {
            store::crl::write_piece(&mut tx, self.list, self.position, &piece, self.now).await?;
            self.position += 1;
        }
        Ok(tx.commit().await?)
    }

    async fn sign(mut self, signer: Arc<pki::Issuer>, key_id: String, scope: i64) -> Result<Written, Failure> {
        let draft = self.draft.take().ok_or_else(|| Fault::new("a list is signed after an error"))?;
        let mut list = draft.close();
        for position in 1..self.position {
            let piece = store::crl::piece(self.store, self.list, position).await?;
            list.feed(&piece.ok_or_else(|| Fault::new("a piece of a new list is gone"))?);
        }
        if !self.open.is_empty() {
            self.pieces.push(std::mem::take(&mut self.open));
        }
        for piece in &self.pieces {
            list.feed(piece);
        }
        let signed = sign(signer, list).await?;
        let row = CrlRow {
            issuer_key_id: key_id,
            scope,
            number: i64::try_from(signed.number).map_err(|_| Fault::new("a CRL number beyond the table"))?,
            this_update: signed.this_update.unix_timestamp(),
            next_update: signed.next_update.unix_timestamp(),
            entries: i64::try_from(signed.entries).ok(),
            octets: i64::try_from(signed.octets).map_err(|_| Fault::new("a list beyond the table"))?,
            list: self.list.to_owned(),
        };
        let mut rest = vec![(0, signed.head)];
        for piece in self.pieces.into_iter().chain([signed.tail]) {
            rest.push((self.position + rest.len() as i64 - 1, piece));
        }
        let kept = (signed.octets <= KEPT_OCTETS_MAX).then(|| {
            let whole: Vec<u8> = rest.iter().flat_map(|(_, octets)| octets).copied().collect();
            Bytes::from(whole)
        });
        Ok(Written { row, kept, rest })
    }
}

async fn sign(signer: Arc<pki::Issuer>, list: CrlToSign) -> Result<SignedCrl, Failure> {
    off_thread("signing a revocation list", move || signer.sign_drafted_crl(list)).await?.map_err(refused)
}

/// Reads a published list into memory when it is short.
pub(super) async fn keep(store: &Store, row: &CrlRow) -> Result<Option<Bytes>, Fault> {
    if usize::try_from(row.octets).is_ok_and(|octets| octets > KEPT_OCTETS_MAX) {
        return Ok(None);
    }
    let mut whole = Vec::new();
    let mut position = 0;
    while let Some(piece) = store::crl::piece(store, &row.list, position).await? {
        whole.extend(piece);
        position += 1;
    }
    if whole.len() as i64 != row.octets {
        return Err(Fault::new(format!("a published list of {} is damaged", row.issuer_key_id)));
    }
    Ok(Some(whole.into()))
}

fn entry(row: &RevocationRow<'_>) -> Result<RevokedEntry, Fault> {
    Ok(RevokedEntry {
        serial: stored::<Serial>("serial", row.serial)?,
        revoked_at: instant(UnixSeconds(row.revoked_at))?,
        // A reason that cannot be read revokes all the same, and so does one that could be taken back.
        reason: row
            .reason
            .parse()
            .ok()
            .filter(|reason: &RevocationReason| reason.is_permanent())
            .unwrap_or(RevocationReason::Unspecified),
    })
}

/// When the terms of a list that is made now begin and end. It begins a little earlier, for readers whose clock is behind.
pub(super) fn terms(
    number: i64,
    now: UnixSeconds,
    lifetime_seconds: i64,
    distribution_point: Option<String>,
    not_before: UnixSeconds,
) -> Result<CrlTerms, Fault> {
    let this_update =
        UnixSeconds(now.0.saturating_sub(BACKDATE_SECONDS.min(lifetime_seconds)).max(not_before.0.min(now.0)));
    Ok(CrlTerms {
        number: u64::try_from(number).map_err(|_| Fault::new("a negative CRL number"))?,
        this_update: instant(this_update)?,
        next_update: instant(UnixSeconds(now.0.saturating_add(lifetime_seconds)))?,
        distribution_point,
    })
}
