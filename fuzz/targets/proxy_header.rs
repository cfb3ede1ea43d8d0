//! The PROXY header (version 2) before TLS: an address that could call, or a refusal.
#![no_main]

#[path = "../../src/listen/proxy_protocol.rs"]
mod proxy_protocol;

use proxy_protocol::{HEADER_BYTES_MAX, PREFIX_BYTES, Proxied, parse};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // Fuzzers do not guess twelve octets: some inputs are given them.
    let begun = [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), data].concat();
    for header in [data, begun.as_slice()] {
        let Ok(proxied) = parse(header) else { continue };
        assert!((PREFIX_BYTES..=HEADER_BYTES_MAX).contains(&header.len()));
        // It ends where it says: nothing of TLS is swallowed.
        assert!(parse(&header[..header.len() - 1]).is_err() && parse(&[header, b"\x16"].concat()).is_err());
        if let Proxied::From(source) = proxied {
            assert_eq!(policies::canonical(source), source, "one spelling of one address");
            assert!(!source.is_unspecified() && !source.is_multicast());
        }
    }
});
