//! Cut off means cut off: on the next request, for every method, on connections that are already open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use pki::RevocationReason;
use portcullis::authority::{NewCertificate, Selector};
use portcullis::registry::Actor;
use portcullis::store::audit_log::DecisionFilter;
use rustls::ClientConfig;

use crate::harness::policy::{ACME, HELLO, SERVER, document, route};
use crate::harness::{
    Gateway, GatewayOptions, Http, Identity, Method, Partner, Session, SessionOptions, Upstream, borrowed,
    new_certificate, tls_config, tls12_config,
};

/// Every way to cut a client off that ends the use of this method.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Credential,
    CertificatesOfClient,
    CertificatesOfPartner,
    TokensOfClient,
    Client,
    Partner,
}

impl Cut {
    fn all(method: Method) -> Vec<Self> {
        let own = match method {
            Method::Certificate => vec![Self::CertificatesOfClient, Self::CertificatesOfPartner],
            Method::ApiKey => vec![],
            Method::Token => vec![Self::TokensOfClient],
        };
        [vec![Self::Credential, Self::Client, Self::Partner], own].concat()
    }

    /// Returns when the server says that it is done; nobody waits after that.
    async fn carry_out(self, gateway: &Gateway, partner: &Partner, method: Method, headers: &[(String, String)]) {
        let actor = Actor::local();
        let (registry, client) = (gateway.registry(), partner.client_id.as_str());
        match (self, method) {
            (Self::Credential, Method::Certificate) => revoke_certificate(gateway, &partner.serial).await,
            (Self::Credential, Method::ApiKey) => {
                registry.revoke_api_key(&actor, partner.api_key_id(), "lost").await.unwrap();
            }
            (Self::Credential, Method::Token) => {
                let token = headers[0].1.strip_prefix("Bearer ").unwrap();
                let basic = partner.basic();
                let mut session = gateway.session().await;
                let form = format!("token={token}");
                let answer = session.post_form("/oauth2/revoke", &[("authorization", &basic)], &form).await;
                assert_eq!(answer.status, 200, "{answer:?}");
            }
            (Self::CertificatesOfClient, _) => revoke(gateway, Selector::Client(client.to_owned())).await,
            (Self::CertificatesOfPartner, _) => revoke(gateway, Selector::Partner(partner_of(client).to_owned())).await,
            (Self::TokensOfClient, _) => gateway.app.oauth.revoke_client_tokens(&actor, client).await.unwrap(),
            (Self::Client, _) => _ = registry.set_client_enabled(&actor, client, false).await.unwrap(),
            (Self::Partner, _) => _ = registry.set_partner_enabled(&actor, partner_of(client), false).await.unwrap(),
        }
    }
}

async fn revoke(gateway: &Gateway, selector: Selector) {
    gateway.authority().revoke(selector, RevocationReason::KeyCompromise, &Actor::local()).await.unwrap();
}

async fn revoke_certificate(gateway: &Gateway, serial: &str) {
    revoke(gateway, Selector::Certificate(serial.parse().unwrap())).await;
}

/// Of clients that these tests make: `p7-client` belongs to `p7`.
fn partner_of(client: &str) -> &str {
    client.strip_suffix("-client").unwrap()
}

async fn new_partner(gateway: &Gateway) -> Partner {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("p{}", COUNT.fetch_add(1, Ordering::SeqCst));
    Partner::create(gateway, &name, &format!("{name}-client")).await
}

/// The next request on a connection is refused: 401, or there is no connection any more.
async fn assert_refused(session: &mut Session, path: &str, headers: &[(String, String)], what: &str) {
    let status = session.status(path, &borrowed(headers)).await;
    assert!(matches!(status, 0 | 401), "{what}: {status}");
}

async fn every_cut_on_open_connections(method: Method) {
    let gateway = Gateway::start().await;
    let bystander = new_partner(&gateway).await;
    for http in Http::BOTH {
        let (mut undisturbed, other) = bystander.prepare(&gateway, method, http).await;
        for cut in Cut::all(method) {
            let what = format!("{cut:?} {method:?} {http:?}");
            let partner = new_partner(&gateway).await;
            let (mut session, headers) = partner.prepare(&gateway, method, http).await;
            let mut second = partner.prepare(&gateway, method, http).await.0;
            for session in [&mut session, &mut second] {
                assert_eq!(session.status(&partner.path, &borrowed(&headers)).await, 200, "{what}");
            }
            assert_eq!(undisturbed.status(&partner.path, &borrowed(&other)).await, 200, "{what}");
            cut.carry_out(&gateway, &partner, method, &headers).await;
            assert_refused(&mut session, &partner.path, &headers, &what).await;
            assert_refused(&mut second, &partner.path, &headers, &what).await;
            let anew = partner_again(&gateway, &partner, method, http).await;
            if let Some(mut anew) = anew {
                assert_refused(&mut anew, &partner.path, &headers, &what).await;
            }
            assert_eq!(undisturbed.status(&partner.path, &borrowed(&other)).await, 200, "{what}: the bystander");
        }
    }
}

/// A connection made after the cut, if there is one at all.
async fn partner_again(gateway: &Gateway, partner: &Partner, method: Method, http: Http) -> Option<Session> {
    let identity = (method == Method::Certificate).then(|| partner.identity.clone());
    Session::open(gateway, "gateway", SessionOptions { identity, http, ..SessionOptions::default() }).await.ok()
}

#[tokio::test]
async fn every_way_to_cut_off_a_certificate_holds_for_the_next_request() {
    every_cut_on_open_connections(Method::Certificate).await;
}

#[tokio::test]
async fn every_way_to_cut_off_an_api_key_holds_for_the_next_request() {
    every_cut_on_open_connections(Method::ApiKey).await;
}

#[tokio::test]
async fn every_way_to_cut_off_a_token_holds_for_the_next_request() {
    every_cut_on_open_connections(Method::Token).await;
}

#[tokio::test]
async fn a_revoked_certificate_s_connections_are_closed_and_no_others() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    let bystander = new_partner(&gateway).await;
    let sibling = Identity::issue(&gateway, new_certificate(&acme.client_id)).await;
    for http in Http::BOTH {
        let identity = Identity::issue(&gateway, new_certificate(&acme.client_id)).await;
        let open =
            |identity: &Identity| SessionOptions { identity: Some(identity.clone()), http, ..Default::default() };
        let mut revoked = gateway.session_with(open(&identity)).await;
        // This one has never sent a request.
        let mut silent = gateway.session_with(open(&identity)).await;
        let mut others =
            [gateway.session_with(open(&sibling)).await, gateway.session_with(open(&bystander.identity)).await];
        assert_eq!(revoked.status(&acme.path, &[]).await, 200);
        let selector = Selector::Certificate(identity.serial().parse().unwrap());
        let done = gateway.authority().revoke(selector, RevocationReason::Superseded, &Actor::local()).await.unwrap();
        // The silent one's handshake may not have ended on the server's side when the revocation came.
        assert!((1..=2).contains(&done.connections_closed), "{done:?}");
        revoked.closed().await;
        if done.connections_closed == 2 {
            silent.closed().await;
        } else {
            assert_refused(&mut silent, &acme.path, &[], "silent").await;
        }
        for other in &mut others {
            assert_eq!(other.status(&acme.path, &[]).await, 200, "{http:?}");
            assert!(other.is_open());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_that_begins_after_the_revocation_returned_is_served() {
    let gateway = Arc::new(Gateway::start().await);
    for method in Method::ALL {
        let partner = new_partner(&gateway).await;
        let revoked = Arc::new(AtomicBool::new(false));
        let served = Arc::new(AtomicUsize::new(0));
        let mut workers = Vec::new();
        let (_, headers) = partner.prepare(&gateway, method, Http::One).await;
        for http in [Http::One, Http::Two, Http::Two] {
            let mut session = partner_again(&gateway, &partner, method, http).await.unwrap();
            let (revoked, served, headers) = (Arc::clone(&revoked), Arc::clone(&served), headers.clone());
            let path = partner.path.clone();
            workers.push(tokio::spawn(async move {
                loop {
                    let begun_after = revoked.load(Ordering::SeqCst);
                    let status = session.status(&path, &borrowed(&headers)).await;
                    match (begun_after, status) {
                        (true, 200) => return Err(()),
                        (true, _) => return Ok(()),
                        (false, 200) => _ = served.fetch_add(1, Ordering::SeqCst),
                        (false, 0) => return Ok(()),
                        (false, _) => {}
                    }
                }
            }));
        }
        while served.load(Ordering::SeqCst) < 20 {
            tokio::task::yield_now().await;
        }
        Cut::Credential.carry_out(&gateway, &partner, method, &headers).await;
        revoked.store(true, Ordering::SeqCst);
        for worker in workers {
            assert_eq!(worker.await.unwrap(), Ok(()), "{method:?}: served after the revocation had returned");
        }
    }
}

fn again(config: &Arc<ClientConfig>) -> SessionOptions {
    SessionOptions { tls: Some(Arc::clone(config)), ..SessionOptions::default() }
}

#[tokio::test]
async fn a_resumed_session_does_not_outlive_the_certificate() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    for (http, old) in [(Http::One, false), (Http::Two, false), (Http::One, true), (Http::Two, true)] {
        let short = NewCertificate { lifetime_seconds: Some(3600), ..new_certificate(&acme.client_id) };
        let [revoked, expired] =
            [Identity::issue(&gateway, new_certificate(&acme.client_id)).await, Identity::issue(&gateway, short).await];
        let mut configs = Vec::new();
        for identity in [&revoked, &expired] {
            let make = if old { tls12_config } else { tls_config };
            let config = make(&gateway, Some(identity), http);
            let mut first = gateway.session_with(again(&config)).await;
            assert!(!first.resumed);
            assert_eq!(first.status(&acme.path, &[]).await, 200);
            let mut second = gateway.session_with(again(&config)).await;
            assert!(second.resumed, "the test is about resumed sessions");
            assert_eq!(second.status(&acme.path, &[]).await, 200);
            configs.push(config);
        }
        revoke_certificate(&gateway, &revoked.serial()).await;
        let mut session = gateway.session_with(again(&configs[0])).await;
        assert!(session.resumed);
        assert_refused(&mut session, &acme.path, &[], "resumed and revoked").await;
        gateway.advance(Duration::from_secs(3601));
        let mut session = gateway.session_with(again(&configs[1])).await;
        assert!(session.resumed);
        let answer = session.get(&acme.path, &[]).await;
        assert_eq!(answer.problem(), (401, "credential_unknown".to_owned()));
        assert_eq!(gateway.decision(answer.decision_id()).await.outcome, "credential_expired");
    }
}

#[tokio::test]
async fn a_session_of_the_optional_listener_does_not_resume_on_the_required_one() {
    let gateway = Gateway::start().await;
    let acme = gateway.acme();
    // Both listeners have the same name, so the client offers the one's ticket to the other.
    let config = tls_config(&gateway, None, Http::One);
    let mut anonymous = gateway.session_with(again(&config)).await;
    assert_eq!(anonymous.status("/docs", &[]).await / 100, 2);
    if let Ok(mut session) = Session::open(&gateway, "mtls", again(&config)).await {
        assert!(!session.resumed);
        assert_eq!(session.status(&acme.path, &[("x-api-key", &acme.api_key)]).await, 0);
    }
}

#[tokio::test]
async fn a_revoked_secret_buys_no_new_tokens() {
    let gateway = Gateway::start().await;
    let partner = new_partner(&gateway).await;
    let mut session = gateway.session().await;
    partner.token_over(&mut session, "").await;
    let secrets = gateway.registry().client_secrets(&partner.client_id).await.unwrap();
    gateway.registry().revoke_client_secret(&Actor::local(), &secrets[0].id, "lost").await.unwrap();
    let answer = partner.ask_token(&mut session, "").await;
    assert_eq!((answer.status.as_u16(), answer.json()["error"].as_str()), (401, Some("invalid_client")));
    for disable in [Cut::Client, Cut::Partner] {
        let partner = new_partner(&gateway).await;
        partner.token_over(&mut session, "").await;
        disable.carry_out(&gateway, &partner, Method::Token, &[]).await;
        assert_eq!(partner.ask_token(&mut session, "").await.status, 401, "{disable:?}");
    }
}

#[tokio::test]
async fn a_client_that_is_switched_on_again_is_let_in_with_all_but_its_old_tokens() {
    let gateway = Gateway::start().await;
    let partner = new_partner(&gateway).await;
    let (mut by_token, old) = partner.prepare(&gateway, Method::Token, Http::One).await;
    for whole_partner in [false, true] {
        let switch = async |on: bool| {
            let (actor, registry) = (Actor::local(), gateway.registry());
            if whole_partner {
                registry.set_partner_enabled(&actor, partner_of(&partner.client_id), on).await.unwrap();
            } else {
                registry.set_client_enabled(&actor, &partner.client_id, on).await.unwrap();
            }
        };
        switch(false).await;
        for method in [Method::Certificate, Method::ApiKey] {
            assert_eq!(partner.call(&gateway, method, &partner.path).await.status, 401, "{method:?}");
        }
        switch(true).await;
        gateway.advance(Duration::from_secs(1));
        for method in Method::ALL {
            let answer = partner.call(&gateway, method, &partner.path).await;
            assert_eq!(answer.status, 200, "{method:?} {answer:?}");
        }
        assert_eq!(by_token.status(&partner.path, &borrowed(&old)).await, 401, "a token of before the switch");
    }
}

#[tokio::test]
async fn revocations_outlive_a_restart_and_a_crash() {
    let options =
        GatewayOptions::default().configure(|config| config.oauth.issuer = Some("https://gate.test".to_owned()));
    let mut gateway = Gateway::start_with(options).await;
    let mut cut_off = Vec::new();
    for method in Method::ALL {
        let partner = new_partner(&gateway).await;
        let (mut session, headers) = partner.prepare(&gateway, method, Http::One).await;
        assert_eq!(session.status(&partner.path, &borrowed(&headers)).await, 200);
        Cut::Credential.carry_out(&gateway, &partner, method, &headers).await;
        cut_off.push((partner, method, headers));
    }
    let (witness, mut tokens) = (new_partner(&gateway).await, Vec::new());
    for method in Method::ALL {
        tokens.push(witness.prepare(&gateway, method, Http::One).await.1);
    }
    for crash in [false, true] {
        gateway = if crash { gateway.crash().await } else { gateway.restart().await };
        for (partner, method, headers) in &cut_off {
            let mut session = partner_again(&gateway, partner, *method, Http::One).await.unwrap();
            let status = session.status(&partner.path, &borrowed(headers)).await;
            assert_eq!(status, 401, "{method:?} crash {crash}");
        }
        for (method, headers) in Method::ALL.into_iter().zip(&tokens) {
            let mut session = partner_again(&gateway, &witness, method, Http::One).await.unwrap();
            assert_eq!(session.status(&witness.path, &borrowed(headers)).await, 200, "{method:?} crash {crash}");
        }
    }
}

#[tokio::test]
async fn a_request_under_way_does_not_keep_a_revoked_certificate_s_connection_open() {
    let upstream = Upstream::start().await;
    let action = format!("{{ proxy = {{ upstream = \"{}\", timeout_seconds = 60 }} }}", upstream.url());
    let policy = document(&[SERVER, ACME, HELLO, &route("\"GET\"", "/up/{*rest}", &action)]);
    let gateway = Gateway::start_with(GatewayOptions::policy(&policy)).await;
    let acme = gateway.acme();
    let mut open = Vec::new();
    for http in Http::BOTH {
        let (mut session, headers) = acme.prepare(&gateway, Method::Certificate, http).await;
        open.push(tokio::spawn(async move {
            let status = session.status("/up/hold", &borrowed(&headers)).await;
            session.closed().await;
            status
        }));
        upstream.holds().await;
    }
    revoke_certificate(&gateway, &acme.serial).await;
    for request in open {
        assert_eq!(request.await.unwrap(), 0, "cut off without an answer");
    }
    let filter = DecisionFilter { client: Some(acme.client_id.clone()), ..DecisionFilter::default() };
    let rows = gateway.decisions(filter).await;
    let under_way: Vec<_> = rows.iter().filter(|row| row.path == "/up/hold").collect();
    assert_eq!(under_way.len(), 2, "{rows:#?}");
    assert!(under_way.iter().all(|row| (row.outcome.as_str(), row.status) == ("allowed", 499)), "{rows:#?}");
}

#[tokio::test]
async fn what_another_process_revokes_is_followed() {
    let gateway = Gateway::start().await;
    let other = gateway.foundation_beside().await;
    let actor = Actor::local();
    for method in Method::ALL {
        let partner = new_partner(&gateway).await;
        let (mut session, headers) = partner.prepare(&gateway, method, Http::Two).await;
        assert_eq!(session.status(&partner.path, &borrowed(&headers)).await, 200);
        match method {
            Method::Certificate => {
                let selector = Selector::Certificate(partner.serial.parse().unwrap());
                other.authority.revoke(selector, RevocationReason::KeyCompromise, &actor).await.unwrap();
                session.closed().await;
            }
            Method::ApiKey => {
                other.registry.revoke_api_key(&actor, partner.api_key_id(), "lost").await.unwrap();
            }
            Method::Token => {
                other.registry.set_client_enabled(&actor, &partner.client_id, false).await.unwrap();
            }
        }
        let refused = async {
            // The feed is read four times a second.
            while session.status(&partner.path, &borrowed(&headers)).await == 200 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), refused).await.unwrap_or_else(|_| panic!("{method:?} goes on"));
    }
}
