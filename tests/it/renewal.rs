//! The next certificate for the one that is shown, and for nobody else.

use std::time::Duration;

use pki::{KeyAlgorithm, PrivateKey, RevocationReason};
use portcullis::authority::{CertificateName, CertificateView, Selector};
use portcullis::registry::{Actor, NewRenewalTerms};
use portcullis::store::audit_log::DecisionFilter;
use serde_json::json;

use crate::harness::{Answer, Gateway, Identity, Partner, Session, SessionOptions, new_certificate};

const DAY: Duration = Duration::from_secs(86_400);

/// A renewal on its way: the key that was made for it, and the request.
struct Next {
    key: PrivateKey,
    csr: String,
}

impl Next {
    fn of(identity: &Identity) -> Self {
        Self::with_key(identity, PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap())
    }

    fn with_key(identity: &Identity, key: PrivateKey) -> Self {
        let csr = pki::pem_request(&pki::renewal_request(&key, &identity.chain[0]).unwrap());
        Self { key, csr }
    }

    async fn post(&self, session: &mut Session, serial: &str) -> Answer {
        let headers = [("content-type", "application/json"), ("accept", "application/json")];
        let body = json!({ "csr": self.csr }).to_string();
        session.send("POST", &format!("/v1/certificates/{serial}/renew"), &headers, body).await.unwrap()
    }

    fn identity(&self, answer: &Answer) -> Identity {
        assert_eq!(answer.status, 201, "{answer:?}");
        let answer = answer.json();
        let chain = format!("{}{}", answer["certificate_pem"].as_str().unwrap(), answer["chain_pem"].as_str().unwrap());
        Identity::from_pem(chain.as_bytes(), self.key.to_pkcs8_pem().as_bytes())
    }
}

async fn open(gateway: &Gateway, listener: &str, identity: &Identity) -> Session {
    let options = SessionOptions { identity: Some(identity.clone()), ..SessionOptions::default() };
    Session::open(gateway, listener, options).await.unwrap()
}

/// The next certificate over a connection with this one.
async fn renewed(gateway: &Gateway, identity: &Identity) -> Identity {
    let next = Next::of(identity);
    next.identity(&next.post(&mut open(gateway, "gateway", identity).await, &identity.serial()).await)
}

async fn hello(gateway: &Gateway, identity: &Identity) -> u16 {
    open(gateway, "gateway", identity).await.status(&gateway.demo.path, &[]).await
}

async fn shown(gateway: &Gateway, identity: &Identity) -> CertificateView {
    let name: CertificateName = identity.serial().parse().unwrap();
    gateway.authority().show(&name).await.unwrap()
}

async fn set_terms(gateway: &Gateway, client: &str, terms: NewRenewalTerms) {
    gateway.registry().set_renewal_terms(&Actor::local(), client, terms).await.unwrap();
}

#[tokio::test]
async fn a_certificate_renews_itself_on_every_listener() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    for listener in ["gateway", "mtls", "admin"] {
        let next = Next::of(&acme.identity);
        let answer = next.post(&mut open(&gateway, listener, &acme.identity).await, &acme.serial).await;
        let identity = next.identity(&answer);
        assert_eq!(hello(&gateway, &identity).await, 200, "{listener}");
        assert_eq!(hello(&gateway, &acme.identity).await, 200, "the old one stays good");
        let (old, new) = (shown(&gateway, &acme.identity).await, shown(&gateway, &identity).await);
        assert_eq!((new.client.as_deref(), &new.subject), (Some(acme.client_id.as_str()), &old.subject));
        assert_eq!(new.not_after - new.not_before, old.not_after - old.not_before, "it lives as long");
    }
    // The administrator's certificate like every other.
    let admin = gateway.admin_identity();
    let next = Next::of(&admin);
    let identity = next.identity(&next.post(&mut open(&gateway, "admin", &admin).await, &admin.serial()).await);
    assert_eq!(open(&gateway, "admin", &identity).await.status("/v1/status", &[]).await, 200);
    // It is in both logs.
    let decisions = gateway.decisions(DecisionFilter::default()).await;
    let renewal = decisions.iter().find(|row| row.route.as_deref() == Some("certificate renewal")).unwrap();
    assert_eq!(renewal.auth_methods.as_deref(), Some("mutual_tls"));
    let answer = gateway.admin().await.get("/v1/audit?kind=change&limit=100", &[]).await;
    assert!(String::from_utf8_lossy(&answer.body).contains("certificate.renew"), "{answer:?}");
}

#[tokio::test]
async fn the_chain_comes_in_pem_and_the_request_in_any_form() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let path = format!("/v1/certificates/{}/renew", acme.serial.to_uppercase());
    let mut session = open(&gateway, "gateway", &acme.identity).await;
    let next = Next::of(&acme.identity);
    let der = pki::renewal_request(&next.key, &acme.identity.chain[0]).unwrap();
    for body in [next.csr.clone().into_bytes(), der.clone()] {
        let answer = session.send("POST", &path, &[], body).await.unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/pem-certificate-chain"));
        let chain = pki::pem_certificates(&answer.body).unwrap();
        assert_eq!(chain.len(), 2, "leaf and issuing authority");
        pki::is_issued_by(&chain[0], &chain[1]).then_some(()).unwrap();
    }
    for (body, code) in [("", "malformed_csr"), ("{}", "malformed_csr"), ("MIIB", "malformed_csr")] {
        assert_eq!(session.send("POST", &path, &[], body).await.unwrap().problem(), (422, code.to_owned()), "{body}");
    }
    let answer = session.send("POST", &path, &[], vec![b'A'; 40_000]).await.unwrap();
    assert_eq!(answer.problem(), (413, "body_too_large".to_owned()));
    let mut session = open(&gateway, "gateway", &acme.identity).await;
    assert_eq!(session.get(&path, &[]).await.status, 405);
}

#[tokio::test]
async fn it_renews_itself_and_no_other() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let sibling = Identity::issue(&gateway, new_certificate(&acme.client_id)).await;
    let stranger = Partner::create(&gateway, "globex", "globex-orders").await;
    for other in [&sibling, &stranger.identity] {
        let mut session = open(&gateway, "gateway", &acme.identity).await;
        let answer = Next::of(&acme.identity).post(&mut session, &other.serial()).await;
        assert_eq!(answer.problem(), (403, "not_the_current_certificate".to_owned()));
        // A request in the other's name, over our own connection.
        if other != &sibling {
            let answer = Next::of(other).post(&mut session, &acme.serial).await;
            assert_eq!(answer.problem(), (422, "identity_mismatch".to_owned()));
        }
    }
    // Other credentials do not stand in for it.
    let next = Next::of(&acme.identity);
    let answer = next.post(&mut gateway.session().await, &acme.serial).await;
    assert_eq!(answer.problem(), (401, "no_credential".to_owned()));
    let path = format!("/v1/certificates/{}/renew", acme.serial);
    let key = [("x-api-key", acme.api_key.as_str())];
    let answer = gateway.session().await.send("POST", &path, &key, next.csr.clone()).await.unwrap();
    assert_eq!(answer.status, 401, "{answer:?}");
    // A bad one beside it spoils it, and one of somebody else too.
    let mut session = open(&gateway, "gateway", &acme.identity).await;
    let foreign = [("x-api-key", stranger.api_key.as_str())];
    let answer = session.send("POST", &path, &foreign, next.csr.clone()).await.unwrap();
    assert_eq!(answer.problem(), (403, "credential_mismatch".to_owned()));
    let answer = session.send("POST", &path, &[("authorization", "Bearer x")], next.csr.clone()).await.unwrap();
    assert_eq!(answer.status, 401);
    // A page in a browser cannot have it certify a key of its own.
    let origin = [("origin", "https://evil.example"), ("content-type", "text/plain")];
    let answer = session.send("POST", &path, &origin, next.csr.clone()).await.unwrap();
    assert_eq!(answer.problem(), (403, "cross_site_request".to_owned()));
}

#[tokio::test]
async fn nothing_is_gained_by_a_renewal() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let mut narrow = new_certificate(&acme.client_id);
    narrow.scopes = Some(vec![gateway.demo.scope.clone()]);
    narrow.networks = Some(vec!["127.0.0.0/8".to_owned()]);
    narrow.lifetime_seconds = Some(3_600);
    let narrow = Identity::issue(&gateway, narrow).await;
    let next = renewed(&gateway, &narrow).await;
    let (old, new) = (shown(&gateway, &narrow).await, shown(&gateway, &next).await);
    assert_eq!((&new.scopes, &new.networks), (&old.scopes, &old.networks));
    assert_eq!(new.not_after - new.created_at, 3_600);
    assert_eq!(new.scopes.as_deref(), Some(&[gateway.demo.scope.clone()][..]));
    assert_eq!(hello(&gateway, &next).await, 200);
}

#[tokio::test]
async fn the_key_changes_unless_the_client_may_keep_it() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let old_key = || PrivateKey::from_pkcs8_der(&acme.identity.key_pkcs8).unwrap();
    let mut session = open(&gateway, "gateway", &acme.identity).await;
    let same = Next::with_key(&acme.identity, old_key());
    assert_eq!(same.post(&mut session, &acme.serial).await.problem(), (422, "key_change_required".to_owned()));
    let terms = NewRenewalTerms { key_change: Some(pki::KeyChange::Allowed), ..NewRenewalTerms::default() };
    set_terms(&gateway, &acme.client_id, terms).await;
    let identity = same.identity(&same.post(&mut session, &acme.serial).await);
    assert_eq!(identity.key_pkcs8, acme.identity.key_pkcs8);
    assert_eq!(hello(&gateway, &identity).await, 200);
    // Another partner's key is nobody's next one.
    let stranger = Partner::create(&gateway, "globex", "globex-orders").await;
    let stolen = PrivateKey::from_pkcs8_der(&stranger.identity.key_pkcs8).unwrap();
    let answer = Next::with_key(&acme.identity, stolen).post(&mut session, &acme.serial).await;
    assert_eq!(answer.problem(), (409, "key_in_use".to_owned()));
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_a_loop_is_stopped() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let mut session = open(&gateway, "gateway", &acme.identity).await;
    let next = Next::of(&acme.identity);
    let first = next.identity(&next.post(&mut session, &acme.serial).await);
    let again = next.identity(&next.post(&mut session, &acme.serial).await);
    assert_eq!(first, again, "the same request, the same certificate");
    for _ in 0..4 {
        let next = Next::of(&acme.identity);
        next.identity(&next.post(&mut session, &acme.serial).await);
    }
    let answer = Next::of(&acme.identity).post(&mut session, &acme.serial).await;
    assert_eq!(answer.problem(), (409, "renewed_too_often".to_owned()));
    assert_eq!(next.identity(&next.post(&mut session, &acme.serial).await), first, "what was given stays given");
    // Its successor goes on.
    renewed(&gateway, &first).await;
}

#[tokio::test]
async fn whoever_is_cut_off_does_not_come_back_by_renewing() {
    let gateway = Gateway::start().await;
    let client = |name: &str| format!("{name}-client");
    for cut in ["revoked", "client", "partner", "elsewhere"] {
        let partner = Partner::create(&gateway, cut, &client(cut)).await;
        let actor = Actor::local();
        match cut {
            "revoked" => {
                let selector = Selector::Certificate(partner.serial.parse().unwrap());
                gateway.authority().revoke(selector, RevocationReason::Superseded, &actor).await.unwrap();
            }
            "client" => _ = gateway.registry().set_client_enabled(&actor, &client(cut), false).await.unwrap(),
            "partner" => _ = gateway.registry().set_partner_enabled(&actor, cut, false).await.unwrap(),
            _ => {
                let mut narrow = new_certificate(&client(cut));
                narrow.networks = Some(vec!["192.0.2.0/24".to_owned()]);
                let narrow = Identity::issue(&gateway, narrow).await;
                let mut session = open(&gateway, "gateway", &narrow).await;
                let answer = Next::of(&narrow).post(&mut session, &narrow.serial()).await;
                assert_eq!(answer.problem(), (403, "source_not_allowed".to_owned()));
                continue;
            }
        }
        for listener in ["gateway", "mtls", "admin"] {
            let mut session = open(&gateway, listener, &partner.identity).await;
            let answer = Next::of(&partner.identity).post(&mut session, &partner.serial).await;
            assert_eq!(answer.problem(), (401, "credential_unknown".to_owned()), "{cut} {listener}");
        }
    }
}

/// One that ends long before the gate's own does.
async fn ten_days(gateway: &Gateway, client: &str) -> Identity {
    let mut new = new_certificate(client);
    new.lifetime_seconds = Some(10 * 86_400);
    Identity::issue(gateway, new).await
}

/// What an expired certificate is let through to by TLS, and what it then may.
#[tokio::test]
async fn after_its_end_it_renews_itself_within_the_grace_and_does_nothing_else() {
    let gateway = Gateway::start().await;
    let late = Partner::create(&gateway, "late", "late-orders").await;
    Partner::create(&gateway, "other", "other-orders").await;
    let (ended, other) = (ten_days(&gateway, "late-orders").await, ten_days(&gateway, "other-orders").await);
    let grace_seconds = 7 * 86_400;
    set_terms(&gateway, "late-orders", NewRenewalTerms { grace_seconds, ..NewRenewalTerms::default() }).await;
    let mut kept = open(&gateway, "gateway", &ended).await;
    assert_eq!(kept.status(&late.path, &[]).await, 200);
    // Three days after the end.
    gateway.advance(13 * DAY);
    assert_eq!(kept.status(&late.path, &[]).await, 401, "on a connection that was made before the end");
    for listener in ["gateway", "mtls", "admin"] {
        let mut session = open(&gateway, listener, &ended).await;
        for path in [late.path.as_str(), "/v1/status", "/v1/clients", "/metrics"] {
            let status = session.status(path, &[]).await;
            assert!(matches!(status, 401 | 404), "{listener} {path}: {status}");
        }
    }
    let mut session = open(&gateway, "gateway", &ended).await;
    let answer = late.ask_token(&mut session, "").await;
    assert_eq!(answer.status, 401, "a token beside an expired certificate: {answer:?}");
    // The other client has no grace: TLS lets it through for the gate to judge, and the gate refuses it.
    let mut session = open(&gateway, "gateway", &other).await;
    let answer = Next::of(&other).post(&mut session, &other.serial()).await;
    assert_eq!(answer.problem(), (401, "credential_unknown".to_owned()));
    let next = renewed(&gateway, &ended).await;
    assert_eq!(hello(&gateway, &next).await, 200);
    // Past the grace there is not even a connection.
    gateway.advance(5 * DAY);
    let options = SessionOptions { identity: Some(ended.clone()), ..SessionOptions::default() };
    if let Ok(mut session) = Session::open(&gateway, "gateway", options).await {
        assert_eq!(session.status(&late.path, &[]).await, 0);
    }
}

#[tokio::test]
async fn without_a_grace_an_expired_certificate_gets_no_connection() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let ended = ten_days(&gateway, &acme.client_id).await;
    gateway.advance(11 * DAY);
    let options = || SessionOptions { identity: Some(ended.clone()), ..SessionOptions::default() };
    let refused = async || match Session::open(&gateway, "gateway", options()).await {
        Ok(mut session) => session.status(&acme.path, &[]).await == 0,
        Err(_) => true,
    };
    assert!(refused().await);
    // A grace takes effect without a restart, and ends without one.
    let grace = |grace_seconds| NewRenewalTerms { grace_seconds, ..NewRenewalTerms::default() };
    set_terms(&gateway, &acme.client_id, grace(7 * 86_400)).await;
    assert!(!refused().await);
    set_terms(&gateway, &acme.client_id, grace(0)).await;
    assert!(refused().await);
}

#[tokio::test]
async fn the_old_certificate_ends_with_the_overlap() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let overlap = NewRenewalTerms { overlap_seconds: Some(3_600), ..NewRenewalTerms::default() };
    set_terms(&gateway, &acme.client_id, overlap).await;
    let mut kept = open(&gateway, "gateway", &acme.identity).await;
    let next = renewed(&gateway, &acme.identity).await;
    gateway.advance(Duration::from_secs(3_599));
    assert_eq!(kept.status(&acme.path, &[]).await, 200);
    assert_eq!(hello(&gateway, &next).await, 200);
    gateway.advance(Duration::from_secs(1));
    assert_eq!(kept.status(&acme.path, &[]).await, 401, "to the second, on an open connection");
    assert_eq!(hello(&gateway, &acme.identity).await, 401);
    let answer = acme.ask_token(&mut open(&gateway, "gateway", &acme.identity).await, "").await;
    assert_eq!(answer.status, 401);
    let answer =
        Next::of(&acme.identity).post(&mut open(&gateway, "gateway", &acme.identity).await, &acme.serial).await;
    assert_eq!(answer.problem(), (401, "credential_unknown".to_owned()));
    assert_eq!(hello(&gateway, &next).await, 200);
    // The others hear of it too.
    assert_eq!(gateway.authority().revoke_superseded().await.unwrap(), 1);
    assert_eq!(shown(&gateway, &acme.identity).await.reason.as_deref(), Some("superseded"));
    assert_eq!(gateway.authority().revoke_superseded().await.unwrap(), 0);
    assert_eq!(hello(&gateway, &next).await, 200);
}

#[tokio::test]
async fn the_window_is_told_to_whoever_knows_the_serial() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let path = format!("/v1/certificates/{}/renewal-info", acme.serial);
    let mut session = gateway.session().await;
    let answer = session.get(&path, &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("21600"));
    let window = answer.json()["suggestedWindow"].clone();
    let moment = |name: &str| {
        let text = window[name].as_str().unwrap();
        time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap().unix_timestamp()
    };
    let view = shown(&gateway, &acme.identity).await;
    assert!(view.not_before < moment("start") && moment("start") < moment("end") && moment("end") < view.not_after);
    for listener in ["mtls", "admin"] {
        let mut session = open(&gateway, listener, &acme.identity).await;
        assert_eq!(session.get(&path, &[]).await.json()["suggestedWindow"], window, "{listener}");
    }
    let unknown = session.get("/v1/certificates/0123456789abcdef0123456789abcdef/renewal-info", &[]).await;
    assert_eq!(unknown.problem(), (404, "certificate_not_found".to_owned()));
    assert_eq!(session.get("/v1/certificates/xyz/renewal-info", &[]).await.status, 422);
    // What cannot renew itself should not wait.
    let selector = Selector::Certificate(acme.serial.parse().unwrap());
    gateway.authority().revoke(selector, RevocationReason::Superseded, &Actor::local()).await.unwrap();
    let answer = session.get(&path, &[]).await.json();
    assert!(answer["explanation"].as_str().unwrap().contains("enrolment"), "{answer}");
}

#[tokio::test]
async fn terms_are_set_by_administrators() {
    let gateway = Gateway::start().await;
    let mut admin = gateway.admin().await;
    let path = format!("/v1/clients/{}/renewal", gateway.acme().client_id);
    let terms = admin.get(&path, &[]).await.json();
    assert_eq!((&terms["grace_seconds"], &terms["key_change_required"]), (&json!(0), &json!(true)));
    let order = json!({ "grace_seconds": 60, "overlap_seconds": 0, "key_change": "allowed" });
    let answer = admin.post_json(&path, &order).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let expected = json!({ "client": gateway.acme().client_id, "grace_seconds": 60, "overlap_seconds": 0,
        "key_change": "allowed", "key_change_required": false });
    assert_eq!(answer.json(), expected);
    assert_eq!(admin.get(&path, &[]).await.json(), expected);
    for (order, code) in [
        (json!({ "grace_seconds": -1 }), "invalid_grace"),
        (json!({ "grace_seconds": 91 * 86_400 }), "invalid_grace"),
        (json!({ "overlap_seconds": -1 }), "invalid_overlap"),
    ] {
        assert_eq!(admin.post_json(&path, &order).await.problem(), (422, code.to_owned()), "{order}");
    }
    let answer = admin.post_json("/v1/clients/nobody/renewal", &json!({})).await;
    assert_eq!(answer.problem(), (404, "client_not_found".to_owned()));
    let acme = gateway.acme();
    let mut partner = open(&gateway, "admin", &acme.identity).await;
    assert_eq!(partner.post_json(&path, &json!({})).await.status, 403, "partners do not set their own terms");
}
