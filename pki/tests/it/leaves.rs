use pki::{
    ClientCertificate, DistributionPoints, ExtendedKeyUsage, Identity, Issuer, KeyAlgorithm, LeafRequest, Profile,
    ProfileConfig, ProfileKind,
};
use time::Duration;

use crate::harness::{CRL_URL, Hierarchy, NOW, Openssl, at, client_id, client_request, code, key, now, serial, urls};

/// The lines that follow a heading of `openssl x509 -text`, up to the next extension.
fn extension(text: &str, name: &str) -> String {
    let mut lines = text.lines().skip_while(|line| !line.trim_start().starts_with(name));
    let heading = lines.next().unwrap_or_else(|| panic!("no {name} in {text}"));
    let indent = |line: &str| line.len() - line.trim_start().len();
    let body: Vec<&str> =
        lines.take_while(|line| line.is_empty() || indent(line) > indent(heading)).map(str::trim).collect();
    let critical = if heading.contains("critical") { "critical " } else { "" };
    format!("{critical}{}", body.join(" ").trim())
}

fn colons(hex: &str) -> String {
    let pairs: Vec<String> =
        hex.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).to_uppercase()).collect();
    pairs.join(":")
}

#[test]
fn a_client_certificate_is_exactly_the_profile() {
    let (hierarchy, openssl) = (Hierarchy::new(), Openssl::new());
    let key = key(KeyAlgorithm::EcdsaP256);
    let leaf = hierarchy.issue_client(key.public_key());
    let text = openssl.x509_text(&leaf.der);
    assert_eq!(extension(&text, "X509v3 Extended Key Usage"), "TLS Web Client Authentication");
    assert_eq!(extension(&text, "X509v3 Key Usage"), "critical Digital Signature");
    assert_eq!(extension(&text, "X509v3 Basic Constraints"), "critical CA:FALSE");
    assert_eq!(extension(&text, "X509v3 Subject Alternative Name"), format!("URI:{}", client_id()));
    assert_eq!(extension(&text, "X509v3 Subject Key Identifier"), colons(&key.public_key().key_id().to_string()));
    assert_eq!(extension(&text, "X509v3 Authority Key Identifier"), colons(&hierarchy.clients.key_id().to_string()));
    assert_eq!(extension(&text, "X509v3 CRL Distribution Points"), format!("Full Name: URI:{CRL_URL}"));
    assert_eq!(
        extension(&text, "Authority Information Access"),
        "OCSP - URI:http://pki.example.com/ocsp CA Issuers - URI:http://pki.example.com/ca/clients.cer"
    );
    assert_eq!(text.matches("X509v3 ").count() + text.matches("Authority Information Access").count(), 9, "{text}");
    assert!(text.contains("Version: 3 (0x2)"));
    assert!(text.contains("Subject: CN=acme-orders,O=Acme"));
    assert!(text.contains("Not Before: Jan 15 07:55:00 2027 GMT"), "{text}");
    assert!(text.contains("Not After : Apr 15 08:00:00 2027 GMT"));
    assert!(text.contains("Signature Algorithm: ecdsa-with-SHA256"));
}

#[test]
fn openssl_accepts_a_client_for_clients_only() {
    let (hierarchy, openssl) = (Hierarchy::new(), Openssl::new());
    let leaf = hierarchy.issue_client(key(KeyAlgorithm::EcdsaP256).public_key());
    let client = openssl.verify(&hierarchy, &hierarchy.clients, &leaf.der, "-purpose sslclient");
    assert!(client.ok, "{}", client.text);
    assert!(!openssl.verify(&hierarchy, &hierarchy.clients, &leaf.der, "-purpose sslserver").ok);
}

#[test]
fn a_server_certificate_names_hosts_and_serves_servers_only() {
    let (hierarchy, openssl) = (Hierarchy::new(), Openssl::new());
    let request = LeafRequest {
        common_name: "Gateway".into(),
        organization: None,
        identity: Identity::Server {
            dns: vec!["api.example.com".into(), "localhost".into()],
            ips: vec!["127.0.0.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        },
        public_key: key(KeyAlgorithm::EcdsaP256).public_key().clone(),
        lifetime: Some(Duration::days(7)),
    };
    let leaf = hierarchy.issue(&hierarchy.servers, request);
    let text = openssl.x509_text(&leaf.der);
    assert_eq!(extension(&text, "X509v3 Extended Key Usage"), "TLS Web Server Authentication");
    assert_eq!(
        extension(&text, "X509v3 Subject Alternative Name"),
        "DNS:api.example.com, DNS:localhost, IP Address:127.0.0.1, IP Address:2001:DB8:0:0:0:0:0:1"
    );
    let options = "-purpose sslserver -verify_hostname api.example.com -verify_ip 127.0.0.1";
    let server = openssl.verify(&hierarchy, &hierarchy.servers, &leaf.der, options);
    assert!(server.ok, "{}", server.text);
    assert!(!openssl.verify(&hierarchy, &hierarchy.servers, &leaf.der, "-purpose sslclient").ok);
}

#[test]
fn an_ocsp_signer_has_nocheck_and_no_addresses() {
    let (hierarchy, openssl) = (Hierarchy::new(), Openssl::new());
    let request = LeafRequest {
        common_name: "OCSP".into(),
        organization: None,
        identity: Identity::Ocsp,
        public_key: key(KeyAlgorithm::EcdsaP256).public_key().clone(),
        lifetime: None,
    };
    let leaf = hierarchy.issue(&hierarchy.clients, request);
    let text = openssl.x509_text(&leaf.der);
    assert_eq!(extension(&text, "X509v3 Extended Key Usage"), "OCSP Signing");
    assert!(text.contains("OCSP No Check"));
    assert!(
        !text.contains("CRL Distribution") && !text.contains("Information Access") && !text.contains("Alternative")
    );
    assert!(openssl.verify(&hierarchy, &hierarchy.clients, &leaf.der, "-purpose ocsphelper").ok);
}

#[test]
fn authorities_say_what_they_may_issue() {
    let (hierarchy, openssl) = (Hierarchy::new(), Openssl::new());
    let root = openssl.x509_text(hierarchy.root.certificate_der());
    assert_eq!(extension(&root, "X509v3 Basic Constraints"), "critical CA:TRUE, pathlen:2");
    assert_eq!(extension(&root, "X509v3 Key Usage"), "critical Certificate Sign, CRL Sign");
    assert!(!root.contains("Extended Key Usage"));
    assert!(root.contains("Signature Algorithm: ecdsa-with-SHA384"));
    let clients = openssl.x509_text(hierarchy.clients.certificate_der());
    assert_eq!(extension(&clients, "X509v3 Basic Constraints"), "critical CA:TRUE, pathlen:0");
    assert_eq!(extension(&clients, "X509v3 Key Usage"), "critical Certificate Sign, CRL Sign");
    assert_eq!(extension(&clients, "X509v3 Extended Key Usage"), "TLS Web Client Authentication, OCSP Signing");
    assert_eq!(extension(&clients, "X509v3 Authority Key Identifier"), colons(&hierarchy.root.key_id().to_string()));
    let servers = openssl.x509_text(hierarchy.servers.certificate_der());
    assert_eq!(extension(&servers, "X509v3 Extended Key Usage"), "TLS Web Server Authentication, OCSP Signing");
}

#[test]
fn the_gate_reads_what_was_issued() {
    let hierarchy = Hierarchy::new();
    let key = key(KeyAlgorithm::EcdsaP256);
    let leaf = hierarchy.issue_client(key.public_key());
    let seen = ClientCertificate::parse(&leaf.der).unwrap();
    assert_eq!(seen.issuer_key_id.as_ref(), Some(hierarchy.clients.key_id()));
    assert_eq!(seen.issuer_key_id.as_ref(), Some(&leaf.issuer_key_id));
    assert_eq!((seen.serial, seen.thumbprint), (leaf.serial, leaf.thumbprint));
    assert_eq!((seen.not_before, seen.not_after), (NOW - 300, NOW + 7_776_000));
    assert_eq!((at(seen.not_before), at(seen.not_after)), (leaf.not_before, leaf.not_after));
    assert_eq!(seen.spiffe_id, Some(client_id()));
    assert_eq!(seen.common_name.as_deref(), Some("acme-orders"));
    assert_eq!(seen.spki_fingerprint, key.public_key().fingerprint());
    assert_eq!(seen.key_algorithm, Some(KeyAlgorithm::EcdsaP256));
    assert!(!seen.is_ca && seen.is_client_only());
    assert_eq!(seen.extended_key_usage, Some(vec![ExtendedKeyUsage::ClientAuth]));
    assert!(ClientCertificate::parse(hierarchy.clients.certificate_der()).unwrap().is_ca);
    let trailing = [leaf.der.as_slice(), &[0]].concat();
    assert_eq!(code(ClientCertificate::parse(&trailing)), "malformed_certificate");
}

#[test]
fn serial_thumbprint_and_key_id_are_those_openssl_prints() {
    let (hierarchy, openssl) = (Hierarchy::new(), Openssl::new());
    let leaf = hierarchy.issue_client(key(KeyAlgorithm::EcdsaP256).public_key());
    openssl.write("leaf.der", &leaf.der);
    let printed = openssl.must("x509 -inform DER -in leaf.der -noout -serial -fingerprint -sha256");
    let value = |name: &str| printed.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    assert_eq!(value("serial=").parse(), Ok(leaf.serial));
    assert_eq!(value("sha256 Fingerprint=").parse(), Ok(leaf.thumbprint));
    assert_eq!(leaf.serial.as_bytes().len(), 16);
    // RFC 7093 method 1 hashes the key's bits without the SubjectPublicKeyInfo around them: the last 65 octets for P-256.
    openssl.must("x509 -inform DER -in leaf.der -noout -pubkey -out pub.pem");
    openssl.must("pkey -pubin -in pub.pem -outform DER -out pub.der");
    let spki = openssl.read("pub.der");
    openssl.write("bits", &spki[spki.len() - 65..]);
    let digest = openssl.must("dgst -sha256 -r bits");
    let text = openssl.x509_text(&leaf.der);
    assert_eq!(extension(&text, "X509v3 Subject Key Identifier"), colons(&digest[..40]));
}

#[test]
fn two_certificates_for_one_key_have_different_serials() {
    let hierarchy = Hierarchy::new();
    let key = key(KeyAlgorithm::EcdsaP256);
    let (one, two) = (hierarchy.issue_client(key.public_key()), hierarchy.issue_client(key.public_key()));
    assert_ne!(one.serial, two.serial);
    assert_ne!(one.thumbprint, two.thumbprint);
    assert_eq!(one.spki_fingerprint, two.spki_fingerprint);
}

#[test]
fn dates_after_2049_are_generalized_time() {
    let openssl = Openssl::new();
    let late = at(2_524_607_000); // 2049-12-31T23:43:20Z
    let root = Issuer::self_signed(
        &Profile::builtin(ProfileKind::Root),
        "Late Root",
        key(KeyAlgorithm::EcdsaP384),
        serial(),
        late + Duration::nanoseconds(999_999_999),
    )
    .unwrap();
    let dump = openssl.write("root.der", root.certificate_der()).must("asn1parse -inform DER -in root.der");
    assert!(dump.contains("UTCTIME           :491231233820Z"), "{dump}");
    assert!(dump.contains("GENERALIZEDTIME   :20641227234320Z"), "{dump}");
}

#[test]
fn lifetimes_are_bounded_by_profile_and_issuer() {
    let hierarchy = Hierarchy::new();
    let key = key(KeyAlgorithm::EcdsaP256);
    let profile = Profile::builtin(ProfileKind::Client);
    let prepare = |lifetime, now| {
        let request = LeafRequest { lifetime, ..client_request(key.public_key()) };
        hierarchy.clients.prepare(&profile, request, serial(), &urls(), now)
    };
    assert_eq!(code(prepare(Some(Duration::days(399)), now())), "lifetime_too_long");
    assert_eq!(code(prepare(Some(Duration::ZERO), now())), "invalid_lifetime");
    assert_eq!(code(prepare(Some(Duration::milliseconds(999)), now())), "invalid_lifetime");
    assert_eq!(code(prepare(Some(Duration::MIN), now())), "invalid_lifetime");
    assert_eq!(code(prepare(Some(Duration::MAX), now())), "lifetime_too_long");
    let end = hierarchy.clients.not_after();
    let short = prepare(Some(Duration::days(90)), end - Duration::days(1)).unwrap();
    assert_eq!(short.not_after(), end);
    assert_eq!(code(prepare(None, end)), "outlives_issuer");
    assert_eq!(code(prepare(None, end + Duration::days(1))), "outlives_issuer");
    assert_eq!(code(prepare(None, now() - Duration::days(1))), "issuer_not_yet_valid");
    let fresh = prepare(None, hierarchy.clients.not_before() + Duration::SECOND).unwrap();
    assert_eq!(fresh.not_before(), hierarchy.clients.not_before(), "a leaf never begins before its issuer");
}

#[test]
fn an_authority_issues_only_what_its_certificate_allows() {
    let hierarchy = Hierarchy::new();
    let key = key(KeyAlgorithm::EcdsaP256);
    let client = client_request(key.public_key());
    let server = LeafRequest {
        identity: Identity::Server { dns: vec!["api.example.com".into()], ips: vec![] },
        ..client_request(key.public_key())
    };
    let prepare = |issuer: &Issuer, kind, request: &LeafRequest| {
        issuer.prepare(&Profile::builtin(kind), request.clone(), serial(), &urls(), now())
    };
    assert_eq!(code(prepare(&hierarchy.clients, ProfileKind::Server, &client)), "profile_mismatch");
    assert_eq!(code(prepare(&hierarchy.clients, ProfileKind::Root, &client)), "profile_mismatch");
    assert_eq!(code(prepare(&hierarchy.clients, ProfileKind::Server, &server)), "issuer_not_permitted");
    assert_eq!(code(prepare(&hierarchy.servers, ProfileKind::Client, &client)), "issuer_not_permitted");
    let prepared = prepare(&hierarchy.clients, ProfileKind::Client, &client).unwrap();
    assert_eq!(code(hierarchy.servers.sign(prepared)), "wrong_issuer");
}

#[test]
fn what_cannot_stand_in_a_certificate_is_refused() {
    let hierarchy = Hierarchy::new();
    let key = key(KeyAlgorithm::EcdsaP256);
    let base = client_request(key.public_key());
    let prepare = |request: LeafRequest, urls: &DistributionPoints| {
        let profile = Profile::builtin(request.identity.profile_kind());
        let issuer = if request.identity.profile_kind() == ProfileKind::Server {
            &hierarchy.servers
        } else {
            &hierarchy.clients
        };
        issuer.prepare(&profile, request, serial(), urls, now())
    };
    for name in ["", " ", " acme", "acme\0.evil", "acme\n", "acme\u{202e}bank", "ac\u{200b}me", &"a".repeat(65)] {
        assert_eq!(
            code(prepare(LeafRequest { common_name: name.into(), ..base.clone() }, &urls())),
            "invalid_name",
            "{name:?}"
        );
    }
    assert_eq!(
        code(prepare(LeafRequest { organization: Some(String::new()), ..base.clone() }, &urls())),
        "invalid_name"
    );
    for url in ["https://pki.example.com/a.crl", "ldap://x/", "http://", "http:///a", "http://a b/", "http://ä/"] {
        let urls = DistributionPoints { crl: Some(url.into()), ..DistributionPoints::default() };
        assert_eq!(code(prepare(base.clone(), &urls)), "invalid_url", "{url:?}");
        let urls = DistributionPoints { ocsp: Some(url.into()), ..DistributionPoints::default() };
        assert_eq!(code(prepare(base.clone(), &urls)), "invalid_url", "{url:?}");
    }
    for dns in ["", "*.example.com", "API.example.com", "a..b", "-a.b", "example.com.", "127.0.0.1", "a_b", "a\0b", "ä"]
    {
        let identity = Identity::Server { dns: vec![dns.into()], ips: vec![] };
        assert_eq!(code(prepare(LeafRequest { identity, ..base.clone() }, &urls())), "invalid_server_name", "{dns:?}");
    }
    let nothing = Identity::Server { dns: vec![], ips: vec![] };
    assert_eq!(code(prepare(LeafRequest { identity: nothing, ..base.clone() }, &urls())), "invalid_server_name");
    let own = LeafRequest { public_key: hierarchy.clients.public_key().clone(), ..base.clone() };
    assert_eq!(code(prepare(own, &urls())), "key_reused");
    let profile = Profile::builtin(ProfileKind::Client);
    let guessable = hierarchy.clients.prepare(&profile, base, "01".parse().unwrap(), &urls(), now());
    assert_eq!(code(guessable), "weak_serial");
}

#[test]
fn a_profile_file_may_be_stricter_but_not_looser() {
    let client = include_str!("../../profiles/client.toml");
    let changed = |from: &str, to: &str| {
        assert!(client.contains(from));
        Profile::from_toml(&client.replace(from, to))
    };
    let strict = changed("34_387_200", "7_776_000").unwrap();
    assert_eq!(strict.max_lifetime(), Duration::days(90));
    for (from, to) in [
        ("\"client-auth\"", "\"client-auth\", \"server-auth\""),
        ("\"client-auth\"", ""),
        ("\"digital-signature\"", "\"digital-signature\", \"key-cert-sign\""),
        ("ca = false", "ca = true\npath_length = 0"),
        ("ca = false", "ca = false\npath_length = 0"),
        ("ca = false", "ca = false\ncritical = true"),
        ("34_387_200", "34_473_600"),
        ("7_776_000", "0"),
        ("7_776_000", "34_387_201"),
        ("300 ", "3601 "),
        ("kind = \"client\"", "kind = \"ocsp\""),
        ("\"rsa-2048\"", "\"rsa-1024\""),
    ] {
        assert_eq!(code(changed(from, to)), "invalid_profile", "{from} -> {to}");
    }
    let mut none: ProfileConfig = Profile::builtin(ProfileKind::Client).config().clone();
    none.key_algorithms.clear();
    assert_eq!(code(Profile::new(none)), "invalid_profile");
    for kind in ProfileKind::ALL {
        assert_eq!(Profile::builtin(kind).kind(), kind);
    }
}

#[test]
fn a_profile_may_forbid_a_kind_of_key() {
    let hierarchy = Hierarchy::new();
    let mut config = Profile::builtin(ProfileKind::Client).config().clone();
    config.key_algorithms = vec![KeyAlgorithm::EcdsaP384];
    let profile = Profile::new(config).unwrap();
    let request = client_request(key(KeyAlgorithm::EcdsaP256).public_key());
    let refused = hierarchy.clients.prepare(&profile, request, serial(), &urls(), now()).unwrap_err();
    assert_eq!(refused.code(), "key_not_allowed");
    assert!(refused.to_string().contains("use ecdsa-p384"), "{refused}");
}

#[test]
fn one_certificate_has_one_thumbprint() {
    let hierarchy = Hierarchy::new();
    let leaf = hierarchy.issue_client(key(KeyAlgorithm::EcdsaP256).public_key());
    let ecdsa_with_sha256 = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    let algorithm = leaf.der.windows(12).rposition(|window| window == ecdsa_with_sha256).unwrap();
    // Everything from here on lies outside what is signed.
    for (position, tag) in [(algorithm, 0x70), (algorithm + 2, 0x46), (algorithm + 11, 3), (algorithm + 12, 0x43)] {
        let mut der = leaf.der.clone();
        der[position] = tag;
        assert_eq!(code(ClientCertificate::parse(&der)), "malformed_certificate", "{position}");
    }
}
