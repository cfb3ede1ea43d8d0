//! OCSP over HTTP (RFC 6960 appendix A, RFC 5019 §5 and §6).

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, EXPIRES, IF_NONE_MATCH, LAST_MODIFIED,
    X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use pki::{OcspRefusal, OcspRequest};
use policies::UnixSeconds;

use super::answers::Answer;
use crate::authority::distribute::{CACHE_MAX_AGE_SECONDS, http_date, names_etag, plain};

pub(super) const PATH: &str = "/ocsp";
const REQUEST_TYPE: &str = "application/ocsp-request";
const RESPONSE_TYPE: &str = "application/ocsp-response";
/// What a body may have at most.
pub const OCSP_BODY_BYTES_MAX: usize = OcspRequest::MAX_OCTETS;
/// Where slashes may have been lost from a path, so many readings are tried at most.
const READINGS_MAX: usize = 256;
const SLASHES_LOST_MAX: usize = 3;

/// With padding or without, and with whatever bits lie under the last character: nothing depends on the spelling.
static BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What was asked, as far as it can be told.
pub(super) enum Question {
    Clear(OcspRequest),
    /// Characters were lost on the way; these are the readings that make sense.
    Guessed(Vec<OcspRequest>),
    Malformed(String),
}

/// Whether a path is the responder's.
pub fn is_ocsp(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Takes the question out of a request; the answer at once where there is none in it.
pub(super) fn read(head: &Parts, body: Option<Bytes>) -> Result<Question, Box<Response<Bytes>>> {
    let path = head.uri.path();
    let text = path.strip_prefix(PATH).unwrap_or_default().trim_start_matches('/');
    match head.method {
        Method::POST if text.is_empty() => {
            let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
            if kind.is_some_and(|kind| !kind.to_ascii_lowercase().starts_with(REQUEST_TYPE.as_bytes())) {
                return Err(Box::new(plain(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "Send application/ocsp-request (RFC 6960 appendix A).\n",
                    &head.method,
                )));
            }
            Ok(match body {
                Some(body) => parsed(&body),
                None => Question::Malformed(format!("it is larger than {OCSP_BODY_BYTES_MAX} bytes, or broke off")),
            })
        }
        Method::GET | Method::HEAD if !text.is_empty() => Ok(decoded(text)),
        Method::GET | Method::HEAD => Err(Box::new(plain(
            StatusCode::NOT_FOUND,
            "This is an OCSP responder: POST a request here, or GET /ocsp/ with one in base64 behind it (RFC 6960).\n",
            &head.method,
        ))),
        _ => {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "Only GET, HEAD and POST.\n", &head.method);
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
            Err(Box::new(answer))
        }
    }
}

/// A signed answer, with what caches need to know (RFC 5019 §6.2).
pub(super) fn answered(head: &Parts, answer: &Answer, now: UnixSeconds) -> Response<Bytes> {
    let mut response = ocsp_response(head, answer.der.clone());
    let headers = response.headers_mut();
    if answer.once {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        return response;
    }
    // Shorter than nextUpdate allows: a cache between us and a relying party would give out an answer from before a revocation.
    let age = (answer.next_update.0 - now.0 - 1).clamp(0, CACHE_MAX_AGE_SECONDS.into());
    let cache = format!("max-age={age}, public, no-transform, must-revalidate");
    headers.insert(CACHE_CONTROL, HeaderValue::try_from(cache).unwrap_or(HeaderValue::from_static("no-store")));
    headers.insert(ETAG, answer.etag.clone());
    for (name, at) in [(LAST_MODIFIED, answer.this_update), (EXPIRES, answer.next_update)] {
        if let Ok(date) = HeaderValue::try_from(http_date(at)) {
            headers.insert(name, date);
        }
    }
    let held = head.headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if head.method != Method::POST && held.is_some_and(|held| names_etag(held, &answer.etag)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Bytes::new();
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    response
}

/// RFC 6960 §2.3 and §A.2: an OCSP error is the content of an HTTP answer that is none.
pub(super) fn refused(head: &Parts, refusal: OcspRefusal) -> Response<Bytes> {
    let mut response = ocsp_response(head, refusal.der().into());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn ocsp_response(head: &Parts, body: Bytes) -> Response<Bytes> {
    let length = body.len();
    let mut response = Response::new(if head.method == Method::HEAD { Bytes::new() } else { body });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(RESPONSE_TYPE));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn parsed(der: &[u8]) -> Question {
    OcspRequest::parse(der).map_or_else(|error| Question::Malformed(error.to_string()), Question::Clear)
}

/// The base64 behind the path. Clients encode `/`, `+` and `=` for the URL or do not, some put a second slash before it, and some
/// proxies turn two slashes into one, inside it too.
fn decoded(text: &str) -> Question {
    let text: String = percent_decode_str(text)
        .decode_utf8_lossy()
        .trim_start_matches('/')
        .chars()
        .map(|letter| match letter {
            ' ' | '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    let text = text.trim_end_matches('=');
    if text.len() > OCSP_BODY_BYTES_MAX * 4 / 3 + 4 {
        return Question::Malformed(format!("it is larger than {OCSP_BODY_BYTES_MAX} bytes"));
    }
    let lost = wanted_length(text).and_then(|wanted| wanted.checked_sub(text.len())).unwrap_or(0);
    if (1..=SLASHES_LOST_MAX).contains(&lost) {
        let parse = |text: &String| OcspRequest::parse(&BASE64.decode(text).ok()?).ok();
        return Question::Guessed(with_slashes(text, lost).iter().filter_map(parse).collect());
    }
    match BASE64.decode(text) {
        Ok(der) => parsed(&der),
        Err(error) => Question::Malformed(format!("it is not base64: {error}")),
    }
}

/// How many characters without padding the whole has: DER begins with its own length.
fn wanted_length(text: &str) -> Option<usize> {
    let head = BASE64.decode(text.get(..8)?).ok()?;
    let octets = match *head.as_slice() {
        [0x30, 0x81, length, ..] => 3 + usize::from(length),
        [0x30, 0x82, high, low, ..] => 4 + usize::from(u16::from_be_bytes([high, low])),
        [0x30, length, ..] if length < 0x80 => 2 + usize::from(length),
        _ => return None,
    };
    Some((octets * 4).div_ceil(3))
}

/// Every way to put so many slashes back beside those that are there.
fn with_slashes(text: &str, lost: usize) -> Vec<String> {
    let mut readings = vec![text.to_owned()];
    for _ in 0..lost {
        let mut longer: Vec<String> = Vec::new();
        for reading in &readings {
            for (place, _) in reading.match_indices('/') {
                let more = format!("{}/{}", &reading[..place], &reading[place..]);
                if longer.len() < READINGS_MAX && !longer.contains(&more) {
                    longer.push(more);
                }
            }
        }
        readings = longer;
    }
    readings
}

#[cfg(test)]
mod tests {
    use pki::OcspQuery;

    use super::*;

    /// A question in base64 that holds `//`, and one that holds a single slash.
    fn questions() -> Vec<(Vec<u8>, String)> {
        let key = pki::PrivateKey::generate(pki::KeyAlgorithm::EcdsaP384).unwrap();
        let now = time::OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let profile = pki::Profile::builtin(pki::ProfileKind::Root);
        let root = pki::Issuer::self_signed(&profile, "Root", key, pki::Serial::from_random([7; 16]), now).unwrap();
        let mut nonce = [0_u8; 32];
        let mut found = Vec::new();
        for count in 0..=255_u8 {
            nonce[..6].copy_from_slice(&[0xff, 0xff, 0xff, count, 0xff, 0xf0]);
            let query = OcspQuery::new(root.certificate_der(), root.certificate_der(), Some(&nonce)).unwrap();
            let text = BASE64.encode(query.der());
            if text.contains("//") {
                found.push((query.der(), text));
            }
        }
        found
    }

    fn readings(path: &str) -> Vec<OcspRequest> {
        match decoded(path) {
            Question::Clear(request) => vec![request],
            Question::Guessed(requests) => requests,
            Question::Malformed(why) => panic!("{path}: {why}"),
        }
    }

    #[test]
    fn every_spelling_of_a_question_is_read() {
        let questions = questions();
        assert!(questions.len() > 50);
        for (der, text) in questions {
            let wanted = OcspRequest::parse(&der).unwrap();
            let encoded = text.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
            for spelled in [
                text.clone(),
                encoded,
                format!("/{text}"),
                text.trim_end_matches('=').to_owned(),
                text.replace('+', " "),
                text.replace('+', "-").replace('/', "_"),
            ] {
                assert_eq!(readings(&spelled), std::slice::from_ref(&wanted), "{spelled}");
            }
            // What a proxy makes of it that tidies paths.
            let mut tidied = text.clone();
            while tidied.contains("//") {
                tidied = tidied.replace("//", "/");
            }
            if text.len() - tidied.len() <= SLASHES_LOST_MAX {
                assert!(readings(&tidied).contains(&wanted), "{tidied}");
            }
        }
    }

    #[test]
    fn nonsense_is_malformed() {
        let long = "A".repeat(20_000);
        for text in ["x", "hello world", "%00", "MEIwQDA+MDwwOjAJ", &long, "////", "M/////////////////"] {
            assert!(
                match decoded(text) {
                    Question::Malformed(_) => true,
                    Question::Guessed(requests) => requests.is_empty(),
                    Question::Clear(_) => false,
                },
                "{text}"
            );
        }
    }

    #[test]
    fn paths_of_the_responder() {
        for (path, ours) in
            [("/ocsp", true), ("/ocsp/", true), ("/ocsp//MEI", true), ("/ocspx", false), ("/crl/ocsp", false)]
        {
            assert_eq!(is_ocsp(path), ours, "{path}");
        }
    }
}
