//! Paths and queries of the admin API, encoded.

use std::fmt::Display;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::CliError;

/// The unreserved characters of RFC 3986 §2.3 stay as they are.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A query string in the making; members without a value are left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    pairs: Vec<(&'static str, String)>,
}

impl Query {
    #[must_use]
    pub(super) fn with(mut self, name: &'static str, value: Option<impl Display>) -> Self {
        self.pairs.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// The path with the query behind it.
    pub(super) fn on(&self, path: &str) -> String {
        let mut text = path.to_owned();
        for (index, (name, value)) in self.pairs.iter().enumerate() {
            text.push(if index == 0 { '?' } else { '&' });
            text.push_str(name);
            text.push('=');
            text.extend(utf8_percent_encode(value, ENCODED));
        }
        text
    }
}

/// `/v1/partners/acme` of `/v1/partners` and `acme`. Refuses an id that would name another path.
pub(super) fn item(collection: &str, id: &str) -> Result<String, CliError> {
    if id.is_empty() || id.bytes().all(|byte| byte == b'.') {
        return Err(CliError::new(format!("{id:?} is not an identifier")));
    }
    Ok(format!("{collection}/{}", utf8_percent_encode(id, ENCODED)))
}

#[cfg(test)]
mod tests {
    use super::{Query, item};

    #[test]
    fn values_are_encoded_and_missing_ones_left_out() {
        let query =
            Query::default().with("client", Some("a&b=c/é")).with("partner", None::<&str>).with("limit", Some(5));
        assert_eq!(query.on("/v1/x"), "/v1/x?client=a%26b%3Dc%2F%C3%A9&limit=5");
        assert_eq!(Query::default().on("/v1/x"), "/v1/x");
    }

    #[test]
    fn an_id_stays_one_segment() {
        assert_eq!(item("/v1/clients", "acme-orders").unwrap(), "/v1/clients/acme-orders");
        assert_eq!(item("/v1/clients", "../partners?x#y").unwrap(), "/v1/clients/..%2Fpartners%3Fx%23y");
        for id in ["", ".", ".."] {
            assert!(item("/v1/clients", id).is_err(), "{id}");
        }
    }
}
