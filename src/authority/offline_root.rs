//! A root whose key never was here, as a ceremony gave it: its certificate and its list, checked.

use pki::{CaCertificate, RevocationList};

use super::{IssuerKind, IssuerState};
use crate::failure::{Failure, Refusal};
use crate::store::crl::WholeList;
use crate::store::issuer::IssuerRow;

/// The lowest number that a list of ours has.
const FIRST_NUMBER: i64 = 1;

pub(super) struct OfflineRoot {
    pub(super) der: Vec<u8>,
    /// Hex.
    pub(super) key_id: String,
    pub(super) subject: String,
    not_after: i64,
    pub(super) revoked: RevocationList,
    pub(super) list: WholeList,
}

impl OfflineRoot {
    /// Reads both, PEM; `now` in seconds since the Unix epoch.
    ///
    /// # Errors
    /// `not_a_root`, `root_list_unusable`, and what reading a certificate refuses.
    pub(super) fn read(certificate: &[u8], list: &[u8], now: i64) -> Result<Self, Failure> {
        let refuse = |message: String| -> Failure { Refusal::invalid("not_a_root", message).into() };
        let unfit = |error: pki::Error| -> Failure {
            Refusal::invalid(error.code(), format!("The root's certificate cannot be used: {error}.")).into()
        };
        let mut certificates = pki::pem_certificates(certificate).map_err(unfit)?.into_iter();
        let (Some(der), None) = (certificates.next(), certificates.next()) else {
            return Err(refuse("Give exactly one certificate as the root's.".to_owned()));
        };
        let read = CaCertificate::parse(&der).map_err(unfit)?;
        if !pki::is_issued_by(&der, &der) {
            return Err(refuse(format!("{} is not self-signed: it is no root.", read.subject)));
        }
        if !read.is_valid_at(now) {
            return Err(refuse(format!("{} is not valid now.", read.subject)));
        }
        let Some(key_id) = read.key_id else {
            return Err(refuse(format!("{} has no key identifier.", read.subject)));
        };
        let (revoked, list) = root_list(&der, &key_id.to_string(), list, now)?;
        Ok(Self { key_id: key_id.to_string(), subject: read.subject, not_after: read.not_after, revoked, list, der })
    }

    /// As an active authority without a key.
    pub(super) fn row(&self, now: i64) -> IssuerRow {
        IssuerRow {
            key_id: self.key_id.clone(),
            kind: IssuerKind::Root,
            state: IssuerState::Active,
            state_since: now,
            tainted_at: None,
            subject: self.subject.clone(),
            certificate: self.der.clone(),
            key_location: None,
            not_after: self.not_after,
            crl_number: self.list.number,
            crl_partitions: 1,
            created_at: now,
        }
    }
}

/// Reads the list (PEM or DER) of the root with this certificate.
///
/// # Errors
/// `root_list_unusable`.
pub(super) fn root_list(
    root: &[u8],
    key_id: &str,
    list: &[u8],
    now: i64,
) -> Result<(RevocationList, WholeList), Failure> {
    let unusable = |why: String| -> Failure {
        Refusal::invalid("root_list_unusable", format!("The root's revocation list {why}.")).into()
    };
    let mut lists = RevocationList::read_all(list).map_err(|error| unusable(format!("cannot be read: {error}")))?;
    let (Some(list), true) = (lists.pop(), lists.is_empty()) else {
        return Err(unusable("must be exactly one".to_owned()));
    };
    list.verify(root).map_err(|error| unusable(format!("is not usable: {error}")))?;
    if list.next_update().unix_timestamp() <= now {
        return Err(unusable("has ended: sign the next one (`ca ceremony sign-crl`)".to_owned()));
    }
    let number = list.number().and_then(|number| i64::try_from(number).ok());
    let number = number.filter(|number| *number >= FIRST_NUMBER).ok_or_else(|| unusable("has no number".to_owned()))?;
    let row = WholeList {
        issuer_key_id: key_id.to_owned(),
        number,
        this_update: list.this_update().unix_timestamp(),
        next_update: list.next_update().unix_timestamp(),
        der: list.der().to_vec(),
    };
    Ok((list, row))
}
