//! The authorization server as its clients meet it: requests in, responses out, on a database and a snapshot of their own.

mod authentication;
mod external;
mod introspect;
mod metadata;
mod revoke;
mod token;
mod verify;

use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderMap;
use pki::{
    ClientCertificate, DistributionPoints, Identity, Issuer, KeyAlgorithm, LeafRequest, PrivateKey, Profile,
    ProfileKind, Serial,
};
use policies::{CredentialStatus, Denial, UnixSeconds};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;

use super::jwt::SigningKey;
use super::*;
use crate::registry::client_secret::NewClientSecret;
use crate::registry::{Actor, Registry};
use crate::store::certificate::{CertificateKind, Reservation};
use crate::store::issuer::{IssuerKind, IssuerRow, IssuerState};
use crate::store::{self, certificate};

pub(super) const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const GATE: &str = "https://gate.example.com";
/// The identifier that the seed's Terraform makes out of the invoke URL and the stage.
const API: &str = "https://abc123.execute-api.eu-west-1.amazonaws.com/test";
const HELLO: &str = "https://abc123.execute-api.eu-west-1.amazonaws.com/test/hello-world";
const WRITE: &str = "https://abc123.execute-api.eu-west-1.amazonaws.com/test/write";
const OTHER: &str = "other-api/read";
const OFFICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7));
const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));

const POLICY: &str = r#"
[[resource_server]]
identifier = "https://abc123.execute-api.eu-west-1.amazonaws.com/test"
name = "Mock API"
scopes = [{ name = "hello-world", description = "Hello" }, { name = "write", description = "Write" }]

[[resource_server]]
identifier = "other-api"
name = "Other"
scopes = [{ name = "read", description = "Read" }]

[[network]]
name = "offices"
cidrs = ["203.0.113.0/24"]

[[client]]
id = "acme-orders"
partner = "acme"
scopes = ["https://abc123.execute-api.eu-west-1.amazonaws.com/test/hello-world", "other-api/read"]
networks = ["offices"]

[[client]]
id = "globex"
partner = "globex"
scopes = ["https://abc123.execute-api.eu-west-1.amazonaws.com/test/write"]

[[client]]
id = "scopeless"
partner = "globex"
scopes = []

[[client]]
id = "operator"
partner = "own"
scopes = ["portcullis/admin.read"]

[[client]]
id = "api"
partner = "own"
scopes = ["portcullis/introspect"]
"#;

/// An authorization server with [`POLICY`] in force, on a clock that stands still.
pub(super) struct Fixture {
    _folder: TempDir,
    pub(super) oauth: OAuth,
    registry: Registry,
    actor: Actor,
    secret: String,
}

/// A client certificate that stands in the register.
struct Certificate {
    presented: PeerCertificate,
    row: (String, String),
}

impl Fixture {
    async fn new() -> Self {
        Self::with(POLICY, |_| {}).await
    }

    async fn with(policy: &str, adjust: impl FnOnce(&mut OAuthConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("portcullis.db")).await.unwrap();
        let clock = Clock::manual(NOW);
        let snapshot = Snapshot::load(&store, &clock).await.unwrap();
        let pepper = Arc::new(Pepper::load_or_create(&folder.path().join("pepper")).unwrap());
        let registry = Registry {
            store: store.clone(),
            snapshot: Arc::clone(&snapshot),
            clock: clock.clone(),
            pepper: Arc::clone(&pepper),
            environment: "test".into(),
            keys: crate::registry::KeyRules::default(),
        };
        let mut config = OAuthConfig {
            issuer: GATE.into(),
            token_ttl_seconds: 3600,
            algorithm: Algorithm::Es256,
            cognito_errors: false,
            folder: folder.path().to_owned(),
        };
        adjust(&mut config);
        let keys = SigningKeys::of_one(new_key(), store.clone(), clock.clone());
        let oauth = OAuth::with_keys(config, store, snapshot, clock, pepper, keys).unwrap();
        let actor = Actor::local();
        let mut fixture = Self { _folder: folder, oauth, registry, actor, secret: String::new() };
        fixture.apply(policy).await;
        fixture.secret = fixture.new_secret("acme-orders").await;
        fixture
    }

    async fn apply(&self, policy: &str) {
        let documents = vec![policies::Document { name: "policy.toml".into(), text: policy.into() }];
        let version = self.oauth.snapshot.policy().version;
        self.registry.apply_policy(&self.actor, documents, None, Some(version)).await.unwrap();
    }

    async fn new_secret(&self, client: &str) -> String {
        let new = NewClientSecret { client: client.into(), ..Default::default() };
        self.registry.create_client_secret(&self.actor, new).await.unwrap().secret.expose_secret().to_owned()
    }

    fn basic(&self) -> String {
        basic("acme-orders", &self.secret)
    }

    fn wait(&self, seconds: u64) {
        assert!(self.oauth.clock.advance(Duration::from_secs(seconds)));
    }

    fn now(&self) -> UnixSeconds {
        self.oauth.clock.now()
    }

    async fn send(&self, request: Request<Bytes>) -> Response<Bytes> {
        self.oauth.handle(request, OFFICE, None).await
    }

    /// A token request of `acme-orders` with HTTP Basic.
    async fn token(&self, body: &str) -> Response<Bytes> {
        self.send(form("/oauth2/token", Some(&self.basic()), body)).await
    }

    async fn access_token(&self) -> String {
        text(&body(&self.token("grant_type=client_credentials").await)["access_token"])
    }

    async fn token_of(&self, client: &str, secret: &str) -> String {
        let request = form("/oauth2/token", Some(&basic(client, secret)), "grant_type=client_credentials");
        text(&body(&self.send(request).await)["access_token"])
    }

    async fn verify(&self, token: &str) -> Result<VerifiedToken, TokenRefusal> {
        self.verify_from(token, None).await
    }

    async fn verify_from(&self, token: &str, peer: Option<&pki::Thumbprint>) -> Result<VerifiedToken, TokenRefusal> {
        let view = self.oauth.snapshot.policy();
        self.oauth.verify(token, peer, &view, self.now()).await
    }

    async fn status(&self, token: &str) -> CredentialStatus {
        self.verify(token).await.unwrap().status
    }

    /// Issues a client certificate and writes it into the register.
    async fn certificate(&self, client: &str, scopes: Option<&[&str]>, networks: Option<&[&str]>) -> Certificate {
        let now = OffsetDateTime::from_unix_timestamp(self.now().0).unwrap();
        let key = || PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let root_key = PrivateKey::generate(KeyAlgorithm::EcdsaP384).unwrap();
        let root_profile = Profile::builtin(ProfileKind::Root);
        let root = Issuer::self_signed(&root_profile, "Test Root", root_key, new_serial(), now).unwrap();
        let issuing = Issuer::subordinate(
            &root,
            &Profile::builtin(ProfileKind::Issuing),
            "Test Clients",
            key(),
            new_serial(),
            &DistributionPoints::default(),
            now,
        )
        .unwrap();
        let request = LeafRequest {
            common_name: client.into(),
            organization: None,
            identity: Identity::Client(format!("spiffe://example.com/partner/acme/client/{client}").parse().unwrap()),
            public_key: key().public_key().clone(),
            lifetime: None,
        };
        let profile = Profile::builtin(ProfileKind::Client);
        let prepared = issuing.prepare(&profile, request, new_serial(), &DistributionPoints::default(), now).unwrap();
        let issued = issuing.sign(prepared).unwrap();
        let certificate = ClientCertificate::parse(&issued.der).unwrap();
        let presented = PeerCertificate::new(certificate, vec![issued.der.clone()]);
        let row = (issuing.key_id().to_string(), issued.serial.to_string());
        let strings = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        let mut tx = self.oauth.store.begin().await.unwrap();
        let issuer = IssuerRow {
            key_id: row.0.clone(),
            kind: IssuerKind::Issuing,
            state: IssuerState::Active,
            state_since: 0,
            tainted_at: None,
            subject: issuing.subject().into(),
            certificate: issuing.certificate_der().to_vec(),
            key_location: None,
            crl_partitions: 1,
            not_after: issuing.not_after().unix_timestamp(),
            crl_number: 0,
            created_at: self.now().0,
        };
        store::issuer::insert(&mut tx, &issuer, self.now()).await.unwrap();
        let reservation = Reservation {
            issuer_key_id: row.0.clone(),
            serial: row.1.clone(),
            client_id: Some(client.into()),
            kind: CertificateKind::Client,
            subject: issued.subject.clone(),
            spki_fingerprint: issued.spki_fingerprint.to_string(),
            not_before: UnixSeconds(presented.certificate.not_before),
            not_after: UnixSeconds(presented.certificate.not_after),
            scopes: scopes.map(strings),
            networks: networks.map(strings),
            profile: "client".to_owned(),
            key_algorithm: "ecdsa-p256".to_owned(),
            crl_partition: 0,
            replaces: None,
            enrollment_id: None,
            tbs: b"tbs".to_vec(),
        };
        certificate::insert_reserved(&mut tx, &reservation, self.now()).await.unwrap();
        let thumbprint = presented.certificate.thumbprint.to_string();
        assert!(
            certificate::mark_issued(&mut tx, &row.0, &row.1, b"tbs", &issued.der, &thumbprint, self.now())
                .await
                .unwrap()
        );
        tx.commit().await.unwrap();
        self.oauth.snapshot.catch_up(&self.oauth.store).await.unwrap();
        Certificate { presented, row }
    }
}

fn new_key() -> SigningKey {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    SigningKey::from_pkcs8(Algorithm::Es256, pair.to_pkcs8v1().unwrap().as_ref()).unwrap()
}

fn new_serial() -> Serial {
    let mut octets = [0; 16];
    aws_lc_rs::rand::fill(&mut octets).unwrap();
    Serial::from_random(octets)
}

fn basic(client: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{client}:{secret}")))
}

fn form(path: &str, authorization: Option<&str>, body: &str) -> Request<Bytes> {
    let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

fn body(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The payload of a token, without looking at its signature.
fn payload(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

fn header_of<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

/// Status and code of an error; what every error must have is checked on the way.
fn error(response: &Response<Bytes>) -> (u16, String) {
    assert_eq!(header_of(response, "content-type"), Some("application/json"));
    assert_eq!(header_of(response, "cache-control"), Some("no-store"));
    assert_eq!(header_of(response, "pragma"), Some("no-cache"));
    let body = body(response);
    let description = body["error_description"].as_str().unwrap_or_default();
    assert!(description.bytes().all(|byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7E)), "{description}");
    (response.status().as_u16(), text(&body["error"]))
}

fn denial(response: &Response<Bytes>) -> &'static str {
    response.extensions().get::<AuthenticationFailed>().map_or("none", |failed| failed.denial.code())
}

fn refusal(refused: Result<VerifiedToken, TokenRefusal>) -> String {
    match refused.unwrap_err() {
        TokenRefusal::Denied(Denial::InvalidToken { detail }) => detail,
        other => panic!("{other:?}"),
    }
}
