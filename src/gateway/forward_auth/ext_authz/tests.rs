use std::collections::HashMap;

use proptest::prelude::*;

use super::message::{self, Address, AttributeContext, CheckRequest, HttpRequest, Peer, Request, SocketAddress};
use super::*;

fn question(change: impl FnOnce(&mut HttpRequest)) -> AttributeContext {
    let mut http = HttpRequest {
        method: "GET".to_owned(),
        headers: HashMap::from([
            (":authority".to_owned(), "api.example.com".to_owned()),
            ("x-api-key".to_owned(), "key".to_owned()),
        ]),
        path: "/orders/1?a=b".to_owned(),
        host: "api.example.com".to_owned(),
        header_map: None,
    };
    change(&mut http);
    let socket_address = Some(SocketAddress { address: "192.0.2.7".to_owned() });
    AttributeContext {
        source: Some(Peer { address: Some(Address { socket_address }), certificate: String::new() }),
        request: Some(Request { http: Some(http) }),
    }
}

fn read(attributes: AttributeContext) -> Result<Original, Unreadable> {
    of_attributes(attributes, ForwardedCertificate::None, false)
}

fn frame(attributes: AttributeContext) -> Vec<u8> {
    let message = CheckRequest { attributes: Some(attributes) }.encode_to_vec();
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    frame
}

fn lines(lines: &[(&str, &str)]) -> message::HeaderMap {
    let line = |(name, value): &(&str, &str)| message::HeaderValue {
        key: (*name).to_owned(),
        value: String::new(),
        raw_value: value.as_bytes().to_vec(),
    };
    message::HeaderMap { headers: lines.iter().map(line).collect() }
}

#[test]
fn a_question_becomes_the_request_of_the_client() {
    let original = read(attributes(&frame(question(|_| {}))).unwrap()).unwrap();
    assert_eq!((original.parts.method.as_str(), original.parts.uri.to_string()), ("GET", "/orders/1?a=b".to_owned()));
    assert_eq!(original.source.to_string(), "192.0.2.7");
    let headers: HashMap<&str, &[u8]> =
        original.parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(headers, HashMap::from([("host", &b"api.example.com"[..]), ("x-api-key", b"key")]));
}

#[test]
fn lines_stay_lines_so_that_two_credentials_are_two() {
    let two = lines(&[("x-api-key", "one"), ("x-api-key", "two"), (":path", "/")]);
    let original = read(question(|http| {
        http.headers.clear();
        http.header_map = Some(two);
    }));
    assert_eq!(original.unwrap().parts.headers.get_all("x-api-key").iter().count(), 2);
    let both = question(|http| http.header_map = Some(lines(&[("x-api-key", "one")])));
    assert_eq!(read(both).unwrap_err(), Unreadable::Twice("the list of headers"));
}

#[test]
fn what_is_missing_or_malformed_is_unreadable() {
    for change in [
        (|http| http.method.clear()) as fn(&mut HttpRequest),
        |http| http.method = "G T".to_owned(),
        |http| http.path.clear(),
        |http| http.path = "*".to_owned(),
        |http| http.path = "/a#b".to_owned(),
        |http| http.path = "http://other/".to_owned(),
        |http| http.host.clear(),
        |http| http.host = "a\nb".to_owned(),
        |http| drop(http.headers.insert("a b".to_owned(), String::new())),
        |http| drop(http.headers.insert("a".to_owned(), "b\r\nc".to_owned())),
    ] {
        assert!(read(question(change)).is_err());
    }
    assert!(read(AttributeContext { source: None, ..question(|_| {}) }).is_err());
    assert!(read(AttributeContext { request: None, ..question(|_| {}) }).is_err());
    let pipe = Peer { address: Some(Address { socket_address: None }), certificate: String::new() };
    assert!(read(AttributeContext { source: Some(pipe), ..question(|_| {}) }).is_err());
    let good = frame(question(|_| {}));
    assert!(attributes(&good).is_some());
    let longer = [&good[..], b"\0"].concat();
    let compressed = [&[1], &good[1..]].concat();
    for bad in [&good[..4], &good[..good.len() - 1], &longer[..], &compressed[..], b""] {
        assert!(attributes(bad).is_none());
    }
}

#[test]
fn a_certificate_is_taken_from_envoy_itself_and_never_two() {
    let key = rcgen::KeyPair::generate().unwrap();
    let new = |name: &str| {
        let der = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        let pem = pki::pem_certificate(der.der());
        percent_encoding::utf8_percent_encode(&pem, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let (one, other) = (new("one.example"), new("other.example"));
    let told = |certificate: &str| {
        let line = HeaderValue::from_str(&format!("Cert=\"{certificate}\"")).unwrap();
        HeaderMap::from_iter([(HeaderName::from_static("x-forwarded-client-cert"), line)])
    };
    let (none, xfcc) = (ForwardedCertificate::None, ForwardedCertificate::Xfcc);
    assert!(peer(none, &told(&one), &one).unwrap().is_none(), "not of a proxy that may not hand them on");
    assert!(peer(xfcc, &HeaderMap::new(), "").unwrap().is_none());
    let forged = HeaderMap::from_iter([(HeaderName::from_static("client-cert"), HeaderValue::from_static(":AA==:"))]);
    let client_cert = ForwardedCertificate::ClientCert;
    assert!(peer(client_cert, &forged, "").unwrap().is_none(), "Envoy passes on what its client wrote");
    assert_eq!(peer(client_cert, &forged, &one).unwrap().unwrap().chain.len(), 1);
    for (headers, proved) in [(HeaderMap::new(), &*one), (told(&one), ""), (told(&one), &*one)] {
        assert_eq!(peer(xfcc, &headers, proved).unwrap().unwrap().chain.len(), 1);
    }
    assert_eq!(peer(xfcc, &told(&one), &other).unwrap_err(), Unreadable::Twice("the client certificate"));
    assert!(peer(xfcc, &HeaderMap::new(), "nothing").is_err());
}

#[test]
fn nothing_that_a_client_says_in_our_name_reaches_the_upstream() {
    let headers = |lines: &[(&'static str, &'static str)]| {
        HeaderMap::from_iter(
            lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))),
        )
    };
    let answer = headers(&[
        ("cache-control", "no-store"),
        ("content-length", "0"),
        ("x-portcullis-decision-id", "id"),
        ("x-portcullis-client", "acme"),
        ("client-cert", ""),
        ("ratelimit", "\"plan\";r=3"),
    ]);
    let sent = headers(&[("x_portcullis_client", "root"), ("x-portcullis-client", "root"), ("x-own", "kept")]);
    let told = allowed(&answer, Some(&sent));
    let names = |options: &[HeaderValueOption]| -> Vec<String> {
        options.iter().map(|option| option.header.as_ref().unwrap().key.clone()).collect()
    };
    assert_eq!(names(&told.headers), ["x-portcullis-decision-id", "x-portcullis-client"]);
    assert_eq!(names(&told.response_headers_to_add), ["ratelimit", "x-portcullis-decision-id"]);
    for name in ["client-cert", "x_portcullis_client", "x-api-key", "authorization", "x-portcullis-caller-secret"] {
        assert!(told.headers_to_remove.iter().any(|removed| removed == name), "{name}");
    }
    for name in ["x-portcullis-client", "x-own"] {
        assert!(!told.headers_to_remove.iter().any(|removed| removed == name), "{name}");
    }
}

proptest! {
    #[test]
    fn any_octets_are_a_question_or_unreadable(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut frame = vec![0];
        frame.extend(u32::try_from(octets.len()).unwrap().to_be_bytes());
        frame.extend(&octets);
        if let Some(attributes) = attributes(&frame) {
            let _ = of_attributes(attributes, ForwardedCertificate::Xfcc, true);
        }
        prop_assert!(attributes(&octets).is_none_or(|_| octets.first() == Some(&0)));
    }
}
