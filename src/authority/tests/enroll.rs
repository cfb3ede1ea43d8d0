use std::net::{IpAddr, Ipv4Addr};

use secrecy::ExposeSecret as _;

use super::*;
use crate::registry::{NewEnrollment, Pepper, Registry};
use crate::store::audit_change::{self, AuditChangeFilter};

const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

/// The administrator's side, and the token that was sent to the partner.
struct Desk {
    house: House,
    registry: Registry,
}

impl Desk {
    async fn new() -> Self {
        Self::of(House::new().await)
    }

    fn of(house: House) -> Self {
        let registry = Registry {
            store: house.store.clone(),
            snapshot: house.snapshot.clone(),
            clock: house.clock.clone(),
            pepper: Arc::new(Pepper::from_bytes(&[7; 32])),
            environment: "test".into(),
            keys: crate::registry::KeyRules::default(),
        };
        Self { house, registry }
    }

    async fn create(&self, new: NewEnrollment) -> (String, String) {
        let created = self.registry.create_enrollment(&admin(), new).await.unwrap();
        (created.view.id, created.token.expose_secret().to_owned())
    }

    async fn token(&self) -> String {
        self.create(for_client("acme-orders")).await.1
    }

    async fn enroll(&self, token: &str, request: &[u8]) -> Result<Enrolled, Failure> {
        self.house.authority.enroll(&self.registry.pepper, token, request, SOURCE).await
    }

    async fn issued(&self, token: &str, request: &[u8]) -> Issued {
        match self.enroll(token, request).await.unwrap() {
            Enrolled::Issued(issued) => *issued,
            pending @ Enrolled::Pending { .. } => panic!("{pending:?}"),
        }
    }

    fn request(&self, name: &str) -> Vec<u8> {
        openssl_request(&self.house, name, &[])
    }

    async fn status(&self, id: &str) -> &'static str {
        self.registry.enrollment(id).await.unwrap().status
    }

    async fn recorded(&self, action: &str) -> usize {
        let filter = AuditChangeFilter { action: Some(action.into()), ..AuditChangeFilter::default() };
        audit_change::list(&self.house.store, &filter).await.unwrap().len()
    }
}

fn for_client(client: &str) -> NewEnrollment {
    NewEnrollment { client: client.into(), ..NewEnrollment::default() }
}

fn pass(desk: &Desk, seconds: i64) {
    desk.house.clock.advance(std::time::Duration::from_secs(seconds.unsigned_abs()));
}

fn second() -> Actor {
    Actor { name: "second-admin".into(), source: None }
}

#[tokio::test]
async fn a_token_turns_a_request_into_a_certificate_that_is_in_force() {
    let desk = Desk::new().await;
    let (id, token) = desk.create(for_client("acme-orders")).await;
    assert_eq!(desk.status(&id).await, "open");
    let issued = desk.issued(&token, &desk.request("acme-orders")).await;
    assert!(issued.key.is_none() && desk.house.entry(&issued).is_some());
    assert_eq!(issued.certificate.client.as_deref(), Some("acme-orders"));
    let (good, text) = openssl_verifies(&desk.house, &issued, None);
    assert!(good, "{text}");
    assert_eq!(issued.chain_der.len(), 2);
    assert_eq!(pki::pem_certificate(&issued.chain_der[0]), issued.certificate_pem);
    assert_eq!(pki::pem_certificate(&issued.chain_der[1]), issued.chain_pem);
    let view = desk.registry.enrollment(&id).await.unwrap();
    assert_eq!((view.status, view.certificate), ("issued", Some(issued.certificate.id)));
    assert_eq!((view.source.as_deref(), view.key_algorithm.as_deref()), (Some("203.0.113.7"), Some("ecdsa-p256")));
    assert_eq!(desk.recorded("certificate.enroll").await, 1);
}

#[tokio::test]
async fn the_same_key_gets_the_same_certificate_and_another_key_none() {
    let desk = Desk::new().await;
    let (id, token) = desk.create(for_client("acme-orders")).await;
    let request = desk.request("acme-orders");
    let first = desk.issued(&token, &request).await;
    // Long after the token ended, as long as its answer is kept.
    pass(&desk, 3 * DAY);
    let again = desk.issued(&token, &request).await;
    assert_eq!((again.certificate_pem, again.chain_pem), (first.certificate_pem.clone(), first.chain_pem.clone()));
    let key = desk.house.path().join("acme-orders.key").display().to_string();
    let rewritten = openssl(&["req", "-new", "-key", &key, "-subj", "/CN=acme-orders/O=again"]).stdout;
    assert_eq!(desk.issued(&token, &rewritten).await.certificate_pem, first.certificate_pem);

    let other = desk.request("thief");
    for _ in 0..3 {
        assert_eq!(code(desk.enroll(&token, &other).await), "enrollment_used");
    }
    assert_eq!(desk.recorded("enrollment.misuse").await, 1);
    assert_eq!(desk.registry.enrollment(&id).await.unwrap().misused_at, Some(NOW.plus(3 * DAY).0));
    assert_eq!(desk.house.authority.list(&CertificateQuery::default()).await.unwrap().certificates.len(), 1);

    desk.house.revoke(&first, "superseded").await;
    assert_eq!(code(desk.enroll(&token, &request).await), "enrollment_revoked");
    pass(&desk, 12 * DAY);
    assert_eq!(code(desk.enroll(&token, &request).await), "enrollment_expired");
}

#[tokio::test]
async fn two_at_once_get_one_certificate() {
    let desk = Desk::new().await;
    let (token, request) = (desk.token().await, desk.request("acme-orders"));
    let outcomes = futures_util::future::join_all((0..6).map(|_| desk.enroll(&token, &request))).await;
    for outcome in outcomes {
        match outcome {
            Ok(Enrolled::Issued(_)) => {}
            other => assert_eq!(code(other), "in_progress"),
        }
    }
    desk.issued(&token, &request).await;
    assert_eq!(desk.house.authority.list(&CertificateQuery::default()).await.unwrap().certificates.len(), 1);
}

#[tokio::test]
async fn a_text_that_is_no_token_of_ours_opens_nothing() {
    let desk = Desk::new().await;
    let (token, request) = (desk.token().await, desk.request("acme-orders"));
    let stranger = Desk::new().await;
    let foreign = stranger.token().await;
    for text in ["", "pe_", &token[..token.len() - 1], &foreign, &format!("{token}x")] {
        let Err(Failure::Refused(refusal)) = desk.enroll(text, &request).await else { panic!("{text}") };
        assert_eq!(
            (refusal.kind, refusal.code),
            (crate::failure::RefusalKind::Unauthorized, "invalid_enrollment_token")
        );
    }
    desk.issued(&token, &request).await;
}

#[tokio::test]
async fn a_bad_request_does_not_use_the_token_up() {
    let desk = Desk::new().await;
    let (id, token) = desk.create(for_client("acme-orders")).await;
    let with = |name: &str, more: &[&str]| openssl_request(&desk.house, name, more);
    for (request, expected) in [
        (b"hello".to_vec(), "malformed_pem"),
        (with("ca", &["-addext", "basicConstraints=critical,CA:TRUE"]), "ca_requested"),
        (with("sans", &["-addext", "subjectAltName=DNS:globex.example"]), "name_not_allowed"),
        (
            with(
                "other",
                &["-addext", "subjectAltName=URI:spiffe://api.example.com/partner/globex/client/globex-orders"],
            ),
            "identity_mismatch",
        ),
        (include_bytes!("../../../pki/tests/weak-keys/fermat.csr").to_vec(), "weak_key"),
    ] {
        assert_eq!(code(desk.enroll(&token, &request).await), expected);
    }
    let shared = with("shared", &[]);
    desk.house.sign("globex-orders", shared.clone()).await.unwrap();
    assert_eq!(code(desk.enroll(&token, &shared).await), "key_in_use");
    assert_eq!(desk.status(&id).await, "open");
    desk.issued(&token, &desk.request("acme-orders")).await;
}

#[tokio::test]
async fn a_token_ends() {
    let desk = Desk::new().await;
    let request = desk.request("acme-orders");
    let (id, token) = desk.create(NewEnrollment { ttl_seconds: Some(60), ..for_client("acme-orders") }).await;
    let (taken_back, other) = desk.create(for_client("acme-orders")).await;
    desk.registry.cancel_enrollment(&admin(), &taken_back).await.unwrap();
    desk.registry.cancel_enrollment(&admin(), &taken_back).await.unwrap();
    assert_eq!(code(desk.enroll(&other, &request).await), "enrollment_cancelled");
    pass(&desk, 60);
    assert_eq!(code(desk.enroll(&token, &request).await), "enrollment_expired");
    assert_eq!((desk.status(&id).await, desk.status(&taken_back).await), ("expired", "cancelled"));
}

#[tokio::test]
async fn what_the_token_is_narrowed_to_holds() {
    let desk = Desk::new().await;
    let scopes = vec!["https://api.example.com/test/read".to_owned()];
    let new = NewEnrollment {
        key_algorithms: Some(vec![pki::KeyAlgorithm::EcdsaP384]),
        lifetime_seconds: Some(3600),
        scopes: Some(scopes.clone()),
        ..for_client("acme-orders")
    };
    let (_, token) = desk.create(new).await;
    assert_eq!(code(desk.enroll(&token, &desk.request("p256")).await), "key_not_allowed");
    let request = openssl_request(&desk.house, "p384", &["-pkeyopt", "ec_paramgen_curve:P-384"]);
    let issued = desk.issued(&token, &request).await.certificate;
    assert_eq!((issued.not_after, issued.scopes), (NOW.0 + 3600, Some(scopes)));

    for (new, expected) in [
        (NewEnrollment { profile: Some("server".into()), ..for_client("acme-orders") }, "unknown_profile"),
        (NewEnrollment { ttl_seconds: Some(0), ..for_client("acme-orders") }, "invalid_token_lifetime"),
        (NewEnrollment { ttl_seconds: Some(31 * DAY), ..for_client("acme-orders") }, "invalid_token_lifetime"),
        (NewEnrollment { lifetime_seconds: Some(400 * 86_400), ..for_client("acme-orders") }, "lifetime_too_long"),
        (
            NewEnrollment {
                scopes: Some(vec!["https://api.example.com/test/all".into()]),
                ..for_client("acme-orders")
            },
            "scope_not_granted",
        ),
        (for_client("nobody"), "client_not_found"),
    ] {
        assert_eq!(code(desk.registry.create_enrollment(&admin(), new).await), expected);
    }
}

#[tokio::test]
async fn a_second_person_decides() {
    let desk = Desk::new().await;
    let new = NewEnrollment { needs_approval: true, ..for_client("acme-orders") };
    let (id, token) = desk.create(new.clone()).await;
    let request = desk.request("acme-orders");
    assert_eq!(code(desk.house.authority.approve_enrollment(&id, None, &second()).await), "enrollment_not_pending");
    for _ in 0..2 {
        let Enrolled::Pending { enrollment, retry_after_seconds } = desk.enroll(&token, &request).await.unwrap() else {
            panic!("nobody has approved it")
        };
        assert_eq!((enrollment, retry_after_seconds), (id.clone(), PENDING_RETRY_SECONDS));
    }
    assert_eq!((desk.status(&id).await, desk.recorded("enrollment.request").await), ("pending", 1));
    assert_eq!(code(desk.enroll(&token, &desk.request("thief")).await), "enrollment_used");

    let Err(Failure::Refused(refusal)) = desk.house.authority.approve_enrollment(&id, None, &admin()).await else {
        panic!("one person did both")
    };
    assert_eq!((refusal.kind, refusal.code), (crate::failure::RefusalKind::Forbidden, "approver_is_creator"));
    let approved = desk.house.authority.approve_enrollment(&id, Some("called them"), &second()).await.unwrap();
    assert_eq!((approved.status, approved.decided_by.as_deref()), ("issued", Some("second-admin")));
    let issued = desk.issued(&token, &request).await;
    assert_eq!(Some(issued.certificate.id), approved.certificate);
    assert_eq!(code(desk.house.authority.approve_enrollment(&id, None, &second()).await), "enrollment_not_pending");
    assert_eq!(code(desk.registry.cancel_enrollment(&admin(), &id).await), "enrollment_over");
}

#[tokio::test]
async fn what_is_denied_stays_denied() {
    let desk = Desk::new().await;
    let (id, token) = desk.create(NewEnrollment { needs_approval: true, ..for_client("acme-orders") }).await;
    let request = desk.request("acme-orders");
    desk.enroll(&token, &request).await.unwrap();
    desk.registry.deny_enrollment(&admin(), &id, "not their key").await.unwrap();
    let Err(Failure::Refused(refusal)) = desk.enroll(&token, &request).await else { panic!("denied") };
    assert_eq!(refusal.code, "enrollment_denied");
    assert!(refusal.message.contains("not their key"));
    assert_eq!(code(desk.house.authority.approve_enrollment(&id, None, &second()).await), "enrollment_not_pending");
}

#[tokio::test]
async fn an_approval_that_cannot_be_carried_out_now_is_carried_out_later() {
    let desk = Desk::new().await;
    let (id, token) = desk.create(NewEnrollment { needs_approval: true, ..for_client("acme-orders") }).await;
    let request = desk.request("acme-orders");
    desk.enroll(&token, &request).await.unwrap();
    // Policy or people may have changed between the request and the decision.
    desk.registry.set_client_enabled(&admin(), "acme-orders", false).await.unwrap();
    assert_eq!(code(desk.house.authority.approve_enrollment(&id, None, &second()).await), "client_disabled");
    assert_eq!(desk.status(&id).await, "approved");
    assert_eq!(code(desk.enroll(&token, &request).await), "client_disabled");
    desk.registry.set_client_enabled(&admin(), "acme-orders", true).await.unwrap();
    desk.issued(&token, &request).await;
    assert_eq!(desk.status(&id).await, "issued");
}

#[tokio::test]
async fn a_crash_between_reservation_and_signature_costs_the_partner_nothing() {
    let desk = Desk::new().await;
    let (id, token) = desk.create(for_client("acme-orders")).await;
    let request = desk.request("acme-orders");
    let issued = desk.issued(&token, &request).await.certificate;
    // As the database looks after the crash: reserved, and the enrolment waits for the serial.
    let mut tx = desk.house.store.begin().await.unwrap();
    for statement in [
        "UPDATE enrollments SET state = 'signing'",
        "UPDATE certificates SET state = 'reserved', der = NULL, thumbprint = NULL WHERE kind = 'client'",
    ] {
        sqlx::query(statement).execute(tx.connection()).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(code(desk.enroll(&token, &request).await), "in_progress");
    let desk = Desk::of(desk.house.reopen().await);
    let again = desk.issued(&token, &request).await.certificate;
    assert_ne!(again.id, issued.id);
    let view = desk.registry.enrollment(&id).await.unwrap();
    assert_eq!((view.status, view.certificate), ("issued", Some(again.id)));
}

#[tokio::test]
async fn the_token_is_nowhere_in_the_database() {
    let desk = Desk::new().await;
    let (token, request) = (desk.token().await, desk.request("acme-orders"));
    desk.issued(&token, &request).await;
    let secret = &token[token.len() - 38..token.len() - 6];
    desk.house.store.close().await;
    for file in std::fs::read_dir(desk.house.path()).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}
