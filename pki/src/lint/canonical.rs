//! Whether a certificate is DER (X.690 §8 and §10 to §11) to its last octet.
//!
//! Parsers forgive; and what one forgives another refuses, or reads in another way. Here nothing is taken from a parser.

/// Certificates nest eight deep.
const DEPTH_MAX: u32 = 16;

const CONSTRUCTED: u8 = 0x20;
const CLASS: u8 = 0xc0;
const HIGH_TAG: u8 = 0x1f;
const SET: u8 = 0x31;
const OCTET_STRING: u8 = 0x04;

/// One element after another, each whole, and nothing that is left over.
pub(super) fn check(der: &[u8]) -> Result<(), &'static str> {
    let (element, rest) = element(der)?;
    if !rest.is_empty() {
        return Err("something follows the certificate");
    }
    inspect(&element, 0)
}

struct Element<'a> {
    tag: u8,
    whole: &'a [u8],
    content: &'a [u8],
}

fn element(input: &[u8]) -> Result<(Element<'_>, &[u8]), &'static str> {
    let (&tag, after_tag) = input.split_first().ok_or("an element that is cut short")?;
    if tag & HIGH_TAG == HIGH_TAG {
        return Err("a tag of an unknown form");
    }
    let (&first, mut after_length) = after_tag.split_first().ok_or("an element that is cut short")?;
    let length = match first {
        0..=0x7f => usize::from(first),
        0x81..=0x84 => {
            let (octets, rest) =
                after_length.split_at_checked(usize::from(first & 0x7f)).ok_or("a length that is cut short")?;
            after_length = rest;
            let length = octets.iter().fold(0_usize, |length, octet| length << 8 | usize::from(*octet));
            if octets.first() == Some(&0) || length < 0x80 {
                return Err("a length that is not the shortest");
            }
            length
        }
        0x80 | 0x85.. => return Err("a length that is indefinite or huge"),
    };
    let (content, rest) = after_length.split_at_checked(length).ok_or("an element that is cut short")?;
    Ok((Element { tag, whole: &input[..input.len() - rest.len()], content }, rest))
}

fn inspect(element: &Element<'_>, depth: u32) -> Result<(), &'static str> {
    if depth > DEPTH_MAX {
        return Err("elements that nest too deep");
    }
    if element.tag & CONSTRUCTED != 0 {
        return inspect_members(element, depth);
    }
    // Context-specific primitives are names and key identifiers: any octets.
    if element.tag & CLASS != 0 {
        return Ok(());
    }
    primitive(element.tag, element.content)?;
    // Each OCTET STRING in a certificate is an extension's value, or, one level down, a key identifier.
    if element.tag == OCTET_STRING
        && depth < 6
        && let Ok((inner, [])) = self::element(element.content)
    {
        return inspect(&inner, depth + 1);
    }
    Ok(())
}

fn inspect_members(element: &Element<'_>, depth: u32) -> Result<(), &'static str> {
    let (mut rest, mut before): (&[u8], &[u8]) = (element.content, &[]);
    while !rest.is_empty() {
        let (member, after) = self::element(rest)?;
        inspect(&member, depth + 1)?;
        // A SET OF is sorted (§11.6).
        if element.tag == SET && member.whole < before {
            return Err("a set that is not sorted");
        }
        (before, rest) = (member.whole, after);
    }
    // `Extension ::= SEQUENCE { extnID, critical BOOLEAN DEFAULT FALSE, … }`: a default is left out (§11.5). No sequence in a
    // certificate says FALSE.
    if holds_false(element.content) {
        return Err("a default that is written out");
    }
    Ok(())
}

fn holds_false(content: &[u8]) -> bool {
    let mut rest = content;
    while let Ok((member, after)) = element(rest) {
        if member.tag == 1 && member.content == [0] {
            return true;
        }
        rest = after;
    }
    false
}

fn primitive(tag: u8, content: &[u8]) -> Result<(), &'static str> {
    let digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    let fits = match tag {
        // BOOLEAN
        1 => matches!(content, [0 | 0xff]),
        // INTEGER, ENUMERATED
        2 | 10 => match content {
            [] => false,
            [_] => true,
            [first, second, ..] => !(*first == 0 && *second < 0x80 || *first == 0xff && *second >= 0x80),
        },
        // BIT STRING
        3 => match content {
            [] => false,
            [unused] => *unused == 0,
            [unused, .., last] => *unused < 8 && last & ((1 << unused) - 1) == 0,
        },
        // NULL
        5 => content.is_empty(),
        // OBJECT IDENTIFIER
        6 => {
            let begins = |index: usize| index == 0 || content[index - 1] & 0x80 == 0;
            content.last().is_some_and(|last| last & 0x80 == 0)
                && !content.iter().enumerate().any(|(index, octet)| *octet == 0x80 && begins(index))
        }
        // UTF8String
        12 => std::str::from_utf8(content).is_ok(),
        // PrintableString
        19 => content.iter().all(|octet| octet.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(octet)),
        // IA5String
        22 => content.is_ascii(),
        // UTCTime, GeneralizedTime: with seconds, in UTC, without fractions (RFC 5280 §4.1.2.5)
        23 => matches!(content, [digits_of @ .., b'Z'] if digits_of.len() == 12 && digits(digits_of)),
        24 => matches!(content, [digits_of @ .., b'Z'] if digits_of.len() == 14 && digits(digits_of)),
        OCTET_STRING => true,
        _ => false,
    };
    if fits { Ok(()) } else { Err("a value that is not in its one form") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_one_form_passes_and_others_do_not() {
        let good: [&[u8]; 6] = [
            &[0x30, 0],
            &[0x30, 3, 1, 1, 0xff],
            &[2, 2, 0, 0x80],
            &[3, 2, 7, 0x80],
            &[0x31, 6, 2, 1, 1, 2, 1, 2],
            b"\x17\x0d270115080000Z",
        ];
        for der in good {
            assert_eq!(check(der), Ok(()), "{der:02x?}");
        }
        let bad: [&[u8]; 16] = [
            &[],
            &[0x30],
            &[0x30, 1],
            &[0x30, 0, 0],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x81, 1, 5],
            &[0x30, 3, 1, 1, 1],
            &[0x30, 3, 1, 1, 0],
            &[2, 2, 0, 1],
            &[2, 0],
            &[3, 2, 7, 0xc0],
            &[6, 2, 0x80, 1],
            &[0x31, 6, 2, 1, 2, 2, 1, 1],
            b"\x17\x0b2701150800Z",
            b"\x13\x01@",
            &[0x3f, 0x20, 0],
        ];
        for der in bad {
            assert!(check(der).is_err(), "{der:02x?}");
        }
    }

    #[test]
    fn what_an_extension_holds_is_judged_too() {
        assert_eq!(check(&[0x30, 5, 4, 3, 1, 1, 0xff]), Ok(()));
        assert!(check(&[0x30, 5, 4, 3, 1, 1, 1]).is_err());
        // A key identifier is no DER, and need not be.
        assert_eq!(check(&[0x30, 4, 4, 2, 0x30, 7]), Ok(()));
    }
}
