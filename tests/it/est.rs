//! Enrolment over Secure Transport (RFC 7030, RFC 8951), as its clients meet it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki::{KeyAlgorithm, PrivateKey};

use crate::harness::{Answer, Gateway, Identity, Session, SessionOptions};

const EST: &str = "/.well-known/est";
const PKCS10: [(&str, &str); 2] = [("content-type", "application/pkcs10"), ("content-transfer-encoding", "base64")];

async fn open(gateway: &Gateway, identity: &Identity) -> Session {
    let options = SessionOptions { identity: Some(identity.clone()), ..SessionOptions::default() };
    gateway.session_with(options).await
}

/// The octets inside, which must be one line of base64.
fn decoded(answer: &Answer, kind: &str) -> Vec<u8> {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some(kind)), "{answer:?}");
    assert_eq!(answer.header("content-transfer-encoding"), Some("base64"));
    STANDARD.decode(&answer.body).unwrap()
}

fn contains(whole: &[u8], part: &[u8]) -> bool {
    whole.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn the_authorities_and_the_wishes_are_everybody_s() {
    let gateway = Gateway::start().await;
    let mut session = gateway.session().await;
    let root = pki::pem_certificates(&std::fs::read(gateway.data().join("ca.pem")).unwrap()).unwrap().remove(0);
    let issuing = gateway.acme().identity.chain[1].clone();
    for label in ["", "/client"] {
        let answer = session.get(&format!("{EST}{label}/cacerts"), &[]).await;
        let cms = decoded(&answer, "application/pkcs7-mime; smime-type=certs-only");
        assert!(contains(&cms, &root) && contains(&cms, &issuing));
        let answer = session.get(&format!("{EST}{label}/csrattrs"), &[]).await;
        let wishes = decoded(&answer, "application/csrattrs");
        assert!(!contains(&wishes, b"spiffe://"), "nobody is known here");
    }
    let acme = gateway.acme();
    let answer = open(&gateway, &acme.identity).await.get(&format!("{EST}/csrattrs"), &[]).await;
    assert!(contains(&decoded(&answer, "application/csrattrs"), b"/partner/acme/client/acme-orders"));
    assert!(session.send("HEAD", &format!("{EST}/cacerts"), &[], "").await.unwrap().body.is_empty());
}

#[tokio::test]
async fn reenrolment_repeats_the_names_and_changes_the_key() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let path = format!("{EST}/simplereenroll");
    let mut session = open(&gateway, &acme.identity).await;
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let csr = STANDARD.encode(pki::renewal_request(&key, &acme.identity.chain[0]).unwrap());
    let answer = session.send("POST", &path, &PKCS10, csr.clone()).await.unwrap();
    let cms = decoded(&answer, "application/pkcs7-mime; smime-type=certs-only");
    assert!(!contains(&cms, &acme.identity.chain[1]), "the certificate alone (RFC 7030 §4.2.3)");
    // The leaf is what lies in the CMS behind its head; the gate must take it.
    let start = cms.windows(2).position(|pair| pair == [0x30, 0x82]).unwrap();
    assert!(start < 64, "{cms:02x?}");
    // Line breaks in what we are sent do no harm.
    let broken: String =
        csr.as_bytes().chunks(64).map(|line| format!("{}\r\n", String::from_utf8_lossy(line))).collect();
    let again = session.send("POST", &path, &PKCS10, broken).await.unwrap();
    assert_eq!(again.body, answer.body, "the same request, the same certificate");

    let other = gateway.admin_identity();
    let csr = STANDARD.encode(pki::renewal_request(&key, &other.chain[0]).unwrap());
    let answer = session.send("POST", &path, &PKCS10, csr.clone()).await.unwrap();
    assert_eq!(answer.status, 422, "another subject: {answer:?}");
    let same = PrivateKey::from_pkcs8_der(&acme.identity.key_pkcs8).unwrap();
    let csr = STANDARD.encode(pki::renewal_request(&same, &acme.identity.chain[0]).unwrap());
    let answer = session.send("POST", &path, &PKCS10, csr.clone()).await.unwrap();
    assert_eq!(answer.problem(), (422, "key_change_required".to_owned()));
    let answer = session.send("POST", &path, &[], csr.clone()).await.unwrap();
    assert_eq!(answer.problem(), (415, "unsupported_media_type".to_owned()));
    let answer = gateway.session().await.send("POST", &path, &PKCS10, csr).await.unwrap();
    assert_eq!(answer.problem(), (401, "no_credential".to_owned()));
}

#[tokio::test]
async fn what_is_not_offered_is_refused_by_name() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let mut session = open(&gateway, &acme.identity).await;
    for name in ["fullcmc", "serverkeygen"] {
        let answer = session.send("POST", &format!("{EST}/{name}"), &PKCS10, "").await.unwrap();
        assert_eq!(answer.problem(), (501, "not_offered".to_owned()), "{name}");
    }
    for path in ["", "/", "/cacert", "/other/cacerts", "/client/client/cacerts"] {
        let answer = session.get(&format!("{EST}{path}"), &[]).await;
        assert_eq!(answer.problem(), (404, "route_not_found".to_owned()), "{path}");
    }
    assert_eq!(session.send("POST", &format!("{EST}/cacerts"), &PKCS10, "").await.unwrap().status, 405);
    assert_eq!(session.get(&format!("{EST}/simplereenroll"), &[]).await.status, 405);
    // Not where administrators are.
    assert_eq!(gateway.admin().await.get(&format!("{EST}/cacerts"), &[]).await.status, 404);
}
