//! `pkcs11:` URIs (RFC 7512): the names of keys in tokens.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::failure::Fault;

const SCHEME: &str = "pkcs11:";
/// RFC 7512 §2.3: what may stand in a path attribute as it is.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where a key lies: in which token, under which CKA_ID. The label is for people. The library and the PIN are settings of this
/// machine and stand in no URI: a restored database must not choose which library is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Locator {
    token: String,
    object: String,
    id: Vec<u8>,
}

impl Locator {
    pub(super) fn new(token: &str, object: &str, id: &[u8]) -> Self {
        Self { token: token.to_owned(), object: object.to_owned(), id: id.to_vec() }
    }

    /// Whether a key's location is one of these, and not the name of a file.
    pub(in super::super) fn is_one(location: &str) -> bool {
        location.starts_with(SCHEME)
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn object(&self) -> &str {
        &self.object
    }

    pub(super) fn id(&self) -> &[u8] {
        &self.id
    }
}

impl fmt::Display for Locator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = |text| utf8_percent_encode(text, ESCAPED);
        write!(formatter, "{SCHEME}token={};object={};id=", escaped(&self.token), escaped(&self.object))?;
        self.id.iter().try_for_each(|octet| write!(formatter, "%{octet:02X}"))?;
        formatter.write_str(";type=private")
    }
}

impl FromStr for Locator {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let fault = |why: &str| Fault::new(format!("{text:?} names no key in a token: {why}"));
        let path = text.strip_prefix(SCHEME).ok_or_else(|| fault("it does not begin with pkcs11:"))?;
        let (mut token, mut object, mut id) = (None, String::new(), None);
        for attribute in path.split(';') {
            let (name, value) = attribute.split_once('=').ok_or_else(|| fault("an attribute has no value"))?;
            let value: Vec<u8> = percent_decode_str(value).collect();
            let as_text = |value: Vec<u8>| String::from_utf8(value).map_err(|_| fault("a name is not UTF-8"));
            match name {
                "token" => token = Some(as_text(value)?),
                "object" => object = as_text(value)?,
                "id" => id = Some(value),
                "type" if value == b"private" => {}
                // §2.3: what narrows the search and is not understood must not be passed over.
                _ => return Err(fault("it has an attribute that is not known here")),
            }
        }
        match (token, id) {
            (Some(token), Some(id)) if !id.is_empty() => Ok(Self { token, object, id }),
            _ => Err(fault("it needs token and id")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locator_is_read_as_it_was_written() {
        let locator = Locator::new("the token; 100%", "issuing/1", &[0, 0xff, b'a']);
        let text = locator.to_string();
        assert_eq!(text, "pkcs11:token=the%20token%3B%20100%25;object=issuing%2F1;id=%00%FF%61;type=private");
        assert_eq!(text.parse::<Locator>().unwrap(), locator);
        assert!(Locator::is_one(&text) && !Locator::is_one("issuing.key"));
    }

    #[test]
    fn what_names_no_key_is_refused() {
        for text in [
            "issuing.key",
            "pkcs11:",
            "pkcs11:token=a",
            "pkcs11:id=%01",
            "pkcs11:token=a;id=",
            "pkcs11:token=a;id=%01;slot-id=1",
        ] {
            assert!(text.parse::<Locator>().is_err(), "{text}");
        }
    }
}
