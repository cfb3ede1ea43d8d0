use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::expiry::ExpiryFile;
use super::forward_auth::{self, ForwardAuthFile};
use super::keys::KeysFile;
use super::listener::{ListenerFile, Serves};
use super::usage::UsageFile;
use super::{
    AuditAllowed, AuditSettings, Config, LimitFields, LimitSettings, LogFormat, LogSettings, OAuthSettings,
    Pkcs11Settings, PkiSettings, Rate, SigningAlgorithm,
};

/// `portcullis.toml` as written. Unknown fields are errors: a misspelt limit must not be silently off.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    pub environment: String,
    pub trust_domain: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase_file: Option<PathBuf>,
    pub listener: Vec<ListenerFile>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forward_auth: Vec<ForwardAuthFile>,
    #[serde(default)]
    pub oauth: OAuthFile,
    #[serde(default)]
    pub pki: PkiFile,
    #[serde(default)]
    pub limits: LimitsFile,
    #[serde(default)]
    pub audit: AuditFile,
    #[serde(default)]
    pub expiry: ExpiryFile,
    #[serde(default)]
    pub keys: KeysFile,
    #[serde(default)]
    pub usage: UsageFile,
    #[serde(default)]
    pub log: LogFile,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OAuthFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_ttl_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cognito_errors: Option<bool>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PkiFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crl_lifetime_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ocsp_lifetime_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crl_partitions: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuances_per_minute: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pkcs11: Option<Pkcs11File>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pkcs11File {
    pub module: PathBuf,
    pub token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateFile {
    pub rate: f64,
    pub burst: u32,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshakes_per_address: Option<RateFile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_address: Option<RateFile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures_per_address: Option<RateFile>,
    /// `standard`, `legacy`, `both` or `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttle_buckets_max: Option<usize>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exempt: Vec<IpNet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_max: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_per_address_max: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake_timeout_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_timeout_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_bytes_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_timeout_seconds: Option<u32>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denials_per_address: Option<RateFile>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

impl ConfigFile {
    /// Checks everything and lists every fault.
    pub fn check(self, data: &Path) -> Result<Config, Vec<String>> {
        let mut faults = Vec::new();
        let word = |text: &str, max: usize| {
            (1..=max).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        if !word(&self.environment, 16) {
            faults.push("environment must be 1 to 16 of a-z and 0-9: it becomes part of every API key".to_owned());
        }
        if super::listener::canonical_hostname(&self.trust_domain).as_deref() != Some(self.trust_domain.as_str()) {
            faults.push(format!("trust_domain {:?} must be a lower-case DNS name", self.trust_domain));
        }
        let mut listeners = Vec::new();
        for listener in self.listener {
            listeners.extend(listener.check(data, &mut faults));
        }
        for (index, listener) in listeners.iter().enumerate() {
            if listeners.iter().take(index).any(|earlier| earlier.name == listener.name) {
                faults.push(format!("two listeners are named {:?}", listener.name));
            }
        }
        for (serves, word) in [(Serves::Gateway, "gateway"), (Serves::Admin, "admin"), (Serves::Pki, "pki")] {
            if !listeners.iter().any(|listener| listener.serves == serves) {
                faults.push(format!("no [[listener]] has serves = {word:?}"));
            }
        }
        let forward_auth = forward_auth::check(self.forward_auth, data, &mut faults);
        let oauth = self.oauth.check(&mut faults);
        let pki = self.pki.check(data, &mut faults);
        let limits = self.limits.check(&mut faults);
        let audit = self.audit.check(&mut faults);
        let expiry = self.expiry.check(data, &mut faults);
        let keys = self.keys.check(data, &mut faults);
        let usage = self.usage.check(&mut faults);
        let log = self.log.check(&mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Config {
            data: data.to_owned(),
            environment: self.environment,
            trust_domain: self.trust_domain,
            listeners,
            forward_auth,
            passphrase_file: self.passphrase_file.map(|path| data.join(path)),
            oauth,
            pki,
            limits,
            audit,
            expiry,
            keys,
            usage,
            log,
        })
    }
}

impl OAuthFile {
    fn check(self, faults: &mut Vec<String>) -> OAuthSettings {
        let token_ttl_seconds = self.token_ttl_seconds.unwrap_or(3600);
        if !(300..=86_400).contains(&token_ttl_seconds) {
            faults.push("oauth.token_ttl_seconds must lie between 300 (5 minutes) and 86400 (a day)".to_owned());
        }
        let algorithm = match self.algorithm.as_deref() {
            None | Some("ES256") => SigningAlgorithm::Es256,
            Some("RS256") => SigningAlgorithm::Rs256,
            Some(other) => {
                faults.push(format!("oauth.algorithm {other:?} must be \"ES256\" or \"RS256\""));
                SigningAlgorithm::Es256
            }
        };
        if let Some(issuer) = &self.issuer
            && (!issuer.starts_with("https://") || issuer.contains(['?', '#', ' ']) || issuer.ends_with('/'))
        {
            faults.push(
                "oauth.issuer must be an https URL without query, fragment or final '/' (RFC 8414 §2)".to_owned(),
            );
        }
        OAuthSettings {
            issuer: self.issuer,
            token_ttl_seconds,
            algorithm,
            cognito_errors: self.cognito_errors.unwrap_or(false),
        }
    }
}

impl PkiFile {
    fn check(self, data: &Path, faults: &mut Vec<String>) -> PkiSettings {
        if let Some(url) = &self.public_url
            && (!url.starts_with("http://") || url.ends_with('/') || url.contains(['?', '#', ' ']))
        {
            faults.push(
                "pki.public_url must be a plain http:// URL without final '/': CRLs are fetched without TLS".to_owned(),
            );
        }
        let crl_lifetime_seconds = self.crl_lifetime_seconds.unwrap_or(86_400);
        if !(600..=864_000).contains(&crl_lifetime_seconds) {
            faults.push("pki.crl_lifetime_seconds must lie between 600 (10 minutes) and 864000 (10 days)".to_owned());
        }
        let ocsp_lifetime_seconds = self.ocsp_lifetime_seconds.unwrap_or(3600);
        if !(600..=604_800).contains(&ocsp_lifetime_seconds) {
            faults.push("pki.ocsp_lifetime_seconds must lie between 600 (10 minutes) and 604800 (7 days)".to_owned());
        }
        let crl_partitions = self.crl_partitions.unwrap_or(1);
        if !(1..=256).contains(&crl_partitions) {
            faults.push("pki.crl_partitions must lie between 1 and 256".to_owned());
        }
        let issuances_per_minute = self.issuances_per_minute.unwrap_or(600);
        if !(1..=1_000_000).contains(&issuances_per_minute) {
            faults.push("pki.issuances_per_minute must lie between 1 and 1000000".to_owned());
        }
        let pkcs11 = self.pkcs11.map(|file| {
            // A library found along a search path is whichever lies first on it.
            if !file.module.is_absolute() {
                faults.push("pki.pkcs11.module must be an absolute path".to_owned());
            }
            if !(1..=32).contains(&file.token.len()) {
                faults.push("pki.pkcs11.token must be a label of 1 to 32 bytes".to_owned());
            }
            Pkcs11Settings { module: file.module, token: file.token, pin_file: file.pin_file.map(|pin| data.join(pin)) }
        });
        PkiSettings {
            public_url: self.public_url,
            crl_lifetime_seconds,
            crl_partitions,
            ocsp_lifetime_seconds,
            issuances_per_minute,
            pkcs11,
        }
    }
}

fn rate(name: &str, given: Option<RateFile>, default: Rate, faults: &mut Vec<String>) -> Rate {
    let rate = given.map_or(default, |file| Rate { per_second: file.rate, burst: file.burst });
    if !(1e-3..=1e6).contains(&rate.per_second) || !(1..=1_000_000).contains(&rate.burst) {
        faults.push(format!("{name}: rate must lie in 0.001..=1000000 and burst in 1..=1000000"));
    }
    rate
}

impl LimitsFile {
    fn check(self, faults: &mut Vec<String>) -> LimitSettings {
        let mut rate = |name: &str, given: Option<RateFile>, per_second: f64, burst: u32| {
            rate(&format!("limits.{name}"), given, Rate { per_second, burst }, faults)
        };
        let handshakes_per_address = rate("handshakes_per_address", self.handshakes_per_address, 100.0, 400);
        let requests_per_address = rate("requests_per_address", self.requests_per_address, 5_000.0, 10_000);
        let failures_per_address = rate("failures_per_address", self.failures_per_address, 1.0, 60);
        if self.exempt.iter().any(|network| network.prefix_len() == 0) {
            faults.push("limits.exempt: 0.0.0.0/0 or ::/0 would switch the limits off for everyone".to_owned());
        }
        let fields = match self.headers.as_deref() {
            None | Some("standard") => LimitFields::Standard,
            Some("legacy") => LimitFields::Legacy,
            Some("both") => LimitFields::Both,
            Some("off") => LimitFields::Off,
            Some(other) => {
                faults.push(format!("limits.headers {other:?} must be \"standard\", \"legacy\", \"both\" or \"off\""));
                LimitFields::Standard
            }
        };
        let throttle_buckets_max = self.throttle_buckets_max.unwrap_or(2_000_000);
        if !(10_000..=100_000_000).contains(&throttle_buckets_max) {
            faults.push("limits.throttle_buckets_max must lie between 10000 and 100000000".to_owned());
        }
        let mut seconds = |name: &str, given: Option<u32>, default: u32| {
            let value = given.unwrap_or(default);
            if !(1..=3600).contains(&value) {
                faults.push(format!("limits.{name} must lie between 1 and 3600"));
            }
            Duration::from_secs(u64::from(value))
        };
        LimitSettings {
            handshakes_per_address,
            requests_per_address,
            failures_per_address,
            fields,
            throttle_buckets_max,
            exempt: self.exempt,
            connections_max: self.connections_max.unwrap_or(20_000).max(1),
            connections_per_address_max: self.connections_per_address_max.unwrap_or(2_000).max(1),
            handshake_timeout: seconds("handshake_timeout_seconds", self.handshake_timeout_seconds, 10),
            head_timeout: seconds("head_timeout_seconds", self.head_timeout_seconds, 60),
            body_bytes_max: self.body_bytes_max.unwrap_or(10 * 1024 * 1024),
            drain_timeout: seconds("drain_timeout_seconds", self.drain_timeout_seconds, 30),
        }
    }
}

impl AuditFile {
    fn check(self, faults: &mut Vec<String>) -> AuditSettings {
        let allowed = match self.allowed.as_deref() {
            None | Some("all") => AuditAllowed::All,
            Some("none") => AuditAllowed::None,
            Some(other) => {
                faults.push(format!(
                    "audit.allowed {other:?} must be \"all\" or \"none\" (denials are recorded either way)"
                ));
                AuditAllowed::All
            }
        };
        let retention_days = self.retention_days.unwrap_or(90);
        if !(1..=3650).contains(&retention_days) {
            faults.push("audit.retention_days must lie between 1 and 3650".to_owned());
        }
        let default = Rate { per_second: 20.0, burst: 2_000 };
        let denials_per_address = rate("audit.denials_per_address", self.denials_per_address, default, faults);
        AuditSettings { allowed, retention_days, denials_per_address }
    }
}

impl LogFile {
    fn check(self, faults: &mut Vec<String>) -> LogSettings {
        let format = match self.format.as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                faults.push(format!("log.format {other:?} must be \"text\" or \"json\""));
                LogFormat::Text
            }
        };
        LogSettings { format, filter: self.filter.unwrap_or_else(|| "info".to_owned()) }
    }
}
