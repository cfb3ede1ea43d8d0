//! Thirty spellings of addresses, and CIDRs.

use std::net::IpAddr;

use policies::*;

use crate::fixtures::{ip, network};

/// Spelling, whether it is an address at all, and whether it lies in 203.0.113.0/24 without .66, or 2001:db8::/48
/// without ::66.
const SPELLINGS: &[(&str, Option<bool>)] = &[
    ("203.0.113.7", Some(true)),
    ("203.0.113.0", Some(true)),
    ("203.0.113.255", Some(true)),
    ("203.0.113.66", Some(false)),
    ("203.0.112.255", Some(false)),
    ("203.0.114.0", Some(false)),
    ("0.0.0.0", Some(false)),
    ("255.255.255.255", Some(false)),
    ("::ffff:203.0.113.7", Some(true)),
    ("::FFFF:203.0.113.7", Some(true)),
    ("::ffff:cb00:7107", Some(true)),
    ("0:0:0:0:0:ffff:203.0.113.7", Some(true)),
    ("0000:0000:0000:0000:0000:ffff:cb00:7107", Some(true)),
    ("::ffff:203.0.113.66", Some(false)),
    ("::ffff:cb00:7142", Some(false)),
    ("::ffff:198.51.100.1", Some(false)),
    ("::203.0.113.7", Some(false)), // IPv4-compatible, deprecated: not the same host
    ("::ffff:0:203.0.113.7", Some(false)), // SIIT
    ("64:ff9b::203.0.113.7", Some(false)), // NAT64: the translator's caller, not the host itself
    ("2002:cb00:7107::1", Some(false)), // 6to4
    ("2001:db8::1", Some(true)),
    ("2001:DB8::1", Some(true)),
    ("2001:0db8:0000:0000:0000:0000:0000:0001", Some(true)),
    ("2001:db8:0:ffff:ffff:ffff:ffff:ffff", Some(true)),
    ("2001:db8:1::", Some(false)),
    ("2001:db8::66", Some(false)),
    ("2001:0db8::0066", Some(false)),
    ("::", Some(false)),
    ("::1", Some(false)),
    ("fe80::1%eth0", None),
    ("2001:db8::1%1", None),
    ("203.0.113.07", None),
    ("203.0.0161.7", None),
    ("0313.0.113.7", None),
    ("0xcb.0.113.7", None),
    ("3405803783", None),
    ("203.0.113", None),
    ("203.0.113.256", None),
    (" 203.0.113.7", None),
    ("[2001:db8::1]", None),
];

#[test]
fn every_spelling_lies_where_it_belongs() {
    let network = network("n", &["203.0.113.0/24", "2001:db8::/48"], &["203.0.113.66/32", "2001:db8::66/128"]);
    for (spelling, expected) in SPELLINGS {
        let found = spelling.parse::<IpAddr>().ok().map(|ip| network.contains(ip));
        assert_eq!(found, *expected, "{spelling}");
    }
}

#[test]
fn mapped_entries_are_ipv4_entries() {
    for spelling in ["::ffff:203.0.113.0/120", "::ffff:cb00:7100/120", "0:0:0:0:0:ffff:cb00:7100/120"] {
        assert_eq!(parse_cidr(spelling).unwrap().to_string(), "203.0.113.0/24", "{spelling}");
    }
    assert_eq!(parse_cidr("::ffff:0.0.0.0/96").unwrap().to_string(), "0.0.0.0/0");
    assert_eq!(parse_cidr("::ffff:203.0.113.7").unwrap().to_string(), "203.0.113.7/32");
    let mapped = network("n", &["::ffff:203.0.113.0/120"], &["::ffff:203.0.113.66/128"]);
    assert!(mapped.contains(ip("203.0.113.7")) && mapped.contains(ip("::ffff:203.0.113.7")));
    assert!(!mapped.contains(ip("203.0.113.66")) && !mapped.contains(ip("::ffff:203.0.113.66")));
    let built = Network::new("n", vec!["::ffff:203.0.113.0/120".parse().unwrap()], vec![]).unwrap();
    assert!(built.contains(ip("203.0.113.7")), "also when built in code");
}

#[test]
fn nobody_walks_around_an_exception_through_a_translator() {
    let all = network("all", &["0.0.0.0/0", "::/0"], &["203.0.113.64/30"]);
    for spelling in [
        "203.0.113.66",
        "::ffff:203.0.113.66",
        "64:ff9b::203.0.113.66",
        "64:ff9b::cb00:7142",
        "2002:cb00:7142::",
        "2002:cb00:7142:ffff:ffff:ffff:ffff:ffff",
    ] {
        assert!(!all.contains(ip(spelling)), "{spelling}");
    }
    for spelling in
        ["203.0.113.68", "64:ff9b::203.0.113.68", "64:ff9b::203.0.113.63", "2002:cb00:7144::1", "2002:cb00:713f::1"]
    {
        assert!(all.contains(ip(spelling)), "{spelling}");
    }
    // To be let in, an address must be written as what it is.
    let four = network("four", &["203.0.113.0/24"], &[]);
    assert!(!four.contains(ip("64:ff9b::203.0.113.7")) && !four.contains(ip("2002:cb00:7107::1")));
}

#[test]
fn families_do_not_meet() {
    let six = network("six", &["::/0"], &[]);
    assert!(
        six.contains(ip("2001:db8::1")) && !six.contains(ip("203.0.113.7")) && !six.contains(ip("::ffff:203.0.113.7"))
    );
    let four = network("four", &["0.0.0.0/0"], &[]);
    assert!(four.contains(ip("::ffff:203.0.113.7")) && !four.contains(ip("2001:db8::1")));
}

#[test]
fn what_is_not_a_cidr() {
    let bad = [
        "",
        "x",
        "203.0.113.0/",
        "/24",
        "203.0.113.0/33",
        "203.0.113.0/-1",
        "203.0.113.0/+24",
        "203.0.113.0/024",
        "203.0.113.0/24/24",
        "203.0.113.7/24",
        "2001:db8::1/48",
        "2001:db8::/129",
        "fe80::%eth0/64",
        "fe80::1%eth0",
        "203.0.113/24",
        "203.0.113.0 /24",
        "203.0.113.0/24 ",
        "203.0.113.0/255.255.255.0",
        "::ffff:203.0.113.7/120",
    ];
    for cidr in bad {
        assert!(parse_cidr(cidr).is_err(), "{cidr:?}");
    }
    let host_bits = parse_cidr("203.0.113.7/24").unwrap_err().to_string();
    assert!(host_bits.contains("host bits are set"), "{host_bits}");
    assert_eq!(parse_cidr("0.0.0.0/0").unwrap().to_string(), "0.0.0.0/0");
    assert_eq!(parse_cidr("2001:db8::1").unwrap().to_string(), "2001:db8::1/128");
}

#[test]
fn networks_are_checked_when_built() {
    let cidr = |text: &str| text.parse::<ipnet::IpNet>().unwrap();
    assert!(Network::new("a b", vec![cidr("10.0.0.0/8")], vec![]).is_err());
    assert!(Network::new("n", vec![], vec![]).is_err());
    assert!(Network::new("n", vec![cidr("10.0.0.1/8")], vec![]).is_err());
    assert!(Network::new("n", vec![cidr("10.0.0.0/8")], vec![cidr("10.0.0.1/8")]).is_err());
    assert!(Network::new("n", vec![cidr("10.0.0.0/8"); MAX_CIDRS + 1], vec![]).is_err());
}

#[test]
fn exceptions_at_the_ends_of_the_world() {
    let all = network("all", &["0.0.0.0/0", "::/0"], &["0.0.0.0/32", "255.255.255.255/32", "::/128", "ffff::/16"]);
    for (address, expected) in [
        ("0.0.0.0", false),
        ("0.0.0.1", true),
        ("255.255.255.254", true),
        ("255.255.255.255", false),
        ("::", false),
        ("::1", true),
        ("fffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true),
        ("ffff::", false),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false),
    ] {
        assert_eq!(all.contains(ip(address)), expected, "{address}");
    }
    let none = network("none", &["10.0.0.0/8"], &["0.0.0.0/0"]);
    assert!(!none.contains(ip("10.1.2.3")));
    let spanning = network("spanning", &["10.0.0.0/24", "10.0.2.0/24"], &["10.0.0.0/22"]);
    assert!(!spanning.contains(ip("10.0.0.1")) && !spanning.contains(ip("10.0.2.1")), "one hole over two ranges");
}

#[test]
fn a_long_list_is_as_good_as_a_short_one() {
    let cidrs = (0..MAX_CIDRS).map(|n| {
        let n = u32::try_from(n).unwrap() * 512;
        ipnet::IpNet::from(ipnet::Ipv4Net::new(std::net::Ipv4Addr::from_bits(0x0A00_0000 + n), 24).unwrap())
    });
    let network = Network::new("long", cidrs.collect(), vec![]).unwrap();
    assert!(network.contains(ip("10.0.0.1")) && !network.contains(ip("10.0.1.1")) && network.contains(ip("10.0.2.1")));
    // At the edges of the blocks in which it is searched, and in the gaps between.
    for index in [0, 1, 62, 63, 64, 65, 127, 128, 6_399, 6_400, 99_999] {
        let first = 0x0A00_0000 + index * 512;
        let at = |number: u32| network.contains(std::net::Ipv4Addr::from_bits(number).into());
        assert!(at(first) && at(first + 255) && !at(first + 256) && !at(first - 1), "{index}");
    }
    let document = network.cidrs().iter().map(|cidr| format!("\"{cidr}\",\n")).collect::<String>();
    let document = format!("[[network]]\nname = \"long\"\ncidrs = [\n{document}]\n");
    let read = Policy::parse(&[Document::new("long.toml", document)]).unwrap();
    assert_eq!(*read.networks["long"], network);
}

#[test]
fn allowlists() {
    let (a, b) = (network("a", &["10.0.0.0/8"], &[]), network("b", &["192.0.2.0/24"], &[]));
    let list = Allowlist::of(vec![a, b]);
    assert!(list.contains(ip("192.0.2.1")) && !list.contains(ip("192.0.3.1")));
    assert_eq!(list.matching(ip("::ffff:192.0.2.1")).unwrap().name(), "b");
    assert_eq!(list.names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(list.to_string(), "a, b");
    assert!(!list.is_anywhere());
    assert!(Allowlist::default().is_anywhere() && Allowlist::anywhere().contains(ip("::1")));
    let nowhere = Allowlist::of(vec![]);
    assert!(!nowhere.contains(ip("10.0.0.1")) && !nowhere.is_anywhere());
    assert_eq!((Allowlist::anywhere().to_string(), nowhere.to_string()), ("anywhere".to_owned(), "nowhere".to_owned()));
}
