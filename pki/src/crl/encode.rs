//! The DER of a CertificateList (RFC 5280 §5.1).

use time::OffsetDateTime;

use crate::der;
use crate::error::Error;
use crate::key::KeyAlgorithm;
use crate::key_id::KeyId;
use crate::revocation::RevocationReason;
use crate::serial::Serial;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]` primitive: the keyIdentifier of an AuthorityKeyIdentifier.
const CONTEXT_0: u8 = 0x80;
/// `[1]` primitive: onlyContainsUserCerts.
const CONTEXT_1: u8 = 0x81;
/// `[0]` constructed.
const EXPLICIT_0: u8 = 0xa0;
const TRUE: [u8; 3] = [0x01, 0x01, 0xff];
/// v2(1).
const VERSION_2: [u8; 3] = [INTEGER, 1, 1];

/// id-ce-…, as DER content octets.
const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x23];
const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 0x14];
const ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x55, 0x1d, 0x1c];
/// crlEntryExtensions with a reasonCode (§5.3.1), all but the code itself.
const REASON_HEAD: [u8; 13] = [0x30, 0x0c, 0x30, 0x0a, 0x06, 0x03, 0x55, 0x1d, 0x15, 0x04, 0x03, 0x0a, 0x01];

/// An issuingDistributionPoint.
pub(super) struct Scope<'a> {
    pub(super) url: &'a str,
    pub(super) end_entities_only: bool,
}

/// The AlgorithmIdentifier of what a key of this kind signs (RFC 5758 §3.2, RFC 8410 §3, RFC 4055 §5).
pub(super) fn algorithm(kind: KeyAlgorithm) -> &'static [u8] {
    match kind {
        KeyAlgorithm::EcdsaP256 => &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
        KeyAlgorithm::EcdsaP384 => &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03],
        KeyAlgorithm::Ed25519 => &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70],
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
            &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00]
        }
    }
}

/// The fields from version to nextUpdate.
pub(super) fn before(
    kind: KeyAlgorithm,
    issuer: &[u8],
    this_update: OffsetDateTime,
    next_update: OffsetDateTime,
) -> Result<Vec<u8>, Error> {
    let mut fields = [VERSION_2.as_slice(), algorithm(kind), issuer].concat();
    time(&mut fields, this_update)?;
    time(&mut fields, next_update)?;
    Ok(fields)
}

/// `crlExtensions [0] EXPLICIT Extensions`.
pub(super) fn extensions(key_id: &KeyId, number: u64, scope: Option<&Scope<'_>>) -> Vec<u8> {
    let key_id = der::tlv(der::SEQUENCE, &der::tlv(CONTEXT_0, key_id.as_bytes()));
    let mut all = extension(AUTHORITY_KEY_IDENTIFIER, false, &key_id);
    let number = number.to_be_bytes();
    let zeros = number.iter().take_while(|octet| **octet == 0).count();
    let mut content = Vec::with_capacity(9);
    unsigned(&mut content, &number[zeros.min(number.len() - 1)..]);
    all.extend(extension(CRL_NUMBER, false, &content));
    if let Some(scope) = scope {
        let name = der::tlv(EXPLICIT_0, &der::tlv(der::CONTEXT_6, scope.url.as_bytes()));
        let mut members = der::tlv(EXPLICIT_0, &name);
        if scope.end_entities_only {
            members.extend([CONTEXT_1, 1, 0xff]);
        }
        all.extend(extension(ISSUING_DISTRIBUTION_POINT, true, &der::tlv(der::SEQUENCE, &members)));
    }
    der::tlv(EXPLICIT_0, &der::tlv(der::SEQUENCE, &all))
}

/// One of revokedCertificates. At most 54 octets of content, so every length takes one octet.
pub(super) fn entry(
    out: &mut Vec<u8>,
    serial: Serial,
    revoked_at: OffsetDateTime,
    reason: RevocationReason,
) -> Result<(), Error> {
    let start = out.len();
    out.extend([der::SEQUENCE, 0]);
    unsigned(out, serial.as_bytes());
    if let Err(error) = time(out, revoked_at) {
        out.truncate(start);
        return Err(error);
    }
    // §5.3.1: `unspecified` is said by leaving the reason out.
    if reason != RevocationReason::Unspecified {
        out.extend(REASON_HEAD);
        out.push(reason.code());
    }
    let length = out.len() - start - 2;
    out[start + 1] = length as u8;
    Ok(())
}

fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let mut content = der::tlv(der::OBJECT_IDENTIFIER, id);
    if critical {
        content.extend(TRUE);
    }
    content.extend(der::tlv(OCTET_STRING, value));
    der::tlv(der::SEQUENCE, &content)
}

/// A non-negative INTEGER of at most 20 octets, given without leading zeros.
fn unsigned(out: &mut Vec<u8>, magnitude: &[u8]) {
    let sign = magnitude.first().is_some_and(|octet| octet & 0x80 != 0);
    out.push(INTEGER);
    out.push((magnitude.len() + usize::from(sign)) as u8);
    if sign {
        out.push(0);
    }
    out.extend_from_slice(magnitude);
}

/// UTCTime through 2049, GeneralizedTime from 2050 on (§5.1.2.4). The time is in UTC and in whole seconds.
fn time(out: &mut Vec<u8>, at: OffsetDateTime) -> Result<(), Error> {
    let year = u16::try_from(at.year()).map_err(|_| Error::InvalidTime)?;
    match year {
        1950..=2049 => out.extend([UTC_TIME, 13]),
        0..=9999 => {
            out.extend([GENERALIZED_TIME, 15]);
            two_digits(out, (year / 100) as u8);
        }
        _ => return Err(Error::InvalidTime),
    }
    two_digits(out, (year % 100) as u8);
    for part in [u8::from(at.month()), at.day(), at.hour(), at.minute(), at.second()] {
        two_digits(out, part);
    }
    out.push(b'Z');
    Ok(())
}

fn two_digits(out: &mut Vec<u8>, number: u8) {
    out.extend([b'0' + number / 10, b'0' + number % 10]);
}
