//! A certificate request as programs send it in the body of an HTTP request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::Error;
use crate::pem;

/// The PKCS#10 in a body: DER, PEM, or the base64 of DER that EST has (RFC 8951 §3.1, with line breaks or without). The answer is DER
/// or PEM, for [`VerifiedRequest::parse`](crate::VerifiedRequest::parse); of what is inside, nothing was checked.
///
/// The form is told by the octets, not by a content type: `curl --data-binary` says that everything is a form.
///
/// # Errors
/// [`Error::MalformedCsr`] when it is neither.
pub fn request_in_body(body: &[u8]) -> Result<Vec<u8>, Error> {
    const SEQUENCE: u8 = 0x30;
    // DER is not text: a blank in front of it is damage.
    if pem::is_der(body) || contains(body, b"-----BEGIN ") {
        return Ok(body.to_vec());
    }
    let base64: Vec<u8> = body.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
    let der = STANDARD.decode(&base64).ok().filter(|der| der.first() == Some(&SEQUENCE));
    der.ok_or(Error::MalformedCsr("send PKCS#10 in PEM, DER or base64 of DER"))
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_told_by_its_octets() {
        let der = [0x30, 0x03, 0x02, 0x01, 0x00];
        assert_eq!(request_in_body(&der).unwrap(), der);
        for base64 in ["MAMCAQA=", "MAMC\r\nAQA=\n", " MAMCAQA= "] {
            assert_eq!(request_in_body(base64.as_bytes()).unwrap(), der, "{base64:?}");
        }
        let pem = b"subject=acme\n-----BEGIN CERTIFICATE REQUEST-----\nMAMCAQA=\n-----END CERTIFICATE REQUEST-----\n";
        assert_eq!(request_in_body(pem).unwrap(), pem);
        for wrong in ["", "hello", "{}", "AAAA", "MAMCAQA"] {
            assert!(matches!(request_in_body(wrong.as_bytes()), Err(Error::MalformedCsr(_))), "{wrong:?}");
        }
    }
}
