use super::*;

fn trusted(cidrs: &[&str]) -> TrustedProxies {
    TrustedProxies::new(cidrs.iter().map(|cidr| crate::parse_cidr(cidr).unwrap()).collect(), false).unwrap()
}

fn caller(header: ForwardedHeader, lines: &[&str]) -> Result<String, ForwardedFault> {
    let proxies = trusted(&["10.0.0.0/8", "2001:db8:ffff::/48"]);
    let lines = lines.iter().map(|line| line.as_bytes());
    header.caller(lines, "10.0.0.1".parse().unwrap(), &proxies).map(|ip| ip.to_string())
}

#[test]
fn the_last_hop_that_is_not_a_proxy_is_the_caller() {
    for (lines, expected) in [
        (&[][..], "10.0.0.1"),
        (&["203.0.113.7"], "203.0.113.7"),
        (&["198.51.100.9, 203.0.113.7"], "203.0.113.7"),
        (&["198.51.100.9, 203.0.113.7, 10.0.0.9"], "203.0.113.7"),
        (&["198.51.100.9 ,203.0.113.7\t,\t10.0.0.9,10.1.2.3"], "203.0.113.7"),
        // An attacker who names a proxy of ours, or an address that would be let in, at the left.
        (&["10.0.0.9, 203.0.113.7"], "203.0.113.7"),
        (&["127.0.0.1, 203.0.113.7, 10.0.0.9"], "203.0.113.7"),
        (&["10.0.0.7, 10.0.0.8, 10.0.0.9"], "10.0.0.7"),
        (&["203.0.113.7:4711"], "203.0.113.7"),
        (&["2001:db8::1, 2001:db8:ffff::2"], "2001:db8::1"),
        (&["[2001:db8::1]:443, [2001:db8:ffff::2]"], "2001:db8::1"),
        (&["::ffff:203.0.113.7, ::ffff:10.0.0.9"], "203.0.113.7"),
    ] {
        assert_eq!(caller(ForwardedHeader::XForwardedFor, lines).as_deref(), Ok(expected), "{lines:?}");
    }
}

#[test]
fn a_way_that_cannot_be_read_is_refused_whoever_wrote_it() {
    for line in [
        "",
        " ",
        ",",
        "203.0.113.7,",
        ",203.0.113.7",
        "203.0.113.7,,10.0.0.9",
        "unknown, 203.0.113.7",
        "_hidden",
        "localhost",
        "203.0.113.7 10.0.0.9",
        "203.0.113.7;10.0.0.9",
        "203.0.113",
        "203.0.113.007",
        "0x7f.0.0.1",
        "2130706433",
        "203.0.113.7/32",
        "203.0.113.7:",
        "203.0.113.7:+80",
        "203.0.113.7:99999",
        "fe80::1%eth0",
        "fe80::1%25eth0",
        "[fe80::1%1]:80",
        "[203.0.113.7]",
        "[2001:db8::1",
        "2001:db8::1]",
        "2001:db8:::1",
        "\"203.0.113.7\"",
        "for=203.0.113.7",
        "203.0.113.7\u{a0}",
        "２０３.0.113.7",
    ] {
        assert_eq!(caller(ForwardedHeader::XForwardedFor, &[line]), Err(ForwardedFault::Hop), "{line:?}");
    }
    assert_eq!(caller(ForwardedHeader::XForwardedFor, &["203.0.113.7", "203.0.113.7"]), Err(ForwardedFault::Repeated));
    let long = vec!["203.0.113.7"; MAX_HOPS + 1].join(",");
    assert_eq!(caller(ForwardedHeader::XForwardedFor, &[&long]), Err(ForwardedFault::TooMany));
    let proxies = trusted(&["10.0.0.0/8"]);
    let raw: [&[u8]; 1] = [b"203.0.113.\xb7"];
    let read = ForwardedHeader::XForwardedFor.caller(raw, "10.0.0.1".parse().unwrap(), &proxies);
    assert_eq!(read, Err(ForwardedFault::Hop));
}

#[test]
fn forwarded_says_the_same_in_its_own_grammar() {
    for (line, expected) in [
        ("for=203.0.113.7", "203.0.113.7"),
        ("For=\"203.0.113.7:4711\"", "203.0.113.7"),
        ("for=\"[2001:db8::1]\"", "2001:db8::1"),
        ("FOR=\"[2001:db8::1]:4711\";proto=https;by=10.0.0.9", "2001:db8::1"),
        ("for=203.0.113.7;host=\"a.example, b\", for=10.0.0.9", "203.0.113.7"),
        ("for=127.0.0.1, for=203.0.113.7 , for=10.0.0.9", "203.0.113.7"),
        ("for=\"203.0.113.7:_port\"", "203.0.113.7"),
        ("proto=http; for=203.0.113.7", "203.0.113.7"),
        ("for=10.0.0.7, for=10.0.0.8", "10.0.0.7"),
    ] {
        assert_eq!(caller(ForwardedHeader::Forwarded, &[line]).as_deref(), Ok(expected), "{line}");
    }
    for line in [
        "",
        "for",
        "for=",
        "for=unknown",
        "for=_hidden",
        "for=203.0.113.7,",
        "for=203.0.113.7;",
        "for=203.0.113.7;for=203.0.113.8",
        "proto=https",
        "for=203.0.113.7, proto=https",
        "for=\"203.0.113.7",
        "for=\"203.0.113.\\7\"",
        "for=2001:db8::1",
        "for=\"2001:db8::1\"",
        "for=[2001:db8::1]",
        "for=203.0.113.7 for=10.0.0.9",
        "f or=203.0.113.7",
        "=203.0.113.7",
        "203.0.113.7",
    ] {
        assert_eq!(caller(ForwardedHeader::Forwarded, &[line]), Err(ForwardedFault::Hop), "{line:?}");
    }
    assert_eq!(caller(ForwardedHeader::Forwarded, &["for=1.2.3.4", "for=1.2.3.4"]), Err(ForwardedFault::Repeated));
}

#[test]
fn nobody_is_trusted_unless_he_is_named() {
    let all = |cidrs: &[&str], everyone| {
        TrustedProxies::new(cidrs.iter().map(|cidr| crate::parse_cidr(cidr).unwrap()).collect(), everyone)
    };
    for everyone in [
        &["0.0.0.0/0"][..],
        &["::/0"],
        &["0.0.0.0/1", "128.0.0.0/1"],
        &["::ffff:0:0/96"],
        &["10.0.0.0/8", "::/1", "8000::/1"],
    ] {
        assert!(all(everyone, false).is_err(), "{everyone:?}");
        assert!(all(everyone, true).is_ok(), "{everyone:?}");
    }
    assert!(all(&[], false).is_err());
    assert!(all(&["10.0.0.0/8", "0.0.0.0/1"], false).is_ok());
}

#[test]
fn what_is_read_is_never_an_address_that_was_not_written() {
    use proptest::prelude::*;
    proptest!(|(line in "[0-9a-f:.,\\[\\] \"=;for]{0,60}")| {
        let proxies = trusted(&["10.0.0.0/8"]);
        for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
            if let Ok(ip) = header.caller([line.as_bytes()], "10.0.0.1".parse().unwrap(), &proxies) {
                prop_assert!(header == ForwardedHeader::Forwarded || line.split(',').any(|hop| address(hop.trim()) == Some(ip)));
            }
        }
    });
}
