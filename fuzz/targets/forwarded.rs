//! X-Forwarded-For and Forwarded from a trusted proxy: an address that stands in the line or the proxy's, or a refusal.
#![no_main]

use policies::{ForwardedHeader, TrustedProxies};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let peer = "10.0.0.1".parse().expect("an address");
    let trusted = TrustedProxies::new(vec!["10.0.0.0/8".parse().expect("a network")], false).expect("a list");
    for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
        let alone = header.caller([data], peer, &trusted);
        assert!(header.caller([data, data], peer, &trusted).is_err(), "two lines are never read");
        let Ok(caller) = alone else { continue };
        assert_eq!(policies::canonical(caller), caller, "one spelling of one address");
        // What a stranger writes to the left changes nothing once somebody who is not trusted stands to its right.
        if !caller.to_string().starts_with("10.") && header == ForwardedHeader::XForwardedFor {
            let longer = [b"198.51.100.7, ", data].concat();
            if let Ok(again) = header.caller([longer.as_slice()], peer, &trusted) {
                assert_eq!(again, caller);
            }
        }
    }
});
