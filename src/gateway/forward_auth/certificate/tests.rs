use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::{byte_sequence, forwarded, pairs, xfcc};
use crate::config::ForwardedCertificate;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

fn certificate() -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::new(vec!["client.example".to_owned()]).unwrap().self_signed(&key).unwrap().der().to_vec()
}

fn escaped(ders: &[&[u8]]) -> String {
    let pem: String = ders.iter().map(|der| pki::pem_certificate(der)).collect();
    percent_encoding::utf8_percent_encode(&pem, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let line =
        |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    let mut headers = HeaderMap::new();
    for (name, value) in lines.iter().map(line) {
        headers.append(name, value);
    }
    headers
}

#[test]
fn rfc_9440_is_one_item_and_a_list() {
    let (leaf, above) = (certificate(), certificate());
    let item = |der: &[u8]| format!(":{}:", STANDARD.encode(der));
    let read = |lines: &[(&str, &str)]| forwarded(ForwardedCertificate::ClientCert, &headers(lines));
    assert!(read(&[]).unwrap().is_none());
    assert!(read(&[("client-cert", "")]).unwrap().is_none(), "as nginx and others write no value");
    assert!(read(&[("client-cert", "::")]).unwrap().is_none(), "as Caddy does");
    let placeholder = ":{http.request.tls.client.certificate_der_base64}:";
    assert!(read(&[("client-cert", placeholder)]).unwrap().is_none(), "as Caddy 2.6 does");
    assert_eq!(read(&[("client-cert", &item(&leaf))]).unwrap().unwrap().chain, std::slice::from_ref(&leaf));
    let list = format!("{}, {}", item(&above), item(&above));
    let found = read(&[("client-cert", &item(&leaf)), ("client-cert-chain", &list)]).unwrap().unwrap();
    assert_eq!(found.chain, [leaf.clone(), above.clone(), above.clone()]);
    let two =
        [("client-cert", &*item(&leaf)), ("client-cert-chain", &item(&above)), ("client-cert-chain", &item(&above))];
    assert_eq!(read(&two).unwrap().unwrap().chain.len(), 3, "a list may stand on several lines");
    for bad in [
        vec![("client-cert", item(&leaf)), ("client-cert", item(&leaf))],
        vec![("client-cert-chain", item(&above))],
        vec![("client-cert", STANDARD.encode(&leaf))],
        vec![("client-cert", format!("{};x=1", item(&leaf)))],
        vec![("client-cert", format!("{}, {}", item(&leaf), item(&above)))],
        vec![("client-cert", item(b"no certificate"))],
        vec![("client-cert", item(&leaf)), ("client-cert-chain", vec![item(&above); 6].join(","))],
        vec![("client-cert", item(&leaf)), ("client-cert-chain", format!("{},", item(&above)))],
    ] {
        let lines: Vec<(&str, &str)> = bad.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert!(read(&lines).is_err(), "{lines:?}");
    }
}

#[test]
fn xfcc_is_one_element_with_the_certificate_itself() {
    let (leaf, above) = (certificate(), certificate());
    let (cert, chain) = (escaped(&[&leaf]), escaped(&[&leaf, &above]));
    let hash = pki::ClientCertificate::parse(&leaf).unwrap().thumbprint.to_string();
    for good in [
        format!("Cert=\"{cert}\""),
        format!("Hash={hash};Cert=\"{cert}\""),
        format!("By=spiffe://a/b;Hash={};Subject=\"CN=\\\"x,y\\\";O=z\";URI=;Cert=\"{cert}\"", hash.to_uppercase()),
        format!("cert={cert}"),
    ] {
        assert_eq!(xfcc(&good).unwrap().chain, std::slice::from_ref(&leaf), "{good}");
    }
    for good in [format!("Chain=\"{chain}\""), format!("Cert=\"{cert}\";Chain=\"{chain}\"")] {
        assert_eq!(xfcc(&good).unwrap().chain, [leaf.clone(), above.clone()], "{good}");
    }
    let other = escaped(&[&above]);
    for bad in [
        String::new(),
        format!("Hash={hash}"),
        "Cert=\"\"".to_owned(),
        format!("Cert=\"{cert}"),
        format!("Cert=\"{cert}\","),
        format!("Cert=\"{cert}\";"),
        format!("Cert=\"{cert}\",Cert=\"{cert}\""),
        format!("Cert=\"{cert}\";Cert=\"{cert}\""),
        format!("Cert=\"{chain}\""),
        format!("Cert=\"{other}\";Chain=\"{chain}\""),
        format!("Hash={hash};Cert=\"{other}\""),
        format!("Cert=\"{cert}\";Unknown=1"),
        format!("Cert =\"{cert}\""),
        format!("Chain=\"{}\"", escaped(&[&leaf[..]; 7])),
    ] {
        assert!(xfcc(&bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_not_asked_for_is_not_read() {
    let leaf = certificate();
    let item = format!(":{}:", STANDARD.encode(&leaf));
    let cert = format!("Cert=\"{}\"", escaped(&[&leaf]));
    let both = headers(&[("client-cert", &item), ("x-forwarded-client-cert", &cert)]);
    assert!(forwarded(ForwardedCertificate::None, &both).unwrap().is_none());
    assert!(forwarded(ForwardedCertificate::Xfcc, &headers(&[("client-cert", &item)])).unwrap().is_none());
    assert!(
        forwarded(ForwardedCertificate::ClientCert, &headers(&[("x-forwarded-client-cert", &cert)])).unwrap().is_none()
    );
    let twice = headers(&[("x-forwarded-client-cert", &cert), ("x-forwarded-client-cert", &cert)]);
    assert!(forwarded(ForwardedCertificate::Xfcc, &twice).is_err());
}

proptest! {
    #[test]
    fn nothing_makes_it_stumble(text in "\\PC{0,80}", odd in "[A-Za-z=;,\"\\\\%:]{0,80}") {
        for text in [text, odd] {
            let _ = xfcc(&text);
            let _ = byte_sequence(Some(&text), "it");
            if let Ok(pairs) = pairs(&text) {
                prop_assert!(!pairs.is_empty());
            }
        }
    }
}
