//! RFC 6749 §3.2, §4.4, §5; Cognito's answers; RFC 8705 §3; RFC 8707.

use super::*;

#[tokio::test]
async fn a_client_of_cognito_notices_no_difference() {
    let fixture = Fixture::new().await;
    // The seed's curl, byte for byte: id and secret in the body, the scope percent-encoded.
    let body_text = format!(
        "grant_type=client_credentials&client_id=acme-orders&client_secret={}&scope=https%3A%2F%2Fabc123.execute-api.eu-west-1.\
         amazonaws.com%2Ftest%2Fhello-world",
        fixture.secret
    );
    let response = fixture.send(form("/oauth2/token", None, &body_text)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header_of(&response, "content-type"), Some("application/json"));
    assert_eq!(header_of(&response, "cache-control"), Some("no-store"));
    assert_eq!(header_of(&response, "pragma"), Some("no-cache"));
    assert_eq!(header_of(&response, "access-control-allow-origin"), Some("*"));
    let answer = body(&response);
    let members: Vec<&String> = answer.as_object().unwrap().keys().collect();
    assert_eq!(members, ["access_token", "expires_in", "token_type"]);
    assert_eq!((&answer["expires_in"], &answer["token_type"]), (&json!(3600), &json!("Bearer")));

    let token = text(&answer["access_token"]);
    let head: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap();
    assert_eq!(head["typ"], "at+jwt");
    assert_eq!(head["alg"], "ES256");
    assert_eq!(head["kid"], fixture.oauth.keys.ring().active.key_id());
    let claims = payload(&token);
    let jti = text(&claims["jti"]);
    assert_eq!(jti.len(), 22);
    assert_eq!(
        claims,
        json!({
            "iss": GATE, "sub": "acme-orders", "aud": API, "client_id": "acme-orders", "iat": NOW.0, "exp": NOW.0 + 3600,
            "jti": jti, "scope": HELLO, "token_use": "access", "auth_time": NOW.0, "version": 2
        })
    );
    let verified = fixture.verify(&token).await.unwrap();
    assert_eq!((verified.client.as_str(), verified.status), ("acme-orders", CredentialStatus::Active));
    assert_eq!(verified.scopes.to_string(), HELLO);

    let issued = response.extensions().get::<TokenIssued>().unwrap();
    assert_eq!((&*issued.jti, issued.client.as_str(), issued.bound_to), (jti.as_str(), "acme-orders", None));
    assert!(response.extensions().get::<Authenticated>().is_some());
}

#[tokio::test]
async fn no_scope_means_all_and_one_audience_each() {
    let fixture = Fixture::new().await;
    for body_text in ["grant_type=client_credentials", "grant_type=client_credentials&scope="] {
        let answer = body(&fixture.token(body_text).await);
        assert!(answer.get("scope").is_none());
        let claims = payload(&text(&answer["access_token"]));
        assert_eq!(claims["scope"], format!("{HELLO} {OTHER}"));
        assert_eq!(claims["aud"], json!([API, "other-api"]));
    }
    let narrower = body(&fixture.token(&format!("grant_type=client_credentials&scope={OTHER}")).await);
    assert_eq!(payload(&text(&narrower["access_token"]))["aud"], "other-api");
    let doubled = body(&fixture.token(&format!("grant_type=client_credentials&scope={OTHER}+{OTHER}")).await);
    assert!(doubled.get("scope").is_none(), "duplicates collapse, which is no difference");
}

#[tokio::test]
async fn a_client_without_scopes_gets_a_token_without() {
    let fixture = Fixture::new().await;
    let secret = fixture.new_secret("scopeless").await;
    let token = fixture.token_of("scopeless", &secret).await;
    let claims = payload(&token);
    assert_eq!((&claims["aud"], claims.get("scope")), (&json!(GATE), None));
    assert_eq!(fixture.status(&token).await, CredentialStatus::Active);
}

#[tokio::test]
async fn scopes_that_are_not_the_clients() {
    let fixture = Fixture::new().await;
    for scope in [
        WRITE,
        "unknown/scope",
        &format!("{HELLO}x"),
        "https://abc123.execute-api.eu-west-1.amazonaws.com/test/HELLO-WORLD",
        "hello-world",
        &format!("{HELLO}+{WRITE}"),
        &format!("{HELLO}++{OTHER}"),
        &format!("{HELLO}+"),
        "+",
        &format!("{HELLO}%09{OTHER}"),
        &format!("{HELLO},{OTHER}"),
        &format!("%22{HELLO}%22"),
        "portcullis/admin.write",
        "openid",
    ] {
        let response = fixture.token(&format!("grant_type=client_credentials&scope={scope}")).await;
        assert_eq!(error(&response), (400, "invalid_scope".into()), "{scope}");
        assert!(response.extensions().get::<AuthenticationFailed>().is_none(), "the client was who it said");
        assert!(response.extensions().get::<Authenticated>().is_some());
    }
}

#[tokio::test]
async fn resource_indicators_choose_the_audience() {
    let fixture = Fixture::new().await;
    let answer = body(&fixture.token("grant_type=client_credentials&resource=other-api").await);
    let claims = payload(&text(&answer["access_token"]));
    assert_eq!((&claims["aud"], &claims["scope"]), (&json!("other-api"), &json!(OTHER)));
    let both = format!("grant_type=client_credentials&resource=other-api&resource={API}");
    assert_eq!(payload(&text(&body(&fixture.token(&both).await)["access_token"]))["aud"], json!([API, "other-api"]));
    let less = format!("grant_type=client_credentials&scope={HELLO}+{OTHER}&resource=other-api");
    assert_eq!(body(&fixture.token(&less).await)["scope"], OTHER, "it differs from the request, so it is said");
    for resource in ["https://unknown.example", "portcullis", "other-api%23fragment", "other"] {
        let response = fixture.token(&format!("grant_type=client_credentials&resource={resource}")).await;
        assert_eq!(error(&response), (400, "invalid_target".into()), "{resource}");
    }
    let disjoint = format!("grant_type=client_credentials&scope={HELLO}&resource=other-api");
    assert_eq!(error(&fixture.token(&disjoint).await), (400, "invalid_scope".into()));
}

#[tokio::test]
async fn malformed_requests() {
    let fixture = Fixture::new().await;
    let basic = fixture.basic();
    for (body_text, code) in [
        ("", "invalid_request"),
        ("grant_type=", "invalid_request"),
        ("scope=x", "invalid_request"),
        ("grant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
        ("grant_type=client_credentials&scope=a&scope=b", "invalid_request"),
        ("grant_type=client_credentials&client_id=a&client_id=a", "invalid_request"),
        ("grant_type=client_credentials&client_id=other", "invalid_request"),
        ("grant_type=client_credentials&client_secret=x", "invalid_request"),
        ("grant_type=client_credentials&scope=%zz", "invalid_request"),
        ("grant_type=client_credentials&scope=%ff", "invalid_request"),
        ("grant_type=password", "unsupported_grant_type"),
        ("grant_type=authorization_code&code=x", "unsupported_grant_type"),
        ("grant_type=CLIENT_CREDENTIALS", "unsupported_grant_type"),
        ("grant_type=client_credentials%00", "unsupported_grant_type"),
    ] {
        let response = fixture.send(form("/oauth2/token", Some(&basic), body_text)).await;
        assert_eq!(error(&response), (400, code.into()), "{body_text}");
        assert_eq!(header_of(&response, "access-control-allow-origin"), Some("*"));
    }
    let same = "grant_type=client_credentials&client_id=acme-orders&aws_client_metadata={}&unknown=1&unknown=2";
    assert_eq!(fixture.send(form("/oauth2/token", Some(&basic), same)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn only_forms_in_the_body() {
    let fixture = Fixture::new().await;
    let basic = fixture.basic();
    let send = async |content_type: Option<&str>, uri: &str, text: &str| {
        let mut request = Request::post(uri).header(header::AUTHORIZATION, &basic);
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        fixture.send(request.body(Bytes::copy_from_slice(text.as_bytes())).unwrap()).await
    };
    let good = "grant_type=client_credentials";
    let form_type = "application/x-www-form-urlencoded";
    for content_type in [form_type, "Application/X-WWW-Form-Urlencoded ; charset=UTF-8"] {
        assert_eq!(send(Some(content_type), "/oauth2/token", good).await.status(), StatusCode::OK, "{content_type}");
    }
    for content_type in [None, Some("application/json"), Some("multipart/form-data"), Some("text/plain"), Some("")] {
        let response = send(content_type, "/oauth2/token", good).await;
        assert_eq!(error(&response), (400, "invalid_request".into()), "{content_type:?}");
    }
    let json = r#"{"grant_type":"client_credentials"}"#;
    assert_eq!(error(&send(Some("application/json"), "/oauth2/token", json).await).1, "invalid_request");
    let secret_in_url = format!("/oauth2/token?client_id=acme-orders&client_secret={}", fixture.secret);
    assert_eq!(error(&send(Some(form_type), &secret_in_url, good).await).1, "invalid_request");
    let large = format!("{good}&x={}", "y".repeat(BODY_BYTES_MAX));
    assert_eq!(error(&send(Some(form_type), "/oauth2/token", &large).await), (413, "invalid_request".into()));
}

#[tokio::test]
async fn only_post() {
    let fixture = Fixture::new().await;
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH"] {
        let request = Request::builder().method(method).uri("/oauth2/token").body(Bytes::new()).unwrap();
        let response = fixture.send(request).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(header_of(&response, "allow"), Some("POST, OPTIONS"));
    }
    let request = Request::options("/oauth2/token").header(header::ORIGIN, "https://docs.example").body(Bytes::new());
    let response = fixture.send(request.unwrap()).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(header_of(&response, "access-control-allow-origin"), Some("*"));
    assert_eq!(header_of(&response, "access-control-allow-headers"), Some("authorization, content-type"));
    assert!(header_of(&response, "access-control-allow-credentials").is_none());
}

#[tokio::test]
async fn cognito_errors_are_400_and_bare() {
    let fixture = Fixture::with(POLICY, |config| config.cognito_errors = true).await;
    let response = fixture
        .send(form("/oauth2/token", Some(&basic("acme-orders", "wrong")), "grant_type=client_credentials"))
        .await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(&response.body()[..], br#"{"error":"invalid_client"}"#);
    assert_eq!(denial(&response), "credential_unknown");
    let response = fixture.token("grant_type=client_credentials&scope=a/b").await;
    assert_eq!(&response.body()[..], br#"{"error":"invalid_scope"}"#);
    let revoke = fixture.send(form("/oauth2/revoke", Some(&basic("acme-orders", "wrong")), "token=x")).await;
    assert_eq!(error(&revoke), (401, "invalid_client".into()), "as Cognito's revocation endpoint");
}

#[tokio::test]
async fn a_client_certificate_of_the_client_binds_the_token() {
    let fixture = Fixture::new().await;
    let certificate = fixture.certificate("acme-orders", None, None).await;
    let request = || form("/oauth2/token", Some(&fixture.basic()), "grant_type=client_credentials");
    let response = fixture.oauth.handle(request(), OFFICE, Some(&certificate.presented)).await;
    let answer = body(&response);
    assert_eq!(answer.as_object().unwrap().len(), 3, "the answer looks the same");
    let token = text(&answer["access_token"]);
    let thumbprint = certificate.presented.certificate.thumbprint;
    assert_eq!(payload(&token)["cnf"], json!({ "x5t#S256": thumbprint.x5t_s256() }));
    assert_eq!(response.extensions().get::<TokenIssued>().unwrap().bound_to, Some(thumbprint));

    let verified = fixture.verify_from(&token, Some(&thumbprint)).await.unwrap();
    assert_eq!((verified.bound_to, verified.status), (Some(thumbprint), CredentialStatus::Active));
    assert!(refusal(fixture.verify(&token).await).contains("bound"), "also from the cache");
    let renewed = fixture.certificate("acme-orders", None, None).await;
    assert!(
        refusal(fixture.verify_from(&token, Some(&renewed.presented.certificate.thumbprint)).await).contains("bound")
    );
}

#[tokio::test]
async fn a_certificate_that_is_presented_must_be_good() {
    let fixture = Fixture::new().await;
    let ask = async |certificate: &PeerCertificate| {
        let request = form("/oauth2/token", Some(&fixture.basic()), "grant_type=client_credentials");
        let response = fixture.oauth.handle(request, OFFICE, Some(certificate)).await;
        assert_eq!(error(&response), (401, "invalid_client".into()));
        denial(&response)
    };
    assert_eq!(ask(&fixture.certificate("globex", None, None).await.presented).await, "credential_mismatch");
    let narrow = fixture.certificate("acme-orders", None, Some(&["192.0.2.0/24"])).await;
    assert_eq!(ask(&narrow.presented).await, "source_not_allowed");
    let mut unknown = fixture.certificate("acme-orders", None, None).await.presented;
    unknown.certificate.serial = new_serial();
    assert_eq!(ask(&unknown).await, "credential_unknown");
    let mut twin = fixture.certificate("acme-orders", None, None).await.presented;
    twin.certificate.thumbprint = pki::Thumbprint::of(b"another certificate under the same serial");
    assert_eq!(ask(&twin).await, "credential_unknown");
    let revoked = fixture.certificate("acme-orders", None, None).await;
    let mut tx = fixture.oauth.store.begin().await.unwrap();
    let (issuer, serial) = &revoked.row;
    assert!(store::revocation::insert(&mut tx, issuer, serial, "key-compromise", NOW).await.unwrap());
    tx.commit().await.unwrap();
    fixture.oauth.snapshot.catch_up(&fixture.oauth.store).await.unwrap();
    assert_eq!(ask(&revoked.presented).await, "credential_revoked");
    let old = fixture.certificate("acme-orders", None, None).await.presented;
    fixture.wait(u64::try_from(old.certificate.not_after - NOW.0).unwrap() + 1);
    assert_eq!(ask(&old).await, "credential_expired");
}

#[tokio::test]
async fn a_narrow_certificate_narrows_the_token() {
    let fixture = Fixture::new().await;
    let narrow = fixture.certificate("acme-orders", Some(&[OTHER]), Some(&["offices"])).await;
    let ask = async |text: &str| {
        fixture.oauth.handle(form("/oauth2/token", Some(&fixture.basic()), text), OFFICE, Some(&narrow.presented)).await
    };
    let answer = body(&ask("grant_type=client_credentials").await);
    assert_eq!(payload(&text(&answer["access_token"]))["scope"], OTHER);
    let more = ask(&format!("grant_type=client_credentials&scope={HELLO}")).await;
    assert_eq!(error(&more), (400, "invalid_scope".into()));
}
