use pki::{
    DistributionPoints, Identity, IssuedCertificate, Issuer, KeyAlgorithm, LeafRequest, OcspIssuer, OcspQuery,
    OcspRefusal, OcspRequest, OcspSigner, OcspStatus, Profile, ProfileKind, RevocationReason,
};
use time::{Duration, OffsetDateTime};

use crate::harness::{Openssl, client_request, code, key, serial, urls};

/// What OpenSSL 3.0 calls id-pkix-ocsp-extended-revoke.
const EXTENDED_REVOKE: &str = "        valid: \n";

/// An authority with one client certificate and its OCSP signer, in the present: OpenSSL judges answers by the clock.
struct House {
    issuer: Issuer,
    leaf: IssuedCertificate,
    signer: OcspSigner,
    openssl: Openssl,
}

fn present() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn responder(issuer: &Issuer, algorithm: KeyAlgorithm) -> OcspSigner {
    let key = key(algorithm);
    let request = LeafRequest {
        common_name: "OCSP".into(),
        organization: None,
        identity: Identity::Ocsp,
        public_key: key.public_key().clone(),
        lifetime: None,
    };
    let profile = Profile::builtin(ProfileKind::Ocsp);
    let prepared = issuer.prepare(&profile, request, serial(), &urls(), present()).unwrap();
    OcspSigner::new(issuer, issuer.sign(prepared).unwrap().der, key).unwrap()
}

impl House {
    fn new() -> Self {
        Self::signed_with(KeyAlgorithm::EcdsaP256)
    }

    fn signed_with(algorithm: KeyAlgorithm) -> Self {
        let now = present();
        let root = Profile::builtin(ProfileKind::Root);
        let root = Issuer::self_signed(&root, "Root", key(KeyAlgorithm::EcdsaP384), serial(), now).unwrap();
        let profile = Profile::builtin(ProfileKind::Issuing);
        let points = DistributionPoints::default();
        let ca_key = key(KeyAlgorithm::EcdsaP256);
        let issuer = Issuer::subordinate(&root, &profile, "Clients", ca_key, serial(), &points, now).unwrap();
        let public = key(KeyAlgorithm::EcdsaP256).public_key().clone();
        let profile = Profile::builtin(ProfileKind::Client);
        let prepared = issuer.prepare(&profile, client_request(&public), serial(), &urls(), now).unwrap();
        let leaf = issuer.sign(prepared).unwrap();
        let openssl = Openssl::new();
        openssl
            .write("root.pem", root.certificate_pem())
            .write("issuer.pem", issuer.certificate_pem())
            .write("leaf.pem", leaf.pem());
        Self { signer: responder(&issuer, algorithm), issuer, leaf, openssl }
    }

    /// A question about the leaf, made by OpenSSL.
    fn asked(&self, options: &str) -> OcspRequest {
        self.openssl.must(&format!("ocsp {options} -issuer issuer.pem -cert leaf.pem -reqout request.der"));
        OcspRequest::parse(&self.openssl.read("request.der")).unwrap()
    }

    /// What OpenSSL makes of the answer to the question that it asked last.
    fn judged(&self, answer: &[u8]) -> (bool, String) {
        self.openssl.write("answer.der", answer);
        let files = "-reqin request.der -respin answer.der -CAfile root.pem -verify_other issuer.pem";
        let judged = self.openssl.run(&format!("ocsp -no_nonce {files} -text"));
        (judged.ok && judged.text.contains("Response verify OK"), judged.text)
    }

    fn answer(&self, request: &OcspRequest, status: OcspStatus) -> Vec<u8> {
        let answers: Vec<_> = request.certificates.iter().map(|id| (id, status)).collect();
        self.signer.sign(&answers, request.nonce.as_deref(), Duration::HOUR, present()).unwrap().der
    }
}

#[test]
fn openssl_believes_good_revoked_and_never_issued() {
    let house = House::new();
    let compromised = OcspStatus::Revoked { at: present() - Duration::MINUTE, reason: RevocationReason::KeyCompromise };
    let unspecified = OcspStatus::Revoked { at: present(), reason: RevocationReason::Unspecified };
    for options in ["-no_nonce", "-nonce", "-no_nonce -sha256", "-sha1"] {
        let request = house.asked(options);
        assert_eq!(request.nonce.is_some(), !options.contains("no_nonce"), "{options}");
        let (id, issuer) = (&request.certificates[0], OcspIssuer::of(&house.issuer));
        assert!(issuer.issued(id) && id.serial() == house.leaf.serial, "{options}");
        for (status, said) in [
            (OcspStatus::Good, "good"),
            (compromised, "revoked"),
            (unspecified, "revoked"),
            (OcspStatus::NotIssued, "revoked"),
            (OcspStatus::Unknown, "unknown"),
        ] {
            let (good, text) = house.judged(&house.answer(&request, status));
            assert!(good && text.contains(&format!("Cert Status: {said}")), "{options} {status:?}: {text}");
            assert_eq!(text.contains(EXTENDED_REVOKE), status == OcspStatus::NotIssued, "{text}");
            assert_eq!(text.contains("Reason: keyCompromise"), status == compromised, "{text}");
            assert_eq!(text.contains("Jan  1 00:00:00 1970"), status == OcspStatus::NotIssued, "{text}");
            assert!(!text.contains("WARNING") && !text.contains("Nonce Verify error"), "{options} {status:?}: {text}");
        }
    }
}

#[test]
fn the_nonce_binds_an_answer_to_its_question() {
    let house = House::new();
    let first = house.answer(&house.asked("-nonce"), OcspStatus::Good);
    house.asked("-nonce");
    let (good, text) = house.judged(&first);
    assert!(!good && text.contains("Nonce Verify error"), "{text}");
}

#[test]
fn other_keys_sign_too() {
    for algorithm in [KeyAlgorithm::EcdsaP384, KeyAlgorithm::Rsa2048] {
        let house = House::signed_with(algorithm);
        let request = house.asked("-no_nonce");
        let (good, text) = house.judged(&house.answer(&request, OcspStatus::Good));
        assert!(good, "{algorithm}: {text}");
    }
}

#[test]
fn several_certificates_stand_in_one_answer() {
    let house = House::new();
    let arguments = "ocsp -issuer issuer.pem -cert leaf.pem -sha256 -cert leaf.pem -serial 0x1234 -reqout request.der";
    house.openssl.must(arguments);
    let request = OcspRequest::parse(&house.openssl.read("request.der")).unwrap();
    assert_eq!(request.certificates.len(), 3);
    let answers = [
        (&request.certificates[0], OcspStatus::Good),
        (&request.certificates[1], OcspStatus::Good),
        (&request.certificates[2], OcspStatus::NotIssued),
    ];
    let answer = house.signer.sign(&answers, request.nonce.as_deref(), Duration::HOUR, present()).unwrap();
    let (good, text) = house.judged(&answer.der);
    assert!(good && text.contains("Cert Status: revoked") && text.contains("Cert Status: good"), "{text}");
}

#[test]
fn an_answer_ends_with_its_signer_and_begins_with_the_revocation() {
    let house = House::new();
    let request = house.asked("-no_nonce");
    let (id, now) = (&request.certificates[0], present().replace_nanosecond(0).unwrap());
    let sign = |status, lifetime, now| house.signer.sign(&[(id, status)], None, lifetime, now);
    let answer = sign(OcspStatus::Good, Duration::HOUR, now).unwrap();
    assert_eq!((answer.this_update, answer.next_update), (now - Duration::minutes(5), now + Duration::HOUR));
    let revoked = OcspStatus::Revoked { at: now - Duration::MINUTE, reason: RevocationReason::Superseded };
    assert_eq!(sign(revoked, Duration::HOUR, now).unwrap().this_update, now - Duration::MINUTE);
    let end = house.signer.not_after();
    assert_eq!(sign(OcspStatus::Good, Duration::days(30), now).unwrap().next_update, end);
    for outside in [end, end + Duration::DAY, house.signer.not_before() - Duration::SECOND] {
        assert_eq!(code(sign(OcspStatus::Good, Duration::HOUR, outside)), "unusable_ocsp_signer");
    }
}

#[test]
fn only_a_delegate_of_the_authority_is_taken_as_signer() {
    let (house, other) = (House::new(), House::new());
    let key = || key(KeyAlgorithm::EcdsaP256);
    let own = key();
    let client = |issuer: &Issuer| {
        let request = client_request(own.public_key());
        let profile = Profile::builtin(ProfileKind::Client);
        issuer.sign(issuer.prepare(&profile, request, serial(), &urls(), present()).unwrap()).unwrap().der
    };
    assert_eq!(code(OcspSigner::new(&house.issuer, client(&house.issuer), key())), "key_mismatch");
    assert_eq!(code(OcspSigner::new(&house.issuer, client(&house.issuer), own)), "unusable_ocsp_signer");
    let stranger = key();
    let request = LeafRequest {
        common_name: "OCSP".into(),
        organization: None,
        identity: Identity::Ocsp,
        public_key: stranger.public_key().clone(),
        lifetime: None,
    };
    let profile = Profile::builtin(ProfileKind::Ocsp);
    let prepared = other.issuer.prepare(&profile, request, serial(), &urls(), present()).unwrap();
    let certificate = other.issuer.sign(prepared).unwrap().der;
    assert_eq!(code(OcspSigner::new(&house.issuer, certificate, stranger)), "unusable_ocsp_signer");
}

#[test]
fn openssl_answers_are_read_and_ours_too() {
    let house = House::new();
    let query = OcspQuery::new(&house.leaf.der, house.issuer.certificate_der(), Some(&[7; 32])).unwrap();
    let request = OcspRequest::parse(&query.der()).unwrap();
    assert_eq!(request.nonce.as_deref(), Some(&[7; 32][..]));
    let revoked = OcspStatus::Revoked {
        at: present().replace_nanosecond(0).unwrap() - Duration::MINUTE,
        reason: RevocationReason::Superseded,
    };
    for status in [OcspStatus::Good, revoked, OcspStatus::NotIssued, OcspStatus::Unknown] {
        let reply = query.read(&house.answer(&request, status), present()).unwrap();
        assert_eq!((reply.status, reply.nonce_matches), (status, true));
        assert_eq!(reply.signer_not_after, house.signer.not_after());
    }
    assert_eq!(OcspQuery::addresses(&house.leaf.der).unwrap(), ["http://pki.example.com/ocsp"]);
    assert!(OcspQuery::addresses(house.issuer.certificate_der()).unwrap().is_empty());
    let good = house.answer(&request, OcspStatus::Good);
    for late in [present() + Duration::hours(2), present() - Duration::hours(1)] {
        assert_eq!(code(query.read(&good, late)), "ocsp_not_believed");
    }
    let elsewhere = House::new();
    let other = OcspQuery::new(&elsewhere.leaf.der, elsewhere.issuer.certificate_der(), None).unwrap();
    assert_eq!(code(other.read(&good, present())), "ocsp_not_believed");
    let another = OcspQuery::new(&house.issue_another(), house.issuer.certificate_der(), None).unwrap();
    assert_eq!(code(another.read(&good, present())), "ocsp_not_believed");
    for refusal in [OcspRefusal::TryLater, OcspRefusal::Unauthorized, OcspRefusal::MalformedRequest] {
        assert_eq!(code(query.read(&refusal.der(), present())), "ocsp_not_believed");
    }
    // No octet of it can be turned without being noticed, and nothing makes the reader panic.
    for place in 0..good.len() {
        let mut turned = good.clone();
        turned[place] ^= 1;
        if let Ok(reply) = query.read(&turned, present()) {
            assert_eq!(reply.status, OcspStatus::Good, "{place}");
        }
        assert!(query.read(&good[..place], present()).is_err());
    }
}

impl House {
    fn issue_another(&self) -> Vec<u8> {
        let request = client_request(key(KeyAlgorithm::EcdsaP256).public_key());
        let profile = Profile::builtin(ProfileKind::Client);
        let prepared = self.issuer.prepare(&profile, request, serial(), &urls(), present()).unwrap();
        self.issuer.sign(prepared).unwrap().der
    }
}

#[test]
fn questions_that_cannot_be_read_are_refused() {
    let house = House::new();
    house.asked("-nonce");
    let good = house.openssl.read("request.der");
    for length in 0..good.len() {
        assert!(OcspRequest::parse(&good[..length]).is_err(), "{length}");
    }
    let followed = [good.as_slice(), &[0]].concat();
    assert_eq!(code(OcspRequest::parse(&followed)), "malformed_ocsp");
    assert_eq!(code(OcspRequest::parse(&vec![0x30; 8 * 1024 + 1])), "too_large");
    let with_nonce = |octets: &[u8]| {
        let query = OcspQuery::new(&house.leaf.der, house.issuer.certificate_der(), Some(octets)).unwrap();
        OcspRequest::parse(&query.der())
    };
    for length in [1, 16, 32, 128] {
        assert_eq!(with_nonce(&vec![9; length]).unwrap().nonce, Some(vec![9; length]));
    }
    for length in [0, 129, 4000] {
        assert_eq!(code(with_nonce(&vec![9; length])), "malformed_ocsp");
    }
    // More certificates than one answer may be about.
    let many = "-serial 0x12 ".repeat(21);
    house.openssl.must(&format!("ocsp -issuer issuer.pem {many} -reqout request.der"));
    assert_eq!(code(OcspRequest::parse(&house.openssl.read("request.der"))), "malformed_ocsp");
    house.openssl.must(&format!("ocsp -issuer issuer.pem {} -reqout request.der", "-serial 0x12 ".repeat(20)));
    assert_eq!(OcspRequest::parse(&house.openssl.read("request.der")).unwrap().certificates.len(), 20);
    // A digest that is not spoken here, and a signed request, which is read like any other.
    house.openssl.must("ocsp -sha384 -issuer issuer.pem -cert leaf.pem -reqout request.der");
    assert_eq!(code(OcspRequest::parse(&house.openssl.read("request.der"))), "malformed_ocsp");
    house.openssl.must("req -x509 -newkey rsa:2048 -nodes -subj /CN=asker -keyout asker.key -out asker.pem");
    house
        .openssl
        .must("ocsp -issuer issuer.pem -cert leaf.pem -signer asker.pem -signkey asker.key -reqout request.der");
    let signed = OcspRequest::parse(&house.openssl.read("request.der")).unwrap();
    assert_eq!(signed.certificates[0].serial(), house.leaf.serial);
}

#[test]
fn turned_octets_make_no_reader_panic() {
    let house = House::new();
    house.asked("-nonce");
    let good = house.openssl.read("request.der");
    for place in 0..good.len() {
        for turned in [0, 1, 0x7f, 0x80, 0xff] {
            let mut question = good.clone();
            question[place] = turned;
            let _ = OcspRequest::parse(&question);
        }
    }
}
