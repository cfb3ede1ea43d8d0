//! What the operator sets in `portcullis.toml`: checked whole before any port is opened, every fault listed.
//!
//! The file lies in the data folder; relative paths in it are relative to that folder.

mod expiry;
mod file;
mod forward_auth;
mod guarded_file;
mod keys;
mod listener;
mod proxies;
mod usage;

use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

pub use expiry::ExpiryFile;
pub use file::{ConfigFile, Pkcs11File};
pub use forward_auth::{Dialect, ForwardAuthFile, ForwardAuthSettings, ForwardedCertificate};
pub use guarded_file::read_guarded_file;
pub use keys::{KeySettings, KeysFile, LeakReporterFile, LeakReporterSettings, LeakVerification};
pub use listener::{ClientCertificates, ListenerConfig, ListenerFile, Serves, canonical_hostname};
pub use proxies::ProxyProtocolFile;
pub use usage::UsageFile;

/// The name of the file in the data folder.
pub const CONFIG_FILE_NAME: &str = "portcullis.toml";
/// Larger files are refused unread.
const CONFIG_BYTES_MAX: u64 = 256 * 1024;

/// The configuration, valid by construction.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// Short word in API keys: `pc_<environment>_…`.
    pub environment: String,
    /// SPIFFE trust domain of the identities in client certificates.
    pub trust_domain: String,
    pub listeners: Vec<ListenerConfig>,
    /// Proxies that may ask on behalf of their clients.
    pub forward_auth: Vec<ForwardAuthSettings>,
    /// File that holds the passphrase of the CA's keys.
    pub passphrase_file: Option<PathBuf>,
    pub oauth: OAuthSettings,
    pub pki: PkiSettings,
    pub limits: LimitSettings,
    pub audit: AuditSettings,
    pub expiry: ExpirySettings,
    pub keys: KeySettings,
    pub usage: UsageSettings,
    pub log: LogSettings,
}

/// The authorization server.
#[derive(Clone, Debug)]
pub struct OAuthSettings {
    /// `iss` of our tokens. Absent: the URL of the first listener that serves the gateway.
    pub issuer: Option<String>,
    /// Life of an access token, 300 to 86 400.
    pub token_ttl_seconds: u32,
    /// ES256, or RS256 for verifiers that take RSA only.
    pub algorithm: SigningAlgorithm,
    /// Answer `invalid_client` with 400 as Cognito does, not 401 (RFC 6749 §5.2).
    pub cognito_errors: bool,
}

/// How our tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    Es256,
    Rs256,
}

/// The certificate authority's public face.
#[derive(Clone, Debug)]
pub struct PkiSettings {
    /// What is written into certificates as the address of CRLs and CA certificates. Absent: the PKI listener's own.
    pub public_url: Option<String>,
    /// `nextUpdate` − `thisUpdate` of our CRLs.
    pub crl_lifetime_seconds: u32,
    /// `nextUpdate` − now of OCSP answers.
    pub ocsp_lifetime_seconds: u32,
    /// Into how many lists the revocations of an authority are divided, from the moment it is made.
    pub crl_partitions: u32,
    /// Client certificates issued within a minute at most, 1 to 1 000 000.
    pub issuances_per_minute: u32,
    /// The token of the authorities' keys. Absent: they lie in encrypted files.
    pub pkcs11: Option<Pkcs11Settings>,
}

/// A PKCS#11 token.
#[derive(Clone, Debug)]
pub struct Pkcs11Settings {
    /// The vendor's library.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// File that holds the PIN of the token's user. Absent: the systemd credential.
    pub pin_file: Option<PathBuf>,
}

/// A rate with a burst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub per_second: f64,
    pub burst: u32,
}

/// The static limits: what one address, one connection, one request may cost us before it is known who asks.
#[derive(Clone, Debug)]
pub struct LimitSettings {
    pub handshakes_per_address: Rate,
    pub requests_per_address: Rate,
    /// Failed authentications; when they are spent the address waits, whatever it presents.
    pub failures_per_address: Rate,
    /// What callers are told of the limits of their plans.
    pub fields: LimitFields,
    /// Buckets of throttles held in memory; beyond it, new ones share.
    pub throttle_buckets_max: usize,
    /// Addresses that the three limits above do not count: a load balancer's health checks, the demo's loopback.
    pub exempt: Vec<IpNet>,
    pub connections_max: usize,
    pub connections_per_address_max: usize,
    pub handshake_timeout: Duration,
    /// How long a connection may take over a request head, and stay idle between two.
    pub head_timeout: Duration,
    /// Largest request body passed to an upstream.
    pub body_bytes_max: u64,
    /// How long open requests may go on after SIGTERM.
    pub drain_timeout: Duration,
}

/// Which fields tell callers of their limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitFields {
    /// `RateLimit-Policy` and `RateLimit`, draft-ietf-httpapi-ratelimit-headers-11.
    #[default]
    Standard,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds), of the one limit that ends first.
    Legacy,
    Both,
    Off,
}

/// What becomes a row of the audit log. Denials and administrative changes always do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditAllowed {
    All,
    None,
}

#[derive(Clone, Debug)]
pub struct AuditSettings {
    pub allowed: AuditAllowed,
    pub retention_days: u32,
    /// How many denials of one address become rows; of the others only the number is kept.
    pub denials_per_address: Rate,
}

/// How long it is kept what each client used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageSettings {
    pub retention_days: u32,
    /// With more rows than this the oldest hours go before their time.
    pub rows_max: u32,
}

/// Who is told of what ends, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpirySettings {
    /// How many days before the end, ascending, each once.
    pub notice_days: Vec<u32>,
    /// A credential that let somebody in within so many days is in use.
    pub in_use_days: u32,
    /// Tell of credentials too that nobody uses.
    pub include_unused: bool,
    pub webhook_url: Option<String>,
    pub webhook_secret_file: Option<PathBuf>,
    /// Whom to trust for the webhook's `https`; absent: the public authorities.
    pub webhook_ca_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Debug)]
pub struct LogSettings {
    pub format: LogFormat,
    /// A `tracing` filter: `info`, `portcullis=debug`.
    pub filter: String,
}

impl Config {
    /// Reads and checks `portcullis.toml` in `data`. The errors are sentences for the operator.
    pub fn load(data: &Path) -> Result<Self, Vec<String>> {
        let path = data.join(CONFIG_FILE_NAME);
        let describe = |error: std::io::Error| {
            vec![format!(
                "cannot read {}: {error}. `portcullis init --data DIR` or `portcullis demo` makes a data folder",
                path.display()
            )]
        };
        let length = std::fs::metadata(&path).map_err(describe)?.len();
        if length > CONFIG_BYTES_MAX {
            return Err(vec![format!("{} is larger than {CONFIG_BYTES_MAX} bytes", path.display())]);
        }
        let text = std::fs::read_to_string(&path).map_err(describe)?;
        let file: ConfigFile = toml::from_str(&text).map_err(|error| vec![format!("{}: {error}", path.display())])?;
        file.check(data)
            .map_err(|faults| faults.into_iter().map(|fault| format!("{}: {fault}", path.display())).collect())
    }

    /// The listener of that kind which comes first in the file.
    pub fn first(&self, serves: Serves) -> Option<&ListenerConfig> {
        self.listeners.iter().find(|listener| listener.serves == serves)
    }

    pub fn database(&self) -> PathBuf {
        self.data.join("portcullis.db")
    }

    pub fn audit_database(&self) -> PathBuf {
        self.data.join("audit.db")
    }

    /// The key of every stored HMAC. Lost, no API key and no client secret opens anything.
    pub fn pepper(&self) -> PathBuf {
        self.keys().join("pepper")
    }

    pub fn keys(&self) -> PathBuf {
        self.data.join("keys")
    }
}

#[cfg(test)]
mod tests;
