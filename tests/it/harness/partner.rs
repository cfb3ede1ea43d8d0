use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::gateway::Gateway;
use super::session::{Answer, Http, Identity, Session, SessionOptions};

/// How a partner proves itself. Tests run their body once for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Certificate,
    ApiKey,
    Token,
}

impl Method {
    pub(crate) const ALL: [Self; 3] = [Self::Certificate, Self::ApiKey, Self::Token];
}

/// A client company with all three credentials.
#[derive(Clone)]
pub(crate) struct Partner {
    pub client_id: String,
    pub identity: Identity,
    pub serial: String,
    pub api_key: String,
    pub client_secret: String,
    pub scope: String,
    pub path: String,
}

impl Partner {
    pub(super) fn of_demo(gateway: &Gateway) -> Self {
        let demo = &gateway.demo;
        let file = |name: &str| gateway.data().join(name);
        let identity = Identity::from_files(&file(&demo.client_certificate), &file(&demo.client_key));
        Self {
            client_id: demo.client_id.clone(),
            serial: serial_of(&identity),
            identity,
            api_key: demo.api_key.clone(),
            client_secret: demo.client_secret.clone(),
            scope: demo.scope.clone(),
            path: demo.path.clone(),
        }
    }

    /// A further client with one credential of each kind, made through the admin API.
    pub(crate) async fn create(gateway: &Gateway, partner: &str, client: &str) -> Self {
        let mut admin = gateway.admin().await;
        let made = admin.post_json("/v1/partners", &json!({ "id": partner, "name": partner })).await;
        assert!(made.status == 201 || made.status == 409, "{made:?}");
        let body = json!({ "id": client, "partner": partner, "scopes": [gateway.demo.scope] });
        let made = admin.post_json("/v1/clients", &body).await;
        assert_eq!(made.status, 201, "{made:?}");
        let certificate = admin.post_json("/v1/certificates", &json!({ "client": client })).await;
        assert_eq!(certificate.status, 201, "{certificate:?}");
        let certificate = certificate.json();
        let text = |name: &str| certificate[name].as_str().unwrap().to_owned();
        let key = admin.post_json("/v1/api-keys", &json!({ "client": client })).await;
        assert_eq!(key.status, 201, "{key:?}");
        let secret = admin.post_json("/v1/client-secrets", &json!({ "client": client })).await;
        assert_eq!(secret.status, 201, "{secret:?}");
        Self {
            client_id: client.to_owned(),
            identity: Identity::from_pem(format!("{}{}", text("certificate_pem"), text("chain_pem")).as_bytes(), text("private_key_pem").as_bytes()),
            serial: text("id"),
            api_key: key.json()["api_key"].as_str().unwrap().to_owned(),
            client_secret: secret.json()["client_secret"].as_str().unwrap().to_owned(),
            scope: gateway.demo.scope.clone(),
            path: gateway.demo.path.clone(),
        }
    }

    pub(crate) fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.client_id, self.client_secret)))
    }

    /// An access token from the token endpoint.
    pub(crate) async fn token(&self, gateway: &Gateway) -> String {
        let mut session = gateway.session().await;
        let answer = session
            .post_form("/oauth2/token", &[("authorization", &self.basic())], "grant_type=client_credentials")
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// A connection and the headers with which the method is used on it.
    pub(crate) async fn prepare(&self, gateway: &Gateway, method: Method, http: Http) -> (Session, Vec<(String, String)>) {
        let identity = (method == Method::Certificate).then(|| self.identity.clone());
        let options = SessionOptions { identity, http, ..SessionOptions::default() };
        let session = Session::open(gateway, "gateway", options).await.unwrap();
        (session, self.headers(gateway, method).await)
    }

    pub(crate) async fn headers(&self, gateway: &Gateway, method: Method) -> Vec<(String, String)> {
        match method {
            Method::Certificate => Vec::new(),
            Method::ApiKey => vec![("x-api-key".to_owned(), self.api_key.clone())],
            Method::Token => vec![("authorization".to_owned(), format!("Bearer {}", self.token(gateway).await))],
        }
    }

    /// One request by the method on a new connection.
    pub(crate) async fn call(&self, gateway: &Gateway, method: Method, path: &str) -> Answer {
        let (mut session, headers) = self.prepare(gateway, method, Http::One).await;
        session.get(path, &borrowed(&headers)).await
    }
}

pub(crate) fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn serial_of(identity: &Identity) -> String {
    pki::ClientCertificate::parse(&identity.chain[0]).unwrap().serial.to_string()
}
