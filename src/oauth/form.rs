//! `application/x-www-form-urlencoded` as RFC 6749 wants it: one value a parameter, an empty one is none.

use percent_encoding::percent_decode_str;

/// More parameters than any request of ours has.
const PARAMETERS_MAX: usize = 64;

/// The parameters of a form. `Debug` is left out on purpose: one of them is a secret.
pub(super) struct Form {
    parameters: Vec<(String, String)>,
}

/// The form cannot be read in one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MalformedForm;

impl Form {
    /// Reads the body of a request. Empty parameters are left out (RFC 6749 §3.2).
    ///
    /// # Errors
    /// Broken escapes, octets that are not UTF-8, too many parameters.
    pub(super) fn parse(body: &[u8]) -> Result<Self, MalformedForm> {
        let text = std::str::from_utf8(body).map_err(|_| MalformedForm)?;
        let mut parameters = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if parameters.len() == PARAMETERS_MAX {
                return Err(MalformedForm);
            }
            if !value.is_empty() {
                parameters.push((name, value));
            }
        }
        Ok(Self { parameters })
    }

    /// The value of a parameter that may stand once.
    ///
    /// # Errors
    /// It stands more than once (RFC 6749 §3.2): two readers could take different ones.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, MalformedForm> {
        let mut values = self.parameters.iter().filter(|(known, _)| known == name);
        match (values.next(), values.next()) {
            (found, None) => Ok(found.map(|(_, value)| value.as_str())),
            (_, Some(_)) => Err(MalformedForm),
        }
    }

    /// The values of a parameter that may stand several times (`resource`, RFC 8707 §2).
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.parameters.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Decodes one name or value: `+` is a space, `%` must begin an escape.
///
/// # Errors
/// A `%` without two hexadecimal digits, or octets that are not UTF-8.
pub(super) fn decode(text: &str) -> Result<String, MalformedForm> {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        match rest.get(at + 1..at + 3) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => rest = &rest[at + 3..],
            _ => return Err(MalformedForm),
        }
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().map(Into::into).map_err(|_| MalformedForm)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Form {
        Form::parse(body.as_bytes()).ok().unwrap()
    }

    #[test]
    fn values_are_decoded_once() {
        let form = parse("scope=https%3A%2F%2Fapi.example.com%2Ftest%2Fhello-world&a=1+2%2B3&b=%2541");
        assert_eq!(form.one("scope"), Ok(Some("https://api.example.com/test/hello-world")));
        assert_eq!(form.one("a"), Ok(Some("1 2+3")));
        assert_eq!(form.one("b"), Ok(Some("%41")));
    }

    #[test]
    fn empty_is_absent_and_twice_is_refused() {
        let form = parse("&&scope=&scope=&x&a=1&a=1&b=1&%62=2&c=&c=3");
        assert_eq!(form.one("scope"), Ok(None));
        assert_eq!(form.one("x"), Ok(None));
        assert_eq!(form.one("a"), Err(MalformedForm));
        assert_eq!(form.one("b"), Err(MalformedForm), "also under two spellings of its name");
        assert_eq!(form.one("c"), Ok(Some("3")));
        assert_eq!(form.all("a").count(), 2);
    }

    #[test]
    fn broken_escapes_are_refused() {
        for body in [&b"a=%"[..], b"a=%4", b"a=%zz", b"a=%4g", b"%=a", b"a=%ff", b"a=\xff", b"a=%+41"] {
            assert!(Form::parse(body).is_err(), "{body:?}");
        }
        let many = "a=1&".repeat(PARAMETERS_MAX + 1);
        assert!(Form::parse(many.as_bytes()).is_err());
    }
}
