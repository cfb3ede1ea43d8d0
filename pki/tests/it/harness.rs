use std::path::PathBuf;
use std::process::{Command, Stdio};

use pki::{
    DistributionPoints, Identity, IssuedCertificate, Issuer, KeyAlgorithm, LeafRequest, PrivateKey, Profile,
    ProfileKind, PublicKey, Serial, SpiffeId, VerifiedRequest,
};
use tempfile::TempDir;
use time::OffsetDateTime;

/// 2027-01-15T08:00:00Z.
pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) const CRL_URL: &str = "http://pki.example.com/crl/clients.crl";

pub(crate) fn at(unix: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix).unwrap()
}

pub(crate) fn now() -> OffsetDateTime {
    at(NOW)
}

pub(crate) fn serial() -> Serial {
    let mut octets = [0; 16];
    aws_lc_rs::rand::fill(&mut octets).unwrap();
    Serial::from_random(octets)
}

pub(crate) fn key(algorithm: KeyAlgorithm) -> PrivateKey {
    PrivateKey::generate(algorithm).unwrap()
}

pub(crate) fn urls() -> DistributionPoints {
    DistributionPoints {
        crl: Some(CRL_URL.into()),
        ca_issuers: Some("http://pki.example.com/ca/clients.cer".into()),
        ocsp: Some("http://pki.example.com/ocsp".into()),
    }
}

pub(crate) fn client_id() -> SpiffeId {
    "spiffe://api.example.com/partner/acme/client/acme-orders".parse().unwrap()
}

pub(crate) fn client_request(public_key: &PublicKey) -> LeafRequest {
    LeafRequest {
        common_name: "acme-orders".into(),
        organization: Some("Acme".into()),
        identity: Identity::Client(client_id()),
        public_key: public_key.clone(),
        lifetime: None,
    }
}

/// A root and its two issuing authorities.
pub(crate) struct Hierarchy {
    pub(crate) root: Issuer,
    pub(crate) clients: Issuer,
    pub(crate) servers: Issuer,
}

impl Hierarchy {
    pub(crate) fn new() -> Self {
        let root_key = key(KeyAlgorithm::EcdsaP384);
        let root = Issuer::self_signed(&Profile::builtin(ProfileKind::Root), "Example Root", root_key, serial(), now())
            .unwrap();
        let below = |kind, name: &str| {
            let (profile, key) = (Profile::builtin(kind), key(KeyAlgorithm::EcdsaP256));
            let urls = DistributionPoints {
                crl: Some("http://pki.example.com/crl/root.crl".into()),
                ca_issuers: Some("http://pki.example.com/ca/root.cer".into()),
                ocsp: None,
            };
            Issuer::subordinate(&root, &profile, name, key, serial(), &urls, now()).unwrap()
        };
        let clients = below(ProfileKind::Issuing, "Example Clients");
        let servers = below(ProfileKind::ServerIssuing, "Example Servers");
        Self { root, clients, servers }
    }

    pub(crate) fn issue_client(&self, public_key: &PublicKey) -> IssuedCertificate {
        self.issue(&self.clients, client_request(public_key))
    }

    pub(crate) fn issue(&self, issuer: &Issuer, request: LeafRequest) -> IssuedCertificate {
        let profile = Profile::builtin(request.identity.profile_kind());
        issuer.sign(issuer.prepare(&profile, request, serial(), &urls(), now()).unwrap()).unwrap()
    }
}

/// A directory with files for OpenSSL, and OpenSSL run inside it.
pub(crate) struct Openssl(TempDir);

pub(crate) struct Answer {
    pub(crate) ok: bool,
    /// Standard output and standard error.
    pub(crate) text: String,
}

impl Openssl {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> &Self {
        std::fs::write(self.path(name), contents).unwrap();
        self
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// Runs `openssl` with arguments separated by blanks, in the directory.
    pub(crate) fn run(&self, arguments: &str) -> Answer {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .output()
            .expect("these tests need the openssl program");
        let text = [output.stdout, output.stderr].map(|stream| String::from_utf8_lossy(&stream).into_owned()).concat();
        Answer { ok: output.status.success(), text }
    }

    /// The same, for what must succeed.
    pub(crate) fn must(&self, arguments: &str) -> String {
        let answer = self.run(arguments);
        assert!(answer.ok, "openssl {arguments}: {}", answer.text);
        answer.text
    }

    /// `openssl x509 -text` of a DER certificate.
    pub(crate) fn x509_text(&self, der: &[u8]) -> String {
        self.write("shown.der", der).must("x509 -inform DER -in shown.der -noout -text -nameopt RFC2253")
    }

    /// Writes root.pem, chain.pem (the clients' authority) and leaf.pem, and verifies the leaf for a purpose at a time.
    pub(crate) fn verify(&self, hierarchy: &Hierarchy, authority: &Issuer, leaf: &[u8], options: &str) -> Answer {
        self.write("root.pem", hierarchy.root.certificate_pem())
            .write("chain.pem", authority.certificate_pem())
            .write("leaf.pem", pki::pem_certificate(leaf))
            .run(&format!(
                "verify -x509_strict -attime {} -CAfile root.pem -untrusted chain.pem {options} leaf.pem",
                NOW + 60
            ))
    }

    /// A request with a new key, made with these arguments of `openssl req`.
    pub(crate) fn csr(&self, arguments: &str) -> Vec<u8> {
        self.must(&format!("req -new -nodes -subj /O=Acme/CN=acme-orders -keyout key.pem -out csr.pem {arguments}"));
        self.read("csr.pem")
    }
}

/// The stable code of an error.
pub(crate) fn code<T>(result: Result<T, pki::Error>) -> &'static str {
    result.err().expect("it must be refused").code()
}

pub(crate) fn parse_csr(bytes: &[u8]) -> Result<VerifiedRequest, pki::Error> {
    VerifiedRequest::parse(bytes)
}
