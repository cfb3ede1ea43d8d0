//! Revocation lists.

use rcgen::{
    CertificateRevocationListParams, CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope, KeyIdMethod,
    RevokedCertParams, SerialNumber,
};
use time::OffsetDateTime;

use crate::distribution_points::check_url;
use crate::error::Error;
use crate::issuer::whole_seconds;
use crate::pem;
use crate::revocation::{RevocationReason, RevokedEntry};

/// What a revocation list (RFC 5280 §5) is to say.
#[derive(Debug, Clone)]
pub struct CrlRequest {
    /// cRLNumber (§5.2.3): must grow with every list of one authority, whichever node makes it.
    pub number: u64,
    /// When the list is made.
    pub this_update: OffsetDateTime,
    /// When the next one will be there at the latest; cut at the authority's end.
    pub next_update: OffsetDateTime,
    /// Everything revoked and not yet expired, in any order. Of two entries for one serial number the earlier date counts.
    pub revoked: Vec<RevokedEntry>,
    /// The address that the certificates carry, byte for byte. It becomes a critical issuingDistributionPoint (§5.2.5), so that
    /// a list of one scope cannot be passed off as another's. `None` makes a list of everything the authority issued; for a root
    /// it must be that, since verifiers that check every link (nginx, `-crl_check_all`) hold the root itself against its list.
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

impl CrlRequest {
    /// Checks the request against the authority's end and puts it in rcgen's terms.
    pub(crate) fn into_params(
        self,
        not_after: OffsetDateTime,
        key_id: &[u8],
        end_entities_only: bool,
    ) -> Result<CertificateRevocationListParams, Error> {
        let this_update = whole_seconds(self.this_update)?;
        let next_update = whole_seconds(self.next_update)?.min(not_after);
        if this_update >= not_after {
            return Err(Error::OutlivesIssuer { not_after });
        }
        if next_update <= this_update {
            return Err(Error::InvalidCrl("nextUpdate must be after thisUpdate"));
        }
        let issuing_distribution_point = match self.distribution_point {
            None => None,
            Some(url) => {
                check_url(&url)?;
                Some(CrlIssuingDistributionPoint {
                    distribution_point: CrlDistributionPoint { uris: vec![url] },
                    scope: end_entities_only.then_some(CrlScope::UserCertsOnly),
                })
            }
        };
        Ok(CertificateRevocationListParams {
            this_update,
            next_update,
            crl_number: SerialNumber::from(self.number),
            issuing_distribution_point,
            revoked_certs: revoked(self.revoked, this_update)?,
            key_identifier_method: KeyIdMethod::PreSpecified(key_id.to_vec()),
        })
    }
}

fn revoked(mut entries: Vec<RevokedEntry>, this_update: OffsetDateTime) -> Result<Vec<RevokedCertParams>, Error> {
    entries.sort_by_key(|entry| (entry.serial, entry.revoked_at));
    entries.dedup_by_key(|entry| entry.serial);
    entries
        .into_iter()
        .map(|entry| {
            if !entry.reason.is_permanent() {
                return Err(Error::ReasonNotPermanent(entry.reason.as_str()));
            }
            Ok(RevokedCertParams {
                serial_number: SerialNumber::from_slice(entry.serial.as_bytes()),
                // A date after the list's own reads as "not revoked yet" to some verifiers.
                revocation_time: whole_seconds(entry.revoked_at)?.min(this_update),
                reason_code: reason_code(entry.reason),
                invalidity_date: None,
            })
        })
        .collect()
}

/// RFC 5280 §5.3.1: `unspecified` is said by leaving the reason out.
fn reason_code(reason: RevocationReason) -> Option<rcgen::RevocationReason> {
    Some(match reason {
        RevocationReason::Unspecified | RevocationReason::CertificateHold => return None,
        RevocationReason::KeyCompromise => rcgen::RevocationReason::KeyCompromise,
        RevocationReason::CaCompromise => rcgen::RevocationReason::CaCompromise,
        RevocationReason::AffiliationChanged => rcgen::RevocationReason::AffiliationChanged,
        RevocationReason::Superseded => rcgen::RevocationReason::Superseded,
        RevocationReason::CessationOfOperation => rcgen::RevocationReason::CessationOfOperation,
        RevocationReason::PrivilegeWithdrawn => rcgen::RevocationReason::PrivilegeWithdrawn,
        RevocationReason::AaCompromise => rcgen::RevocationReason::AaCompromise,
    })
}
