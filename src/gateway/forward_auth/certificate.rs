//! A certificate that a proxy's client proved to the proxy: as RFC 9440 or as Envoy's X-Forwarded-Client-Cert, and only from a
//! proxy of which the settings say so. Whether it is good is asked where every certificate is asked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;

use super::original::Unreadable;
use crate::config::ForwardedCertificate;
use crate::listen::PeerCertificate;

const CLIENT_CERT: &str = "Client-Cert";
const CLIENT_CERT_CHAIN: &str = "Client-Cert-Chain";
/// What proxies write where their client showed none: nothing; an empty byte sequence; and Caddy 2.6, for which the placeholder is
/// then unknown, the placeholder.
const NO_CERTIFICATE: [&[u8]; 3] = [b"", b"::", b":{http.request.tls.client.certificate_der_base64}:"];
const XFCC: &str = "X-Forwarded-Client-Cert";
/// As in a handshake.
const CHAIN_LENGTH_MAX: usize = 6;

/// The certificate that the headers tell of.
pub(super) fn forwarded(
    kind: ForwardedCertificate,
    headers: &HeaderMap,
) -> Result<Option<PeerCertificate>, Unreadable> {
    match kind {
        ForwardedCertificate::None => Ok(None),
        ForwardedCertificate::ClientCert => client_cert(headers),
        ForwardedCertificate::Xfcc => {
            let mut lines = headers.get_all(XFCC).iter();
            let Some(line) = lines.next().filter(|line| !line.is_empty()) else { return Ok(None) };
            if lines.next().is_some() {
                return Err(Unreadable::Twice(XFCC));
            }
            xfcc(line.to_str().map_err(|_| Unreadable::Malformed(XFCC))?).map(Some)
        }
    }
}

/// RFC 9440 §2.2 and §2.3: an item, and a list of the others, leaf left out.
fn client_cert(headers: &HeaderMap) -> Result<Option<PeerCertificate>, Unreadable> {
    let mut lines = headers.get_all(CLIENT_CERT).iter();
    let leaf = lines.next();
    if lines.next().is_some() {
        return Err(Unreadable::Twice(CLIENT_CERT));
    }
    let others = headers.get_all(CLIENT_CERT_CHAIN);
    let Some(leaf) = leaf.filter(|leaf| !NO_CERTIFICATE.contains(&leaf.as_bytes())) else {
        // §2.3: never without Client-Cert.
        return if others.iter().all(|line| line.is_empty()) {
            Ok(None)
        } else {
            Err(Unreadable::Missing(CLIENT_CERT))
        };
    };
    let mut chain = vec![byte_sequence(leaf.to_str().ok(), CLIENT_CERT)?];
    for line in others.iter().filter(|line| !line.is_empty()) {
        let line = line.to_str().map_err(|_| Unreadable::Malformed(CLIENT_CERT_CHAIN))?;
        for member in line.split(',') {
            if chain.len() == CHAIN_LENGTH_MAX {
                return Err(Unreadable::Malformed(CLIENT_CERT_CHAIN));
            }
            chain.push(byte_sequence(Some(member), CLIENT_CERT_CHAIN)?);
        }
    }
    peer(chain, CLIENT_CERT).map(Some)
}

/// RFC 8941 §3.3.5: `:base64:`, and no parameters, of which RFC 9440 knows none.
fn byte_sequence(text: Option<&str>, name: &'static str) -> Result<Vec<u8>, Unreadable> {
    let base64 = text.map(|text| text.trim_matches([' ', '\t']));
    let base64 = base64.and_then(|text| text.strip_prefix(':')?.strip_suffix(':'));
    base64.and_then(|base64| STANDARD.decode(base64).ok()).ok_or(Unreadable::Malformed(name))
}

/// One element, with its `Cert` (PEM, URL-encoded), or its `Chain`, or both. Several elements are several proxies, of which the
/// first may be anybody's: the one that asks must write its own (`SANITIZE_SET`).
pub(super) fn xfcc(text: &str) -> Result<PeerCertificate, Unreadable> {
    let (mut leaf, mut chain, mut hash) = (None, None, None);
    for (key, value) in pairs(text)? {
        let place = match key.to_ascii_lowercase().as_str() {
            "cert" => &mut leaf,
            "chain" => &mut chain,
            "hash" => &mut hash,
            // What they say stands in the certificate.
            "by" | "subject" | "uri" | "dns" => continue,
            _ => return Err(Unreadable::Malformed(XFCC)),
        };
        if place.replace(value).is_some() {
            return Err(Unreadable::Twice(XFCC));
        }
    }
    let leaf = leaf.map(|text| url_encoded_pem(&text, XFCC)).transpose()?;
    let chain = chain.map(|text| url_encoded_pem(&text, XFCC)).transpose()?;
    let certificates = match (leaf, chain) {
        (Some(leaf), None) if leaf.len() == 1 => leaf,
        (None, Some(chain)) => chain,
        (Some(leaf), Some(chain)) if leaf.len() == 1 && chain.first() == leaf.first() => chain,
        _ => return Err(Unreadable::Malformed(XFCC)),
    };
    let peer = peer(certificates, XFCC)?;
    if hash.is_some_and(|hash| !hash.eq_ignore_ascii_case(&peer.certificate.thumbprint.to_string())) {
        return Err(Unreadable::Malformed(XFCC));
    }
    Ok(peer)
}

/// A PEM bundle in percent-encoding, as Envoy and nginx (`$ssl_client_escaped_cert`) write it.
pub(super) fn url_encoded_pem(text: &str, name: &'static str) -> Result<Vec<Vec<u8>>, Unreadable> {
    let pem: Vec<u8> = percent_encoding::percent_decode_str(text).collect();
    pki::pem_certificates(&pem).map_err(|_| Unreadable::Malformed(name))
}

pub(super) fn peer(chain: Vec<Vec<u8>>, name: &'static str) -> Result<PeerCertificate, Unreadable> {
    if chain.len() > CHAIN_LENGTH_MAX {
        return Err(Unreadable::Malformed(name));
    }
    let leaf = chain.first().ok_or(Unreadable::Missing(name))?;
    let certificate = pki::ClientCertificate::parse(leaf).map_err(|_| Unreadable::Malformed(name))?;
    Ok(PeerCertificate::new(certificate, chain))
}

/// `Key=value;Key="value"`, with `\"` and `\\` in quotes. A comma outside of quotes begins another element.
fn pairs(text: &str) -> Result<Vec<(&str, String)>, Unreadable> {
    let malformed = Unreadable::Malformed(XFCC);
    let mut pairs = Vec::new();
    let mut rest = text;
    loop {
        let (key, after) = rest.split_once('=').ok_or(malformed)?;
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(malformed);
        }
        let value;
        (value, rest) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted).ok_or(malformed)?,
            None => {
                let end = after.find([';', ',', '"']).unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        pairs.push((key, value));
        match rest.strip_prefix(';') {
            Some(next) => rest = next,
            None if rest.is_empty() => return Ok(pairs),
            None => return Err(malformed),
        }
    }
}

/// The value up to its closing quote, and what follows.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::with_capacity(text.len());
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests;
