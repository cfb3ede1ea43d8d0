//! Revocation lists (RFC 5280 §5), written so that a list of any length needs no more memory than one of its entries.
//!
//! DER puts the length of everything in front, so a list is written in two passes over its entries: [`CrlDraft`] encodes them one
//! after another and counts, and [`CrlToSign`] is fed the same octets again for the hash. What stands before and after them, the
//! signature too, comes last: [`SignedCrl`]. Where the octets wait in between is the caller's affair. [`CrlRequest`] does it all
//! at once for lists that fit into memory.

mod encode;

use aws_lc_rs::digest;
use time::OffsetDateTime;

use crate::der;
use crate::distribution_points::check_url;
use crate::error::Error;
use crate::issuer::{Issuer, whole_seconds};
use crate::pem;
use crate::revocation::RevokedEntry;
use crate::thumbprint::Thumbprint;

/// What a revocation list says besides its entries.
#[derive(Debug, Clone)]
pub struct CrlTerms {
    /// cRLNumber (§5.2.3): must grow with every list of one authority, whichever node makes it.
    pub number: u64,
    /// When the list is made; a little earlier helps readers whose clock is behind.
    pub this_update: OffsetDateTime,
    /// When the next one will be there at the latest; cut at the authority's end.
    pub next_update: OffsetDateTime,
    /// The address that the certificates carry, byte for byte. It becomes a critical issuingDistributionPoint (§5.2.5), so that
    /// a list of one scope cannot be passed off as another's. `None` makes a list of everything the authority issued; for a root
    /// it must be that, since verifiers that check every link (nginx, `-crl_check_all`) hold the root itself against its list.
    pub distribution_point: Option<String>,
}

/// A whole list to be made at once.
#[derive(Debug, Clone)]
pub struct CrlRequest {
    /// As [`CrlTerms::number`].
    pub number: u64,
    /// As [`CrlTerms::this_update`].
    pub this_update: OffsetDateTime,
    /// As [`CrlTerms::next_update`].
    pub next_update: OffsetDateTime,
    /// Everything revoked and not yet expired, in any order. Of two entries for one serial number the earlier date counts.
    pub revoked: Vec<RevokedEntry>,
    /// As [`CrlTerms::distribution_point`].
    pub distribution_point: Option<String>,
}

/// A signed revocation list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Crl {
    pub der: Vec<u8>,
    pub number: u64,
    pub this_update: OffsetDateTime,
    pub next_update: OffsetDateTime,
}

impl Crl {
    /// The list as PEM (`X509 CRL`).
    pub fn pem(&self) -> String {
        pem::pem_crl(&self.der)
    }
}

/// A list whose entries are being written.
#[derive(Debug)]
pub struct CrlDraft {
    authority: Thumbprint,
    number: u64,
    this_update: OffsetDateTime,
    next_update: OffsetDateTime,
    /// The fields from version to nextUpdate.
    before: Vec<u8>,
    /// crlExtensions.
    after: Vec<u8>,
    digest: Option<&'static digest::Algorithm>,
    entries: u64,
    octets: usize,
}

impl CrlDraft {
    /// Appends the DER of one entry to `out`. Each serial number may come once: that is for the caller to see to.
    ///
    /// # Errors
    /// [`Error::ReasonNotPermanent`] for a hold; [`Error::InvalidTime`].
    pub fn push(&mut self, entry: &RevokedEntry, out: &mut Vec<u8>) -> Result<(), Error> {
        if !entry.reason.is_permanent() {
            return Err(Error::ReasonNotPermanent(entry.reason.as_str()));
        }
        // A date after the list's own reads as "not revoked yet" to some verifiers.
        let revoked_at = whole_seconds(entry.revoked_at)?.min(self.this_update);
        let before = out.len();
        encode::entry(out, entry.serial, revoked_at, entry.reason)?;
        self.entries += 1;
        self.octets += out.len() - before;
        Ok(())
    }

    /// How many entries there are so far.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// How many octets they take.
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// No entry follows.
    pub fn close(self) -> CrlToSign {
        let revoked_head = match self.octets {
            // RFC 5280 §5.1.2.6: an empty list has no revokedCertificates at all.
            0 => Vec::new(),
            octets => der::head(der::SEQUENCE, octets),
        };
        let content = self.before.len() + revoked_head.len() + self.octets + self.after.len();
        let tbs_head = [der::head(der::SEQUENCE, content), self.before.clone(), revoked_head].concat();
        let mut message = match self.digest {
            Some(algorithm) => Message::Hashed(digest::Context::new(algorithm)),
            None => Message::Whole(Vec::with_capacity(content + 10)),
        };
        message.extend(&tbs_head);
        CrlToSign { tbs_head, message, fed: 0, draft: self }
    }
}

/// A list that is complete but for its signature.
pub struct CrlToSign {
    tbs_head: Vec<u8>,
    message: Message,
    fed: usize,
    draft: CrlDraft,
}

/// What will be signed. Ed25519 hashes a message twice, so it alone needs all of it at once.
enum Message {
    Hashed(digest::Context),
    Whole(Vec<u8>),
}

impl Message {
    fn extend(&mut self, octets: &[u8]) {
        match self {
            Self::Hashed(context) => context.update(octets),
            Self::Whole(message) => message.extend_from_slice(octets),
        }
    }
}

impl CrlToSign {
    /// Takes what [`CrlDraft::push`] wrote, in the same order and in pieces of any size.
    pub fn feed(&mut self, entries: &[u8]) {
        self.fed += entries.len();
        self.message.extend(entries);
    }
}

/// A signed list: `head`, the entries as they were pushed, `tail`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedCrl {
    pub head: Vec<u8>,
    pub tail: Vec<u8>,
    pub number: u64,
    pub this_update: OffsetDateTime,
    pub next_update: OffsetDateTime,
    pub entries: u64,
    /// Of the whole list.
    pub octets: usize,
}

impl Issuer {
    /// Begins a revocation list: version 2, with authorityKeyIdentifier and cRLNumber (RFC 5280 §5.2).
    ///
    /// # Errors
    /// [`Error::CrlNotPermitted`]; [`Error::InvalidCrl`]; [`Error::OutlivesIssuer`] when the authority has ended;
    /// [`Error::InvalidUrl`].
    pub fn draft_crl(&self, terms: &CrlTerms) -> Result<CrlDraft, Error> {
        if !self.signs_crls() {
            return Err(Error::CrlNotPermitted);
        }
        // OpenSSL and nginx hold a root against its own list, and a root has no address to match one with.
        if self.is_root() && terms.distribution_point.is_some() {
            return Err(Error::InvalidCrl("a root's list is for all it issued: leave the distribution point out"));
        }
        terms.distribution_point.as_deref().map(check_url).transpose()?;
        let not_after = self.not_after();
        let this_update = whole_seconds(terms.this_update)?;
        let next_update = whole_seconds(terms.next_update)?.min(not_after);
        if this_update >= not_after {
            return Err(Error::OutlivesIssuer { not_after });
        }
        if next_update <= this_update {
            return Err(Error::InvalidCrl("nextUpdate must be after thisUpdate"));
        }
        let kind = self.public_key().algorithm();
        let scope = terms
            .distribution_point
            .as_deref()
            .map(|url| encode::Scope { url, end_entities_only: !self.issues_authorities() });
        Ok(CrlDraft {
            authority: self.thumbprint(),
            number: terms.number,
            this_update,
            next_update,
            before: encode::before(kind, self.subject_der(), this_update, next_update)?,
            after: encode::extensions(self.key_id(), terms.number, scope.as_ref()),
            digest: self.signs_digest_of(),
            entries: 0,
            octets: 0,
        })
    }

    /// Signs a list that was closed and fed again.
    ///
    /// # Errors
    /// [`Error::WrongIssuer`] when another authority began it; [`Error::InvalidCrl`] when it was not fed what was pushed;
    /// [`Error::Crypto`].
    pub fn sign_drafted_crl(&self, list: CrlToSign) -> Result<SignedCrl, Error> {
        let CrlToSign { tbs_head, mut message, fed, draft } = list;
        if draft.authority != self.thumbprint() {
            return Err(Error::WrongIssuer);
        }
        if fed != draft.octets {
            return Err(Error::InvalidCrl("what is to be signed is not what was written"));
        }
        message.extend(&draft.after);
        let signature = match message {
            Message::Hashed(context) => self.sign_digest(&context.finish())?,
            Message::Whole(message) => self.sign_message(&message)?,
        };
        let algorithm = encode::algorithm(self.public_key().algorithm());
        let signature = der::tlv(der::BIT_STRING, &[&[0], signature.as_slice()].concat());
        let tail = [draft.after.as_slice(), algorithm, &signature].concat();
        let content = tbs_head.len() + draft.octets + tail.len();
        let head = [der::head(der::SEQUENCE, content), tbs_head].concat();
        Ok(SignedCrl {
            octets: head.len() + draft.octets + tail.len(),
            head,
            tail,
            number: draft.number,
            this_update: draft.this_update,
            next_update: draft.next_update,
            entries: draft.entries,
        })
    }

    /// Makes a whole list in memory.
    ///
    /// # Errors
    /// Those of [`Issuer::draft_crl`]; [`Error::ReasonNotPermanent`] for a hold.
    pub fn sign_crl(&self, request: CrlRequest) -> Result<Crl, Error> {
        let CrlRequest { number, this_update, next_update, revoked: mut entries, distribution_point } = request;
        entries.sort_by_key(|entry| (entry.serial, entry.revoked_at));
        entries.dedup_by_key(|entry| entry.serial);
        let mut draft = self.draft_crl(&CrlTerms { number, this_update, next_update, distribution_point })?;
        let mut written = Vec::new();
        for entry in &entries {
            draft.push(entry, &mut written)?;
        }
        let mut list = draft.close();
        list.feed(&written);
        let signed = self.sign_drafted_crl(list)?;
        Ok(Crl {
            der: [signed.head, written, signed.tail].concat(),
            number,
            this_update: signed.this_update,
            next_update: signed.next_update,
        })
    }
}
