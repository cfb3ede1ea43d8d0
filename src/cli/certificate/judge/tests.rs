//! Chains by our own CA and by openssl.

mod bad_chains;

use std::path::PathBuf;
use std::process::Command;

use pki::{
    CrlRequest, DistributionPoints, Identity, Issuer, KeyAlgorithm, LeafRequest, PrivateKey, Profile, ProfileKind,
    RevocationList, RevocationReason, RevokedEntry, Serial,
};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

use super::chain;
use crate::listen::ChainVerdict;

/// 2027-01-15T08:00:00Z.
const NOW: i64 = 1_800_000_000;
const CRL_URL: &str = "http://pki.example.com/crl/clients.crl";

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(NOW).unwrap()
}

fn serial() -> Serial {
    let mut octets = [0; 16];
    aws_lc_rs::rand::fill(&mut octets).unwrap();
    Serial::from_random(octets)
}

fn key() -> PrivateKey {
    PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()
}

/// A root, the authority for clients below it, and a client's certificate.
struct House {
    root: Issuer,
    clients: Issuer,
    leaf: Vec<u8>,
    serial: Serial,
}

impl House {
    fn new() -> Self {
        let root_key = PrivateKey::generate(KeyAlgorithm::EcdsaP384).unwrap();
        let root =
            Issuer::self_signed(&Profile::builtin(ProfileKind::Root), "Root", root_key, serial(), now()).unwrap();
        let urls = DistributionPoints::default();
        let profile = Profile::builtin(ProfileKind::Issuing);
        let clients = Issuer::subordinate(&root, &profile, "Clients", key(), serial(), &urls, now()).unwrap();
        let request = LeafRequest {
            common_name: "acme-orders".into(),
            organization: None,
            identity: Identity::Client("spiffe://example.com/partner/acme/client/acme-orders".parse().unwrap()),
            public_key: key().public_key().clone(),
            lifetime: None,
        };
        let urls = DistributionPoints { crl: Some(CRL_URL.into()), ..DistributionPoints::default() };
        let profile = Profile::builtin(ProfileKind::Client);
        let leaf = clients.sign(clients.prepare(&profile, request, serial(), &urls, now()).unwrap()).unwrap();
        Self { root, clients, serial: leaf.serial, leaf: leaf.der }
    }

    fn chain(&self) -> Vec<Vec<u8>> {
        vec![self.leaf.clone(), self.clients.certificate_der().to_vec()]
    }

    fn judge(&self, lists: Option<&[RevocationList]>, at: i64) -> Result<(), String> {
        judged(chain(vec![self.root.certificate_der().to_vec()], &self.chain(), lists, at))
    }

    fn clients_list(&self, revoked: &[Serial]) -> RevocationList {
        list(&self.clients, Some(CRL_URL), revoked)
    }

    fn root_list(&self, revoked: &[Serial]) -> RevocationList {
        list(&self.root, None, revoked)
    }
}

/// For a day from [`NOW`].
fn list(issuer: &Issuer, address: Option<&str>, revoked: &[Serial]) -> RevocationList {
    let entry = |serial: &Serial| RevokedEntry {
        serial: *serial,
        revoked_at: now() - Duration::hours(1),
        reason: RevocationReason::KeyCompromise,
    };
    let request = CrlRequest {
        number: 1,
        this_update: now(),
        next_update: now() + Duration::days(1),
        revoked: revoked.iter().map(entry).collect(),
        distribution_point: address.map(str::to_owned),
    };
    RevocationList::parse(&issuer.sign_crl(request).unwrap().der).unwrap()
}

fn judged(verdict: ChainVerdict) -> Result<(), String> {
    match verdict {
        ChainVerdict::Accepted => Ok(()),
        ChainVerdict::Rejected(why) => Err(why),
    }
}

#[track_caller]
fn rejected(verdict: Result<(), String>, why: &str) {
    match verdict {
        Ok(()) => panic!("it was accepted"),
        Err(reason) => assert!(reason.contains(why), "{reason}"),
    }
}

#[test]
fn a_good_chain_is_accepted_within_its_dates() {
    let house = House::new();
    assert_eq!(house.judge(None, NOW), Ok(()));
    rejected(house.judge(None, NOW + 5 * 365 * 86_400), "xpired");
    rejected(house.judge(None, NOW - 86_400), "not valid yet");
}

#[test]
fn another_root_or_an_expired_one_is_no_anchor() {
    let (house, other) = (House::new(), House::new());
    let other = chain(vec![other.root.certificate_der().to_vec()], &house.chain(), None, NOW);
    rejected(judged(other), "nknown");
    let after_root = house.root.not_after().unix_timestamp() + 1;
    rejected(house.judge(None, after_root), "xpired");
    rejected(judged(chain(Vec::new(), &house.chain(), None, NOW)), "anchor");
    rejected(judged(chain(vec![house.root.certificate_der().to_vec()], &[], None, NOW)), "no certificate");
}

#[test]
fn a_leaf_on_its_issuers_list_is_revoked() {
    let house = House::new();
    assert_eq!(house.judge(Some(&[house.clients_list(&[serial()])]), NOW), Ok(()));
    let revoked = house.judge(Some(&[house.clients_list(&[house.serial])]), NOW);
    rejected(revoked.clone(), "was revoked at 2027-01-15T07:00:00Z (key-compromise)");
    rejected(revoked, house.clients.subject());
    // What stands on an old list stays revoked.
    rejected(house.judge(Some(&[house.clients_list(&[house.serial])]), NOW + 2 * 86_400), "was revoked");
    let both = [house.clients_list(&[]), house.clients_list(&[house.serial])];
    rejected(house.judge(Some(&both), NOW), "was revoked");
}

#[test]
fn an_authority_on_its_issuers_list_is_revoked() {
    let house = House::new();
    let lists = [house.clients_list(&[]), house.root_list(&[])];
    assert_eq!(house.judge(Some(&lists), NOW), Ok(()));
    let lists = [house.clients_list(&[]), house.root_list(&[house.clients.serial()])];
    rejected(house.judge(Some(&lists), NOW), "an issuing authority was revoked");
}

#[test]
fn a_list_is_demanded_of_the_leafs_issuer() {
    let house = House::new();
    rejected(house.judge(Some(&[]), NOW), &format!("there is no CRL of {}", house.clients.subject()));
    rejected(house.judge(Some(&[house.root_list(&[])]), NOW), "there is no CRL of");
    let other = House::new();
    rejected(house.judge(Some(&[other.clients_list(&[house.serial])]), NOW), "there is no CRL of");
}

#[test]
fn a_list_counts_only_while_it_is_fresh() {
    let house = House::new();
    let lists = [house.clients_list(&[])];
    assert_eq!(house.judge(Some(&lists), NOW + 86_400), Ok(()));
    rejected(house.judge(Some(&lists), NOW + 86_401), "expired at 2027-01-16T08:00:00Z");
    rejected(house.judge(Some(&lists), NOW - 1), "is not valid before 2027-01-15T08:00:00Z");
    let later = CrlRequest {
        number: 2,
        this_update: now() + Duration::days(1),
        next_update: now() + Duration::days(2),
        revoked: Vec::new(),
        distribution_point: Some(CRL_URL.into()),
    };
    let later = RevocationList::parse(&house.clients.sign_crl(later).unwrap().der).unwrap();
    let lists = [house.clients_list(&[]), later];
    assert_eq!(house.judge(Some(&lists), NOW + 86_400 + 3_600), Ok(()), "one of them is fresh");
    let stale_root = [lists[1].clone(), house.root_list(&[])];
    rejected(house.judge(Some(&stale_root), NOW + 86_400 + 3_600), "expired");
}

#[test]
fn a_list_that_is_about_others_does_not_count() {
    let house = House::new();
    let elsewhere = list(&house.clients, Some("http://pki.example.com/crl/other.crl"), &[]);
    rejected(house.judge(Some(&[elsewhere]), NOW), "scope");
    let everywhere = list(&house.clients, None, &[]);
    assert_eq!(house.judge(Some(&[everywhere]), NOW), Ok(()));
}

/// Authorities by openssl, dated by the clock.
struct Openssl(TempDir);

impl Openssl {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn must(&self, arguments: &str) {
        let done =
            Command::new("openssl").args(arguments.split_whitespace()).current_dir(self.0.path()).output().unwrap();
        assert!(done.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn root(&self, name: &str, extensions: &str) -> Vec<u8> {
        self.must(&format!(
            "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 30 -subj /CN={name} -keyout {name}.key \
             -out {name}.pem {extensions}"
        ));
        self.read(name)
    }

    /// A certificate below `issuer` with these extensions, one a line.
    fn below(&self, issuer: &str, name: &str, extensions: &str) -> Vec<u8> {
        std::fs::write(self.path("extensions"), extensions).unwrap();
        self.must(&format!(
            "req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN={name} -keyout {name}.key -out {name}.csr"
        ));
        self.must(&format!(
            "x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial -days 10 -out {name}.pem \
             -extfile extensions"
        ));
        self.read(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        pki::pem_certificates(&std::fs::read(self.path(&format!("{name}.pem"))).unwrap()).unwrap().remove(0)
    }

    fn list(&self, name: &str) -> RevocationList {
        std::fs::write(self.path("index.txt"), "").unwrap();
        std::fs::write(self.path("crlnumber"), "01\n").unwrap();
        let config = "[ca]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_md=sha256\ndefault_crl_days=1\n";
        std::fs::write(self.path("ca.cnf"), config).unwrap();
        self.must(&format!("ca -gencrl -config ca.cnf -name ca -cert {name}.pem -keyfile {name}.key -out list.pem"));
        RevocationList::read_all(&std::fs::read(self.path("list.pem")).unwrap()).unwrap().remove(0)
    }
}

/// A minute from now: openssl has just dated everything.
fn soon() -> i64 {
    crate::clock::Clock::system().now().0 + 60
}

const CA: &str = "-addext keyUsage=critical,keyCertSign,cRLSign";
const CLIENT: &str = "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth";

#[test]
fn openssl_chains_are_judged() {
    let openssl = Openssl::new();
    let root = openssl.root("root", CA);
    let leaf = openssl.below("root", "leaf", CLIENT);
    assert_eq!(judged(chain(vec![root.clone()], std::slice::from_ref(&leaf), None, soon())), Ok(()));
    let list = openssl.list("root");
    assert_eq!(judged(chain(vec![root], &[leaf], Some(&[list]), soon())), Ok(()));
}

#[test]
fn a_certificate_for_servers_is_no_clients() {
    let openssl = Openssl::new();
    let root = openssl.root("root", CA);
    let leaf = openssl.below("root", "leaf", "basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth");
    assert!(judged(chain(vec![root], &[leaf], None, soon())).is_err());
}

#[test]
fn an_authority_that_may_not_sign_certificates_signs_none() {
    let openssl = Openssl::new();
    let root = openssl.root("root", "-addext keyUsage=critical,cRLSign");
    let leaf = openssl.below("root", "leaf", CLIENT);
    rejected(judged(chain(vec![root], &[leaf], None, soon())), "keyCertSign");
}

#[test]
fn nor_does_one_within_the_chain() {
    let openssl = Openssl::new();
    let root = openssl.root("root", CA);
    for (usage, accepted) in [("keyCertSign,cRLSign", true), ("cRLSign", false)] {
        let extensions = format!("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,{usage}");
        let between = openssl.below("root", "between", &extensions);
        let leaf = openssl.below("between", "leaf", CLIENT);
        let verdict = judged(chain(vec![root.clone()], &[leaf, between], None, soon()));
        assert_eq!(verdict.is_ok(), accepted, "{usage}: {verdict:?}");
    }
}

#[test]
fn a_list_with_a_bad_signature_is_rejected() {
    let openssl = Openssl::new();
    let root = openssl.root("root", CA);
    let leaf = openssl.below("root", "leaf", CLIENT);
    // Another authority of the same name signs a list.
    let forger = Openssl::new();
    forger.root("root", CA);
    let forged = forger.list("root");
    rejected(
        judged(chain(vec![root.clone()], std::slice::from_ref(&leaf), Some(std::slice::from_ref(&forged)), soon())),
        "signature",
    );
    // Beside a good list it does no harm: nobody but the issuer can make one.
    let good = openssl.list("root");
    assert_eq!(judged(chain(vec![root], &[leaf], Some(&[forged, good]), soon())), Ok(()));
}

#[test]
fn a_list_by_an_authority_that_may_not_sign_lists_is_rejected() {
    let openssl = Openssl::new();
    let root = openssl.root("root", "-addext keyUsage=critical,keyCertSign");
    let leaf = openssl.below("root", "leaf", CLIENT);
    rejected(judged(chain(vec![root], &[leaf], Some(&[openssl.list("root")]), soon())), "cRLSign");
}
