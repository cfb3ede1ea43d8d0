//! One key pair in a token.

use aws_lc_rs::digest::{self, Digest};
use cryptoki::error::{Error as TokenError, Result as TokenResult};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use pki::{KeyAlgorithm, PublicKey, Signer};

use super::{Locator, Token};
use crate::failure::{Failure, Fault, Refusal};

/// `namedCurve` of an ECParameters (RFC 5480 §2.1.1), DER.
const P256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[6, 5, 0x2b, 0x81, 4, 0, 0x22];
const F4: &[u8] = &[1, 0, 1];
/// DigestInfo up to the SHA-256 (RFC 8017 §9.2 note 1).
const SHA256_INFO: &[u8] = &[0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20];
/// OCTET STRING: what a point is wrapped in (PKCS#11 v2.40 §2.3.3).
const OCTET_STRING: u8 = 4;
const UNCOMPRESSED: u8 = 4;

/// A private key that never leaves its token.
#[derive(Debug)]
pub(in super::super) struct TokenKey {
    token: Token,
    locator: Locator,
    public: PublicKey,
}

impl TokenKey {
    pub(super) fn generate(token: &Token, locator: Locator, algorithm: KeyAlgorithm) -> Result<Self, Failure> {
        let ec = |curve: &[u8]| (Mechanism::EccKeyPairGen, vec![Attribute::EcParams(curve.to_vec())]);
        let rsa = |bits: u64| {
            let size = [Attribute::ModulusBits(bits.into()), Attribute::PublicExponent(F4.to_vec())];
            (Mechanism::RsaPkcsKeyPairGen, size.to_vec())
        };
        let (mechanism, mut public) = match algorithm {
            KeyAlgorithm::EcdsaP256 => ec(P256),
            KeyAlgorithm::EcdsaP384 => ec(P384),
            KeyAlgorithm::Rsa3072 => rsa(3072),
            KeyAlgorithm::Rsa4096 => rsa(4096),
            KeyAlgorithm::Ed25519 | KeyAlgorithm::Rsa2048 => {
                let message =
                    format!("Keys in a token are ecdsa-p256, ecdsa-p384, rsa-3072 or rsa-4096, not {algorithm}.");
                return Err(Refusal::invalid("token_key_kind", message).into());
            }
        };
        let named = [Attribute::Id(locator.id().to_vec()), Attribute::Label(locator.object().as_bytes().to_vec())];
        public.extend([Attribute::Token(true), Attribute::Private(false), Attribute::Verify(true)]);
        public.extend(named.clone());
        let mut private = vec![
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            Attribute::Decrypt(false),
            Attribute::Unwrap(false),
        ];
        private.extend(named);
        token
            .inner
            .sessions
            .with(|session| session.generate_key_pair(&mechanism, &public, &private))
            .map_err(|error| token.failure("making a key", &error))?;
        // What counts is what the token says of the key, not what it was asked for.
        Self::find(token, locator)
    }

    pub(super) fn find(token: &Token, locator: Locator) -> Result<Self, Failure> {
        let described = token.inner.sessions.with(|session| describe(session, &locator));
        let described = described.map_err(|error| token.failure("looking for a key", &error))?;
        let missing = |what: &str| {
            let message = format!("The token {:?} holds no {what} for {locator}.", token.label());
            Refusal::not_found("token_key_missing", message)
        };
        let private = described.private.ok_or_else(|| missing("private key"))?;
        let public = described.public.ok_or_else(|| missing("public key"))?;
        if !stays_inside(&private) {
            let message = format!(
                "The key {locator} can leave its token, or was not made in it. An authority's key is made inside and stays there."
            );
            return Err(Refusal::conflict("token_key_extractable", message).into());
        }
        let public = public_key(&public)
            .ok_or_else(|| Fault::new(format!("the token does not tell the public half of {locator}")))?
            .map_err(|error| Fault::new(format!("the public half of {locator}: {error}")))?;
        Ok(Self { token: token.clone(), locator, public })
    }

    /// What is written into the database.
    pub(in super::super) fn location(&self) -> String {
        self.locator.to_string()
    }

    /// The hash is made here: tokens are slow, and need not see the message.
    fn hash(&self) -> Result<&'static digest::Algorithm, pki::Error> {
        match self.public.algorithm() {
            KeyAlgorithm::EcdsaP384 => Ok(&digest::SHA384),
            KeyAlgorithm::EcdsaP256 | KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
                Ok(&digest::SHA256)
            }
            KeyAlgorithm::Ed25519 => Err(pki::Error::Signer("Ed25519 keys in tokens are not used".to_owned())),
        }
    }

    fn mechanism_and_input(&self, hash: &Digest) -> (Mechanism<'static>, Vec<u8>) {
        match self.public.algorithm().is_rsa() {
            true => (Mechanism::RsaPkcs, [SHA256_INFO, hash.as_ref()].concat()),
            false => (Mechanism::Ecdsa, hash.as_ref().to_vec()),
        }
    }
}

impl Signer for TokenKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, pki::Error> {
        self.sign_digest(&digest::digest(self.hash()?, message))
    }

    fn signs_digests(&self) -> bool {
        self.hash().is_ok()
    }

    fn sign_digest(&self, hash: &Digest) -> Result<Vec<u8>, pki::Error> {
        if hash.algorithm() != self.hash()? {
            return Err(pki::Error::Signer("the hash is not the one that goes with the key".to_owned()));
        }
        let (mechanism, input) = self.mechanism_and_input(hash);
        let signed = self.token.inner.sessions.with(|session| {
            // Looked up each time: a handle is worth nothing after the token was away.
            let handle = one(session, ObjectClass::PRIVATE_KEY, &self.locator)?.ok_or(TokenError::InvalidValue)?;
            session.sign(&mechanism, handle, &input)
        });
        let signature = signed.map_err(|error| {
            metrics::counter!("portcullis_token_failures_total").increment(1);
            pki::Error::Signer(format!("{}: {error}", self.locator))
        })?;
        match self.public.algorithm().is_rsa() {
            true => Ok(signature),
            false => pki::ecdsa_signature_der(&signature),
        }
    }
}

/// What the token says of a pair.
struct Described {
    private: Option<Vec<Attribute>>,
    public: Option<Vec<Attribute>>,
}

fn describe(session: &Session, locator: &Locator) -> TokenResult<Described> {
    let private = match one(session, ObjectClass::PRIVATE_KEY, locator)? {
        Some(handle) => Some(session.get_attributes(
            handle,
            &[
                AttributeType::Sensitive,
                AttributeType::AlwaysSensitive,
                AttributeType::Extractable,
                AttributeType::NeverExtractable,
                AttributeType::Local,
            ],
        )?),
        None => None,
    };
    let public = match one(session, ObjectClass::PUBLIC_KEY, locator)? {
        Some(handle) => {
            let kind = session.get_attributes(handle, &[AttributeType::KeyType])?;
            let rsa = kind.contains(&Attribute::KeyType(KeyType::RSA));
            let wanted: &[AttributeType] = match rsa {
                true => &[AttributeType::Modulus, AttributeType::PublicExponent],
                false => &[AttributeType::EcParams, AttributeType::EcPoint],
            };
            Some(session.get_attributes(handle, wanted)?)
        }
        None => None,
    };
    Ok(Described { private, public })
}

/// The one object of this class and id; two of them are as bad as none.
fn one(session: &Session, class: ObjectClass, locator: &Locator) -> TokenResult<Option<ObjectHandle>> {
    let wanted = [Attribute::Class(class), Attribute::Id(locator.id().to_vec())];
    match session.find_objects(&wanted)?.as_slice() {
        [one] => Ok(Some(*one)),
        _ => Ok(None),
    }
}

fn stays_inside(private: &[Attribute]) -> bool {
    [
        Attribute::Sensitive(true),
        Attribute::AlwaysSensitive(true),
        Attribute::Extractable(false),
        Attribute::NeverExtractable(true),
        Attribute::Local(true),
    ]
    .iter()
    .all(|wanted| private.contains(wanted))
}

fn public_key(public: &[Attribute]) -> Option<Result<PublicKey, pki::Error>> {
    let (mut modulus, mut exponent, mut curve, mut point) = (None, None, None, None);
    for attribute in public {
        match attribute {
            Attribute::Modulus(value) => modulus = Some(value),
            Attribute::PublicExponent(value) => exponent = Some(value),
            Attribute::EcParams(value) => curve = Some(value.as_slice()),
            Attribute::EcPoint(value) => point = Some(value.as_slice()),
            _ => {}
        }
    }
    if let (Some(modulus), Some(exponent)) = (modulus, exponent) {
        return Some(PublicKey::from_rsa_numbers(modulus, exponent));
    }
    let algorithm = match curve? {
        P256 => KeyAlgorithm::EcdsaP256,
        P384 => KeyAlgorithm::EcdsaP384,
        _ => return None,
    };
    // Some tokens leave the wrapping out. A bare point begins with 4 as well, but then its length is that of a point.
    let point = match point? {
        [OCTET_STRING, length, inner @ ..]
            if usize::from(*length) == inner.len() && inner.first() == Some(&UNCOMPRESSED) =>
        {
            inner
        }
        bare => bare,
    };
    Some(PublicKey::from_ec_point(algorithm, point))
}
