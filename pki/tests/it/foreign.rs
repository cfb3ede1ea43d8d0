use pki::{
    CoveredCertificate, CrlRequest, KeyAlgorithm, PathAuthority, RevocationReason, RevokedEntry, SubjectNames,
    VerifiedRevocationList, check_foreign_leaf, find_paths,
};
use time::Duration;

use crate::harness::{CRL_URL, Hierarchy, Openssl, code, key, now, serial};

fn authority(der: &[u8]) -> PathAuthority {
    PathAuthority::parse(der).unwrap()
}

fn request(number: u64, revoked: Vec<RevokedEntry>) -> CrlRequest {
    CrlRequest {
        number,
        this_update: now(),
        next_update: now() + Duration::days(1),
        revoked,
        distribution_point: Some(CRL_URL.into()),
    }
}

fn entry(serial: pki::Serial) -> RevokedEntry {
    RevokedEntry { serial, revoked_at: now(), reason: RevocationReason::Superseded }
}

/// An authority made by OpenSSL under the name `subject`; `issuer` signs it, or it itself.
fn make_authority(openssl: &Openssl, name: &str, subject: &str, issuer: Option<&str>, extensions: &str) -> Vec<u8> {
    openssl.write(&format!("{name}.cnf"), format!("basicConstraints=critical,CA:TRUE\n{extensions}\n"));
    openssl.must(&format!(
        "req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN={subject} -keyout {name}.key -out {name}.csr"
    ));
    let by = issuer.map_or(format!("-key {name}.key"), |issuer| format!("-CA {issuer}.pem -CAkey {issuer}.key"));
    openssl.must(&format!("x509 -req -in {name}.csr {by} -days 30 -extfile {name}.cnf -out {name}.pem"));
    pki::pem_certificates(&openssl.read(&format!("{name}.pem"))).unwrap().remove(0)
}

fn make_leaf(openssl: &Openssl, issuer: &str, extensions: &str) -> Vec<u8> {
    openssl.write("leaf.cnf", extensions);
    openssl.must(
        "req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=leaf -keyout leaf.key -out leaf.csr",
    );
    openssl.must(&format!(
        "x509 -req -in leaf.csr -CA {issuer}.pem -CAkey {issuer}.key -days 3 -extfile leaf.cnf -out leaf.pem"
    ));
    pki::pem_certificates(&openssl.read("leaf.pem")).unwrap().remove(0)
}

const SIGNS: &str = "keyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash";
const CLIENT: &str = "extendedKeyUsage=clientAuth\nauthorityKeyIdentifier=keyid";

#[test]
fn a_leaf_hangs_where_its_signatures_say() {
    let openssl = Openssl::new();
    let root = make_authority(&openssl, "root", "partner-root", None, SIGNS);
    let issuing = make_authority(&openssl, "issuing", "partner-issuing", Some("root"), SIGNS);
    // Another authority of the same name, and one that claims the first one's key identifier too.
    let twin = make_authority(&openssl, "twin", "partner-issuing", None, SIGNS);
    let id = authority(&issuing).facts().key_id.clone().unwrap().to_string();
    let liar_says = format!("keyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier={id}");
    let liar = make_authority(&openssl, "liar", "partner-issuing", None, &liar_says);
    let leaf = make_leaf(&openssl, "issuing", CLIENT);
    let (root, issuing, twin, liar) = (authority(&root), authority(&issuing), authority(&twin), authority(&liar));
    let between = [twin.clone(), liar.clone(), issuing.clone()];
    let [path] = <[_; 1]>::try_from(find_paths(&leaf, &between, std::slice::from_ref(&root))).unwrap();
    assert_eq!((path.intermediates, path.anchor), (vec![2], 0));
    // Of two anchors, one below the other, the nearer comes first, and no path leads through an anchor.
    let paths = find_paths(&leaf, &between, &[root.clone(), issuing.clone()]);
    assert_eq!(paths.iter().map(|path| (path.intermediates.len(), path.anchor)).collect::<Vec<_>>(), [(0, 1)]);
    for strangers in [vec![twin], vec![liar], vec![]] {
        assert!(find_paths(&leaf, &strangers, &strangers).is_empty());
    }
    assert!(find_paths(&leaf, &[], &[root]).is_empty(), "the authority between is not there");
}

#[test]
fn an_anchor_bounds_the_length_of_a_path() {
    let openssl = Openssl::new();
    let short = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash";
    openssl.write("root.cnf", short);
    openssl.must(
        "req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=short -keyout root.key -out root.csr",
    );
    openssl.must("x509 -req -in root.csr -key root.key -days 30 -extfile root.cnf -out root.pem");
    let root = authority(&pki::pem_certificates(&openssl.read("root.pem")).unwrap().remove(0));
    let direct = make_leaf(&openssl, "root", CLIENT);
    assert_eq!(find_paths(&direct, &[], std::slice::from_ref(&root)).len(), 1);
    let below = authority(&make_authority(&openssl, "below", "below", Some("root"), SIGNS));
    let deep = make_leaf(&openssl, "below", CLIENT);
    assert!(find_paths(&deep, &[below], &[root]).is_empty());
}

#[test]
fn a_search_ends_however_many_authorities_share_a_name() {
    let openssl = Openssl::new();
    let mut anchors = Vec::new();
    for number in 0..4 {
        anchors.push(authority(&make_authority(&openssl, &format!("a{number}"), "same", None, "keyUsage=keyCertSign")));
    }
    let leaf = make_leaf(&openssl, "a3", "extendedKeyUsage=clientAuth");
    let many: Vec<_> = anchors.iter().cloned().cycle().take(200).collect();
    // Thirty-two signatures are tried, and no more.
    assert_eq!(find_paths(&leaf, &many, &many[..3]).len(), 0);
    assert_eq!(find_paths(&leaf, &[], &anchors).len(), 1);
}

#[test]
fn an_anchor_must_be_one_for_clients() {
    let openssl = Openssl::new();
    let usage = |name: &str, more: &str| {
        let der = make_authority(&openssl, name, name, None, &format!("{SIGNS}\n{more}"));
        PathAuthority::parse(&der).map(drop)
    };
    assert_eq!(code(usage("servers", "extendedKeyUsage=serverAuth")), "not_an_authority");
    usage("both", "extendedKeyUsage=serverAuth,clientAuth").unwrap();
    let lists = make_authority(&openssl, "lists", "lists", None, "keyUsage=cRLSign");
    assert_eq!(code(PathAuthority::parse(&lists)), "not_an_authority");
}

#[test]
fn a_leaf_must_say_that_it_is_a_clients() {
    let openssl = Openssl::new();
    make_authority(&openssl, "root", "root", None, SIGNS);
    for (extensions, good) in [
        (CLIENT, true),
        ("extendedKeyUsage=serverAuth,clientAuth", true),
        ("extendedKeyUsage=serverAuth", false),
        ("extendedKeyUsage=anyExtendedKeyUsage", false),
        ("keyUsage=digitalSignature", false),
        ("basicConstraints=CA:TRUE\nextendedKeyUsage=clientAuth", false),
    ] {
        assert_eq!(check_foreign_leaf(&make_leaf(&openssl, "root", extensions)).is_ok(), good, "{extensions}");
    }
}

#[test]
fn every_name_is_read() {
    let openssl = Openssl::new();
    make_authority(&openssl, "root", "root", None, SIGNS);
    let names = "subjectAltName=DNS:a.example,DNS:*.b.example,URI:spiffe://c/d,email:e@f.example,IP:192.0.2.1,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:g@h";
    let read = SubjectNames::read(&make_leaf(&openssl, "root", names)).unwrap();
    assert_eq!((read.dns.len(), read.uris.len(), read.emails.len(), read.others), (2, 1, 1, 2), "{read:?}");
    assert_eq!(read.common_name.as_deref(), Some("leaf"));
    assert_eq!(SubjectNames::read(&make_leaf(&openssl, "root", "")).unwrap().dns, Vec::<String>::new());
}

#[test]
fn a_compact_list_says_the_same() {
    let hierarchy = Hierarchy::new();
    let issuer = authority(hierarchy.clients.certificate_der());
    let serials: Vec<_> = (0..500).map(|_| serial()).collect();
    let crl = hierarchy.clients.sign_crl(request(7, serials.iter().copied().map(entry).collect())).unwrap();
    let leaf = hierarchy.issue_client(key(KeyAlgorithm::EcdsaP256).public_key());
    for bytes in [crl.der.clone(), crl.pem().into_bytes()] {
        let read = VerifiedRevocationList::read_all(&bytes, std::slice::from_ref(&issuer)).unwrap();
        let [(list, der)] = <[_; 1]>::try_from(read).unwrap();
        assert_eq!(der, crl.der);
        assert_eq!(
            (list.len(), list.this_update(), list.next_update()),
            (500, now().unix_timestamp(), now().unix_timestamp() + 86_400)
        );
        assert!(serials.iter().all(|serial| list.contains(serial)));
        assert!(!list.contains(&leaf.serial) && !list.contains(&serial()));
        let covers = |issuer: &PathAuthority, der: &[u8]| list.covers(issuer, &CoveredCertificate::read(der).unwrap());
        assert!(covers(&issuer, &leaf.der));
        assert!(!covers(&issuer, hierarchy.clients.certificate_der()), "it is about end entities only");
        assert!(!covers(&authority(hierarchy.root.certificate_der()), &leaf.der), "it is the issuing authority's");
    }
    let empty = hierarchy.clients.sign_crl(request(8, vec![])).unwrap();
    assert!(VerifiedRevocationList::parse(&empty.der, &[issuer]).unwrap().is_empty());
}

#[test]
fn no_octet_of_a_compact_list_can_be_changed() {
    let hierarchy = Hierarchy::new();
    let issuer = [authority(hierarchy.clients.certificate_der())];
    let crl = hierarchy.clients.sign_crl(request(7, vec![entry(serial())])).unwrap();
    // Unlike x509-parser, this reader holds the unsigned copy of the algorithm against the signed one octet by octet.
    for position in 0..crl.der.len() {
        let mut changed = crl.der.clone();
        changed[position] ^= 1;
        assert!(VerifiedRevocationList::parse(&changed, &issuer).is_err(), "octet {position} can be changed");
    }
    for length in 0..crl.der.len() {
        assert!(VerifiedRevocationList::parse(&crl.der[..length], &issuer).is_err());
    }
    assert_eq!(code(VerifiedRevocationList::parse(&[&crl.der[..], &[0]].concat(), &issuer)), "invalid_crl");
    let other = [authority(hierarchy.root.certificate_der())];
    assert_eq!(code(VerifiedRevocationList::parse(&crl.der, &other)), "invalid_crl");
}

#[test]
fn an_older_list_is_known_for_one() {
    let hierarchy = Hierarchy::new();
    let issuer = [authority(hierarchy.clients.certificate_der())];
    let list = |number, later: i64| {
        let at = now() + Duration::seconds(later);
        let request = CrlRequest { this_update: at, next_update: at + Duration::days(1), ..request(number, vec![]) };
        VerifiedRevocationList::parse(&hierarchy.clients.sign_crl(request).unwrap().der, &issuer).unwrap()
    };
    let held = list(300, 100);
    assert!(
        list(299, 200).is_older_than(&held) && list(2, 200).is_older_than(&held) && list(300, 99).is_older_than(&held)
    );
    assert!(!list(301, 0).is_older_than(&held) && !held.is_older_than(&held) && !list(65_536, 0).is_older_than(&held));
    assert_eq!(list(1, 0).place(), held.place());
    let full = CrlRequest { distribution_point: None, ..request(1, vec![]) };
    let full = VerifiedRevocationList::parse(&hierarchy.clients.sign_crl(full).unwrap().der, &issuer).unwrap();
    assert_ne!(full.place(), held.place(), "lists of two scopes stand beside each other");
}

#[test]
fn lists_that_cannot_decide_alone_are_refused() {
    let openssl = Openssl::new();
    let ca = authority(&make_authority(&openssl, "ca", "ca", None, SIGNS));
    let list = |extensions: &str, index: &str| {
        openssl.write("index.txt", index).write("number", "1000\n").write(
            "ca.cnf",
            format!(
                "[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\ncrlnumber=number\ndefault_md=sha256\ndefault_crl_days=1\n\
                 crl_extensions=crl\n[crl]\n{extensions}\n[scope]\nfullname=URI:http://x.example/c\n[some]\nonlysomereasons=keyCompromise\n\
                 [indirect]\nindirectCRL=TRUE\n"
            ),
        );
        openssl.must("ca -gencrl -config ca.cnf -cert ca.pem -keyfile ca.key -out crl.pem");
        VerifiedRevocationList::read_all(&openssl.read("crl.pem"), std::slice::from_ref(&ca))
            .map(|mut lists| lists.remove(0).0)
    };
    // RSA or EC, with and without reasons, short serials and ones with a sign octet.
    let two = "R\t300101000000Z\t270101000000Z,keyCompromise\t00F1\tunknown\t/CN=a\nR\t300101000000Z\t270101000000Z\t05\tunknown\t/CN=b\n";
    let read = list("authorityKeyIdentifier=keyid", two).unwrap();
    assert_eq!(read.len(), 2);
    for (serial, found) in [("f1", true), ("05", true), ("0005", true), ("f105", false), ("f2", false)] {
        assert_eq!(read.contains(&serial.parse().unwrap()), found, "{serial}");
    }
    list("issuingDistributionPoint=critical,@scope", two).unwrap();
    for extensions in [
        "issuingDistributionPoint=critical,@some",
        "issuingDistributionPoint=critical,@indirect",
        "2.5.29.27=critical,DER:020101",
        "1.2.3.4=critical,DER:0500",
    ] {
        assert_eq!(code(list(extensions, two)), "invalid_crl", "{extensions}");
    }
    let blind = make_authority(&openssl, "blind", "ca", None, "keyUsage=keyCertSign");
    openssl.must("ca -gencrl -config ca.cnf -cert blind.pem -keyfile blind.key -out crl.pem");
    let blind = [ca, authority(&blind)];
    assert!(VerifiedRevocationList::read_all(&openssl.read("crl.pem"), &blind).is_err());
}
