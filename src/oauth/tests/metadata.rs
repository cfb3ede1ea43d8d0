//! RFC 8414, OpenID Connect Discovery, the JWK Set.

use super::*;

async fn read(fixture: &Fixture, path: &str) -> Response<Bytes> {
    fixture.send(Request::get(path).body(Bytes::new()).unwrap()).await
}

#[tokio::test]
async fn the_server_describes_itself() {
    let fixture = Fixture::new().await;
    let response = read(&fixture, "/.well-known/oauth-authorization-server").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header_of(&response, "access-control-allow-origin"), Some("*"));
    let methods = json!(["client_secret_basic", "client_secret_post"]);
    let expected = json!({
        "issuer": GATE,
        "token_endpoint": "https://gate.example.com/oauth2/token",
        "jwks_uri": "https://gate.example.com/.well-known/jwks.json",
        "scopes_supported": [HELLO, WRITE, OTHER],
        "response_types_supported": ["none"],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint": "https://gate.example.com/oauth2/revoke",
        "revocation_endpoint_auth_methods_supported": methods,
        "introspection_endpoint": "https://gate.example.com/oauth2/introspect",
        "introspection_endpoint_auth_methods_supported": methods,
        "tls_client_certificate_bound_access_tokens": true,
    });
    assert_eq!(body(&response), expected);
    let open_id = body(&read(&fixture, "/.well-known/openid-configuration").await);
    assert_eq!(open_id["issuer"], GATE);
    assert_eq!(open_id["id_token_signing_alg_values_supported"], json!(["ES256"]));
    assert!(open_id["subject_types_supported"].is_array());
    let policy = "[[client]]\nid = \"acme-orders\"\npartner = \"acme\"\nscopes = []\n";
    let bare = body(&read(&Fixture::with(policy, |_| {}).await, "/.well-known/oauth-authorization-server").await);
    assert!(bare.get("scopes_supported").is_none(), "what is empty is left out");
}

#[tokio::test]
async fn an_issuer_with_a_path() {
    let fixture = Fixture::with(POLICY, |config| config.issuer = "https://gate.example.com/tenant/a".into()).await;
    for path in [
        "/.well-known/oauth-authorization-server/tenant/a",
        "/tenant/a/.well-known/openid-configuration",
        "/.well-known/openid-configuration/tenant/a",
    ] {
        assert!(fixture.oauth.serves(path), "{path}");
        let document = body(&read(&fixture, path).await);
        assert_eq!(document["issuer"], "https://gate.example.com/tenant/a", "{path}");
        assert_eq!(document["token_endpoint"], "https://gate.example.com/oauth2/token");
    }
    for path in
        ["/.well-known/oauth-authorization-server/tenant", "/tenant/a/oauth2/token", "/oauth2/token/", "/oauth2"]
    {
        assert!(!fixture.oauth.serves(path), "{path}");
        assert_eq!(read(&fixture, path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn issuers_that_are_none() {
    for issuer in [
        "",
        "gate.example.com",
        "https://gate.example.com/",
        "https://gate.example.com/?a=b",
        "https://u@gate.example.com",
        "ftp://gate.example.com",
        "https://gate.example.com#x",
        "https://gate.example.com/a/",
    ] {
        assert!(IssuerIdentity::parse(issuer).is_none(), "{issuer}");
    }
    for issuer in
        ["https://gate.example.com", "https://127.0.0.1:8443", "https://[::1]:8443/a", "http://127.0.0.1:8080"]
    {
        assert_eq!(IssuerIdentity::parse(issuer).unwrap().identifier, issuer);
    }
}

#[tokio::test]
async fn the_keys_are_public_and_only_public() {
    let fixture = Fixture::new().await;
    let response = read(&fixture, "/.well-known/jwks.json").await;
    assert_eq!(header_of(&response, "cache-control"), Some("public, max-age=300"));
    let keys = body(&response);
    let keys = keys["keys"].as_array().unwrap();
    let members: Vec<&String> = keys[0].as_object().unwrap().keys().collect();
    assert_eq!(members, ["kid", "alg", "use", "crv", "kty", "x", "y"]);
    let head = fixture.send(Request::head("/.well-known/jwks.json").body(Bytes::new()).unwrap()).await;
    assert_eq!(head.body().len(), 0);
    assert_eq!(header_of(&head, "content-length"), Some(response.body().len().to_string().as_str()));
    let post = fixture.send(form("/.well-known/jwks.json", None, "")).await;
    assert_eq!((post.status(), header_of(&post, "allow")), (StatusCode::METHOD_NOT_ALLOWED, Some("GET, HEAD")));
}
