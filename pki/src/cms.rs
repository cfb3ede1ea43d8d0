//! Certificates in CMS and the wishes for a request: the two formats of EST (RFC 7030) that are not PKCS#10.

use crate::der::{CONTEXT_6, OBJECT_IDENTIFIER, SEQUENCE, tlv};
use crate::renewal_request::{ID_EXTENSION_REQUEST, SUBJECT_ALT_NAME};
use crate::spiffe_id::SpiffeId;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SET: u8 = 0x31;
/// `[0]` constructed: the content of ContentInfo, and the certificates of SignedData.
const CONTEXT_0: u8 = 0xa0;

/// 1.2.840.113549.1.7.1 (RFC 5652 §4).
const ID_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// 1.2.840.113549.1.7.2 (RFC 5652 §5.1).
const ID_SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// 1.2.840.10045.2.1 (RFC 5480 §2.1.1).
const ID_EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.2.840.10045.3.1.7 (RFC 5480 §2.1.1.1).
const ID_SECP256R1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// 1.2.840.10045.4.3.2 (RFC 5758 §3.2).
const ID_ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// Certificates (DER) in a SignedData that signs nothing: the certs-only CMC Simple PKI Response of RFC 5272 §4.1, which EST and
/// `openssl pkcs7 -print_certs` read.
///
/// A SET has no order of its own; DER sorts it (X.690 §11.6), so whoever reads two must tell them apart by what they say.
pub fn certs_only_cms(certificates: &[&[u8]]) -> Vec<u8> {
    let mut sorted = certificates.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let nothing_signed = tlv(SEQUENCE, &tlv(OBJECT_IDENTIFIER, ID_DATA));
    let signed_data = [
        // CMSVersion 1: no attribute certificates, no signers (RFC 5652 §5.1).
        tlv(INTEGER, &[1]),
        tlv(SET, &[]),
        nothing_signed,
        tlv(CONTEXT_0, &sorted.concat()),
        tlv(SET, &[]),
    ]
    .concat();
    let content = tlv(CONTEXT_0, &tlv(SEQUENCE, &signed_data));
    tlv(SEQUENCE, &[tlv(OBJECT_IDENTIFIER, ID_SIGNED_DATA), content].concat())
}

/// What a request should hold, as EST tells it (CsrAttrs, RFC 7030 §4.5.2 as RFC 9908 §3.2 makes it precise): a P-256 key, signed
/// with SHA-256, and the identity as subjectAltName where it is known who asks.
pub fn csr_attributes(identity: Option<&SpiffeId>) -> Vec<u8> {
    let key = attribute(ID_EC_PUBLIC_KEY, &tlv(OBJECT_IDENTIFIER, ID_SECP256R1));
    let signature = tlv(OBJECT_IDENTIFIER, ID_ECDSA_WITH_SHA256);
    let name = identity.map(|identity| {
        let names = tlv(SEQUENCE, &tlv(CONTEXT_6, identity.to_string().as_bytes()));
        attribute(ID_EXTENSION_REQUEST, &tlv(SEQUENCE, &san_extension(&names)))
    });
    tlv(SEQUENCE, &[key, signature, name.unwrap_or_default()].concat())
}

/// The Extension subjectAltName around GeneralNames.
pub(crate) fn san_extension(general_names: &[u8]) -> Vec<u8> {
    tlv(SEQUENCE, &[tlv(OBJECT_IDENTIFIER, SUBJECT_ALT_NAME), tlv(OCTET_STRING, general_names)].concat())
}

/// Attribute (RFC 2986 §4) with one value.
pub(crate) fn attribute(kind: &[u8], value: &[u8]) -> Vec<u8> {
    tlv(SEQUENCE, &[tlv(OBJECT_IDENTIFIER, kind), tlv(SET, value)].concat())
}
