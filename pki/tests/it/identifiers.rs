use pki::{KeyAlgorithm, KeyId, RevocationReason, Serial, SpiffeId, SpkiFingerprint, Thumbprint};

use crate::harness::code;

#[test]
fn serials_have_one_form() {
    for (text, shown) in [
        ("0", "00"),
        ("00", "00"),
        ("00:00", "00"),
        ("1", "01"),
        ("fff", "0fff"),
        ("0A:bC", "0abc"),
        ("000000ff", "ff"),
        ("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", "ffffffffffffffffffffffffffffffffffffffff"),
        ("00FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", "ffffffffffffffffffffffffffffffffffffffff"),
    ] {
        assert_eq!(text.parse::<Serial>().unwrap().to_string(), shown, "{text}");
    }
    for text in ["", ":", "1:2", "01:", ":01", "01::02", "0x01", " 01", "01 02", "0g", "٣", "01:2", &"11".repeat(21)] {
        assert_eq!(code(text.parse::<Serial>()), "invalid_serial", "{text:?}");
    }
}

#[test]
fn serials_are_read_from_der_only_in_its_one_encoding() {
    let read = |content: &[u8]| Serial::from_der_integer(content).map(|serial| serial.to_string());
    assert_eq!(read(&[0]).unwrap(), "00");
    assert_eq!(read(&[0x7f]).unwrap(), "7f");
    assert_eq!(read(&[0, 0x80]).unwrap(), "80");
    let longest = [&[0][..], &[0xff; 20]].concat();
    assert_eq!(read(&longest).unwrap(), "ff".repeat(20));
    for content in [&[][..], &[0x80], &[0xff; 3], &[0, 0x7f], &[0, 0], &[1; 21]] {
        assert_eq!(code(read(content)), "invalid_serial", "{content:?}");
    }
}

#[test]
fn identities_are_read_strictly() {
    let id: SpiffeId = "spiffe://api.example.com/partner/acme/client/acme-orders".parse().unwrap();
    assert_eq!((id.trust_domain(), id.partner(), id.client()), ("api.example.com", "acme", "acme-orders"));
    assert_eq!(SpiffeId::new("api.example.com", "acme", "acme-orders"), Ok(id));
    "spiffe://a/partner/B.c_d-1/client/...e".parse::<SpiffeId>().unwrap();
    for text in [
        "",
        "spiffe://",
        "spiffe://a",
        "SPIFFE://a/partner/b/client/c",
        "https://a/partner/b/client/c",
        "spiffe:/a/partner/b/client/c",
        "spiffe:///partner/b/client/c",
        "spiffe://A/partner/b/client/c",
        "spiffe://a./partner/b/client/c",
        "spiffe://.a/partner/b/client/c",
        "spiffe://a..b/partner/b/client/c",
        "spiffe://a:443/partner/b/client/c",
        "spiffe://user@a/partner/b/client/c",
        "spiffe://a*/partner/b/client/c",
        "spiffe://a/partner/*/client/c",
        "spiffe://a/partner/b/client/*",
        "spiffe://a/partner/b/client/%63",
        "spiffe://a/partner/../client/c",
        "spiffe://a/partner/./client/c",
        "spiffe://a/partner/b/client/..",
        "spiffe://a/partner//client/c",
        "spiffe://a/partner/b/client/",
        "spiffe://a/partner/b/client/c/",
        "spiffe://a/partner/b/client/c/d",
        "spiffe://a//partner/b/client/c",
        "spiffe://a/Partner/b/client/c",
        "spiffe://a/client/b/partner/c",
        "spiffe://a/partner/b/client/c?x",
        "spiffe://a/partner/b/client/c#x",
        "spiffe://a/partner/b/client/c ",
        " spiffe://a/partner/b/client/c",
        "spiffe://a/partner/b/client/c\0",
        "spiffe://a/partner/ä/client/c",
    ] {
        assert_eq!(code(text.parse::<SpiffeId>()), "invalid_identity", "{text:?}");
    }
    let long = "x".repeat(129);
    assert_eq!(code(SpiffeId::new("a", &long, "c")), "invalid_identity");
    assert_eq!(code(SpiffeId::new(&"x".repeat(256), "b", "c")), "invalid_identity");
    assert_eq!(code(SpiffeId::new("a", "b/client/x", "c")), "invalid_identity");
}

#[test]
fn thumbprints_have_the_forms_of_their_users() {
    // SHA-256 of "abc" (FIPS 180-4).
    let print = Thumbprint::of(b"abc");
    let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(print.to_string(), hex);
    assert_eq!(print.x5t_s256(), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
    assert_eq!(hex.to_uppercase().parse(), Ok(print));
    let colons = hex.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair)).collect::<Vec<_>>().join(":");
    assert_eq!(colons.parse(), Ok(print));
    assert_eq!(Thumbprint::from(*print.as_bytes()), print);
    assert_eq!(code(hex[2..].parse::<Thumbprint>()), "invalid_thumbprint");
    assert_eq!(code(hex[1..].parse::<Thumbprint>()), "invalid_thumbprint", "a digest is no number");
    assert_eq!(code(format!("00{hex}").parse::<Thumbprint>()), "invalid_thumbprint");
    assert_eq!(hex.parse(), Ok(SpkiFingerprint::of(b"abc")));
}

#[test]
fn key_identifiers_are_bounded() {
    assert_eq!("0A:0b".parse::<KeyId>().unwrap().to_string(), "0a0b");
    assert_eq!("000a".parse::<KeyId>().unwrap().as_bytes(), [0, 10], "octets, not a number");
    assert_eq!(code(KeyId::from_bytes(&[])), "invalid_key_id");
    assert_eq!(code(KeyId::from_bytes(&[0; 65])), "invalid_key_id");
}

#[test]
fn reasons_are_those_of_the_rfc() {
    let codes: Vec<u8> = RevocationReason::ALL.iter().map(|reason| reason.code()).collect();
    assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 9, 10]);
    for reason in RevocationReason::ALL {
        assert_eq!(reason.to_string().parse(), Ok(reason));
        assert_eq!(reason.is_permanent(), reason != RevocationReason::CertificateHold);
    }
    for text in ["", "keyCompromise", "key_compromise", "remove-from-crl", "Key-Compromise"] {
        assert_eq!(code(text.parse::<RevocationReason>()), "unknown_reason", "{text:?}");
    }
}

#[test]
fn identifiers_travel_as_text() {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Row {
        serial: Serial,
        thumbprint: Thumbprint,
        key_id: KeyId,
        identity: SpiffeId,
        algorithm: KeyAlgorithm,
        reason: RevocationReason,
    }
    let row = Row {
        serial: "0abc".parse().unwrap(),
        thumbprint: Thumbprint::of(b""),
        key_id: "0102".parse().unwrap(),
        identity: SpiffeId::new("a.example", "acme", "orders").unwrap(),
        algorithm: KeyAlgorithm::EcdsaP256,
        reason: RevocationReason::KeyCompromise,
    };
    let text = toml::to_string(&row).unwrap();
    for line in ["serial = \"0abc\"", "algorithm = \"ecdsa-p256\"", "reason = \"key-compromise\""] {
        assert!(text.contains(line), "{text}");
    }
    assert_eq!(toml::from_str::<Row>(&text).unwrap(), row);
    assert!(toml::from_str::<Row>(&text.replace("0abc", "xyz")).is_err());
}

#[test]
fn messages_escape_and_cut_what_came_from_outside() {
    let hostile = format!("spiffe://\u{1b}[31m{}", "x".repeat(5000));
    let message = hostile.parse::<SpiffeId>().unwrap_err().to_string();
    assert!(!message.contains('\u{1b}') && message.len() < 400, "{message}");
}
