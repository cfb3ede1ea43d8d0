//! Key and certificates in one file, for clients that cannot take PEM.

use p12_keystore::{
    Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, PrivateKey as KeyEntry, PrivateKeyChain,
};
use zeroize::Zeroizing;

use crate::certificate;
use crate::error::Error;
use crate::key::PrivateKey;

/// .NET refuses more than 300 000 for one derivation; OpenSSL and Java take more.
const ITERATIONS: u32 = 250_000;

/// Packs a key, its certificate and the chain above it into a PKCS#12 file (RFC 7292).
///
/// Modern algorithms only: PBES2 with PBKDF2-HMAC-SHA256 and AES-256-CBC, HMAC-SHA-256. OpenSSL 3, Java 8u301, Windows Server
/// 2019 and macOS 15 read it; older systems do not, and get a certificate for a request of their own instead.
///
/// `chain` is DER, nearest authority first.
///
/// # Errors
/// [`Error::KeyMismatch`] when the key is not the leaf's; [`Error::EmptyPassphrase`]; [`Error::MalformedCertificate`];
/// [`Error::Pkcs12`].
pub fn pkcs12(
    leaf: &[u8],
    chain: &[&[u8]],
    key: &PrivateKey,
    password: &str,
    friendly_name: &str,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    if password.is_empty() {
        return Err(Error::EmptyPassphrase);
    }
    if certificate::parse(leaf)?.public_key().raw != key.public_key().spki_der() {
        return Err(Error::KeyMismatch);
    }
    let entry = KeyEntry::from_der(&key.to_pkcs8_der()).map_err(|_| Error::Pkcs12("the key does not fit in"))?;
    let certificates = std::iter::once(leaf)
        .chain(chain.iter().copied())
        .map(|der| Certificate::from_der(der).map_err(|_| Error::MalformedCertificate("it is not X.509")))
        .collect::<Result<Vec<_>, _>>()?;
    let mut store = KeyStore::new();
    let chain = PrivateKeyChain::new(key.public_key().key_id().as_bytes(), entry, certificates);
    store.add_entry(friendly_name, KeyStoreEntry::PrivateKeyChain(chain));
    let file = store
        .writer(password)
        .encryption_algorithm(EncryptionAlgorithm::PbeWithHmacSha256AndAes256)
        .encryption_iterations(ITERATIONS)
        .mac_algorithm(MacAlgorithm::HmacSha256)
        .mac_iterations(ITERATIONS)
        .write();
    file.map(Zeroizing::new).map_err(|_| Error::Pkcs12("it cannot be written"))
}
