//! RFC 7519 §4, RFC 9068 §4, Cognito's claims.

use super::*;

fn refuses_all(expectations: &Expectations<'_>, cases: impl IntoIterator<Item = Value>) {
    let forge = Forge::new();
    for changes in cases {
        assert!(forge.judge(&forge.with(changes.clone()), expectations).is_err(), "{changes}");
    }
}

/// A member that is there and `null` is malformed, not absent.
fn with_null(forge: &Forge, name: &str) -> String {
    let mut claims = honest_claims();
    claims[name] = Value::Null;
    forge.sign(&forge.header(), &claims)
}

#[test]
fn the_end_is_a_number() {
    refuses_all(
        &OURS,
        [
            json!({"exp": null}),
            json!({"exp": (NOW.0 + 3600).to_string()}),
            json!({"exp": "never"}),
            json!({"exp": true}),
            json!({"exp": [NOW.0 + 3600]}),
            json!({"exp": {"a": 1}}),
            json!({"exp": u64::MAX}),
            json!({"exp": 1e300}),
            json!({"exp": -1e300}),
        ],
    );
    let forge = Forge::new();
    assert!(forge.judge(&with_null(&forge, "exp"), &OURS).is_err());
    let text = honest_claims().to_string().replace(&format!("\"exp\":{}", NOW.0 + 3600), "\"exp\":1e999");
    assert!(!forge.accepts(&forge.sign_text(&forge.header().to_string(), &text)));
}

#[test]
fn times_may_have_fractions() {
    let forge = Forge::new();
    for exp in [json!(NOW.0 as f64 + 0.5), json!(1.9e9), json!(NOW.0 as f64 + 3600.25)] {
        assert!(forge.accepts(&forge.with(json!({"exp": exp}))));
    }
    assert!(!forge.accepts(&forge.with(json!({"exp": NOW.0 as f64 - 30.5}))));
    let claims = forge.judge(&forge.with(json!({"iat": NOW.0 as f64 - 0.5})), &OURS).unwrap();
    assert_eq!(claims.issued_at, Some(UnixSeconds(NOW.0 - 1)), "rounded to the side of the revocation");
}

#[test]
fn one_leeway_for_all_times() {
    let forge = Forge::new();
    let status = |changes: Value| forge.judge(&forge.with(changes), &OURS).unwrap().lifetime.status_at(NOW, false);
    assert_eq!(status(json!({"exp": NOW.0 - 1})), CredentialStatus::Active);
    assert_eq!(status(json!({"exp": NOW.0 - 29})), CredentialStatus::Active);
    // RFC 7519 §4.1.4: "on or after" the end.
    assert_eq!(status(json!({"exp": NOW.0 - 30})), CredentialStatus::Expired);
    assert_eq!(status(json!({"exp": NOW.0 - 31})), CredentialStatus::Expired);
    assert_eq!(status(json!({"exp": 0})), CredentialStatus::Expired);
    assert_eq!(status(json!({"exp": i64::MIN})), CredentialStatus::Expired);
    for start in ["nbf", "iat"] {
        assert_eq!(status(json!({start: NOW.0 + 30})), CredentialStatus::Active, "{start}");
        assert_eq!(status(json!({start: NOW.0 + 31})), CredentialStatus::NotYetValid, "{start}");
        assert_eq!(status(json!({start: NOW.0 as f64 + 30.5})), CredentialStatus::NotYetValid, "{start}");
        assert_eq!(status(json!({start: i64::MAX})), CredentialStatus::NotYetValid, "{start}");
    }
    assert_eq!(status(json!({"nbf": NOW.0 - 100, "iat": NOW.0 + 100})), CredentialStatus::NotYetValid);
    let greedy = Expectations { leeway_seconds: 3600, ..OURS };
    let late = forge.judge(&forge.with(json!({"exp": NOW.0 - 61})), &greedy).unwrap();
    assert_eq!(late.lifetime.status_at(NOW, false), CredentialStatus::Expired, "never more than a minute");
}

#[test]
fn other_times_are_numbers_when_they_are_there() {
    for name in ["nbf", "iat"] {
        refuses_all(&OURS, [json!({name: "1"}), json!({name: true}), json!({name: []}), json!({name: 1e19})]);
    }
}

#[test]
fn issuer_byte_for_byte() {
    refuses_all(
        &OURS,
        [
            json!({"iss": null}),
            json!({"iss": format!("{ISSUER}/")}),
            json!({"iss": ISSUER.to_uppercase()}),
            json!({"iss": format!("{ISSUER}:443")}),
            json!({"iss": [ISSUER]}),
            json!({"iss": "https://gate.example.com.attacker.example"}),
        ],
    );
}

#[test]
fn audience_is_one_of_ours() {
    let forge = Forge::new();
    assert!(forge.accepts(&forge.with(json!({"aud": [API]}))));
    assert!(forge.accepts(&forge.with(json!({"aud": ["https://other.example", API]}))));
    refuses_all(
        &OURS,
        [
            json!({"aud": null}),
            json!({"aud": []}),
            json!({"aud": ""}),
            json!({"aud": format!("{API}/")}),
            json!({"aud": "https://other.example"}),
            json!({"aud": [API, 1]}),
            json!({"aud": [[API]]}),
            json!({"aud": {"0": API}}),
            json!({"aud": true}),
        ],
    );
    assert!(forge.judge(&with_null(&forge, "aud"), &OURS).is_err());
    let nobody = Expectations { audiences: Some(&[]), ..OURS };
    assert_eq!(forge.judge(&forge.with(json!({})), &nobody).unwrap_err(), TokenFault::Audience);
}

#[test]
fn type_keeps_other_tokens_of_the_issuer_out() {
    let forge = Forge::new();
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+JWT"] {
        assert!(forge.accepts(&forge.with_header(json!({"typ": typ}))), "{typ}");
    }
    for typ in ["JWT", "jwt", "id+jwt", "logout+jwt", "dpop+jwt", "at+jwt ", "", "at jwt", "at+jwt;x=1", "text/at+jwt"]
    {
        assert!(!forge.accepts(&forge.with_header(json!({"typ": typ}))), "{typ}");
        let generic = forge.judge(&forge.with_header(json!({"typ": typ})), &GENERIC);
        assert_eq!(generic.is_ok(), typ.eq_ignore_ascii_case("JWT"), "{typ}");
    }
    let without = forge.with_header(json!({"typ": null}));
    assert!(!forge.accepts(&without));
    assert!(forge.judge(&without, &GENERIC).is_ok());
    assert!(UnverifiedToken::parse(&forge.with_header(json!({"typ": 1}))).is_err());
}

#[test]
fn use_is_access() {
    for profile in [OURS, COGNITO, GENERIC] {
        refuses_all(
            &profile,
            [json!({"token_use": "id"}), json!({"token_use": "ACCESS"}), json!({"token_use": ["access"]})],
        );
    }
    let forge = Forge::new();
    assert!(forge.judge(&forge.with(json!({"token_use": null})), &OURS).is_ok());
    assert!(forge.judge(&forge.with(json!({"token_use": null, "aud": null})), &COGNITO).is_err());
}

#[test]
fn scopes_are_divided_by_one_space() {
    let forge = Forge::new();
    let scopes =
        |scope: &str| forge.judge(&forge.with(json!({"scope": scope})), &OURS).map(|claims| claims.scopes.to_string());
    assert_eq!(scopes(""), Ok(String::new()));
    assert_eq!(scopes(SCOPE), Ok(SCOPE.into()));
    assert_eq!(scopes("api/a api/b api/a"), Ok("api/a api/b".into()));
    assert_eq!(scopes(&format!("{SCOPE}x")), Ok(format!("{SCOPE}x")), "another scope, not a longer spelling");
    assert_eq!(scopes("openid api/a"), Ok("api/a".into()), "not of a resource server");
    for wrong in [
        " ",
        "api/a  api/b",
        " api/a",
        "api/a ",
        "api/a\tapi/b",
        "api/a\napi/b",
        "api/\"a",
        "api/a\u{a0}api/b",
        "api/ä",
        "api\\a",
    ] {
        assert_eq!(scopes(wrong), Err(TokenFault::MalformedClaim("scope")), "{wrong:?}");
    }
    refuses_all(&OURS, [json!({"scope": [SCOPE]}), json!({"scope": 1}), json!({"scope": {}})]);
    let none = forge.judge(&forge.with(json!({"scope": null, "scp": [SCOPE]})), &OURS).unwrap();
    assert_eq!(none.scopes.to_string(), "", "scp is not ours");
}

#[test]
fn scp_only_from_generic_issuers() {
    let forge = Forge::new();
    let scopes = |changes: Value| forge.judge(&forge.with(changes), &GENERIC).map(|claims| claims.scopes.to_string());
    assert_eq!(scopes(json!({"scope": null, "scp": ["api/a", "api/b"]})), Ok("api/a api/b".into()));
    assert_eq!(scopes(json!({"scope": null, "scp": "api/a api/b"})), Ok("api/a api/b".into()));
    assert_eq!(scopes(json!({"scope": "api/a", "scp": ["api/b"]})), Ok("api/a".into()));
    assert!(scopes(json!({"scope": null, "scp": ["api/a api/b"]})).is_err());
    assert!(scopes(json!({"scope": null, "scp": [1]})).is_err());
    assert!(scopes(json!({"scope": ["api/a"]})).is_err());
}

#[test]
fn client_by_profile() {
    let forge = Forge::new();
    let client = |changes: Value, expectations: &Expectations<'_>| {
        forge.judge(&forge.with(changes), expectations).map(|claims| claims.client)
    };
    assert_eq!(client(json!({"client_id": null, "azp": "x"}), &OURS), Err(TokenFault::MissingClaim("client_id")));
    assert_eq!(client(json!({"client_id": null, "azp": "x"}), &GENERIC), Ok("x".into()));
    assert_eq!(client(json!({"client_id": null}), &GENERIC), Ok("acme-orders".into()));
    assert_eq!(client(json!({"client_id": "a", "azp": "b"}), &GENERIC), Ok("a".into()));
    assert!(client(json!({"client_id": 1, "azp": "b"}), &GENERIC).is_err(), "no falling through");
    assert!(client(json!({"client_id": "", "azp": "b"}), &GENERIC).is_err());
    assert!(client(json!({"client_id": "c".repeat(300)}), &OURS).is_err());
    refuses_all(
        &OURS,
        [json!({"sub": null}), json!({"jti": null}), json!({"iat": null}), json!({"jti": 7}), json!({"jti": ""})],
    );
}

#[test]
fn cognito_tokens_have_no_audience() {
    let forge = Forge::new();
    // As Cognito writes them: RS256 there, no typ, no aud.
    let header = json!({"kid": forge.jwk.kid, "alg": "ES256"});
    let token = |changes: Value| forge.sign(&header, &changed(claims_with(json!({"aud": null})), changes));
    let claims = forge.judge(&token(json!({})), &COGNITO).unwrap();
    assert_eq!((claims.client.as_str(), claims.audiences.len()), ("acme-orders", 0));
    assert!(forge.judge(&token(json!({"aud": API})), &COGNITO).is_err(), "bound to something that is not ours");
    let bound = Expectations { audiences: Some(&[API]), ..COGNITO };
    assert!(forge.judge(&token(json!({"aud": API})), &bound).is_ok());
    assert!(forge.judge(&token(json!({"token_use": "id", "aud": "acme-orders"})), &COGNITO).is_err());
    assert!(forge.judge(&token(json!({})), &GENERIC).is_err(), "elsewhere the audience is asked for");
}

#[test]
fn confirmation_is_a_thumbprint_or_nothing() {
    let forge = Forge::new();
    let digest = URL_SAFE_NO_PAD.encode([7; 32]);
    let claims = forge.judge(&forge.with(json!({"cnf": {"x5t#S256": digest}})), &OURS).unwrap();
    assert_eq!(claims.bound_to, Some([7; 32]));
    refuses_all(
        &OURS,
        [
            json!({"cnf": {}}),
            json!({"cnf": "x"}),
            json!({"cnf": {"jkt": digest}}),
            json!({"cnf": {"x5t#S256": digest, "jkt": digest}}),
            json!({"cnf": {"x5t#S256": format!("{digest}=")}}),
            json!({"cnf": {"x5t#S256": "0707070707070707070707070707070707070707070707070707070707070707"}}),
            json!({"cnf": {"x5t#S256": URL_SAFE_NO_PAD.encode([7; 20])}}),
            json!({"cnf": {"x5t#S256": 1}}),
        ],
    );
    assert!(forge.judge(&with_null(&forge, "cnf"), &OURS).is_err());
}
