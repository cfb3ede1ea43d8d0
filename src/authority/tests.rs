//! The authority as a whole, on a real database, with OpenSSL as the judge of what it signs.

use std::path::Path;
use std::process::{Command, Output};

use policies::UnixSeconds;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::*;
use crate::store::client::ClientRow;
use crate::store::partner::PartnerRow;

mod ceremony;
mod crash;
mod enroll;
mod initialise;
mod issue;
mod keys;
mod kills;
mod list;
mod ocsp;
mod publish;
mod reconcile;
mod revoke;
mod rotate;
mod server;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const DAY: i64 = 86_400;
const PASSPHRASE: &str = "correct horse battery staple";

/// An installation in a folder of its own: partner acme with clients acme-orders and acme-stock, globex with globex-orders.
struct House {
    folder: TempDir,
    store: Store,
    snapshot: Arc<Snapshot>,
    clock: Clock,
    authority: Authority,
}

impl House {
    async fn new() -> Self {
        let folder = copy_of_template().await;
        Self::open(folder, Clock::manual(NOW)).await
    }

    async fn open(folder: TempDir, clock: Clock) -> Self {
        let store = Store::open(&folder.path().join("portcullis.db")).await.unwrap();
        let snapshot = Snapshot::load(&store, &clock).await.unwrap();
        let (keys, settings) = (keys_in(folder.path()), settings());
        let authority = Authority::open(settings, keys, store.clone(), snapshot.clone(), clock.clone()).await.unwrap();
        Self { folder, store, snapshot, clock, authority }
    }

    /// One whose issuing authority divides its revocations.
    async fn divided(crl_partitions: u32) -> Self {
        let folder = copy_of_template().await;
        let store = Store::open(&folder.path().join("portcullis.db")).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        sqlx::query("UPDATE issuers SET crl_partitions = $1 WHERE kind = 'issuing'")
            .bind(crl_partitions)
            .execute(tx.connection())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        store.close().await;
        Self::open(folder, Clock::manual(NOW)).await
    }

    /// The server ends and starts again on the same folder.
    async fn reopen(self) -> Self {
        self.store.close().await;
        Self::open(self.folder, self.clock).await
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    async fn issue(&self) -> Issued {
        self.authority.issue(certificate_for("acme-orders"), &admin()).await.unwrap()
    }

    async fn sign(&self, client: &str, request: Vec<u8>) -> Result<Issued, Failure> {
        self.authority.sign(signature_for(client, request), &admin()).await
    }

    async fn revoke(&self, issued: &Issued, reason: &str) -> Revoked {
        self.authority.revoke(named(issued), reason.parse().unwrap(), &admin()).await.unwrap()
    }

    fn entry(&self, issued: &Issued) -> Option<Arc<crate::snapshot::CertificateEntry>> {
        let view = &issued.certificate;
        self.snapshot.certificate(&view.issuer.parse().unwrap(), &view.id.parse().unwrap())
    }

    fn issuing(&self) -> IssuerView {
        self.authority.issuers().into_iter().find(|issuer| issuer.kind == "issuing").unwrap()
    }

    /// What the PKI listener answers.
    async fn get(&self, path: &str, if_none_match: Option<&str>) -> http::Response<bytes::Bytes> {
        let (head, content) = self.authority.answer(&http::Method::GET, path, if_none_match).into_parts();
        http::Response::from_parts(head, content.read().await.unwrap())
    }

    /// The complete list of the issuing authority, DER.
    async fn list(&self) -> bytes::Bytes {
        self.authority.crl(&self.issuing().id.parse().unwrap()).await.unwrap().unwrap()
    }

    /// Writes a file into the folder; gives its path.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }
}

fn keys_in(folder: &Path) -> KeyDirectory {
    KeyDirectory::new(folder.join("keys"), Passphrase::new(PASSPHRASE.into()).unwrap())
}

fn settings() -> AuthoritySettings {
    AuthoritySettings {
        trust_domain: "api.example.com".into(),
        pki_url: Some("http://pki.example.com".into()),
        crl_lifetime_seconds: 86_400,
        ocsp_lifetime_seconds: 3600,
        crl_partitions: 1,
        issuances_per_minute: 1_000_000,
    }
}

fn names() -> Names {
    Names { common_name: "Portcullis".into(), organization: Some("Example".into()) }
}

fn admin() -> Actor {
    Actor { name: "admin".into(), source: None }
}

fn certificate_for(client: &str) -> NewCertificate {
    NewCertificate {
        client: client.into(),
        lifetime_seconds: None,
        key_algorithm: pki::KeyAlgorithm::EcdsaP256,
        scopes: None,
        networks: None,
        pkcs12: false,
        idempotency_key: None,
    }
}

fn signature_for(client: &str, request: Vec<u8>) -> NewSignature {
    NewSignature {
        client: client.into(),
        request,
        lifetime_seconds: None,
        scopes: None,
        networks: None,
        idempotency_key: None,
    }
}

fn named(issued: &Issued) -> Selector {
    Selector::Certificate(issued.certificate.id.parse().unwrap())
}

fn code<T: std::fmt::Debug>(outcome: Result<T, Failure>) -> &'static str {
    match outcome.unwrap_err() {
        Failure::Refused(refusal) => refusal.code,
        Failure::Fault(fault) => panic!("a fault, not a refusal: {fault}"),
    }
}

fn openssl(arguments: &[&str]) -> Output {
    Command::new("openssl").args(arguments).output().unwrap()
}

/// What OpenSSL says of it, both streams.
fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Verifies a client's certificate at the time of the tests, with these lists if there are any.
fn openssl_verifies(house: &House, issued: &Issued, lists: Option<&str>) -> (bool, String) {
    let root = house.write("root.pem", house.authority.root_pem());
    let chain = house.write("chain.pem", &issued.chain_pem);
    let leaf = house.write("leaf.pem", &issued.certificate_pem);
    let at = house.clock.now().0.to_string();
    let mut arguments = vec!["verify", "-x509_strict", "-purpose", "sslclient", "-attime", &at];
    arguments.extend(["-CAfile", &root, "-untrusted", &chain]);
    if let Some(lists) = lists {
        arguments.extend(["-crl_check_all", "-CRLfile", lists]);
    }
    arguments.push(&leaf);
    let output = openssl(&arguments);
    (output.status.success(), said(&output))
}

/// A PKCS#10 request as a partner makes it; the key lies beside it.
fn openssl_request(house: &House, name: &str, more: &[&str]) -> Vec<u8> {
    let (key, request) = (house.path().join(format!("{name}.key")), house.path().join(format!("{name}.csr")));
    let (key, request) = (key.display().to_string(), request.display().to_string());
    let subject = format!("/CN={name}");
    let mut arguments = vec!["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    arguments.extend(["-subj", &subject, "-keyout", &key, "-out", &request]);
    arguments.extend(more);
    let output = openssl(&arguments);
    assert!(output.status.success(), "{}", said(&output));
    std::fs::read(request).unwrap()
}

async fn add_client(store: &Store, partner: &str, client: &str) {
    let mut tx = store.begin().await.unwrap();
    if store::partner::get(&mut tx, partner).await.unwrap().is_none() {
        let row = PartnerRow {
            id: partner.into(),
            name: format!("{partner} Ltd"),
            contact: None,
            enabled: true,
            managed_by: None,
            withdrawn_by: None,
            networks: vec![],
            usage_plan: None,
            created_at: NOW.0,
        };
        store::partner::insert(&mut tx, &row, NOW).await.unwrap();
    }
    let row = ClientRow {
        id: client.into(),
        partner_id: partner.into(),
        description: None,
        enabled: true,
        managed_by: None,
        withdrawn_by: None,
        scopes: vec!["https://api.example.com/test/read".into(), "https://api.example.com/test/write".into()],
        networks: vec![],
        usage_plan: None,
        tokens_not_before: None,
        created_at: NOW.0,
    };
    store::client::insert(&mut tx, &row, NOW).await.unwrap();
    tx.commit().await.unwrap();
}

/// Making the authorities derives keys for a second, so it is done once and copied.
async fn copy_of_template() -> TempDir {
    static TEMPLATE: OnceCell<TempDir> = OnceCell::const_new();
    let template = TEMPLATE.get_or_init(|| async {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("portcullis.db")).await.unwrap();
        for (partner, client) in [("acme", "acme-orders"), ("acme", "acme-stock"), ("globex", "globex-orders")] {
            add_client(&store, partner, client).await;
        }
        let (keys, clock) = (keys_in(folder.path()), Clock::manual(NOW));
        Authority::initialise(&store, &keys, &names(), &settings(), &Actor::local(), &clock).await.unwrap();
        store.close().await;
        folder
    });
    let (template, copy) = (template.await.path(), tempfile::tempdir().unwrap());
    std::fs::create_dir(copy.path().join("keys")).unwrap();
    for file in ["portcullis.db", "keys/root.key", "keys/issuing.key", "keys/server-issuing.key"] {
        std::fs::copy(template.join(file), copy.path().join(file)).unwrap();
    }
    copy
}
