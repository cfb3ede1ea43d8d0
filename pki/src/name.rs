//! Distinguished names, and the checks on what goes into them.

use rcgen::{DistinguishedName, DnType};

use crate::certificate;
use crate::error::Error;
use crate::key::PublicKey;
use crate::key_id::KeyId;
use crate::text;

/// RFC 5280 appendix A.1: ub-common-name and ub-organization-name.
const MAX_NAME: usize = 64;

/// How many hex digits of the key identifier end an authority's common name.
const GENERATION_DIGITS: usize = 8;

/// The name of an authority before its generation is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityName {
    /// At most 55 characters; nine more are added, see [`crate::Issuer::self_signed`].
    pub common_name: String,
    pub organization: Option<String>,
}

impl From<&str> for AuthorityName {
    fn from(common_name: &str) -> Self {
        Self { common_name: common_name.into(), organization: None }
    }
}

impl From<String> for AuthorityName {
    fn from(common_name: String) -> Self {
        Self { common_name, organization: None }
    }
}

impl AuthorityName {
    /// The name of the authority with this certificate (DER), without its generation: what its successor is called too.
    ///
    /// # Errors
    /// [`Error::MalformedCertificate`]; [`Error::NotAnAuthority`] when it has no common name.
    pub fn of(certificate: &[u8]) -> Result<Self, Error> {
        let certificate = certificate::parse(certificate)?;
        let subject = certificate.subject();
        let common_name = subject.iter_common_name().next().and_then(|name| name.as_str().ok());
        let common_name = common_name.ok_or_else(|| Error::NotAnAuthority("it has no common name".into()))?;
        let key_id = PublicKey::from_spki_der(certificate.public_key().raw)?.key_id().to_string();
        let generation = key_id.get(..GENERATION_DIGITS).unwrap_or_default();
        let common_name = common_name.strip_suffix(generation).map_or(common_name, str::trim_end);
        let organization = subject.iter_organization().next().and_then(|name| name.as_str().ok());
        Ok(Self { common_name: common_name.to_owned(), organization: organization.map(str::to_owned) })
    }

    /// The subject of one generation: the common name ends with the first octets of its key identifier.
    ///
    /// Two generations under one name make verifiers choose the wrong issuer or the wrong revocation list: with rustls the list
    /// that was loaded first decides, so that revoked certificates pass.
    pub(crate) fn generation(&self, key_id: &KeyId) -> Result<DistinguishedName, Error> {
        let generation: String = key_id.to_string().chars().take(GENERATION_DIGITS).collect();
        distinguished_name(&format!("{} {generation}", self.common_name), self.organization.as_deref())
    }
}

/// O (if any), then CN.
pub(crate) fn distinguished_name(common_name: &str, organization: Option<&str>) -> Result<DistinguishedName, Error> {
    let mut name = DistinguishedName::new();
    if let Some(organization) = organization {
        check(organization)?;
        name.push(DnType::OrganizationName, organization);
    }
    check(common_name)?;
    name.push(DnType::CommonName, common_name);
    Ok(name)
}

fn check(name: &str) -> Result<(), Error> {
    let refuse = |why| Err(Error::InvalidName { text: text::shown(name), why });
    if name.trim().is_empty() {
        return refuse("it is empty");
    }
    if name.chars().count() > MAX_NAME {
        return refuse("it is longer than 64 characters");
    }
    if name.trim() != name {
        return refuse("it begins or ends with a space");
    }
    // CVE-2009-2408: a NUL inside a name ended it for some readers and not for others.
    if name.chars().any(char::is_control) {
        return refuse("it holds control characters");
    }
    if name.chars().any(is_invisible) {
        return refuse("it holds invisible characters");
    }
    Ok(())
}

/// CVE-2021-42574: such characters make one name look like another to whoever approves it.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
