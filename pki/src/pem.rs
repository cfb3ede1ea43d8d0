//! PEM (RFC 7468) as people really send it: CRLF or LF, any line length, text before the first block.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::error::Error;

const MAX_BUNDLE: usize = 1024 * 1024;
const MAX_BLOCKS: usize = 1000;

/// Reads every certificate of a PEM bundle into DER, in the order of the file.
///
/// At most 1 MiB and 1000 blocks. Text between blocks is skipped, as `openssl x509 -text` writes it.
///
/// # Errors
/// [`Error::TooLarge`]; [`Error::PrivateKeySent`] when a private key lies in the bundle; [`Error::MalformedPem`] when a block is
/// damaged or is something other than a certificate, or when there is none.
pub fn pem_certificates(text: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    if text.len() > MAX_BUNDLE {
        return Err(Error::TooLarge { what: "the certificate bundle", limit: "1 MiB" });
    }
    let blocks = blocks(text)?;
    if blocks.is_empty() {
        return Err(Error::MalformedPem("there is no certificate in it"));
    }
    blocks
        .into_iter()
        .map(|block| match block.label.as_str() {
            "CERTIFICATE" | "X509 CERTIFICATE" => Ok(block.der.to_vec()),
            _ => Err(Error::MalformedPem("it holds something other than certificates")),
        })
        .collect()
}

/// Writes one certificate's DER as PEM, 64 characters a line, with LF.
pub fn pem_certificate(der: &[u8]) -> String {
    encode("CERTIFICATE", der)
}

/// Writes one revocation list's DER as PEM (`X509 CRL`).
pub fn pem_crl(der: &[u8]) -> String {
    encode("X509 CRL", der)
}

/// Writes one request's DER as PEM (`CERTIFICATE REQUEST`, RFC 7468 §7).
pub fn pem_request(der: &[u8]) -> String {
    encode("CERTIFICATE REQUEST", der)
}

/// A revocation list as PEM, from DER that comes in pieces of any size.
#[derive(Debug, Default)]
pub struct PemCrl {
    /// What does not fill a line yet.
    left: Vec<u8>,
}

/// 64 characters of base64.
const LINE_OCTETS: usize = 48;

impl PemCrl {
    /// Appends the first line to `out`.
    pub fn begin(out: &mut String) -> Self {
        out.push_str("-----BEGIN X509 CRL-----\n");
        Self::default()
    }

    /// Appends whole lines; what does not fill one waits for the next piece.
    pub fn push(&mut self, der: &[u8], out: &mut String) {
        let mut rest = der;
        if !self.left.is_empty() {
            let (fills, after) = der.split_at(der.len().min(LINE_OCTETS - self.left.len()));
            self.left.extend_from_slice(fills);
            rest = after;
            if self.left.len() < LINE_OCTETS {
                return;
            }
            line(&self.left, out);
            self.left.clear();
        }
        let mut lines = rest.chunks_exact(LINE_OCTETS);
        lines.by_ref().for_each(|octets| line(octets, out));
        self.left.extend_from_slice(lines.remainder());
    }

    /// The last lines.
    pub fn end(self) -> String {
        let mut out = String::with_capacity(100);
        if !self.left.is_empty() {
            line(&self.left, &mut out);
        }
        out.push_str("-----END X509 CRL-----\n");
        out
    }

    /// How many octets of PEM so many octets of DER make.
    pub fn octets(der_octets: usize) -> usize {
        let base64 = der_octets.div_ceil(3) * 4;
        base64 + base64.div_ceil(64) + "-----BEGIN X509 CRL-----\n-----END X509 CRL-----\n".len()
    }
}

fn line(octets: &[u8], out: &mut String) {
    STANDARD.encode_string(octets, out);
    out.push('\n');
}

pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let base64 = Zeroizing::new(STANDARD.encode(der));
    // Room for all of it at once: a String that grows would leave copies of a private key behind in freed memory.
    let mut pem = String::with_capacity(base64.len() + base64.len() / 64 + 2 * label.len() + 40);
    let _ = writeln!(pem, "-----BEGIN {label}-----");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    let _ = writeln!(pem, "-----END {label}-----");
    pem
}

pub(crate) struct Block {
    pub(crate) label: String,
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// All blocks of a text. A private key is refused unless [`key_blocks`] asks: who sends one by mistake must be told.
pub(crate) fn blocks(text: &[u8]) -> Result<Vec<Block>, Error> {
    let blocks = key_blocks(text)?;
    match blocks.iter().any(|block| block.label.ends_with("PRIVATE KEY")) {
        true => Err(Error::PrivateKeySent),
        false => Ok(blocks),
    }
}

pub(crate) fn key_blocks(text: &[u8]) -> Result<Vec<Block>, Error> {
    let text = std::str::from_utf8(text).map_err(|_| Error::MalformedPem("it is not text"))?;
    let mut blocks = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")) else {
            continue;
        };
        if blocks.len() == MAX_BLOCKS {
            return Err(Error::TooLarge { what: "the PEM text", limit: "1000 blocks" });
        }
        let mut base64 = Zeroizing::new(String::with_capacity(text.len().min(16 * 1024)));
        loop {
            let line = lines.next().ok_or(Error::MalformedPem("a block has no end"))?;
            if let Some(end) = line.strip_prefix("-----END ") {
                if end.strip_suffix("-----") != Some(label) {
                    return Err(Error::MalformedPem("a block ends with another name than it begins with"));
                }
                break;
            }
            if line.starts_with("-----") {
                return Err(Error::MalformedPem("a block has no end"));
            }
            if line.contains(':') {
                return Err(Error::MalformedPem("headers inside a block (old encrypted keys) are not supported"));
            }
            base64.push_str(line);
        }
        let der = STANDARD.decode(base64.as_bytes()).map_err(|_| Error::MalformedPem("a block is not base64"))?;
        blocks.push(Block { label: label.into(), der: Zeroizing::new(der) });
    }
    Ok(blocks)
}

/// Tells DER from PEM: DER of everything we read begins with a SEQUENCE.
pub(crate) fn is_der(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_in_pieces_is_pem_at_once() {
        for octets in [0, 1, 47, 48, 49, 96, 300] {
            let der: Vec<u8> = (0..octets).map(|octet| octet as u8).collect();
            for size in [1, 7, 48, 100, 300] {
                let mut out = String::new();
                let mut pem = PemCrl::begin(&mut out);
                der.chunks(size).for_each(|piece| pem.push(piece, &mut out));
                out.push_str(&pem.end());
                assert_eq!(out, pem_crl(&der), "{octets} octets in pieces of {size}");
                assert_eq!(out.len(), PemCrl::octets(der.len()));
            }
        }
    }
}
