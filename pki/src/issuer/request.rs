//! How the key of an authority-to-be asks a root elsewhere for its certificate.

use rcgen::CertificateParams;

use super::template::{Blank, Layout, verification};
use crate::der;
use crate::error::Error;
use crate::key::PrivateKey;
use crate::name::{AuthorityName, distinguished_name};

/// A certificate request (RFC 2986, DER) with this key and name, for a root whose key is elsewhere.
///
/// It asks for nothing besides: that the certificate is an authority's, and what it may sign, is decided where the root is.
///
/// # Errors
/// [`Error::InvalidName`]; [`Error::Crypto`].
pub fn authority_request(key: &PrivateKey, name: &AuthorityName) -> Result<Vec<u8>, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(&name.common_name, name.organization.as_deref())?;
    let blank = params.serialize_request(&Blank::of(key)).map_err(|_| Error::Lint("it cannot be encoded"))?;
    let layout = Layout::of(blank.der().to_vec())?;
    let signature = key.sign(&layout.tbs)?;
    if !key.public_key().verify(verification(key.signature_algorithm())?, &layout.tbs, &signature) {
        return Err(Error::Crypto("checking its own signature"));
    }
    Ok(der::signed(&layout.tbs, &layout.signature_algorithm, &signature))
}
