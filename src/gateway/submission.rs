//! A certificate request as clients really send it: PEM, DER, base64 of DER (EST), or JSON around PEM.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;

use super::stop::{Malformed, Stop};
use crate::failure::Refusal;

/// A request of 16 KiB, which is the most that is read of one, in base64 and some words around it.
const BODY_BYTES_MAX: usize = 32 * 1024;
/// Whoever dribbles a request byte by byte holds a connection that costs us more than it costs them.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Submission {
    csr: String,
}

/// Reads the body: PKCS#10 in DER or PEM.
pub(super) async fn read(body: Incoming) -> Result<Vec<u8>, Stop> {
    let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect());
    let bytes = read.await.map_err(|_| Malformed::BodyTooSlow)?.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            Malformed::BodyTooLarge { bytes_max: BODY_BYTES_MAX as u64 }
        } else {
            Malformed::BodyUnreadable
        }
    })?;
    Ok(request(&bytes.to_bytes())?)
}

fn request(bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    if !bytes.trim_ascii_start().starts_with(b"{") {
        let malformed = |_| {
            let message = "Send a certificate request (PKCS#10): PEM, DER, base64 of DER, or JSON with `csr`.";
            Refusal::invalid("malformed_csr", message)
        };
        return pki::request_in_body(bytes).map_err(malformed);
    }
    serde_json::from_slice::<Submission>(bytes).map(|found| found.csr.into_bytes()).map_err(|error| {
        let message = format!("The body is not {{\"csr\": \"-----BEGIN CERTIFICATE REQUEST-----…\"}}: {error}.");
        Refusal::invalid("malformed_csr", message)
    })
}

#[cfg(test)]
mod tests {
    use super::request;

    #[test]
    fn every_form_is_told_by_its_first_octets() {
        let der = [0x30, 0x03, 0x02, 0x01, 0x00];
        assert_eq!(request(&der).unwrap(), der);
        for base64 in ["MAMCAQA=", "MAMC\r\nAQA=\n", " MAMCAQA= "] {
            assert_eq!(request(base64.as_bytes()).unwrap(), der, "{base64:?}");
        }
        let pem = "subject=acme\n-----BEGIN CERTIFICATE REQUEST-----\nMAMCAQA=\n-----END CERTIFICATE REQUEST-----\n";
        assert_eq!(request(pem.as_bytes()).unwrap(), pem.as_bytes());
        let json = serde_json::json!({ "csr": pem }).to_string();
        assert_eq!(request(json.as_bytes()).unwrap(), pem.as_bytes());
        for wrong in ["", "hello", "{}", r#"{"csr": 1}"#, r#"{"csr": "a", "client": "b"}"#, "AAAA"] {
            assert_eq!(request(wrong.as_bytes()).unwrap_err().code, "malformed_csr", "{wrong:?}");
        }
    }
}
