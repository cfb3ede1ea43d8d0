use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis::authority::NewCertificate;
use portcullis::registry::Actor;
use portcullis::registry::api_key::{NewApiKey, PresentedApiKey};
use portcullis::registry::client::NewClient;
use portcullis::registry::client_secret::NewClientSecret;
use portcullis::registry::partner::NewPartner;
use secrecy::ExposeSecret;

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
    /// Of the certificate, hex.
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
            serial: identity.serial(),
            identity,
            api_key: demo.api_key.clone(),
            client_secret: demo.client_secret.clone(),
            scope: demo.scope.clone(),
            path: demo.path.clone(),
        }
    }

    /// A further client with the demo's scope and one credential of each kind.
    pub(crate) async fn create(gateway: &Gateway, partner: &str, client: &str) -> Self {
        let scopes = vec![gateway.demo.scope.clone()];
        let new = NewClient { id: client.to_owned(), partner: partner.to_owned(), scopes, ..NewClient::default() };
        Self::create_as(gateway, new).await
    }

    /// A further client, as told, with one credential of each kind.
    pub(crate) async fn create_as(gateway: &Gateway, new: NewClient) -> Self {
        let actor = Actor::local();
        let registry = gateway.registry();
        if registry.partner(&new.partner).await.is_err() {
            registry.create_partner(&actor, NewPartner::named(&new.partner, &new.partner)).await.unwrap();
        }
        let client = new.id.clone();
        registry.create_client(&actor, new).await.unwrap();
        Self::equip(gateway, &client).await
    }

    /// Gives a client that stands one credential of each kind.
    pub(crate) async fn equip(gateway: &Gateway, client: &str) -> Self {
        let identity = Identity::issue(gateway, new_certificate(client)).await;
        let key = NewApiKey { client: client.to_owned(), ..NewApiKey::default() };
        let secret = NewClientSecret { client: client.to_owned(), ..NewClientSecret::default() };
        let secret = gateway.registry().create_client_secret(&Actor::local(), secret).await.unwrap().secret;
        Self {
            client_id: client.to_owned(),
            serial: identity.serial(),
            identity,
            api_key: Self::new_key(gateway, key).await,
            client_secret: secret.expose_secret().to_owned(),
            scope: gateway.demo.scope.clone(),
            path: gateway.demo.path.clone(),
        }
    }

    pub(crate) async fn new_key(gateway: &Gateway, new: NewApiKey) -> String {
        let made = gateway.registry().create_api_key(&Actor::local(), new).await.unwrap();
        made.key.expose_secret().to_owned()
    }

    /// The public part of the API key.
    pub(crate) fn api_key_id(&self) -> &str {
        PresentedApiKey::parse(&self.api_key).unwrap().id()
    }

    pub(crate) fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.client_id, self.client_secret)))
    }

    /// An access token from the token endpoint.
    pub(crate) async fn token(&self, gateway: &Gateway) -> String {
        self.token_over(&mut gateway.session().await, "").await
    }

    /// An access token asked for on an open connection; `more` goes into the form, from its `&` on.
    pub(crate) async fn token_over(&self, session: &mut Session, more: &str) -> String {
        let answer = self.ask_token(session, more).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn ask_token(&self, session: &mut Session, more: &str) -> Answer {
        let form = format!("grant_type=client_credentials{more}");
        session.post_form("/oauth2/token", &[("authorization", &self.basic())], &form).await
    }

    /// A connection and the headers with which the method is used on it.
    pub(crate) async fn prepare(
        &self,
        gateway: &Gateway,
        method: Method,
        http: Http,
    ) -> (Session, Vec<(String, String)>) {
        self.prepare_with(gateway, method, SessionOptions { http, ..SessionOptions::default() }).await
    }

    /// As [`Partner::prepare`], on a connection of the test's choice; the certificate is added where the method needs it.
    pub(crate) async fn prepare_with(
        &self,
        gateway: &Gateway,
        method: Method,
        options: SessionOptions,
    ) -> (Session, Vec<(String, String)>) {
        let headers = self.headers(gateway, method, &options).await;
        let identity = (method == Method::Certificate).then(|| self.identity.clone());
        let session = gateway.session_with(SessionOptions { identity, ..options }).await;
        (session, headers)
    }

    async fn headers(&self, gateway: &Gateway, method: Method, options: &SessionOptions) -> Vec<(String, String)> {
        match method {
            Method::Certificate => Vec::new(),
            Method::ApiKey => vec![("x-api-key".to_owned(), self.api_key.clone())],
            Method::Token => {
                let from = SessionOptions { source: options.source, ..SessionOptions::default() };
                let token = self.token_over(&mut gateway.session_with(from).await, "").await;
                vec![("authorization".to_owned(), format!("Bearer {token}"))]
            }
        }
    }

    /// One request by the method on a new connection.
    pub(crate) async fn call(&self, gateway: &Gateway, method: Method, path: &str) -> Answer {
        let (mut session, headers) = self.prepare(gateway, method, Http::One).await;
        session.get(path, &borrowed(&headers)).await
    }
}

/// A certificate with a key of ours, for as long as the profile says.
pub(crate) fn new_certificate(client: &str) -> NewCertificate {
    NewCertificate {
        client: client.to_owned(),
        lifetime_seconds: None,
        key_algorithm: pki::KeyAlgorithm::EcdsaP256,
        scopes: None,
        networks: None,
        pkcs12: false,
        idempotency_key: None,
    }
}

pub(crate) fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
