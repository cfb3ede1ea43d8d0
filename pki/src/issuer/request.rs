//! How the key of an authority-to-be asks a root elsewhere for its certificate.

use rcgen::CertificateParams;

use super::template::{Blank, Layout};
use crate::der;
use crate::error::Error;
use crate::name::{AuthorityName, distinguished_name};
use crate::signer::{self, Signer};

/// A certificate request (RFC 2986, DER) with this key and name, for a root whose key is elsewhere.
///
/// It asks for nothing besides: that the certificate is an authority's, and what it may sign, is decided where the root is.
///
/// # Errors
/// [`Error::InvalidName`]; those of the signer.
pub fn authority_request(key: &dyn Signer, name: &AuthorityName) -> Result<Vec<u8>, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(&name.common_name, name.organization.as_deref())?;
    let blank =
        params.serialize_request(&Blank::of(key.public_key())).map_err(|_| Error::Lint("it cannot be encoded"))?;
    let layout = Layout::of(blank.der().to_vec())?;
    let signature = signer::sign_verified(key, &layout.tbs)?;
    Ok(der::signed(&layout.tbs, &layout.signature_algorithm, &signature))
}
