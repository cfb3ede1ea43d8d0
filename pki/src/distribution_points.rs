//! Where a certificate says that its status and its issuer are found.

use rcgen::{CrlDistributionPoint, CustomExtension};

use crate::der;
use crate::error::Error;
use crate::text;

/// id-pe-authorityInfoAccess.
const AUTHORITY_INFO_ACCESS: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 1];

/// id-ad-ocsp and id-ad-caIssuers, as DER content octets.
const OCSP: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1];
const CA_ISSUERS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 2];

/// The addresses that go into a certificate: cRLDistributionPoints (RFC 5280 §4.2.1.13) and authorityInfoAccess (§4.2.2.1).
///
/// `http://` only: a list behind `https` needs a certificate check to check a certificate, and many verifiers refuse it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DistributionPoints {
    /// The revocation list in DER; must be byte for byte the one in the list's issuingDistributionPoint.
    pub crl: Option<String>,
    /// The issuer's certificate in DER (`.cer`).
    pub ca_issuers: Option<String>,
    /// The OCSP responder (RFC 6960).
    pub ocsp: Option<String>,
}

impl DistributionPoints {
    pub(crate) fn crl_distribution_points(&self) -> Result<Vec<CrlDistributionPoint>, Error> {
        let point = |url: &String| {
            check_url(url)?;
            Ok(CrlDistributionPoint { uris: vec![url.clone()] })
        };
        self.crl.iter().map(point).collect()
    }

    pub(crate) fn authority_info_access(&self) -> Result<Option<CustomExtension>, Error> {
        let mut descriptions = Vec::new();
        for (method, url) in [(OCSP, &self.ocsp), (CA_ISSUERS, &self.ca_issuers)] {
            let Some(url) = url else { continue };
            check_url(url)?;
            let method = der::tlv(der::OBJECT_IDENTIFIER, method);
            let location = der::tlv(der::CONTEXT_6, url.as_bytes());
            descriptions.extend(der::tlv(der::SEQUENCE, &[method, location].concat()));
        }
        let content = der::tlv(der::SEQUENCE, &descriptions);
        Ok((!descriptions.is_empty()).then(|| CustomExtension::from_oid_content(AUTHORITY_INFO_ACCESS, content)))
    }
}

pub(crate) fn check_url(url: &str) -> Result<(), Error> {
    let refuse = |why| Err(Error::InvalidUrl { text: text::shown(url), why });
    let Some(rest) = url.strip_prefix("http://") else {
        return refuse("it must begin with http:// (not https: the check would need itself)");
    };
    if rest.is_empty() || rest.starts_with('/') {
        return refuse("it names no host");
    }
    if url.len() > 1024 {
        return refuse("it is longer than 1024 characters");
    }
    if !rest.bytes().all(|c| c.is_ascii_graphic()) {
        return refuse("it may hold only printable ASCII without spaces");
    }
    Ok(())
}
