use std::net::IpAddr;

use pki::{DistributionPoints, Error, Identity, KeyAlgorithm, LeafRequest, Profile, ProfileKind, lint};

use crate::harness::{Hierarchy, client_request, code, key, now, serial, urls};

#[test]
fn what_is_issued_under_every_profile_and_key_passes() {
    let hierarchy = Hierarchy::new();
    let bare = DistributionPoints::default();
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa2048] {
        let leaf_key = key(algorithm);
        let request = |identity| LeafRequest { identity, ..client_request(leaf_key.public_key()) };
        let server = Identity::Server { dns: vec!["a.example".into()], ips: vec![IpAddr::from([192, 0, 2, 1])] };
        let client = client_request(leaf_key.public_key()).identity;
        for (issuer, identity) in
            [(&hierarchy.clients, client), (&hierarchy.servers, server), (&hierarchy.clients, Identity::Ocsp)]
        {
            let profile = Profile::builtin(identity.profile_kind());
            if !profile.key_algorithms().contains(&algorithm) {
                continue;
            }
            for urls in [&urls(), &bare] {
                let prepared = issuer.prepare(&profile, request(identity.clone()), serial(), urls, now()).unwrap();
                let tbs = prepared.tbs_der().to_vec();
                let linted = issuer.lint(prepared).unwrap();
                let issued = issuer.sign_linted(linted).unwrap();
                assert!(issued.der.windows(tbs.len()).any(|window| window == tbs), "exactly those octets are signed");
                lint(&issued.der, &profile).unwrap();
            }
        }
    }
    for (issuer, kind) in [
        (&hierarchy.root, ProfileKind::Root),
        (&hierarchy.clients, ProfileKind::Issuing),
        (&hierarchy.servers, ProfileKind::ServerIssuing),
    ] {
        lint(issuer.certificate_der(), &Profile::builtin(kind)).unwrap();
    }
}

#[test]
fn a_certificate_of_one_profile_is_none_of_another() {
    let hierarchy = Hierarchy::new();
    let leaf = hierarchy.issue_client(key(KeyAlgorithm::EcdsaP256).public_key());
    for kind in ProfileKind::ALL {
        let judged = lint(&leaf.der, &Profile::builtin(kind));
        assert_eq!(judged.is_ok(), kind == ProfileKind::Client, "{kind}: {judged:?}");
    }
}

#[test]
fn any_octet_that_changes_is_found_or_says_something_else() {
    let hierarchy = Hierarchy::new();
    let leaf = hierarchy.issue_client(key(KeyAlgorithm::EcdsaP256).public_key());
    let profile = Profile::builtin(ProfileKind::Client);
    let found = |der: &[u8]| matches!(lint(der, &profile), Err(Error::Lint(_)));
    // Each extension's criticality turned, found by its object identifier; and lengths in a longer form.
    for oid in [[0x55, 0x1d, 0x13], [0x55, 0x1d, 0x0f]] {
        let mut der = leaf.der.clone();
        let place = der.windows(3).position(|window| window == oid).unwrap();
        assert_eq!(der[place + 3..place + 6], [1, 1, 0xff]);
        der[place + 5] = 0;
        assert!(found(&der), "an extension that is no longer critical");
        der[place + 5] = 1;
        assert!(found(&der), "a boolean that is neither");
    }
    let place = leaf.der.windows(3).position(|window| window == [0x55, 0x1d, 0x25]).unwrap();
    let mut unknown = leaf.der.clone();
    unknown[place + 2] = 0x7f;
    assert!(found(&unknown), "an extension that nobody knows");
    let mut longer = leaf.der.clone();
    longer.push(0);
    assert!(found(&longer));
    assert!(found(&leaf.der[..leaf.der.len() - 1]));
}

#[test]
fn what_another_authority_prepared_is_neither_judged_nor_signed() {
    let hierarchy = Hierarchy::new();
    let request = client_request(key(KeyAlgorithm::EcdsaP256).public_key());
    let profile = Profile::builtin(ProfileKind::Client);
    let prepare = || hierarchy.clients.prepare(&profile, request.clone(), serial(), &urls(), now()).unwrap();
    assert_eq!(code(hierarchy.servers.lint(prepare())), "wrong_issuer");
    let linted = hierarchy.clients.lint(prepare()).unwrap();
    assert_eq!(code(hierarchy.servers.sign_linted(linted)), "wrong_issuer");
}
