//! One good chain, and what becomes of it when one thing about it is wrong. The verifier is the listeners' own.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};

use super::{NOW, Openssl, chain, judged, now, rejected, soon};

/// Root, authority and leaf; a case changes one of them before it is signed.
struct Chain {
    root: CertificateParams,
    authority: CertificateParams,
    leaf: CertificateParams,
}

/// What is wrong, how to do it, when it is judged (0: now), and what is said.
type Case = (&'static str, fn(&mut Chain), i64, &'static str);

const DAY: i64 = 86_400;

impl Chain {
    fn good() -> Self {
        let ca = |name: &str, length: u8, years: i64| {
            let mut params = params(name, years * 365);
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(length));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            params
        };
        let mut leaf = params("acme-orders", 90);
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        leaf.subject_alt_names = vec![SanType::DnsName("orders.acme.example".try_into().unwrap())];
        Self { root: ca("Root", 1, 10), authority: ca("Clients", 0, 3), leaf }
    }

    /// Anchor and chain, leaf first.
    fn signed(self) -> (Vec<u8>, Vec<Vec<u8>>) {
        let [root_key, authority_key, leaf_key] = [(); 3].map(|()| KeyPair::generate().unwrap());
        let root = self.root.self_signed(&root_key).unwrap().der().to_vec();
        let by_root = Issuer::from_params(&self.root, root_key);
        let authority = self.authority.signed_by(&authority_key, &by_root).unwrap().der().to_vec();
        let by_authority = Issuer::from_params(&self.authority, authority_key);
        let leaf = self.leaf.signed_by(&leaf_key, &by_authority).unwrap().der().to_vec();
        (root, vec![leaf, authority])
    }
}

/// Begun an hour ago, for so many days.
fn params(name: &str, days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = now() - Duration::hours(1);
    params.not_after = now() + Duration::days(days);
    params.use_authority_key_identifier_extension = true;
    params
}

fn critical(oid: &[u64]) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, vec![0x05, 0x00]);
    extension.set_criticality(true);
    extension
}

fn permitted(tree: GeneralSubtree) -> Option<NameConstraints> {
    Some(NameConstraints { permitted_subtrees: vec![tree], excluded_subtrees: Vec::new() })
}

fn ended() -> OffsetDateTime {
    now() - Duration::minutes(1)
}

fn later() -> OffsetDateTime {
    now() + Duration::days(1)
}

const CASES: &[Case] = &[
    (
        "the anchor has expired, and nothing below it",
        |chain| chain.root.not_after = ended(),
        0,
        "every trust anchor has expired",
    ),
    ("the anchor begins later", |chain| chain.root.not_before = later(), 0, "not valid yet"),
    ("the anchor is no authority", |chain| chain.root.is_ca = IsCa::ExplicitNoCa, 0, "not a CA certificate"),
    (
        "the anchor may sign lists only",
        |chain| chain.root.key_usages = vec![KeyUsagePurpose::CrlSign],
        0,
        "keyCertSign",
    ),
    ("the anchor has no keyUsage", |chain| chain.root.key_usages = Vec::new(), 0, "keyCertSign"),
    (
        "the anchor is for servers",
        |chain| chain.root.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
        0,
        "extendedKeyUsage lacks clientAuth",
    ),
    (
        "the anchor allows no authority below it",
        |chain| chain.root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)),
        0,
        "pathLenConstraint",
    ),
    (
        "the anchor may not speak for this name",
        |chain| chain.root.name_constraints = permitted(GeneralSubtree::DnsName("globex.example".into())),
        0,
        "may not issue for this name",
    ),
    (
        "the authority has expired",
        |chain| chain.authority.not_after = ended(),
        0,
        "a certificate in the chain has expired",
    ),
    (
        "the authority begins later",
        |chain| chain.authority.not_before = later(),
        0,
        "a certificate in the chain is not valid yet",
    ),
    (
        "the authority is none",
        |chain| chain.authority.is_ca = IsCa::ExplicitNoCa,
        0,
        "no authority's, but issued another",
    ),
    (
        "the authority may sign lists only",
        |chain| chain.authority.key_usages = vec![KeyUsagePurpose::CrlSign],
        0,
        "no trusted authority issued it",
    ),
    (
        "the authority is for servers",
        |chain| chain.authority.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
        0,
        "not for clients",
    ),
    (
        "the authority may not speak for this name",
        |chain| chain.authority.name_constraints = permitted(GeneralSubtree::DnsName("globex.example".into())),
        0,
        "may not issue for this name",
    ),
    (
        "the authority has a critical extension that nobody knows",
        |chain| chain.authority.custom_extensions.push(critical(&[1, 3, 6, 1, 4, 1, 99999, 1])),
        0,
        "critical extension",
    ),
    ("the certificate has expired", |chain| chain.leaf.not_after = ended(), 0, "the certificate has expired"),
    ("the certificate begins later", |chain| chain.leaf.not_before = later(), 0, "the certificate is not valid yet"),
    ("it is judged a year later", |_| {}, NOW + 365 * DAY, "the certificate has expired"),
    ("it is judged before it begins", |_| {}, NOW - 2 * 3600, "the certificate is not valid yet"),
    (
        "the certificate is an authority's",
        |chain| chain.leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
        0,
        "an authority's certificate, not a client's",
    ),
    (
        "the certificate is for servers",
        |chain| chain.leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
        0,
        "not for clients",
    ),
    (
        "the certificate's key may only decipher",
        |chain| chain.leaf.key_usages = vec![KeyUsagePurpose::KeyEncipherment],
        0,
        "digitalSignature",
    ),
    (
        "the certificate has a critical extension that nobody knows",
        |chain| chain.leaf.custom_extensions.push(critical(&[1, 3, 6, 1, 4, 1, 99999, 1])),
        0,
        "critical extension",
    ),
    (
        "the certificate has an extension twice",
        |chain| {
            let twice = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 2], vec![0x05, 0x00]);
            chain.leaf.custom_extensions = vec![twice.clone(), twice];
        },
        0,
        "cannot be read",
    ),
    (
        "the certificate's serial is longer than 20 octets",
        |chain| chain.leaf.serial_number = Some(SerialNumber::from_slice(&[0x41; 21])),
        0,
        "cannot be read",
    ),
    (
        "the certificate ends before it begins",
        |chain| {
            chain.leaf.not_before = now() - Duration::days(1);
            chain.leaf.not_after = now() - Duration::days(2);
        },
        0,
        "expired",
    ),
];

#[test]
fn a_chain_with_one_thing_wrong_is_rejected_and_the_reason_named() {
    let (root, good) = Chain::good().signed();
    assert_eq!(judged(chain(vec![root], &good, None, NOW)), Ok(()), "else the table proves nothing");
    let mut wrong = Vec::new();
    for (name, spoil, at, reason) in CASES {
        let mut spoilt = Chain::good();
        spoil(&mut spoilt);
        let (root, certificates) = spoilt.signed();
        let at = if *at == 0 { NOW } else { *at };
        match judged(chain(vec![root], &certificates, None, at)) {
            Err(why) if why.contains(reason) => {}
            other => wrong.push(format!("{name}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_sent_with_the_certificate_neither_helps_nor_harms() {
    let (root, good) = Chain::good().signed();
    let (other_root, other) = Chain::good().signed();
    let verdict = |anchors: &[&Vec<u8>], certificates: &[&Vec<u8>]| {
        let certificates: Vec<Vec<u8>> = certificates.iter().map(|der| (*der).clone()).collect();
        judged(chain(anchors.iter().map(|der| (*der).clone()).collect(), &certificates, None, NOW))
    };
    let (leaf, authority) = (&good[0], &good[1]);
    rejected(verdict(&[&root], &[leaf]), "no trusted authority issued it");
    assert_eq!(verdict(&[&root], &[leaf, &other[0], &other[1], authority]), Ok(()), "in any order, among others");
    assert_eq!(verdict(&[&other_root, &root], &[leaf, authority]), Ok(()), "whichever anchor it is");
    assert_eq!(verdict(&[authority], &[leaf]), Ok(()), "an issuing authority may be an anchor");
    // The other root has the same name and another key.
    rejected(verdict(&[&other_root], &[leaf, authority]), "a signature in the chain does not verify");
    rejected(verdict(&[&root], &[authority, leaf]), "an authority's certificate, not a client's");
    rejected(
        verdict(&[&root], &[leaf, authority, authority, authority, authority, authority, authority]),
        "more than 6",
    );
}

#[test]
fn octets_that_were_touched_are_noticed() {
    let (root, good) = Chain::good().signed();
    let touched = |touch: fn(&mut Vec<u8>)| {
        let mut leaf = good[0].clone();
        touch(&mut leaf);
        judged(chain(vec![root.clone()], &[leaf, good[1].clone()], None, NOW))
    };
    rejected(touched(|leaf| *leaf.last_mut().unwrap() ^= 1), "a signature in the chain does not verify");
    rejected(touched(|leaf| leaf.push(0)), "cannot be read");
    rejected(touched(|leaf| leaf.truncate(100)), "cannot be read");
    rejected(touched(Vec::clear), "cannot be read");
}

/// An anchor that allows two authorities below it and is given three, in each order in which they may come.
#[test]
fn a_path_is_no_longer_than_its_anchor_allows() {
    for (length, accepted) in [(1, false), (2, true)] {
        let mut root = Chain::good().root;
        root.is_ca = IsCa::Ca(BasicConstraints::Constrained(length));
        let mut authorities = Vec::new();
        let root_key = KeyPair::generate().unwrap();
        let anchor = root.self_signed(&root_key).unwrap().der().to_vec();
        let mut above = Issuer::from_params(&root, root_key);
        let mut made = Vec::new();
        for name in ["First", "Second"] {
            let mut between = params(name, 365);
            between.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            between.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            made.push(between);
        }
        for between in &made {
            let key = KeyPair::generate().unwrap();
            authorities.push(between.signed_by(&key, &above).unwrap().der().to_vec());
            above = Issuer::from_params(between, key);
        }
        let leaf = Chain::good().leaf.signed_by(&KeyPair::generate().unwrap(), &above).unwrap().der().to_vec();
        for order in [[0, 1], [1, 0]] {
            let certificates = vec![leaf.clone(), authorities[order[0]].clone(), authorities[order[1]].clone()];
            let verdict = judged(chain(vec![anchor.clone()], &certificates, None, NOW));
            match accepted {
                true => assert_eq!(verdict, Ok(()), "{order:?}"),
                false => rejected(verdict, "pathLenConstraint"),
            }
        }
    }
}

#[test]
fn weak_keys_and_weak_signatures_are_rejected() {
    let openssl = Openssl::new();
    let root = openssl.root("root", super::CA);
    openssl.must("req -new -nodes -newkey rsa:1024 -subj /CN=weak -keyout weak.key -out weak.csr");
    std::fs::write(openssl.path("extensions"), super::CLIENT).unwrap();
    openssl.must("x509 -req -in weak.csr -CA root.pem -CAkey root.key -CAcreateserial -days 10 -out weak.pem -extfile extensions");
    rejected(judged(chain(vec![root.clone()], &[openssl.read("weak")], None, soon())), "shorter than 2048 bits");
    openssl.must("req -new -nodes -newkey rsa:2048 -subj /CN=sha1 -keyout sha1.key -out sha1.csr");
    openssl.must("x509 -req -sha1 -in sha1.csr -CA root.pem -CAkey root.key -CAcreateserial -days 10 -out sha1.pem -extfile extensions");
    rejected(judged(chain(vec![root.clone()], &[openssl.read("sha1")], None, soon())), "weak or unknown algorithm");
    // An authority with a short key.
    openssl.must(
        "req -x509 -nodes -newkey rsa:1024 -days 30 -subj /CN=short -keyout short.key -out short.pem -addext keyUsage=critical,keyCertSign",
    );
    let leaf = openssl.below("short", "leaf", super::CLIENT);
    assert!(judged(chain(vec![openssl.read("short")], &[leaf], None, soon())).is_err());
}
