//! Enrolment over Secure Transport (RFC 7030, RFC 8951), as its clients meet it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki::{KeyAlgorithm, PrivateKey};

use portcullis::registry::{Actor, NewEnrollment};
use portcullis::store::enrollment::EnrollmentFilter;
use secrecy::ExposeSecret;

use crate::harness::{Answer, Gateway, Identity, Partner, Session, SessionOptions};

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

/// A token for the demo's client.
async fn token(gateway: &Gateway, needs_approval: bool) -> String {
    let new = NewEnrollment { client: gateway.demo.client_id.clone(), needs_approval, ..NewEnrollment::default() };
    let created = gateway.registry().create_enrollment(&Actor::local(), new).await.unwrap();
    created.token.expose_secret().to_owned()
}

fn request() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let request = rcgen::CertificateParams::new(vec![]).unwrap().serialize_request(&key).unwrap();
    STANDARD.encode(request.der())
}

#[tokio::test]
async fn a_token_enrols_as_password_and_as_bearer() {
    let gateway = Gateway::start().await;
    let path = format!("{EST}/simpleenroll");
    let mut session = gateway.session().await;
    for basic in [true, false] {
        let token = token(&gateway, false).await;
        let credential = match basic {
            true => format!("Basic {}", STANDARD.encode(format!("anybody:{token}"))),
            false => format!("Bearer {token}"),
        };
        let headers = [PKCS10[0], ("authorization", credential.as_str())];
        let csr = request();
        let answer = session.send("POST", &path, &headers, csr.clone()).await.unwrap();
        decoded(&answer, "application/pkcs7-mime; smime-type=certs-only");
        let again = session.send("POST", &path, &headers, csr).await.unwrap();
        assert_eq!(again.body, answer.body, "the same token with the same key, the same certificate");
        let other = session.send("POST", &path, &headers, request()).await.unwrap();
        assert!(other.status.is_client_error(), "a used token with another key: {other:?}");
    }
    let answer = session.send("POST", &path, &PKCS10, request()).await.unwrap();
    assert_eq!(answer.status, 401);
    let challenges: Vec<_> =
        answer.headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(challenges, ["Basic realm=\"portcullis\"", "Bearer realm=\"portcullis\""]);
    for wrong in ["Bearer pe_demo_x", "Basic YTpi", "Digest x"] {
        let answer = session.send("POST", &path, &[PKCS10[0], ("authorization", wrong)], request()).await.unwrap();
        assert_eq!(answer.status, 401, "{wrong}: {answer:?}");
    }
}

#[tokio::test]
async fn who_must_wait_is_told_for_how_long() {
    let gateway = Gateway::start().await;
    let token = format!("Bearer {}", token(&gateway, true).await);
    let headers = [PKCS10[0], ("authorization", token.as_str())];
    let (path, csr) = (format!("{EST}/simpleenroll"), request());
    let mut session = gateway.session().await;
    let answer = session.send("POST", &path, &headers, csr.clone()).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (202, Some("60")), "{answer:?}");
    let second = Actor { name: "second".to_owned(), source: None };
    let waiting = gateway.registry().enrollments(&EnrollmentFilter::default()).await.unwrap();
    gateway.authority().approve_enrollment(&waiting[0].id, None, &second).await.unwrap();
    let answer = session.send("POST", &path, &headers, csr).await.unwrap();
    decoded(&answer, "application/pkcs7-mime; smime-type=certs-only");
}

#[tokio::test]
async fn a_certificate_beside_the_token_must_be_the_same_client_s() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let stranger = Partner::create(&gateway, "globex", "globex-orders").await;
    let token = format!("Bearer {}", token(&gateway, false).await);
    let headers = [PKCS10[0], ("authorization", token.as_str())];
    let (path, csr) = (format!("{EST}/simpleenroll"), request());
    let answer = open(&gateway, &stranger.identity).await.send("POST", &path, &headers, csr.clone()).await.unwrap();
    assert_eq!(answer.problem(), (403, "credential_mismatch".to_owned()));
    let answer = open(&gateway, &acme.identity).await.send("POST", &path, &headers, csr).await.unwrap();
    decoded(&answer, "application/pkcs7-mime; smime-type=certs-only");
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
