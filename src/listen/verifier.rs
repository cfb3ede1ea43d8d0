//! The client-certificate verifier of the listeners, and of `certificate verify`: rustls' path building over our anchors,
//! plus what it lets pass: an anchor that has expired, that may not sign certificates, or none for clients, or not so far from the
//! leaf; an authority in the chain without keyCertSign; a leaf whose key may not sign, or is too short.
//!
//! It judges the chain alone. Whether the certificate is one of ours and still good is asked on every request; CRLs are
//! not consulted here, since inside rustls they are hashed anew at every handshake.

mod paths;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};

use self::paths::Paths;
use crate::failure::Fault;
use crate::snapshot::Snapshot;

/// Certificates in a chain that a client may send.
const CHAIN_LENGTH_MAX: usize = 6;
/// Chains whose signatures were checked and need no second check until they expire. A reconnecting partner costs one
/// P-256 verification less; at 50 bytes an entry this is half a megabyte.
const VERIFIED_CHAINS_MAX: u64 = 10_000;
/// A verified chain is checked again after this.
const VERIFIED_CHAIN_LIFE: Duration = Duration::from_secs(600);

/// The CA certificates that client chains may end at (DER).
#[derive(Clone, Debug)]
pub struct TrustAnchors {
    certificates: Vec<Vec<u8>>,
}

impl TrustAnchors {
    /// Refuses what rustls would take: a certificate that is no CA or may not sign certificates.
    pub fn new(certificates: Vec<Vec<u8>>) -> Result<Self, Fault> {
        if certificates.is_empty() {
            return Err(Fault::new("there is no trust anchor for client certificates"));
        }
        for certificate in &certificates {
            pki::CaCertificate::parse(certificate).map_err(|error| Fault::new(format!("trust anchor: {error}")))?;
        }
        Ok(Self { certificates })
    }

    fn root_store(&self) -> Result<RootCertStore, Fault> {
        let mut store = RootCertStore::empty();
        for certificate in &self.certificates {
            store
                .add(CertificateDer::from_slice(certificate).into_owned())
                .map_err(|error| Fault::new(format!("trust anchor: {error}")))?;
        }
        Ok(store)
    }

    /// Whether some anchor is alive at `now`: rustls never looks.
    fn live(&self, now: UnixTime) -> Vec<Vec<u8>> {
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        self.certificates
            .iter()
            .filter(|der| pki::CaCertificate::parse(der).is_ok_and(|ca| ca.is_valid_at(seconds)))
            .cloned()
            .collect()
    }
}

/// For how many seconds after its end a certificate is let through, for the gate to judge: it may still renew itself.
pub type Grace = Arc<dyn Fn() -> i64 + Send + Sync>;

/// See the module.
pub struct ClientVerifier {
    inner: Arc<dyn ClientCertVerifier>,
    paths: Paths,
    anchors: TrustAnchors,
    /// When the earliest of the anchors ends or the latest begins: outside, the slow path filters.
    anchors_valid: (i64, i64),
    mandatory: bool,
    grace: Grace,
    verified: Cache<[u8; 32], ()>,
    foreign: Option<Foreign>,
}

/// The authorities of partners, which a listener for partners takes beside ours. They stand apart: no chain mixes the two.
struct Foreign {
    snapshot: Arc<Snapshot>,
    /// Our names and theirs.
    hints: Vec<DistinguishedName>,
}

impl ClientVerifier {
    /// `mandatory`: a handshake without a certificate fails.
    pub fn new(anchors: TrustAnchors, mandatory: bool, provider: Arc<CryptoProvider>) -> Result<Self, Fault> {
        let paths = Paths::new(&anchors.certificates, &provider)?;
        let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(anchors.root_store()?), provider)
            .build()
            .map_err(|error| Fault::new(format!("client verifier: {error}")))?;
        let mut valid = (i64::MIN, i64::MAX);
        for der in &anchors.certificates {
            let ca = pki::CaCertificate::parse(der).map_err(|error| Fault::new(format!("trust anchor: {error}")))?;
            valid = (valid.0.max(ca.not_before), valid.1.min(ca.not_after));
        }
        Ok(Self {
            inner,
            paths,
            anchors,
            anchors_valid: valid,
            mandatory,
            grace: Arc::new(|| 0),
            verified: Cache::builder().max_capacity(VERIFIED_CHAINS_MAX).time_to_live(VERIFIED_CHAIN_LIFE).build(),
            foreign: None,
        })
    }

    /// Lets certificates through for a while after their end. Every route refuses them then, but for their renewal.
    #[must_use]
    pub fn with_grace(mut self, grace: Grace) -> Self {
        self.grace = grace;
        self
    }

    /// Takes chains to the anchors of partners too, those that stand at the moment of each handshake.
    #[must_use]
    pub fn with_foreign(mut self, snapshot: Arc<Snapshot>) -> Self {
        let mut hints = self.inner.root_hint_subjects().to_vec();
        hints.extend(snapshot.anchors().subjects());
        self.foreign = Some(Foreign { snapshot, hints });
        self
    }

    /// Whose chain it is, is asked again on every request; here it only has to be somebody's.
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let own = self.verify_own(leaf, intermediates, now);
        let (Err(error), Some(foreign)) = (&own, &self.foreign) else { return own };
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let chain: Vec<&CertificateDer<'_>> = std::iter::once(leaf).chain(intermediates).collect();
        match foreign.snapshot.anchors().check_chain(&chain, seconds) {
            Ok(()) => Ok(()),
            // Then ours is the better answer.
            Err(CertificateError::UnknownIssuer) => Err(error.clone()),
            Err(error) => Err(error.into()),
        }
    }

    fn verify_own(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        if intermediates.len() >= CHAIN_LENGTH_MAX {
            return Err(rustls::Error::General(format!("more than {CHAIN_LENGTH_MAX} certificates in the chain")));
        }
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let parsed = pki::ClientCertificate::parse(leaf).map_err(|_| CertificateError::BadEncoding)?;
        // The dates are judged before the cache, every time: a cached chain must not outlive its leaf.
        let ended_seconds = seconds.saturating_sub(parsed.not_after);
        if ended_seconds > 0 && ended_seconds > (self.grace)() {
            return Err(CertificateError::Expired.into());
        }
        if seconds < parsed.not_before {
            return Err(CertificateError::NotValidYet.into());
        }
        if let Err(why) = parsed.check_use() {
            return Err(rustls::Error::General(why.to_owned()));
        }
        if ended_seconds > 0 {
            // As it was in its last second, but under authorities that stand now.
            let end = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(parsed.not_after).unwrap_or(0)));
            return self.verify_with_live_anchors(leaf, &alive(signers(intermediates), seconds), now, end);
        }
        if !(self.anchors_valid.0..=self.anchors_valid.1).contains(&seconds) {
            return self.verify_with_live_anchors(leaf, &signers(intermediates), now, now);
        }
        let key = chain_hash(leaf, intermediates);
        if intermediates_outlive(intermediates, seconds) && self.verified.contains_key(&key) {
            return Ok(());
        }
        self.paths.verify(leaf, &signers(intermediates), now)?;
        self.verified.insert(key, ());
        Ok(())
    }

    fn verify_with_live_anchors(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        at: UnixTime,
    ) -> Result<(), rustls::Error> {
        let live = self.anchors.live(now);
        if live.is_empty() {
            return Err(rustls::Error::General("every trust anchor has expired, or is not valid yet".to_owned()));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let paths = Paths::new(&live, &provider).map_err(|fault| rustls::Error::General(fault.inside().to_owned()))?;
        paths.verify(leaf, intermediates, at)
    }
}

/// Those that may sign certificates: rustls would build a path through the others too, and a key that was certified for
/// revocation lists alone could then make clients.
fn signers<'a>(intermediates: &[CertificateDer<'a>]) -> Vec<CertificateDer<'a>> {
    intermediates.iter().filter(|der| pki::may_sign_certificates(der)).cloned().collect()
}

fn alive(mut intermediates: Vec<CertificateDer<'_>>, seconds: i64) -> Vec<CertificateDer<'_>> {
    intermediates.retain(|der| pki::CaCertificate::parse(der).is_ok_and(|ca| ca.is_valid_at(seconds)));
    intermediates
}

fn intermediates_outlive(intermediates: &[CertificateDer<'_>], seconds: i64) -> bool {
    intermediates.iter().all(|der| pki::CaCertificate::parse(der).is_ok_and(|ca| ca.is_valid_at(seconds)))
}

fn chain_hash(leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> [u8; 32] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for der in std::iter::once(leaf).chain(intermediates) {
        // Lengths keep (ab, c) and (a, bc) apart.
        context.update(&(der.len() as u64).to_be_bytes());
        context.update(der);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

impl fmt::Debug for ClientVerifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClientVerifier").field("mandatory", &self.mandatory).finish_non_exhaustive()
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.foreign.as_ref().map_or_else(|| self.inner.root_hint_subjects(), |foreign| &foreign.hints)
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verify(end_entity, intermediates, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// What [`verify_chain`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainVerdict {
    Accepted,
    /// One sentence for people.
    Rejected(String),
}

/// Judges a chain (leaf first) as a listener would, at `now`, against `anchors` alone.
pub fn verify_chain(anchors: TrustAnchors, chain: &[Vec<u8>], now: UnixTime) -> Result<ChainVerdict, Fault> {
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Ok(ChainVerdict::Rejected("there is no certificate in the chain".to_owned()));
    };
    let verifier = ClientVerifier::new(anchors, true, Arc::new(rustls::crypto::aws_lc_rs::default_provider()))?;
    let intermediates: Vec<_> = intermediates.iter().map(|der| CertificateDer::from_slice(der)).collect();
    Ok(match verifier.verify(&CertificateDer::from_slice(leaf), &intermediates, now) {
        Ok(()) => ChainVerdict::Accepted,
        Err(error) => ChainVerdict::Rejected(error.to_string()),
    })
}
