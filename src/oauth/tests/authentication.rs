//! RFC 6749 §2.3, §5.2: who gets in, and that those who do not learn nothing.

use std::cell::Cell;

use super::*;
use crate::oauth::client_authentication::authenticate;
use crate::registry::client_secret::mac;

const GRANT: &str = "grant_type=client_credentials";

#[tokio::test]
async fn every_failure_looks_the_same() {
    let fixture = Fixture::new().await;
    let expired = {
        let new = NewClientSecret {
            client: "globex".into(),
            expiry: Some(crate::registry::Expiry::After(60)),
            ..Default::default()
        };
        fixture.registry.create_client_secret(&fixture.actor, new).await.unwrap().secret.expose_secret().to_owned()
    };
    let revoked = {
        let new = NewClientSecret { client: "globex".into(), ..Default::default() };
        let created = fixture.registry.create_client_secret(&fixture.actor, new).await.unwrap();
        fixture.registry.revoke_client_secret(&fixture.actor, &created.view.id, "leaked").await.unwrap();
        created.secret.expose_secret().to_owned()
    };
    let disabled = fixture.new_secret("operator").await;
    fixture.registry.set_client_enabled(&fixture.actor, "operator", false).await.unwrap();
    fixture.wait(61);

    let mut bodies = Vec::new();
    for (client, secret, source, code) in [
        ("nobody", fixture.secret.as_str(), OFFICE, "credential_unknown"),
        ("acme-orders", "wrong", OFFICE, "credential_unknown"),
        ("acme-orders", &expired, OFFICE, "credential_unknown"),
        ("ACME-ORDERS", &fixture.secret, OFFICE, "credential_unknown"),
        ("scopeless", "anything", OFFICE, "credential_unknown"),
        ("globex", &expired, OFFICE, "credential_expired"),
        ("globex", &revoked, OFFICE, "credential_revoked"),
        ("operator", &disabled, OFFICE, "credential_revoked"),
        ("acme-orders", &fixture.secret, ELSEWHERE, "source_not_allowed"),
        ("not a client id!", "x", OFFICE, "credential_unknown"),
    ] {
        let request = form("/oauth2/token", Some(&basic(client, secret)), GRANT);
        let response = fixture.oauth.handle(request, source, None).await;
        assert_eq!(error(&response), (401, "invalid_client".into()), "{client}");
        assert_eq!(header_of(&response, "www-authenticate"), Some("Basic realm=\"portcullis\""));
        assert_eq!(denial(&response), code, "{client}");
        assert!(response.extensions().get::<TokenIssued>().is_none());
        bodies.push((response.headers().clone(), response.body().clone()));
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "one answer for all");
}

#[tokio::test]
async fn the_allowlist_sees_through_mapped_addresses() {
    let fixture = Fixture::new().await;
    let mapped: IpAddr = "::ffff:203.0.113.7".parse().unwrap();
    for path in ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"] {
        let request = || form(path, Some(&fixture.basic()), "grant_type=client_credentials&token=x");
        assert_eq!(fixture.oauth.handle(request(), mapped, None).await.status(), StatusCode::OK, "{path}");
        let refused = fixture.oauth.handle(request(), ELSEWHERE, None).await;
        assert_eq!((error(&refused).0, denial(&refused)), (401, "source_not_allowed"), "{path}");
    }
}

#[tokio::test]
async fn nothing_presented_is_a_failed_authentication() {
    let fixture = Fixture::new().await;
    for (authorization, text) in [
        (None, GRANT),
        (None, "grant_type=client_credentials&client_id=acme-orders"),
        (Some("Bearer x"), GRANT),
        (Some("Basic ???"), GRANT),
    ] {
        let response = fixture.send(form("/oauth2/token", authorization, text)).await;
        assert_eq!(error(&response), (401, "invalid_client".into()));
        assert_eq!(denial(&response), "credential_unknown");
    }
}

#[tokio::test]
async fn own_secrets_pass_encoded_and_raw() {
    let fixture = Fixture::new().await;
    let own = "from+Cognito_0123456789+abcdef";
    let new = NewClientSecret { client: "globex".into(), value: Some(own.into()), ..Default::default() };
    fixture.registry.create_client_secret(&fixture.actor, new).await.unwrap();
    let encoded = own.replace('+', "%2B");
    for authorization in [basic("globex", own), basic("globex", &encoded)] {
        let response = fixture.send(form("/oauth2/token", Some(&authorization), GRANT)).await;
        assert_eq!(response.status(), StatusCode::OK);
    }
    let body_text = format!("{GRANT}&client_id=globex&client_secret={encoded}");
    assert_eq!(fixture.send(form("/oauth2/token", None, &body_text)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn two_secrets_work_at_once() {
    let fixture = Fixture::new().await;
    let second = fixture.new_secret("acme-orders").await;
    for secret in [&fixture.secret, &second] {
        let response = fixture.send(form("/oauth2/token", Some(&basic("acme-orders", secret)), GRANT)).await;
        assert_eq!(response.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_stranger_costs_as_many_macs_as_a_client() {
    let fixture = Fixture::new().await;
    let view = fixture.oauth.snapshot.policy();
    let scene = Scene { snapshot: &fixture.oauth.snapshot, view: &view, source: OFFICE, peer: None, now: NOW };
    let macs = |client: &str, secret: &str| {
        let count = Cell::new(0);
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, basic(client, secret).parse().unwrap());
        let presented = Presented::read(&headers, &Form::parse(b"").ok().unwrap()).ok().unwrap();
        let outcome = authenticate(&scene, &presented, |secret| {
            count.set(count.get() + 1);
            mac(&fixture.oauth.pepper, secret)
        });
        (outcome.is_ok(), count.get())
    };
    assert_eq!(macs("acme-orders", &fixture.secret), (true, 1));
    assert_eq!(macs("acme-orders", "wrong"), (false, 1));
    assert_eq!(macs("nobody", "wrong"), (false, 1));
    assert_eq!(macs("not a client id", "wrong"), (false, 1));
    // What can be read in two ways is read in two ways, whoever says it.
    assert_eq!(macs("acme-orders", "wr+ong"), (false, 2));
    assert_eq!(macs("nobody", "wr+ong"), (false, 2));
}
