//! How a client presents its secret: HTTP Basic, or two parameters of the form (RFC 6749 §2.3.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap};
use policies::Denial;
use zeroize::Zeroizing;

use super::answer::ErrorAnswer;
use super::form::{self, Form};

/// Longer secrets are refused unread; ours have at most 64 characters, which encoding can treble.
const SECRET_BYTES_MAX: usize = 256;

/// What a client says it is, and the secret it says so with. There are two readings when it came by HTTP Basic: RFC 6749 wants
/// id and secret form-encoded first, and half of the libraries (curl, requests) do not do it.
pub(super) struct Presented {
    pub(super) readings: Vec<Reading>,
}

/// One reading.
pub(super) struct Reading {
    pub(super) client: String,
    pub(super) secret: Zeroizing<String>,
}

impl Presented {
    /// Takes the client's credentials out of a request.
    ///
    /// # Errors
    /// `invalid_request` when they come in two ways or name two clients (RFC 6749 §2.3: one method a request);
    /// `invalid_client` when there are none, or of a kind that is not offered.
    pub(super) fn read(headers: &HeaderMap, form: &Form) -> Result<Self, ErrorAnswer> {
        let repeated = |_| ErrorAnswer::invalid_request("A parameter stands more than once.");
        let body_client = form.one("client_id").map_err(repeated)?;
        let body_secret = form.one("client_secret").map_err(repeated)?;
        let assertion = form.one("client_assertion").map_err(repeated)?;
        let mut authorizations = headers.get_all(header::AUTHORIZATION).iter();
        let authorization = match (authorizations.next(), authorizations.next()) {
            (authorization, None) => authorization,
            (_, Some(_)) => return Err(ErrorAnswer::invalid_request("There is more than one Authorization header.")),
        };
        match (authorization, body_client, body_secret) {
            (Some(_), _, Some(_)) => {
                Err(ErrorAnswer::invalid_request("The client authenticates in more than one way."))
            }
            (_, _, _) if assertion.is_some() => Err(nothing_usable("a client assertion, which is not offered")),
            (Some(authorization), named, None) => {
                let readings =
                    basic(authorization.as_bytes()).ok_or_else(|| nothing_usable("no readable HTTP Basic"))?;
                if named.is_some_and(|named| readings.iter().all(|reading| reading.client != named)) {
                    return Err(ErrorAnswer::invalid_request("The client_id is not that of the Authorization header."));
                }
                Ok(Self { readings })
            }
            (None, Some(client), Some(secret)) if secret.len() <= SECRET_BYTES_MAX => {
                let reading = Reading { client: client.to_owned(), secret: Zeroizing::new(secret.to_owned()) };
                Ok(Self { readings: vec![reading] })
            }
            (None, _, _) => Err(nothing_usable("no client secret")),
        }
    }
}

fn nothing_usable(detail: &str) -> ErrorAnswer {
    ErrorAnswer::invalid_client(None, Denial::CredentialUnknown { detail: detail.to_owned() })
}

/// RFC 7617 §2. The scheme's letters may have any case; the id ends at the first colon.
fn basic(value: &[u8]) -> Option<Vec<Reading>> {
    let (scheme, encoded) = value.split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") || encoded.len() > SECRET_BYTES_MAX * 4 {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim_ascii_start()).ok()?);
    let (client, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    if secret.len() > SECRET_BYTES_MAX || secret.is_empty() {
        return None;
    }
    let mut readings = Vec::with_capacity(2);
    if let (Ok(client), Ok(secret)) = (form::decode(client), form::decode(secret)) {
        readings.push(Reading { client, secret: Zeroizing::new(secret) });
    }
    let raw = Reading { client: client.to_owned(), secret: Zeroizing::new(secret.to_owned()) };
    if readings.iter().all(|decoded| decoded.client != raw.client || *decoded.secret != *raw.secret) {
        readings.push(raw);
    }
    Some(readings)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(authorization: &[&str], body: &str) -> Result<Vec<(String, String)>, &'static str> {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let form = Form::parse(body.as_bytes()).ok().unwrap();
        match Presented::read(&headers, &form) {
            Ok(presented) => {
                Ok(presented.readings.into_iter().map(|reading| (reading.client, reading.secret.to_string())).collect())
            }
            Err(answer) => {
                Err(if answer.code == super::super::answer::ErrorCode::InvalidClient { "client" } else { "request" })
            }
        }
    }

    fn encoded(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    fn pairs(pairs: &[(&str, &str)]) -> Result<Vec<(String, String)>, &'static str> {
        Ok(pairs.iter().map(|(client, secret)| ((*client).to_owned(), (*secret).to_owned())).collect())
    }

    #[test]
    fn basic_is_read_encoded_and_raw() {
        assert_eq!(read(&[&encoded("acme:secret")], ""), pairs(&[("acme", "secret")]));
        assert_eq!(read(&[&encoded("acme:a+b")], ""), pairs(&[("acme", "a b"), ("acme", "a+b")]));
        assert_eq!(read(&[&encoded("acme:a%2Bb")], ""), pairs(&[("acme", "a+b"), ("acme", "a%2Bb")]));
        assert_eq!(read(&[&encoded("acme:100%")], ""), pairs(&[("acme", "100%")]));
        assert_eq!(read(&[&encoded("acme:a:b")], ""), pairs(&[("acme", "a:b")]));
        assert_eq!(read(&[&encoded("acme:secret").replace("Basic", "bAsIc")], ""), pairs(&[("acme", "secret")]));
    }

    #[test]
    fn body_alone_or_the_same_name_beside_basic() {
        assert_eq!(read(&[], "client_id=acme&client_secret=a%2Bb"), pairs(&[("acme", "a+b")]));
        assert_eq!(read(&[&encoded("acme:secret")], "client_id=acme"), pairs(&[("acme", "secret")]));
        assert_eq!(read(&[&encoded("acme:secret")], "client_id=other"), Err("request"));
        assert_eq!(read(&[&encoded("acme:secret")], "client_id=acme&client_secret=secret"), Err("request"));
        assert_eq!(read(&[&encoded("acme:secret")], "client_secret="), pairs(&[("acme", "secret")]));
        assert_eq!(read(&[&encoded("a:b"), &encoded("a:b")], ""), Err("request"));
        assert_eq!(read(&[], "client_id=a&client_id=a&client_secret=b"), Err("request"));
        assert_eq!(read(&[], "client_id=a&client_secret=b&client_secret=b"), Err("request"));
    }

    #[test]
    fn nothing_that_can_be_used() {
        for authorization in
            ["Bearer abc", "Basic", "Basic ", "Basic !!!", "Basic YWNtZQ==", "Basic YWNtZTo=", "Digest x"]
        {
            assert_eq!(read(&[authorization], ""), Err("client"), "{authorization}");
        }
        assert_eq!(read(&[&encoded(&format!("acme:{}", "x".repeat(300)))], ""), Err("client"));
        for body in ["", "client_id=acme", "client_secret=x", "client_id=acme&client_assertion=x"] {
            assert_eq!(read(&[], body), Err("client"), "{body}");
        }
        assert_eq!(read(&[], &format!("client_id=acme&client_secret={}", "x".repeat(300))), Err("client"));
    }
}
