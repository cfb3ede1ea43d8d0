//! The few lines of DER (X.690) that no library in use offers.

mod reader;

use x509_parser::asn1_rs::{Any, FromDer};

use crate::error::Error;

pub(crate) use reader::Reader;

pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const BIT_STRING: u8 = 0x03;
const INTEGER: u8 = 0x02;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const SEQUENCE: u8 = 0x30;
/// `[0]` constructed: a certificate's version.
const VERSION: u8 = 0xa0;
/// `[6]` primitive: a GeneralName that is a URI.
pub(crate) const CONTEXT_6: u8 = 0x86;

/// One element: tag, definite length, content.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut element = Vec::with_capacity(content.len() + 10);
    write_head(&mut element, tag, content.len());
    element.extend(content);
    element
}

/// Tag and definite length of an element whose content is elsewhere.
pub(crate) fn head(tag: u8, content_octets: usize) -> Vec<u8> {
    let mut head = Vec::with_capacity(10);
    write_head(&mut head, tag, content_octets);
    head
}

fn write_head(out: &mut Vec<u8>, tag: u8, content_octets: usize) {
    let length = content_octets.to_be_bytes();
    let significant = &length[length.iter().take_while(|octet| **octet == 0).count()..];
    out.push(tag);
    match significant {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            out.push(0x80 | long.len() as u8);
            out.extend(long);
        }
    }
}

/// An INTEGER that is not negative, from its octets, most significant first.
pub(crate) fn unsigned_integer(octets: &[u8]) -> Vec<u8> {
    let significant = octets.iter().position(|octet| *octet != 0).map_or(&[0][..], |first| &octets[first..]);
    match significant {
        [first, ..] if first & 0x80 != 0 => tlv(INTEGER, &[&[0], significant].concat()),
        _ => tlv(INTEGER, significant),
    }
}

/// SEQUENCE { to-be-signed, signatureAlgorithm, signature BIT STRING }: a certificate or a revocation list.
pub(crate) fn signed(tbs: &[u8], algorithm: &[u8], signature: &[u8]) -> Vec<u8> {
    let signature = tlv(BIT_STRING, &[&[0], signature].concat());
    tlv(SEQUENCE, &[tbs, algorithm, &signature].concat())
}

/// Takes a signed object apart again: (to-be-signed, signatureAlgorithm), each whole.
pub(crate) fn unsigned(object: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let parts = || {
        let (tbs, rest) = split(content(object)?)?;
        let (algorithm, _) = split(rest)?;
        Some((tbs, algorithm))
    };
    parts().ok_or(Error::Lint("its encoding"))
}

/// Whether everything around a TBSCertificate has its one DER form and repeats the algorithm inside (RFC 5280 §4.1.1.2).
///
/// No signature covers the envelope, and x509-parser overlooks wrong tags in it: without this check one certificate could have
/// many thumbprints.
pub(crate) fn is_canonical_envelope(certificate: &[u8]) -> bool {
    let check = || {
        let (tbs, rest) = split(content(certificate)?)?;
        let (algorithm, signature) = split(rest)?;
        let mut fields = content(tbs)?;
        if fields.first() == Some(&VERSION) {
            fields = split(fields)?.1;
        }
        let (_serial, fields) = split(fields)?;
        let (inner, _) = split(fields)?;
        Some(certificate.first() == Some(&SEQUENCE) && algorithm == inner && signature.first() == Some(&BIT_STRING))
    };
    check().unwrap_or(false)
}

/// The first element of the input, whole, and what follows it.
fn split(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (rest, _) = Any::from_der(input).ok()?;
    Some(input.split_at(input.len() - rest.len()))
}

fn content(element: &[u8]) -> Option<&[u8]> {
    Any::from_der(element).ok().map(|(_, element)| element.data)
}
