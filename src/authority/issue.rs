//! Issuing client certificates: with a key made here, or for a key that the partner made.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use pki::{Identity, KeyAlgorithm, LeafRequest, PrivateKey, PublicKey, SpiffeId, VerifiedRequest};
use secrecy::{ExposeSecret as _, SecretString};
use time::Duration;
use zeroize::Zeroizing;

use super::certificate::CertificateView;
use super::issuance::{Claim, Holder, Order, Outcome};
use super::{Authority, off_thread, refused, to_the_end};
use crate::failure::{Failure, Fault, Refusal};
use crate::registry::Actor;
use crate::store;
use crate::store::certificate::{CertificateKind, CertificateRow};

/// What an `Idempotency-Key` may have at most.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;
/// X.520: ub-common-name and ub-organization-name. Longer names are cut: they are for people to read.
const DISPLAY_NAME_CHARS_MAX: usize = 64;
/// 128 bits, in hex.
const PKCS12_PASSWORD_OCTETS: usize = 16;

/// A certificate to issue, with a key that is made here and shown once.
#[derive(Clone, Debug)]
pub struct NewCertificate {
    pub client: String,
    /// `None`: 90 days. At most 398 days.
    pub lifetime_seconds: Option<u32>,
    pub key_algorithm: KeyAlgorithm,
    /// Some of the client's scopes; `None` for all of them, also those it is given later.
    pub scopes: Option<Vec<String>>,
    /// Networks (names or CIDRs) that it may be used from, besides being one of the client's.
    pub networks: Option<Vec<String>>,
    /// Whether a PKCS#12 file is wanted too. It takes half a second.
    pub pkcs12: bool,
    /// A request that is sent again under the same key is not done again.
    pub idempotency_key: Option<String>,
}

/// A certificate to issue for a key that the partner made: the better way, since the key never leaves its owner.
#[derive(Clone, Debug)]
pub struct NewSignature {
    pub client: String,
    /// PKCS#10, PEM or DER. Only its key is taken.
    pub request: Vec<u8>,
    /// `None`: 90 days. At most 398 days.
    pub lifetime_seconds: Option<u32>,
    /// As in [`NewCertificate`].
    pub scopes: Option<Vec<String>>,
    /// As in [`NewCertificate`].
    pub networks: Option<Vec<String>>,
    /// A request that is sent again under the same key gets the same certificate again.
    pub idempotency_key: Option<String>,
}

/// An issued certificate, and how it is used.
#[derive(Clone, Debug)]
pub struct Issued {
    pub certificate: CertificateView,
    pub certificate_pem: String,
    /// The authorities between the certificate and the root, nearest first: what a client sends after its own.
    pub chain_pem: String,
    /// The certificate, and after it the authorities of `chain_pem`, in DER.
    pub chain_der: Vec<Vec<u8>>,
    /// Only when the key was made here. It is shown once and kept nowhere.
    pub key: Option<IssuedKey>,
}

/// A private key that leaves the house.
#[derive(Clone, Debug)]
pub struct IssuedKey {
    /// PKCS#8, unencrypted.
    pub private_key_pem: SecretString,
    pub pkcs12: Option<Pkcs12>,
}

/// Certificate, chain and key in one file (RFC 7292).
#[derive(Clone)]
pub struct Pkcs12 {
    pub file: Zeroizing<Vec<u8>>,
    pub password: SecretString,
}

impl fmt::Debug for Pkcs12 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pkcs12(hidden)")
    }
}

impl Authority {
    /// Makes a key and issues a certificate for it. When this returns, this node accepts the certificate.
    ///
    /// # Errors
    /// `client_not_found`, `client_disabled`, `partner_disabled`; `scope_not_granted`, `unknown_network`; `lifetime_too_long`;
    /// `already_issued` when the idempotency key was used before: the key is shown only once.
    pub async fn issue(&self, new: NewCertificate, actor: &Actor) -> Result<Issued, Failure> {
        let (authority, actor) = (self.clone(), actor.clone());
        to_the_end(async move { authority.issue_now(new, &actor).await }).await
    }

    /// Issues a certificate for the key of a PKCS#10 request. When this returns, this node accepts the certificate.
    ///
    /// # Errors
    /// As [`Authority::issue`]; what [`VerifiedRequest::parse`] refuses (`weak_key`, `possession_not_proved`, `ca_requested`, …);
    /// `identity_mismatch` when the request names another client; `key_in_use`, `key_compromised`.
    pub async fn sign(&self, new: NewSignature, actor: &Actor) -> Result<Issued, Failure> {
        let (authority, actor) = (self.clone(), actor.clone());
        to_the_end(async move { authority.sign_now(new, &actor).await }).await
    }

    async fn issue_now(&self, new: NewCertificate, actor: &Actor) -> Result<Issued, Failure> {
        let claim = claim(new.idempotency_key.as_deref(), actor, || {
            serde_json::json!([
                "certificate.issue",
                new.client,
                new.lifetime_seconds,
                new.key_algorithm,
                new.scopes,
                new.networks,
                new.pkcs12
            ])
        })?;
        let holder = self.holder(&new.client).await?;
        let key =
            off_thread("making a key", move || PrivateKey::generate(new.key_algorithm)).await?.map_err(refused)?;
        let request = self.leaf_request(&holder, key.public_key().clone(), new.lifetime_seconds)?;
        let order = Order {
            signer: self.inner.issuers().issuing().signer()?.clone(),
            request,
            kind: CertificateKind::Client,
            holder: Some(holder),
            scopes: new.scopes,
            networks: new.networks,
            claim,
            predecessor: None,
            enrollment: None,
            action: "certificate.issue",
        };
        let (row, der) = match self.carry_out(&order, actor).await? {
            Outcome::Issued(row, certificate) => (row, certificate.der),
            Outcome::Before(row) => {
                let message = format!(
                    "Certificate {} was issued for this request. Its private key was shown then and is kept nowhere: if it is \
                     lost, revoke the certificate and ask again under a new idempotency key.",
                    row.serial
                );
                return Err(Refusal::conflict("already_issued", message).into());
            }
        };
        let private_key_pem = SecretString::from(key.to_pkcs8_pem().as_str());
        let pkcs12 = match new.pkcs12 {
            true => Some(pack(der.clone(), order.signer.clone(), key, new.client).await?),
            false => None,
        };
        Ok(self.issued(row, &der, Some(IssuedKey { private_key_pem, pkcs12 })))
    }

    async fn sign_now(&self, new: NewSignature, actor: &Actor) -> Result<Issued, Failure> {
        let bytes = new.request;
        let request =
            off_thread("reading a request", move || VerifiedRequest::parse(&bytes)).await?.map_err(refused)?;
        // Of the request only its key counts, so two with the same key ask for the same.
        let claim = claim(new.idempotency_key.as_deref(), actor, || {
            let key = request.public_key().fingerprint();
            serde_json::json!(["certificate.sign", new.client, new.lifetime_seconds, key, new.scopes, new.networks])
        })?;
        let holder = self.holder(&new.client).await?;
        request.check_identity(&self.identity(&holder)?).map_err(refused)?;
        let order = Order {
            signer: self.inner.issuers().issuing().signer()?.clone(),
            request: self.leaf_request(&holder, request.public_key().clone(), new.lifetime_seconds)?,
            kind: CertificateKind::Client,
            holder: Some(holder),
            scopes: new.scopes,
            networks: new.networks,
            claim,
            predecessor: None,
            enrollment: None,
            action: "certificate.sign",
        };
        let (row, der) = match self.carry_out(&order, actor).await? {
            Outcome::Issued(row, certificate) => (row, certificate.der),
            Outcome::Before(row) => return self.issued_before(row).await,
        };
        Ok(self.issued(row, &der, None))
    }

    /// The bytes of a certificate that was issued before.
    pub(super) async fn issued_before(&self, row: CertificateRow) -> Result<Issued, Failure> {
        let der = store::certificate::der(&self.inner.store, &row.issuer_key_id, &row.serial).await?;
        let der = der.ok_or_else(|| Fault::new(format!("the issued certificate {} has no bytes", row.serial)))?;
        Ok(self.issued(row, &der, None))
    }

    pub(super) fn issued(&self, row: CertificateRow, der: &[u8], key: Option<IssuedKey>) -> Issued {
        let issuers = self.inner.issuers();
        let issuer = issuers.find(&row.issuer_key_id);
        let chain = issuer.map(|issuer| issuers.chain(issuer, self.inner.clock.now())).unwrap_or_default();
        let chain_pem: String = chain.iter().map(|der| pki::pem_certificate(der)).collect();
        let certificate_pem = pki::pem_certificate(der);
        let certificate = CertificateView { pem: Some(certificate_pem.clone()), ..self.view(row) };
        let chain_der =
            std::iter::once(der.to_vec()).chain(issuer.map(|issuer| issuer.certificate_der.to_vec())).collect();
        Issued { certificate, certificate_pem, chain_pem, chain_der, key }
    }

    pub(super) fn identity(&self, holder: &Holder) -> Result<SpiffeId, Failure> {
        SpiffeId::new(&self.inner.settings.trust_domain, &holder.partner.id, &holder.client.id).map_err(refused)
    }

    pub(super) fn leaf_request(
        &self,
        holder: &Holder,
        public_key: PublicKey,
        lifetime_seconds: Option<u32>,
    ) -> Result<LeafRequest, Failure> {
        Ok(LeafRequest {
            common_name: display_name(&holder.client.id).unwrap_or_else(|| "client".to_owned()),
            organization: display_name(&holder.partner.name),
            identity: Identity::Client(self.identity(holder)?),
            public_key,
            lifetime: lifetime_seconds.map(|seconds| Duration::seconds(seconds.into())),
        })
    }
}

/// A name as a certificate can show it; `None` when nothing of it is left.
fn display_name(name: &str) -> Option<String> {
    let plain: String = name.chars().filter(|letter| !letter.is_control()).collect();
    let cut: String = plain.trim().chars().take(DISPLAY_NAME_CHARS_MAX).collect();
    let cut = cut.trim();
    (!cut.is_empty()).then(|| cut.to_owned())
}

fn claim(
    key: Option<&str>,
    actor: &Actor,
    request: impl FnOnce() -> serde_json::Value,
) -> Result<Option<Claim>, Refusal> {
    let Some(key) = key else { return Ok(None) };
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_CHARS_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = format!(
            "An idempotency key has 1 to {IDEMPOTENCY_KEY_CHARS_MAX} printable ASCII characters without blanks; a UUID is good."
        );
        return Err(Refusal::invalid("invalid_idempotency_key", message));
    }
    let digest = digest::digest(&digest::SHA256, request().to_string().as_bytes());
    let request = digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
    Ok(Some(Claim { key: format!("{}:{key}", actor.name), request }))
}

async fn pack(der: Vec<u8>, signer: Arc<pki::Issuer>, key: PrivateKey, name: String) -> Result<Pkcs12, Failure> {
    let mut octets = Zeroizing::new([0; PKCS12_PASSWORD_OCTETS]);
    aws_lc_rs::rand::fill(&mut *octets).map_err(|_| Fault::new("no randomness for a password"))?;
    let password: SecretString = octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>().into();
    off_thread("packing PKCS#12", move || {
        let file =
            pki::pkcs12(&der, &[signer.certificate_der()], &key, password.expose_secret(), &name).map_err(refused)?;
        Ok(Pkcs12 { file, password })
    })
    .await?
}
