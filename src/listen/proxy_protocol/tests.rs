use proptest::prelude::*;

use super::*;

const V4: &[u8] = &[203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x34, 0x01, 0xbb];

fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([command, family]);
    bytes.extend((rest.len() as u16).to_be_bytes());
    bytes.extend(rest);
    bytes
}

fn v6(source: &str) -> Vec<u8> {
    let mut rest = source.parse::<Ipv6Addr>().unwrap().octets().to_vec();
    rest.extend([0; 16]);
    rest.extend([0x12, 0x34, 0x01, 0xbb]);
    rest
}

fn with(addresses: &[u8], extensions: &[u8]) -> Vec<u8> {
    [addresses, extensions].concat()
}

/// The checksum extension with its value filled in.
fn summed(addresses: &[u8]) -> Vec<u8> {
    let mut whole = header(VERSION_PROXY, TCP_OVER_IPV4, &with(addresses, &[TYPE_CRC32C, 0, 4, 0, 0, 0, 0]));
    let at = whole.len() - 4;
    let sum = crc32c_without(&whole, at).to_be_bytes();
    whole[at..].copy_from_slice(&sum);
    whole
}

#[test]
fn a_load_balancer_says_who_calls() {
    for (header, expected) in [
        (header(VERSION_PROXY, TCP_OVER_IPV4, V4), "203.0.113.7"),
        (header(VERSION_PROXY, TCP_OVER_IPV6, &v6("2001:db8::1")), "2001:db8::1"),
        (header(VERSION_PROXY, TCP_OVER_IPV6, &v6("::ffff:203.0.113.7")), "203.0.113.7"),
        (header(VERSION_PROXY, TCP_OVER_IPV4, &with(V4, &[0x04, 0, 2, 1, 1, 0xea, 0, 0])), "203.0.113.7"),
        (summed(V4), "203.0.113.7"),
    ] {
        assert_eq!(parse(&header), Ok(Proxied::From(expected.parse().unwrap())), "{header:02x?}");
    }
    // Health checks; what they say of addresses is passed over.
    for rest in [&[][..], V4, &[1, 2, 3]] {
        assert_eq!(parse(&header(VERSION_LOCAL, 0, rest)), Ok(Proxied::Local));
    }
}

#[test]
fn a_header_that_is_strange_in_one_thing_is_not_believed() {
    let mut spoiled = summed(V4);
    spoiled[16] ^= 1;
    for (header, fault) in [
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 4660 443\r\n".to_vec(), ProxyFault::Signature),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00\x00".to_vec(), ProxyFault::Signature),
        (Vec::new(), ProxyFault::Signature),
        (SIGNATURE.to_vec(), ProxyFault::Length),
        (header(0x11, TCP_OVER_IPV4, V4), ProxyFault::Command),
        (header(0x22, TCP_OVER_IPV4, V4), ProxyFault::Command),
        (header(VERSION_PROXY, 0x00, V4), ProxyFault::Family),
        (header(VERSION_PROXY, 0x12, V4), ProxyFault::Family),
        (header(VERSION_PROXY, 0x31, &[0; 216]), ProxyFault::Family),
        (header(VERSION_PROXY, TCP_OVER_IPV4, &V4[..11]), ProxyFault::Length),
        (header(VERSION_PROXY, TCP_OVER_IPV6, V4), ProxyFault::Length),
        (header(VERSION_PROXY, TCP_OVER_IPV4, &with(V4, &[0x04, 0])), ProxyFault::Length),
        (header(VERSION_PROXY, TCP_OVER_IPV4, &with(V4, &[0x04, 0, 9, 1])), ProxyFault::Length),
        (with(&header(VERSION_PROXY, TCP_OVER_IPV4, V4), b"\x16"), ProxyFault::Length),
        (header(VERSION_PROXY, TCP_OVER_IPV4, &with(V4, &[0; 300])), ProxyFault::TooLong),
        (header(VERSION_LOCAL, 0, &[0; 217]), ProxyFault::TooLong),
        (spoiled, ProxyFault::Checksum),
        (header(VERSION_PROXY, TCP_OVER_IPV4, &with(V4, &[TYPE_CRC32C, 0, 4, 0, 0, 0, 0])), ProxyFault::Checksum),
        (header(VERSION_PROXY, TCP_OVER_IPV4, &with(&[0; 4], &V4[4..])), ProxyFault::Address),
        (header(VERSION_PROXY, TCP_OVER_IPV4, &with(&[255; 4], &V4[4..])), ProxyFault::Address),
        (header(VERSION_PROXY, TCP_OVER_IPV6, &v6("ff02::1")), ProxyFault::Address),
    ] {
        assert_eq!(parse(&header), Err(fault), "{header:02x?}");
    }
}

#[test]
fn the_checksum_is_the_one_of_the_rfc() {
    // RFC 3720 §B.4: 32 bytes of zero.
    assert_eq!(crc32c_without(&[0; 32], 28), 0x8a91_36aa);
}

#[tokio::test]
async fn what_follows_the_header_is_left_for_tls() {
    let bytes = with(&header(VERSION_PROXY, TCP_OVER_IPV4, V4), b"\x16\x03\x01");
    let mut stream = bytes.as_slice();
    assert_eq!(read(&mut stream).await, Ok(Proxied::From("203.0.113.7".parse().unwrap())));
    assert_eq!(stream, b"\x16\x03\x01");
    assert_eq!(read(&mut &bytes[..20]).await, Err(ProxyFault::Ended));
}

#[tokio::test]
async fn nobody_holds_a_place_by_silence() {
    let (mut ours, theirs) = tokio::io::duplex(64);
    assert_eq!(read_within(Duration::ZERO, &mut ours).await, Err(ProxyFault::Timeout));
    drop(theirs);
}

proptest! {
    #[test]
    fn nothing_makes_it_read_beyond_what_was_said(bytes in prop::collection::vec(any::<u8>(), 0..300), command in any::<u8>(), family in any::<u8>()) {
        let _ = parse(&bytes);
        let whole = header(command, family, &bytes);
        if let Ok(Proxied::From(_)) = parse(&whole) {
            prop_assert!(whole.len() <= HEADER_BYTES_MAX && command == VERSION_PROXY);
        }
    }
}
