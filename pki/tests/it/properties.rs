use std::sync::LazyLock;

use pki::{
    ClientCertificate, CrlRequest, Error, Issuer, KeyAlgorithm, KeyId, LeafRequest, OcspQuery, OcspRequest, PrivateKey,
    Profile, ProfileKind, RevocationReason, Serial, SpiffeId, Thumbprint, VerifiedRequest, pem_certificates,
};
use proptest::prelude::*;
use time::Duration;

use crate::harness::{Hierarchy, Openssl, at, client_id, client_request, key, serial, urls};

static HIERARCHY: LazyLock<Hierarchy> = LazyLock::new(Hierarchy::new);
static KEY: LazyLock<PrivateKey> = LazyLock::new(|| key(KeyAlgorithm::EcdsaP256));
static LEAF: LazyLock<Vec<u8>> = LazyLock::new(|| HIERARCHY.issue_client(KEY.public_key()).der);
static AUTHORITY: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let (profile, key) = (Profile::builtin(ProfileKind::Issuing), key(KeyAlgorithm::EcdsaP256));
    let der =
        HIERARCHY.root.certify_authority(&profile, "Kept", key.public_key(), serial(), &urls(), at(1_800_000_000));
    (der.unwrap().der, key.to_pkcs8_der().to_vec())
});
static CSRS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let openssl = Openssl::new();
    let requests = [
        format!("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -addext subjectAltName=URI:{},DNS:a,IP:::1", client_id()),
        "-newkey rsa:2048 -addext keyUsage=digitalSignature -addext basicConstraints=CA:FALSE".to_owned(),
        "-newkey rsa:2048 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest".to_owned(),
        "-newkey ed25519".to_owned(),
    ];
    let der = |arguments: &String| {
        openssl.csr(arguments);
        openssl.must("req -in csr.pem -outform DER -out csr.der");
        openssl.read("csr.der")
    };
    requests.iter().map(der).collect()
});

/// Changes, removes or inserts a few octets.
fn mutate(mut octets: Vec<u8>, changes: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
    for (index, value, kind) in changes {
        if octets.is_empty() {
            break;
        }
        let position = index.index(octets.len());
        match kind % 4 {
            0 => octets[position] = *value,
            1 => octets[position] ^= 1 << (value % 8),
            2 => drop(octets.remove(position)),
            _ => octets.insert(position, *value),
        }
    }
    octets
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    prop::collection::vec(any::<(prop::sample::Index, u8, u8)>(), 1..6)
}

proptest! {
    // Keys are fresh in each run, so a stored case would mean nothing in the next.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn all_text_forms_of_a_serial_mean_the_same(octets in prop::collection::vec(any::<u8>(), 1..=20), zeros in 0usize..4) {
        let bare: String = octets.iter().map(|octet| format!("{octet:02X}")).collect();
        let colons = octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":");
        let serial: Serial = bare.parse().unwrap();
        prop_assert_eq!(colons.parse(), Ok(serial));
        prop_assert_eq!(format!("{}{bare}", "0".repeat(zeros)).parse(), Ok(serial));
        prop_assert_eq!(serial.to_string().parse(), Ok(serial));
        prop_assert!(serial.as_bytes().len() == 1 || serial.as_bytes()[0] != 0);
        let mut integer = serial.as_bytes().to_vec();
        if integer[0] & 0x80 != 0 {
            integer.insert(0, 0);
        }
        prop_assert_eq!(Serial::from_der_integer(&integer), Ok(serial));
    }

    #[test]
    fn random_serials_always_have_sixteen_octets_and_no_sign(random in any::<[u8; 16]>()) {
        let serial = Serial::from_random(random);
        prop_assert_eq!(serial.as_bytes().len(), 16);
        prop_assert_eq!(serial.as_bytes()[0] & 0xc0, 0x40);
        prop_assert_eq!(&serial.as_bytes()[1..], &random[1..]);
    }

    #[test]
    fn serials_are_ordered_as_numbers(one in any::<u128>(), two in any::<u128>()) {
        let serial = |number: u128| format!("{number:x}").parse::<Serial>().unwrap();
        prop_assert_eq!(serial(one).cmp(&serial(two)), one.cmp(&two));
    }

    #[test]
    fn identifiers_never_panic_on_text(text in ".{0,100}") {
        let _ = text.parse::<Serial>();
        let _ = text.parse::<Thumbprint>();
        let _ = text.parse::<KeyId>();
        let _ = text.parse::<RevocationReason>();
        let _ = text.parse::<KeyAlgorithm>();
        let _ = Profile::from_toml(&text);
        let _ = pem_certificates(text.as_bytes());
        let _ = PrivateKey::from_pem(&text);
    }

    #[test]
    fn an_identity_that_is_read_is_written_the_same(
        text in "(spiffe|SPIFFE|http)://[a-zA-Z0-9._%*:@-]{0,8}/partner/[a-zA-Z0-9._%*?#/-]{0,6}/client/[a-zA-Z0-9._%*?#/-]{0,6}"
    ) {
        if let Ok(id) = text.parse::<SpiffeId>() {
            prop_assert_eq!(id.to_string(), text.clone());
            for forbidden in ['%', '*', '?', '#', ':', '@'] {
                prop_assert!(!text["spiffe:".len()..].contains(forbidden), "{}", text);
            }
            for part in text["spiffe://".len()..].split('/') {
                prop_assert!(!part.is_empty() && part != "." && part != "..", "{}", text);
            }
        }
    }

    #[test]
    fn reading_a_mutated_certificate_never_panics(changes in changes()) {
        let _ = ClientCertificate::parse(&mutate(LEAF.clone(), &changes));
        let _ = ClientCertificate::parse(&mutate(HIERARCHY.root.certificate_der().to_vec(), &changes));
    }

    #[test]
    fn a_mutated_ocsp_question_is_refused_or_of_some_certificate(changes in changes(), nonce in prop::collection::vec(any::<u8>(), 1..=128)) {
        let query = OcspQuery::new(&LEAF, HIERARCHY.clients.certificate_der(), Some(&nonce)).unwrap();
        if let Ok(read) = OcspRequest::parse(&mutate(query.der(), &changes)) {
            prop_assert!((1..=OcspRequest::MAX_CERTIFICATES).contains(&read.certificates.len()));
            prop_assert!(read.nonce.is_none_or(|nonce| (1..=128).contains(&nonce.len())));
        }
    }

    #[test]
    fn no_octets_are_an_ocsp_answer_to_believe(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let query = OcspQuery::new(&LEAF, HIERARCHY.clients.certificate_der(), None).unwrap();
        prop_assert!(query.read(&octets, at(1_800_000_000)).is_err());
        prop_assert!(OcspRequest::parse(&octets).is_err());
    }

    #[test]
    fn a_mutated_request_never_panics_and_says_nothing_new(which in any::<prop::sample::Index>(), changes in changes()) {
        let original = which.get(&CSRS);
        // Not all octets are signed (the algorithm's parameters are not), but all that is read is.
        if let Ok(accepted) = VerifiedRequest::parse(&mutate(original.clone(), &changes)) {
            let original = VerifiedRequest::parse(original).unwrap();
            prop_assert_eq!(format!("{accepted:?}"), format!("{original:?}"));
        }
    }

    #[test]
    fn a_mutated_authority_is_refused_or_does_not_chain(changes in changes()) {
        let (original, key) = &*AUTHORITY;
        let der = mutate(original.clone(), &changes);
        let key = PrivateKey::from_pkcs8_der(key).unwrap();
        if let Ok(issuer) = Issuer::load(&der, key, at(1_800_000_100)) {
            let chains = issuer.check_signed_by(HIERARCHY.root.certificate_der());
            prop_assert!(chains.is_err() || der == *original);
        }
    }

    #[test]
    fn a_leaf_lies_inside_its_issuer(
        offset in -1_000i64..100_000_000,
        lifetime in prop::option::of(-10i64..40_000_000),
        nanoseconds in 0i64..1_000_000_000,
    ) {
        let issuer = &HIERARCHY.clients;
        let profile = Profile::builtin(ProfileKind::Client);
        let now = at(1_800_000_000 + offset) + Duration::nanoseconds(nanoseconds);
        let lifetime = lifetime.map(Duration::seconds);
        let request = LeafRequest { lifetime, ..client_request(KEY.public_key()) };
        match issuer.prepare(&profile, request, serial(), &urls(), now) {
            Ok(prepared) => {
                prop_assert!(prepared.not_before() >= issuer.not_before());
                prop_assert!(prepared.not_after() <= issuer.not_after());
                prop_assert!(prepared.not_before() <= now && now < prepared.not_after() + Duration::SECOND);
                prop_assert!(prepared.not_after() - now <= profile.max_lifetime());
                let window = (prepared.not_before(), prepared.not_after());
                let seen = ClientCertificate::parse(&issuer.sign(prepared).unwrap().der).unwrap();
                prop_assert_eq!((at(seen.not_before), at(seen.not_after)), window);
            }
            Err(Error::LifetimeTooLong { .. }) => prop_assert!(lifetime.unwrap() > profile.max_lifetime()),
            Err(Error::InvalidLifetime) => prop_assert!(lifetime.unwrap() < Duration::SECOND),
            Err(Error::OutlivesIssuer { .. }) => prop_assert!(now >= issuer.not_after()),
            Err(Error::IssuerNotYetValid { .. }) => prop_assert!(now < issuer.not_before()),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn a_list_never_outlives_its_issuer(offset in 0i64..100_000_000, validity in 1i64..10_000_000, number in any::<u64>()) {
        let this_update = at(1_800_000_000 + offset);
        let request = CrlRequest {
            number,
            this_update,
            next_update: this_update + Duration::seconds(validity),
            revoked: Vec::new(),
            distribution_point: None,
        };
        match HIERARCHY.clients.sign_crl(request) {
            Ok(crl) => prop_assert!(crl.next_update <= HIERARCHY.clients.not_after() && crl.next_update > crl.this_update),
            Err(error) => prop_assert_eq!(error.code(), "outlives_issuer"),
        }
    }
}
