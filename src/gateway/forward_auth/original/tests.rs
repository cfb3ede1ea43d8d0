use http::HeaderValue;
use proptest::prelude::*;

use super::{Unreadable, address, behind_prefix, forwarded_for, single, uri, value};

#[test]
fn a_target_is_a_path_and_a_query_and_nothing_else() {
    for good in ["/", "/a/b?c=d", "/a?b?c", "/%C3%A9"] {
        assert_eq!(uri(good, "it").unwrap().to_string(), good);
    }
    for bad in ["", "a", "?a", "*", "http://other/a", "/a#b", "/a?b#c", "/a b", "/a\tb", "/\u{e9}"] {
        assert!(uri(bad, "it").is_err(), "{bad:?}");
    }
    // What the road refuses comes as far as the road: its words are better.
    for odd in ["//evil/a", "/a/../b", "/a;b", "/a%2fb"] {
        assert_eq!(uri(odd, "it").unwrap().path(), odd.split('?').next().unwrap());
    }
}

#[test]
fn envoy_puts_the_path_behind_its_prefix() {
    let of = |text: &str| behind_prefix(&text.parse().unwrap()).map(|uri| uri.to_string());
    assert_eq!(of("/forward-auth/envoy/test/hello-world?a=b").unwrap(), "/test/hello-world?a=b");
    assert_eq!(of("/forward-auth/envoy/").unwrap(), "/");
    assert_eq!(of("https://gate/forward-auth/envoy/a").unwrap(), "/a");
    assert!(of("/forward-auth/envoy").is_err());
    assert!(of("/forward-auth/envoy?a=b").is_err());
}

#[test]
fn an_address_stands_alone() {
    assert_eq!(address("::ffff:192.0.2.1", "it").unwrap().to_string(), "192.0.2.1");
    assert_eq!(address("2001:DB8::1", "it").unwrap().to_string(), "2001:db8::1");
    for bad in ["", "fe80::1%eth0", "192.0.2.1, 192.0.2.2", "192.0.2.01", "unknown"] {
        assert!(address(bad, "it").is_err(), "{bad:?}");
    }
}

#[test]
fn the_client_is_the_last_that_nobody_vouches_for() {
    let trusted = policies::TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()], false).unwrap();
    let trusted = Some(&trusted);
    let of = |text: &str, trusted: Option<&policies::TrustedProxies>| {
        let line = HeaderValue::from_str(text).unwrap();
        let headers = http::HeaderMap::from_iter([(http::HeaderName::from_static("x-forwarded-for"), line)]);
        forwarded_for(&headers, trusted).map(|found| found.to_string())
    };
    assert_eq!(of("192.0.2.1", None).unwrap(), "192.0.2.1");
    assert_eq!(of("203.0.113.9, 192.0.2.1", None).unwrap(), "192.0.2.1", "what is left of it the client wrote");
    assert_eq!(of("203.0.113.9, 192.0.2.1,10.1.2.3", trusted).unwrap(), "192.0.2.1");
    assert_eq!(of("10.0.0.1, 10.0.0.2", trusted).unwrap(), "10.0.0.1", "the whole way is trusted");
    assert_eq!(of("192.0.2.1, 10.0.0.2", None).unwrap(), "10.0.0.2");
    for bad in ["", ",", "192.0.2.1,", "unknown, 192.0.2.1", "_x, 10.0.0.1"] {
        assert!(of(bad, trusted).is_err(), "{bad:?}");
    }
    for trusted in [None, trusted] {
        assert!(of(&["192.0.2.1"; 33].join(","), trusted).is_err());
    }
}

#[test]
fn what_comes_twice_is_unreadable() {
    let mut headers = http::HeaderMap::new();
    assert_eq!(single(&headers, "X-Real-IP"), Err(Unreadable::Missing("X-Real-IP")));
    headers.append("x-real-ip", HeaderValue::from_static(""));
    assert_eq!(single(&headers, "X-Real-IP"), Err(Unreadable::Missing("X-Real-IP")));
    headers.insert("x-real-ip", HeaderValue::from_static("192.0.2.1"));
    assert_eq!(single(&headers, "X-Real-IP"), Ok("192.0.2.1"));
    headers.append("x-real-ip", HeaderValue::from_static("192.0.2.1"));
    assert_eq!(single(&headers, "X-Real-IP"), Err(Unreadable::Twice("X-Real-IP")));
    assert_eq!(value(&headers, "X-Real-IP"), Err(Unreadable::Twice("X-Real-IP")));
    headers.insert("x-real-ip", HeaderValue::from_bytes(b"\xff").unwrap());
    assert_eq!(single(&headers, "X-Real-IP"), Err(Unreadable::Malformed("X-Real-IP")));
}

proptest! {
    /// Whatever is taken is taken as it stands: the bytes that are judged are the bytes that the proxy passes on.
    #[test]
    fn a_target_is_never_changed(text in "\\PC{0,40}") {
        if let Ok(target) = uri(&text, "it") {
            prop_assert_eq!(target.to_string(), text);
        }
    }
}
