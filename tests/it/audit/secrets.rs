//! No secret is written down, wherever it came in.

use super::*;

/// Everything that must not be found, by what it is.
struct Canaries(Vec<(&'static str, Vec<u8>)>);

impl Canaries {
    fn add(&mut self, what: &'static str, secret: impl Into<Vec<u8>>) {
        let secret = secret.into();
        assert!(secret.len() >= 12, "{what} is too short to be told from chance");
        self.0.push((what, secret));
    }

    /// In binary, hex and base64, as a careless `Debug` or column would have it.
    fn add_bytes(&mut self, what: &'static str, secret: &[u8]) {
        self.add(what, secret);
        self.add(what, secret.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        self.add(what, STANDARD.encode(secret).trim_end_matches('='));
        self.add(what, URL_SAFE_NO_PAD.encode(secret));
    }

    fn add_token(&mut self, token: &str) {
        self.add("token", token);
        self.add("the signature of a token", token.rsplit_once('.').unwrap().1);
    }

    /// The key's secret without its public part and checksum.
    fn add_api_key(&mut self, key: &str) {
        self.add("API key", key);
        self.add("the secret of an API key", &key[key.len() - 38..key.len() - 6]);
    }

    fn add_identity(&mut self, identity: &Identity) {
        // SEC 1 §C.4: the private scalar is an octet string of 32.
        let at = identity.key_pkcs8.windows(2).position(|pair| pair == [4, 32]).unwrap();
        self.add_bytes("private key", &identity.key_pkcs8[at + 2..at + 34]);
        self.add("private key file", &STANDARD.encode(&identity.key_pkcs8).as_bytes()[40..100]);
    }

    fn absent_from(&self, place: &str, bytes: &[u8]) {
        assert!(!bytes.is_empty(), "{place} is empty: nothing was looked at");
        let text = latin(bytes);
        for (what, secret) in &self.0 {
            assert!(!text.contains(&latin(secret)), "{what} in {place}");
        }
    }
}

/// One character for each byte: text is searched much faster than bytes.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

#[tokio::test]
async fn no_secret_is_ever_written_down() {
    let upstream = Upstream::start().await;
    let action = format!("{{ proxy = {{ upstream = \"{}\" }} }}", upstream.url());
    let down = "{ proxy = { upstream = \"http://127.0.0.1:1\" } }";
    let routes = [route("\"GET\", \"POST\"", "/up/{*rest}", &action), route("\"GET\"", "/down", down)].concat();
    let gateway = Gateway::start_with(GatewayOptions::policy(&document(&[SERVER, ACME, HELLO, &routes]))).await;
    let mut canaries = Canaries(Vec::new());
    let acme = gateway.acme();
    let partner = Partner::create(&gateway, "globex", "globex-orders").await;
    for partner in [&acme, &partner] {
        canaries.add_api_key(&partner.api_key);
        canaries.add("client secret", partner.client_secret.as_bytes());
        canaries.add("basic credentials", partner.basic().strip_prefix("Basic ").unwrap());
        canaries.add_identity(&partner.identity);
    }
    canaries.add_identity(&gateway.admin_identity());
    canaries.add_bytes("pepper", &std::fs::read(gateway.data().join("keys/pepper")).unwrap());
    canaries.add("passphrase", std::fs::read(gateway.data().join("keys/passphrase")).unwrap().trim_ascii());
    canaries
        .add("PKCS#12 password", std::fs::read(gateway.data().join("acme/client.p12.password")).unwrap().trim_ascii());
    through_the_front(&gateway, &acme, &mut canaries).await;
    through_the_back(&gateway, &mut canaries).await;

    // A refused policy, a bad request, an upstream that is down: errors are where secrets like to leak.
    assert!(gateway.try_apply(&format!("client_secret = \"{}\"", acme.client_secret)).await.is_err());
    gateway.app.audit.flush().await;
    let data = gateway.data().to_owned();
    let databases = |data: &Path| {
        let mut control = false;
        for entry in std::fs::read_dir(data).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.contains(".db") && !name.ends_with("-shm") {
                let bytes = std::fs::read(&path).unwrap();
                if !bytes.is_empty() {
                    canaries.absent_from(&name, &bytes);
                    control |= latin(&bytes).contains(acme.api_key_id());
                }
            }
        }
        assert!(control, "what is not secret would have been found");
    };
    databases(&data);
    let metrics = portcullis::telemetry::metrics().unwrap().render();
    assert!(metrics.contains("portcullis_decisions_total"));
    canaries.absent_from("the metrics", metrics.as_bytes());
    let gateway = gateway.restart().await;
    databases(&data);
    // The journal is of all tests at once, and has this one in it.
    let denied = gateway.session().await.get("/nowhere", &[]).await;
    let journal = logged();
    assert!(journal.contains(denied.decision_id()), "nothing was written down of this test");
    canaries.absent_from("the log", journal.as_bytes());
}

/// Good and bad use of every credential, and each in the wrong place.
async fn through_the_front(gateway: &Gateway, acme: &Partner, canaries: &mut Canaries) {
    for http in Http::BOTH {
        for method in Method::ALL {
            let (mut session, headers) = acme.prepare(gateway, method, http).await;
            let headers = borrowed(&headers);
            if method == Method::Token {
                canaries.add_token(headers[0].1.strip_prefix("Bearer ").unwrap());
            }
            for (path, status) in [(acme.path.as_str(), 200), ("/up/x", 200), ("/down", 502), ("/nowhere", 404)] {
                assert_eq!(session.get(path, &headers).await.status, status, "{method:?} {path}");
            }
        }
        let mut session = gateway.session_with(SessionOptions { http, ..SessionOptions::default() }).await;
        let token = acme.token_over(&mut session, "").await;
        canaries.add_token(&token);
        let basic = acme.basic();
        for (name, value) in [
            ("x-api-key", token.clone()),
            ("x-api-key", format!("{}x", acme.api_key)),
            ("x-api-key", acme.client_secret.clone()),
            ("authorization", token.clone()),
            ("authorization", format!("Bearer {}", acme.api_key)),
            ("authorization", format!("Bearer {}", acme.client_secret)),
            ("authorization", format!("Bearer {token}x")),
            ("authorization", format!("Bearer x.{token}")),
            ("authorization", basic.clone()),
            ("authorization", format!("ApiKey {}", acme.api_key)),
        ] {
            assert_eq!(session.get(&acme.path, &[(name, &value)]).await.status, 401, "{name}");
        }
        for query in [format!("access_token={token}"), format!("api_key={}", acme.api_key)] {
            assert_eq!(session.get(&format!("{}?{query}", acme.path), &[]).await.status, 400);
        }
        for (path, form) in [
            (
                "/oauth2/token",
                format!("grant_type=client_credentials&client_id=globex-orders&client_secret={}", acme.client_secret),
            ),
            (
                "/oauth2/token",
                format!("grant_type=client_credentials&client_id={0}&client_secret={0}", acme.client_secret),
            ),
            ("/oauth2/token", format!("grant_type={}", acme.client_secret)),
            ("/oauth2/token", format!("%zz{}", acme.client_secret)),
            ("/oauth2/introspect", format!("token={token}")),
            ("/oauth2/introspect", format!("token={token}x")),
            ("/oauth2/revoke", format!("token={}", acme.api_key)),
        ] {
            session.post_form(path, &[("authorization", &basic)], &form).await;
            session.post_form(path, &[], &form).await;
        }
        let in_url = format!("/oauth2/token?client_id=acme-orders&client_secret={}", acme.client_secret);
        assert_eq!(session.post_form(&in_url, &[], "grant_type=client_credentials").await.status, 400);
    }
    let mut raw = RawConnection::open(gateway, &SessionOptions::default()).await;
    raw.send(format!("GET / HTTP/1.1\r\nx-api-key: {0}\r\nAuthorization {0}\r\n\r\n", acme.api_key).as_bytes()).await;
    assert_eq!(raw.answer().await.status, 400);
}

/// The control plane makes secrets, shows them once, and is told some.
async fn through_the_back(gateway: &Gateway, canaries: &mut Canaries) {
    let mut admin = gateway.admin().await;
    let text = |answer: &crate::harness::Answer, name: &str| {
        answer.json()[name].as_str().unwrap_or_else(|| panic!("{name} in {answer:?}")).to_owned()
    };
    let key = admin.post_json("/v1/api-keys", &json!({ "client": "acme-orders" })).await;
    canaries.add_api_key(&text(&key, "api_key"));
    let rotated = admin.post_json(&format!("/v1/api-keys/{}/rotate", text(&key, "id")), &json!({})).await;
    canaries.add_api_key(&text(&rotated, "api_key"));
    let own = "brought_along_by_the_partner_0123456789";
    canaries.add("a secret that was brought along", own);
    let secret = admin.post_json("/v1/client-secrets", &json!({ "client": "acme-orders", "value": own })).await;
    assert_eq!(secret.status, 201, "{secret:?}");
    // One too many: refused with the secret in the request.
    let refused = "one_too_many_brought_along_0123456789";
    canaries.add("a secret that was refused", refused);
    let secret = admin.post_json("/v1/client-secrets", &json!({ "client": "acme-orders", "value": refused })).await;
    assert_eq!(secret.status, 409, "{secret:?}");
    let misspelt = admin.post_json("/v1/client-secrets", &json!({ "client": "acme-orders", "valeu": refused })).await;
    assert_eq!(misspelt.status, 400, "{misspelt:?}");
    let order = json!({ "client": "acme-orders" });
    let certificate = admin.post_json("/v1/certificates", &order).await;
    let (pem, key) = (text(&certificate, "certificate_pem"), text(&certificate, "private_key_pem"));
    canaries.add_identity(&Identity::from_pem(pem.as_bytes(), key.as_bytes()));
    canaries.add("PKCS#12 password", text(&certificate, "pkcs12_password"));
    let token = admin.post_json("/v1/tokens", &order).await;
    let token = text(&token, "access_token");
    canaries.add_token(&token);
    for path in ["/v1/tokens/inspect", "/v1/tokens/revoke"] {
        assert_eq!(admin.post_json(path, &json!({ "token": token })).await.status, 200);
    }
    let identity = Identity::issue(gateway, new_certificate("acme-orders")).await;
    canaries.add_identity(&identity);
    // What is shown later shows nothing.
    for path in [
        "/v1/api-keys?client=acme-orders",
        "/v1/client-secrets?client=acme-orders",
        "/v1/certificates",
        "/v1/audit",
        "/v1/audit?kind=change",
        "/v1/issuers",
        "/v1/status",
        "/metrics",
        "/v1/policies/current",
    ] {
        let answer = admin.get(path, &[]).await;
        assert_eq!(answer.status, 200, "{path} {answer:?}");
        canaries.absent_from(path, &answer.body);
    }
}
