//! What an import must be, by itself and beside what stands.

use pki::{PathAuthority, SpkiFingerprint};
use policies::{ForeignRules, UnixSeconds};

use super::fetch::ListAddress;
use super::{
    ANCHORS_MAX, GRACE_SECONDS_MAX, INTERMEDIATES_MAX, NewAnchor, REFRESH_SECONDS_DEFAULT, REFRESH_SECONDS_MAX,
    REFRESH_SECONDS_MIN, SOURCES_MAX, revocation_mode, seconds,
};
use crate::authority::foreign_refusal;
use crate::failure::{Failure, Refusal};
use crate::store::anchor::{self, AnchorRow};
use crate::store::{self, Tx};

/// Longest id, in characters.
const ID_CHARS_MAX: usize = 63;

/// An import that is sound by itself.
pub(super) struct Checked {
    pub(super) row: AnchorRow,
    pub(super) rules: ForeignRules,
    pub(super) authority: PathAuthority,
    pub(super) intermediates: Vec<PathAuthority>,
    pub(super) urls: Vec<String>,
    pub(super) crl: Option<Vec<u8>>,
    pub(super) replace: bool,
}

impl Checked {
    pub(super) fn read(new: NewAnchor, own_trust_domain: &str, now: UnixSeconds) -> Result<Self, Failure> {
        check_id(&new.id)?;
        let authority = one_certificate(&new.certificate_pem)?;
        let intermediates = read_intermediates(new.intermediates_pem.as_deref(), &authority)?;
        for (what, read) in std::iter::once(("anchor", &authority))
            .chain(intermediates.iter().map(|below| ("authority below it", below)))
        {
            if !read.facts().is_valid_at(now.0) {
                let message = format!("The {what} {} is not valid today.", read.facts().subject);
                return Err(Refusal::invalid("anchor_expired", message).into());
            }
        }
        let rules = ForeignRules::parse(&new.names, &new.mappings, own_trust_domain).map_err(|faults| {
            let message = "The names and mappings of the anchor have faults.";
            Refusal::invalid("invalid_anchor_rules", message).with_details(faults)
        })?;
        let urls = read_urls(new.crl_urls, new.allow_private_address)?;
        let row = AnchorRow {
            certificate: authority.der().to_vec(),
            spki_fingerprint: authority.key().to_string(),
            subject: authority.facts().subject.clone(),
            not_after: authority.facts().not_after,
            intermediates: intermediates.iter().map(|below| pki::pem_certificate(below.der())).collect(),
            names: new.names,
            mappings: new.mappings,
            revocation: revocation_mode(new.revocation.as_deref())?,
            grace_seconds: seconds("grace", new.grace_seconds.unwrap_or(0), 0, GRACE_SECONDS_MAX)?,
            refresh_seconds: seconds(
                "time between two fetches",
                new.refresh_seconds.unwrap_or(REFRESH_SECONDS_DEFAULT),
                REFRESH_SECONDS_MIN,
                REFRESH_SECONDS_MAX,
            )?,
            allow_private_address: new.allow_private_address,
            created_at: now.0,
            updated_at: now.0,
            id: new.id,
            partner_id: new.partner,
        };
        let crl = new.crl_pem.map(String::into_bytes);
        Ok(Self { row, rules, authority, intermediates, urls, crl, replace: new.replace })
    }

    /// Whose lists count.
    pub(super) fn signers(&self) -> Vec<PathAuthority> {
        std::iter::once(&self.authority).chain(&self.intermediates).cloned().collect()
    }
}

/// `[a-z0-9][a-z0-9-]{0,62}`: it stands in paths, in the audit log and before each serial.
fn check_id(id: &str) -> Result<(), Refusal> {
    let good = (1..=ID_CHARS_MAX).contains(&id.len())
        && !id.starts_with('-')
        && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let message = "The id must be 1 to 63 lower-case letters, digits or '-', beginning with a letter or digit.";
    if good { Ok(()) } else { Err(Refusal::invalid("invalid_anchor_id", message)) }
}

fn one_certificate(pem: &str) -> Result<PathAuthority, Failure> {
    let certificates = pki::pem_certificates(pem.as_bytes()).map_err(foreign_refusal)?;
    match certificates.as_slice() {
        [one] => Ok(PathAuthority::parse(one).map_err(foreign_refusal)?),
        _ => {
            let message = "Give exactly one certificate as the anchor; what stands below it goes beside it.";
            Err(Refusal::invalid("ambiguous_anchor", message).into())
        }
    }
}

/// Each must hang below the anchor: what does not could only be somebody else's.
fn read_intermediates(pem: Option<&str>, anchor: &PathAuthority) -> Result<Vec<PathAuthority>, Failure> {
    let Some(pem) = pem else { return Ok(Vec::new()) };
    let certificates = pki::pem_certificates(pem.as_bytes()).map_err(foreign_refusal)?;
    if certificates.len() > INTERMEDIATES_MAX {
        let message = format!("More than {INTERMEDIATES_MAX} authorities are given below the anchor.");
        return Err(Refusal::invalid("list_too_long", message).into());
    }
    let read: Result<Vec<_>, _> = certificates.iter().map(|der| PathAuthority::parse(der)).collect();
    let read = read.map_err(foreign_refusal)?;
    let is_below = |one: &&PathAuthority| !pki::find_paths(one.der(), &read, std::slice::from_ref(anchor)).is_empty();
    if let Some(stray) = read.iter().find(|one| !is_below(one)) {
        let message = format!("{} was not issued below the anchor.", stray.facts().subject);
        return Err(Refusal::invalid("not_below_anchor", message).into());
    }
    Ok(read)
}

fn read_urls(mut urls: Vec<String>, allow_private: bool) -> Result<Vec<String>, Refusal> {
    if urls.len() > SOURCES_MAX {
        return Err(Refusal::invalid(
            "list_too_long",
            format!("More than {SOURCES_MAX} addresses of lists are given."),
        ));
    }
    for url in &urls {
        ListAddress::parse(url)
            .and_then(|address| address.check_literal(allow_private))
            .map_err(|why| Refusal::invalid("invalid_crl_url", format!("{why}.")))?;
    }
    urls.sort_unstable();
    urls.dedup();
    Ok(urls)
}

/// No authority may be two: not ours, not another anchor's. A chain would else have two judges, and the milder one might win.
pub(super) async fn against_what_stands(tx: &mut Tx, checked: &Checked) -> Result<(), Failure> {
    if store::partner::get(&mut *tx, &checked.row.partner_id).await?.is_none() {
        let message = format!("There is no partner {:?}.", checked.row.partner_id);
        return Err(Refusal::not_found("partner_not_found", message).into());
    }
    let given = checked.signers();
    for row in store::issuer::list(&mut *tx).await? {
        for authority in &given {
            if is_ours(authority, &row.certificate) {
                let message = format!(
                    "{} has the name, the key or the key identifier of our own authority {}, or was signed by it.",
                    authority.facts().subject,
                    row.subject
                );
                return Err(Refusal::conflict("own_authority", message).into());
            }
        }
    }
    let others = anchor::all(&mut *tx).await?;
    if others.len() >= ANCHORS_MAX && !others.iter().any(|other| other.id == checked.row.id) {
        return Err(Refusal::conflict("too_many_anchors", format!("There are {ANCHORS_MAX} anchors already.")).into());
    }
    for other in others.iter().filter(|other| other.id != checked.row.id) {
        let theirs = keys_of(other)?;
        if let Some(shared) = given.iter().find(|authority| theirs.contains(&authority.key())) {
            let message = format!("The key of {} belongs to the anchor {} already.", shared.facts().subject, other.id);
            return Err(Refusal::conflict("anchor_exists", message).into());
        }
    }
    Ok(())
}

fn is_ours(authority: &PathAuthority, ours: &[u8]) -> bool {
    let Ok(facts) = pki::CaCertificate::parse(ours) else { return false };
    let same_key_id = facts.key_id.is_some() && facts.key_id == authority.facts().key_id;
    let same = PathAuthority::parse(ours)
        .is_ok_and(|ours| ours.key() == authority.key() || ours.subject_der() == authority.subject_der());
    same || same_key_id || facts.subject == authority.facts().subject || pki::is_issued_by(authority.der(), ours)
}

fn keys_of(row: &AnchorRow) -> Result<Vec<SpkiFingerprint>, Failure> {
    let mut keys = vec![store::stored("key fingerprint", &row.spki_fingerprint)?];
    for pem in &row.intermediates {
        for der in pki::pem_certificates(pem.as_bytes()).map_err(foreign_refusal)? {
            keys.push(PathAuthority::parse(&der).map_err(foreign_refusal)?.key());
        }
    }
    Ok(keys)
}
