use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const DAYS_MAX: u32 = 3650;
const DAY_SECONDS: i64 = 86_400;
/// Keys that were made elsewhere are to be replaced: a year is time enough.
const IMPORTED_MAX_TTL_DAYS_DEFAULT: u32 = 365;

/// `[keys]` as written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ttl_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported_max_ttl_days: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leak_reporter: Vec<LeakReporterFile>,
}

/// `[[keys.leak_reporter]]` as written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakReporterFile {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
}

/// Who may report leaked keys.
#[derive(Clone, Debug)]
pub struct LeakReporterSettings {
    pub name: String,
    pub verification: LeakVerification,
}

/// How a report proves who sends it.
#[derive(Clone, Debug)]
pub enum LeakVerification {
    /// ECDSA P-256 with SHA-256 over the body, as GitHub's secret scanning signs.
    Ecdsa { key_id: String, public_key_file: PathBuf },
    /// HMAC-SHA-256 over the body.
    Hmac { secret_file: PathBuf },
}

/// How long API keys may live.
#[derive(Clone, Debug)]
pub struct KeySettings {
    /// No key that is made here lives longer. Absent: they may live for ever.
    pub max_ttl_seconds: Option<i64>,
    /// And none that is brought along from elsewhere.
    pub imported_max_ttl_seconds: i64,
    pub leak_reporters: Vec<LeakReporterSettings>,
}

impl KeysFile {
    pub(super) fn check(self, data: &Path, faults: &mut Vec<String>) -> KeySettings {
        let reporters = self.leak_reporter.into_iter().filter_map(|reporter| reporter.check(data, faults));
        let leak_reporters: Vec<LeakReporterSettings> = reporters.collect();
        let mut seconds = |name: &str, days: u32| {
            if !(1..=DAYS_MAX).contains(&days) {
                faults.push(format!("keys.{name} must lie between 1 and {DAYS_MAX} days"));
            }
            i64::from(days) * DAY_SECONDS
        };
        let imported = self.imported_max_ttl_days.unwrap_or(IMPORTED_MAX_TTL_DAYS_DEFAULT);
        KeySettings {
            max_ttl_seconds: self.max_ttl_days.map(|days| seconds("max_ttl_days", days)),
            imported_max_ttl_seconds: seconds("imported_max_ttl_days", imported),
            leak_reporters,
        }
    }
}

impl LeakReporterFile {
    fn check(self, data: &Path, faults: &mut Vec<String>) -> Option<LeakReporterSettings> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(plain) {
            faults.push("keys.leak_reporter: name must be 1 to 64 letters, digits and '-'".to_owned());
        }
        let verification = match (self.key_id, self.public_key_file, self.secret_file) {
            (Some(key_id), Some(file), None) => {
                Some(LeakVerification::Ecdsa { key_id, public_key_file: data.join(file) })
            }
            (None, None, Some(file)) => Some(LeakVerification::Hmac { secret_file: data.join(file) }),
            _ => None,
        };
        if verification.is_none() {
            faults.push(format!("keys.leak_reporter {:?}: give key_id and public_key_file, or secret_file", self.name));
        }
        Some(LeakReporterSettings { name: self.name, verification: verification? })
    }
}
