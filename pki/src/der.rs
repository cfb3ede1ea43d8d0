//! The few lines of DER (X.690) that no library in use offers.

use x509_parser::asn1_rs::{Any, FromDer};

use crate::error::Error;

pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const SEQUENCE: u8 = 0x30;
/// `[6]` primitive: a GeneralName that is a URI.
pub(crate) const CONTEXT_6: u8 = 0x86;

/// One element: tag, definite length, content.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().take_while(|octet| **octet == 0).count()..];
    let mut element = Vec::with_capacity(content.len() + 10);
    element.push(tag);
    match significant {
        [] => element.push(0),
        [short] if *short < 0x80 => element.push(*short),
        long => {
            element.push(0x80 | long.len() as u8);
            element.extend(long);
        }
    }
    element.extend(content);
    element
}

/// SEQUENCE { to-be-signed, signatureAlgorithm, signature BIT STRING }: a certificate or a revocation list.
pub(crate) fn signed(tbs: &[u8], algorithm: &[u8], signature: &[u8]) -> Vec<u8> {
    let signature = tlv(BIT_STRING, &[&[0], signature].concat());
    tlv(SEQUENCE, &[tbs, algorithm, &signature].concat())
}

/// Takes a signed object apart again: (to-be-signed, signatureAlgorithm), each whole.
pub(crate) fn unsigned(object: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    fn split(input: &[u8]) -> Result<(&[u8], &[u8]), Error> {
        let (rest, _) = Any::from_der(input).map_err(|_| Error::Lint("its encoding"))?;
        Ok(input.split_at(input.len() - rest.len()))
    }
    let (_, outer) = Any::from_der(object).map_err(|_| Error::Lint("its encoding"))?;
    let (tbs, rest) = split(outer.data)?;
    let (algorithm, _) = split(rest)?;
    Ok((tbs, algorithm))
}
