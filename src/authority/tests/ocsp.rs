use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, EXPIRES, IF_NONE_MATCH, LAST_MODIFIED};
use http::{Request, Response, StatusCode};
use pki::{OcspQuery, OcspReply, OcspStatus, RevocationReason};

use super::*;
use crate::store::certificate::{CertificateFilter, CertificateKind, Reservation};

impl House {
    /// With a signer of OCSP answers for each authority, as the running server has.
    async fn answering() -> Self {
        let house = Self::new().await;
        assert!(house.authority.renew_ocsp_signers().await);
        house
    }

    fn der_of(&self, kind: &str) -> Vec<u8> {
        let issuer = self.authority.issuers().into_iter().find(|issuer| issuer.kind == kind).unwrap();
        pki::pem_certificates(issuer.certificate_pem.as_bytes()).unwrap().remove(0)
    }

    fn query(&self, pem: &str, nonce: Option<&[u8]>) -> OcspQuery {
        let certificate = pki::pem_certificates(pem.as_bytes()).unwrap().remove(0);
        OcspQuery::new(&certificate, &self.der_of("issuing"), nonce).unwrap()
    }

    async fn post(&self, body: Vec<u8>) -> Response<Bytes> {
        let (head, ()) = Request::post("/ocsp").body(()).unwrap().into_parts();
        self.authority.answer_ocsp(&head, Some(body.into())).await
    }

    async fn ask(&self, query: &OcspQuery) -> OcspReply {
        let response = self.post(query.der()).await;
        assert_eq!((response.status(), header(&response, CONTENT_TYPE)), (StatusCode::OK, "application/ocsp-response"));
        query.read(response.body(), self.authority.now().unwrap()).unwrap()
    }

    async fn status(&self, issued: &Issued) -> OcspStatus {
        self.ask(&self.query(&issued.certificate_pem, None)).await.status
    }

    async fn signers(&self) -> Vec<String> {
        let filter = CertificateFilter { kind: Some(CertificateKind::Ocsp), ..CertificateFilter::default() };
        let rows = store::certificate::list(&self.store, &filter).await.unwrap();
        rows.into_iter().map(|row| row.serial).collect()
    }

    fn signer(&self) -> OcspSignerView {
        self.issuing().ocsp_signer.unwrap()
    }
}

fn header(response: &Response<Bytes>, name: http::header::HeaderName) -> &str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

#[tokio::test]
async fn a_revocation_is_in_the_answer_the_moment_it_returns() {
    let house = House::answering().await;
    let (issued, other) = (house.issue().await, house.issue().await);
    for certificate in [&issued, &other] {
        assert_eq!(house.status(certificate).await, OcspStatus::Good);
    }
    let (query, nonce) =
        (house.query(&issued.certificate_pem, None), house.query(&issued.certificate_pem, Some(&[1; 32])));
    house.revoke(&issued, "key-compromise").await;
    let revoked = OcspStatus::Revoked { at: at(NOW.0), reason: RevocationReason::KeyCompromise };
    // What was signed and kept while it was good is not given out any more, and nothing had to be published for that.
    assert_eq!((house.ask(&query).await.status, house.ask(&nonce).await.status), (revoked, revoked));
    assert_eq!(house.status(&other).await, OcspStatus::Good);
    let house = house.reopen().await;
    assert!(house.authority.renew_ocsp_signers().await);
    assert_eq!(house.status(&issued).await, revoked);
}

#[tokio::test]
async fn what_was_never_issued_is_never_good() {
    let house = House::answering().await;
    let issuing = house.issuing().id;
    // A certificate that the stolen key of the authority signed: no row stands behind it.
    let file = house.write("issuing.pem", house.issuing().certificate_pem);
    let forged = |serial: &str| {
        let request = house.path().join(format!("{serial}.der")).display().to_string();
        let serial = format!("0x{serial}");
        let output = openssl(&["ocsp", "-issuer", &file, "-serial", &serial, "-no_nonce", "-reqout", &request]);
        assert!(output.status.success(), "{}", said(&output));
        std::fs::read(request).unwrap()
    };
    let judged = async |serial: &str| {
        let response = house.post(forged(serial)).await;
        let answer = house.write("answer.der", response.body());
        let root = house.write("root.pem", house.authority.root_pem());
        let (at, serial) = (house.clock.now().0.to_string(), format!("0x{serial}"));
        let mut arguments = vec!["ocsp", "-respin", &answer, "-issuer", &file, "-serial", &serial, "-no_nonce"];
        arguments.extend(["-CAfile", &root, "-verify_other", &file, "-attime", &at, "-text"]);
        let output = openssl(&arguments);
        assert!(output.status.success() && said(&output).contains("Response verify OK"), "{}", said(&output));
        said(&output)
    };
    let text = judged("4a4b4c4d4e4f5051").await;
    assert!(text.contains("Cert Status: revoked") && text.contains("Jan  1 00:00:00 1970 GMT"), "{text}");
    assert!(text.contains("certificateHold") && text.contains("        valid: \n"), "{text}");

    // Reserved, and orphaned by a crash: bytes may have been signed, and nobody was given them.
    let reservation = Reservation {
        issuer_key_id: issuing.clone(),
        serial: "4b4b4c4d4e4f5051".into(),
        client_id: Some("acme-orders".into()),
        kind: CertificateKind::Client,
        profile: "client".into(),
        subject: "CN=acme-orders".into(),
        key_algorithm: "ecdsa-p256".into(),
        spki_fingerprint: "00".into(),
        not_before: NOW,
        not_after: UnixSeconds(NOW.0 + DAY),
        scopes: None,
        networks: None,
        crl_partition: 0,
        replaces: None,
        enrollment_id: None,
        tbs: b"tbs".to_vec(),
    };
    let mut tx = house.store.begin().await.unwrap();
    store::certificate::insert_reserved(&mut tx, &reservation, NOW).await.unwrap();
    tx.commit().await.unwrap();
    let text = judged("4b4b4c4d4e4f5051").await;
    assert!(text.contains("Cert Status: revoked") && !text.contains("1970"), "{text}");
    let mut tx = house.store.begin().await.unwrap();
    assert!(store::certificate::orphan(&mut tx, &issuing, "4b4b4c4d4e4f5051", NOW).await.unwrap());
    tx.commit().await.unwrap();
    house.snapshot.catch_up(&house.store).await.unwrap();
    let text = judged("4b4b4c4d4e4f5051").await;
    assert!(text.contains("Cert Status: revoked") && !text.contains("1970"), "{text}");
}

#[tokio::test]
async fn an_answer_without_a_nonce_is_kept_to_its_half_life() {
    let house = House::answering().await;
    let issued = house.issue().await;
    let query = house.query(&issued.certificate_pem, None);
    let first = house.post(query.der()).await;
    assert_eq!(header(&first, CACHE_CONTROL), "max-age=300, public, no-transform, must-revalidate");
    assert_eq!(header(&first, LAST_MODIFIED), "Fri, 15 Jan 2027 07:55:00 GMT");
    assert_eq!(header(&first, EXPIRES), "Fri, 15 Jan 2027 09:00:00 GMT");
    house.clock.advance(Duration::from_secs(60));
    let again = house.post(query.der()).await;
    assert_eq!((again.body(), header(&again, ETAG)), (first.body(), header(&first, ETAG)));
    house.clock.advance(Duration::from_secs(1800));
    let renewed = house.post(query.der()).await;
    assert_ne!(renewed.body(), first.body());
    let reply = query.read(renewed.body(), house.authority.now().unwrap()).unwrap();
    assert_eq!(reply.next_update, Some(at(NOW.0 + 1860 + 3600)));

    // With a nonce each question has its own answer, which no cache may keep.
    let query = house.query(&issued.certificate_pem, Some(&[9; 16]));
    let (one, two) = (house.post(query.der()).await, house.post(query.der()).await);
    assert_ne!(one.body(), two.body());
    assert_eq!((header(&one, CACHE_CONTROL), header(&one, ETAG)), ("no-store", ""));
    assert!(query.read(one.body(), house.authority.now().unwrap()).unwrap().nonce_matches);
}

#[tokio::test]
async fn a_question_by_get_may_be_answered_from_a_cache() {
    use base64::Engine as _;
    let house = House::answering().await;
    let issued = house.issue().await;
    let query = house.query(&issued.certificate_pem, None);
    let text = base64::engine::general_purpose::STANDARD.encode(query.der());
    let path = format!("/ocsp/{}", text.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D"));
    let get = async |method: &str, path: &str, held: &str| {
        let request = Request::builder().method(method).uri(path).header(IF_NONE_MATCH, held);
        let (head, ()) = request.body(()).unwrap().into_parts();
        house.authority.answer_ocsp(&head, Some(Bytes::new())).await
    };
    let answer = get("GET", &path, "\"another\"").await;
    assert_eq!(query.read(answer.body(), house.authority.now().unwrap()).unwrap().status, OcspStatus::Good);
    let unchanged = get("GET", &path, header(&answer, ETAG)).await;
    assert_eq!((unchanged.status(), unchanged.body().len()), (StatusCode::NOT_MODIFIED, 0));
    let head = get("HEAD", &path, "").await;
    let length = answer.body().len().to_string();
    assert_eq!((head.body().len(), header(&head, http::header::CONTENT_LENGTH)), (0, length.as_str()));
    house.revoke(&issued, "superseded").await;
    assert_eq!(get("GET", &path, header(&answer, ETAG)).await.status(), StatusCode::OK);
    for (method, path, status) in
        [("GET", "/ocsp", 404), ("GET", "/ocsp/", 404), ("PUT", "/ocsp", 405), ("POST", "/ocsp/x", 405)]
    {
        assert_eq!(get(method, path, "").await.status(), status, "{method} {path}");
    }
}

#[tokio::test]
async fn errors_are_ocsp_answers_with_status_200() {
    let house = House::new().await;
    let issued = house.issue().await;
    let query = house.query(&issued.certificate_pem, None);
    let refusal = async |body: Vec<u8>| {
        let response = house.post(body).await;
        assert_eq!((response.status(), header(&response, CONTENT_TYPE)), (StatusCode::OK, "application/ocsp-response"));
        assert_eq!(header(&response, CACHE_CONTROL), "no-store");
        response.body().to_vec()
    };
    let status = |code: u8| vec![0x30, 3, 0x0a, 1, code];
    // No delegate has been looked for yet.
    assert_eq!(refusal(query.der()).await, status(6));
    house.authority.renew_ocsp_signers().await;
    assert_eq!(refusal(b"hello".to_vec()).await, status(1));
    assert_eq!(refusal(Vec::new()).await, status(1));
    let (head, ()) = Request::post("/ocsp").body(()).unwrap().into_parts();
    assert_eq!(house.authority.answer_ocsp(&head, None).await.body().to_vec(), status(1));
    // The root has no delegate: its key is offline. Nor has any authority of others.
    let root = house.der_of("root");
    let about = OcspQuery::new(&house.der_of("issuing"), &root, None).unwrap();
    assert_eq!(refusal(about.der()).await, status(6));
    let leaf = pki::pem_certificates(issued.certificate_pem.as_bytes()).unwrap().remove(0);
    let foreign = OcspQuery::new(&leaf, &leaf, None).unwrap();
    assert_eq!(refusal(foreign.der()).await, status(6));
    let request = Request::post("/ocsp").header(CONTENT_TYPE, "text/plain");
    let (head, ()) = request.body(()).unwrap().into_parts();
    let answer = house.authority.answer_ocsp(&head, Some(query.der().into())).await;
    assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    // The register is away: nobody is vouched for.
    house.store.close().await;
    house.clock.advance(Duration::from_secs(60));
    assert_eq!(refusal(query.der()).await, status(2));
}

#[tokio::test]
async fn a_signer_renews_itself_by_the_ordinary_issuance() {
    let house = House::answering().await;
    let issued = house.issue().await;
    let first = house.signer();
    assert_eq!((first.not_before, first.not_after), (NOW.0 - 300, NOW.0 + 14 * DAY));
    assert_eq!(house.signers().await.len(), 2, "the clients' authority has one, and the servers'");
    let query = house.query(&issued.certificate_pem, None);
    house.post(query.der()).await;
    // Two thirds of its life are over.
    house.clock.advance(Duration::from_secs(9 * 86_400));
    assert!(house.authority.renew_ocsp_signers().await);
    assert_eq!(house.signer().serial, first.serial);
    house.clock.advance(Duration::from_secs(86_400));
    assert!(house.authority.renew_ocsp_signers().await);
    let second = house.signer();
    assert_ne!(second.serial, first.serial);
    assert_eq!(house.signers().await.len(), 4);
    assert_eq!(house.ask(&query).await.signer_not_after, at(second.not_after));
    // The register knows its own signers, and says so.
    let shown = house.authority.show(&second.serial.parse().unwrap()).await.unwrap();
    assert_eq!((shown.kind, shown.state), ("ocsp", CertificateStatus::Issued));
    let of_signer = house.query(&shown.pem.unwrap(), None);
    assert_eq!(house.ask(&of_signer).await.status, OcspStatus::Good);
    // A restart makes new ones: the keys were in memory only.
    let house = house.reopen().await;
    assert!(house.authority.renew_ocsp_signers().await);
    assert_ne!(house.signer().serial, second.serial);
}

#[tokio::test]
async fn a_signer_that_cannot_be_had_is_told_and_tried_again() {
    let house = House::new().await;
    let mut tx = house.store.begin().await.unwrap();
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON certificates BEGIN SELECT RAISE(ABORT, 'no'); END";
    sqlx::query(refuse).execute(tx.connection()).await.unwrap();
    tx.commit().await.unwrap();
    assert!(!house.authority.renew_ocsp_signers().await);
    assert!(house.issuing().ocsp && house.issuing().ocsp_signer.is_none());
    let issuer = house.der_of("issuing");
    let query = OcspQuery::new(&issuer, &issuer, None).unwrap();
    assert_eq!(house.post(query.der()).await.body().to_vec(), [0x30, 3, 0x0a, 1, 3], "tryLater");
    let mut tx = house.store.begin().await.unwrap();
    sqlx::query("DROP TRIGGER refuse").execute(tx.connection()).await.unwrap();
    tx.commit().await.unwrap();
    assert!(house.authority.renew_ocsp_signers().await);
    assert!(house.issuing().ocsp_signer.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_beyond_the_bound_are_told_to_come_back() {
    let house = House::answering().await;
    let issued = house.issue().await;
    let query = house.query(&issued.certificate_pem, Some(&[5; 32]));
    let (mut signed, mut later) = (0, 0);
    let questions = (0..600).map(|_| house.post(query.der()));
    for answer in futures_util::future::join_all(questions).await {
        match answer.body().as_ref() {
            [0x30, 3, 0x0a, 1, 3] => later += 1,
            body => {
                assert_eq!(query.read(body, house.authority.now().unwrap()).unwrap().status, OcspStatus::Good);
                signed += 1;
            }
        }
    }
    assert!(signed >= 256 && later > 0, "{signed} signed, {later} told to come back");
}

#[tokio::test]
async fn nothing_of_a_tainted_authority_is_good() {
    let house = House::answering().await;
    let issued = house.issue().await;
    assert_eq!(house.status(&issued).await, OcspStatus::Good);
    house.clock.advance(Duration::from_secs(60));
    let mut tx = house.store.begin().await.unwrap();
    assert!(store::issuer::taint(&mut tx, &house.issuing().id, house.clock.now()).await.unwrap());
    tx.commit().await.unwrap();
    house.snapshot.catch_up(&house.store).await.unwrap();
    let compromised = OcspStatus::Revoked { at: at(NOW.0 + 60), reason: RevocationReason::CaCompromise };
    assert_eq!(house.status(&issued).await, compromised);
}

#[tokio::test]
async fn each_generation_of_an_authority_answers_for_its_own() {
    use crate::store::issuer::{IssuerKind, IssuerState};
    let house = House::answering().await;
    let old = house.issue().await;
    let order = Rotate {
        kind: IssuerKind::Issuing,
        to: Some(IssuerState::Active),
        dry_run: false,
        force: false,
        brought: Brought::default(),
    };
    house.authority.rotate(order, &admin()).await.unwrap();
    let new = house.issue().await;
    assert_ne!(new.certificate.issuer, old.certificate.issuer);
    assert!(house.authority.renew_ocsp_signers().await);
    let about = |issued: &Issued| {
        let leaf = pki::pem_certificates(issued.certificate_pem.as_bytes()).unwrap().remove(0);
        let issuer = pki::pem_certificates(issued.chain_pem.as_bytes()).unwrap().remove(0);
        OcspQuery::new(&leaf, &issuer, None).unwrap()
    };
    for issued in [&old, &new] {
        assert_eq!(house.ask(&about(issued)).await.status, OcspStatus::Good);
    }
    // The one that retires needs a new signer too, and still tells of what it issued.
    house.clock.advance(Duration::from_secs(13 * 86_400));
    assert!(house.authority.renew_ocsp_signers().await);
    house.revoke(&old, "superseded").await;
    assert!(matches!(house.ask(&about(&old)).await.status, OcspStatus::Revoked { .. }));
    assert_eq!(house.ask(&about(&new)).await.status, OcspStatus::Good);
}

#[tokio::test]
async fn certificates_say_where_the_responder_is() {
    let house = House::new().await;
    let issued = house.issue().await;
    let leaf = house.write("leaf.pem", &issued.certificate_pem);
    let output = openssl(&["x509", "-in", &leaf, "-noout", "-ocsp_uri"]);
    assert_eq!(said(&output).trim(), "http://pki.example.com/ocsp");
}
