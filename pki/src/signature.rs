//! Signatures made by others, on requests and certificates.

use aws_lc_rs::signature::{self, VerificationAlgorithm};
use x509_parser::asn1_rs::BitString;
use x509_parser::oid_registry::{
    OID_NIST_HASH_SHA256, OID_NIST_HASH_SHA384, OID_NIST_HASH_SHA512, OID_PKCS1_MD2WITHRSAENC, OID_PKCS1_MD4WITHRSAENC,
    OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_RSASSAPSS, OID_PKCS1_SHA1WITHRSA, OID_PKCS1_SHA224WITHRSA,
    OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SHA1_WITH_RSA,
    OID_SIG_ECDSA_WITH_SHA224, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512,
    OID_SIG_ED25519, Oid, asn1_rs::oid,
};
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::AlgorithmIdentifier;

use crate::error::Error;
use crate::key::{KeyAlgorithm, PublicKey};

/// id-mgf1 (RFC 8017 §A.2.1).
const OID_MGF1: Oid<'static> = oid!(1.2.840.113549.1.1.8);

/// Verifies with the algorithm that key *and* signature identifier agree on: for requests and for certificates.
///
/// The hash follows from the signature's identifier alone; the key's kind never does: a P-256 key may sign with SHA-384.
///
/// # Errors
/// [`Error::WeakSignature`]; [`Error::PossessionNotProved`] when it does not verify.
pub(crate) fn verify(
    algorithm: &AlgorithmIdentifier<'_>,
    signature: &BitString<'_>,
    message: &[u8],
    key: &PublicKey,
) -> Result<(), Error> {
    let algorithm = verification(algorithm, key.algorithm())?;
    let proved = signature.unused_bits == 0 && key.verify(algorithm, message, signature.data.as_ref());
    proved.then_some(()).ok_or(Error::PossessionNotProved)
}

fn verification(
    algorithm: &AlgorithmIdentifier<'_>,
    key: KeyAlgorithm,
) -> Result<&'static dyn VerificationAlgorithm, Error> {
    let oid = &algorithm.algorithm;
    if let Some(name) = weak(oid) {
        return Err(Error::WeakSignature(name));
    }
    let p256: [(&Oid<'_>, &'static dyn VerificationAlgorithm); 3] = [
        (&OID_SIG_ECDSA_WITH_SHA256, &signature::ECDSA_P256_SHA256_ASN1),
        (&OID_SIG_ECDSA_WITH_SHA384, &signature::ECDSA_P256_SHA384_ASN1),
        (&OID_SIG_ECDSA_WITH_SHA512, &signature::ECDSA_P256_SHA512_ASN1),
    ];
    let p384: [(&Oid<'_>, &'static dyn VerificationAlgorithm); 3] = [
        (&OID_SIG_ECDSA_WITH_SHA256, &signature::ECDSA_P384_SHA256_ASN1),
        (&OID_SIG_ECDSA_WITH_SHA384, &signature::ECDSA_P384_SHA384_ASN1),
        (&OID_SIG_ECDSA_WITH_SHA512, &signature::ECDSA_P384_SHA512_ASN1),
    ];
    let rsa: [(&Oid<'_>, &'static dyn VerificationAlgorithm); 3] = [
        (&OID_PKCS1_SHA256WITHRSA, &signature::RSA_PKCS1_2048_8192_SHA256),
        (&OID_PKCS1_SHA384WITHRSA, &signature::RSA_PKCS1_2048_8192_SHA384),
        (&OID_PKCS1_SHA512WITHRSA, &signature::RSA_PKCS1_2048_8192_SHA512),
    ];
    let ed25519: [(&Oid<'_>, &'static dyn VerificationAlgorithm); 1] = [(&OID_SIG_ED25519, &signature::ED25519)];
    let table: &[(&Oid<'_>, &'static dyn VerificationAlgorithm)] = match key {
        KeyAlgorithm::EcdsaP256 => &p256,
        KeyAlgorithm::EcdsaP384 => &p384,
        KeyAlgorithm::Ed25519 => &ed25519,
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 if *oid == OID_PKCS1_RSASSAPSS => {
            return rsa_pss(algorithm);
        }
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => &rsa,
    };
    // An algorithm that does not fit the key cannot have been made with it.
    table.iter().find(|(known, _)| *known == oid).map(|(_, algorithm)| *algorithm).ok_or(Error::PossessionNotProved)
}

fn rsa_pss(algorithm: &AlgorithmIdentifier<'_>) -> Result<&'static dyn VerificationAlgorithm, Error> {
    let parameters = algorithm.parameters.as_ref().ok_or(Error::WeakSignature("RSA-PSS with SHA-1"))?;
    let parameters =
        RsaSsaPssParams::try_from(parameters).map_err(|_| Error::MalformedCsr("its RSA-PSS parameters are damaged"))?;
    let hash = parameters.hash_algorithm_oid();
    let (algorithm, octets): (&'static dyn VerificationAlgorithm, _) = if *hash == OID_NIST_HASH_SHA256 {
        (&signature::RSA_PSS_2048_8192_SHA256, 32)
    } else if *hash == OID_NIST_HASH_SHA384 {
        (&signature::RSA_PSS_2048_8192_SHA384, 48)
    } else if *hash == OID_NIST_HASH_SHA512 {
        (&signature::RSA_PSS_2048_8192_SHA512, 64)
    } else {
        return Err(Error::WeakSignature("RSA-PSS with SHA-1 or another weak hash"));
    };
    // What RFC 8446 demands of TLS, and the only length that is verified here; OpenSSL's own choice is the longest.
    if parameters.salt_length() != octets {
        return Err(Error::MalformedCsr(
            "its RSA-PSS salt is not as long as the hash: use -sigopt rsa_pss_saltlen:digest",
        ));
    }
    let mask =
        parameters.mask_gen_algorithm().map_err(|_| Error::MalformedCsr("its RSA-PSS parameters are damaged"))?;
    if mask.mgf != OID_MGF1 || mask.hash != *hash || parameters.trailer_field() != 1 {
        return Err(Error::MalformedCsr("its RSA-PSS mask is not MGF1 with the same hash"));
    }
    Ok(algorithm)
}

/// Hashes with known collisions, or close to it: two contents that share a signature prove nothing about either.
fn weak(algorithm: &Oid<'_>) -> Option<&'static str> {
    let ecdsa_with_sha1 = oid!(1.2.840.10045.4.1);
    let dsa = oid!(1.2.840.10040.4.3);
    [
        (&OID_PKCS1_MD2WITHRSAENC, "MD2"),
        (&OID_PKCS1_MD4WITHRSAENC, "MD4"),
        (&OID_PKCS1_MD5WITHRSAENC, "MD5"),
        (&OID_PKCS1_SHA1WITHRSA, "SHA-1"),
        (&OID_SHA1_WITH_RSA, "SHA-1"),
        (&ecdsa_with_sha1, "SHA-1"),
        (&dsa, "DSA and SHA-1"),
        (&OID_PKCS1_SHA224WITHRSA, "SHA-224"),
        (&OID_SIG_ECDSA_WITH_SHA224, "SHA-224"),
    ]
    .into_iter()
    .find_map(|(weak, name)| (weak == algorithm).then_some(name))
}
