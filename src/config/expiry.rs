use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ExpirySettings;

/// Farther ahead nobody acts.
const DAYS_MAX: u32 = 366;
const NOTICES_MAX: usize = 16;

/// `[expiry]` as written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpiryFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice_days: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_use_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_unused: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_secret_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_ca_file: Option<PathBuf>,
}

impl ExpiryFile {
    pub(super) fn check(self, data: &Path, faults: &mut Vec<String>) -> ExpirySettings {
        let mut notice_days = self.notice_days.unwrap_or_else(|| vec![30, 14, 7, 1]);
        notice_days.sort_unstable();
        notice_days.dedup();
        if notice_days.is_empty()
            || notice_days.len() > NOTICES_MAX
            || notice_days.iter().any(|days| !(1..=DAYS_MAX).contains(days))
        {
            faults.push(format!(
                "expiry.notice_days must be 1 to {NOTICES_MAX} numbers of days, each between 1 and {DAYS_MAX}"
            ));
        }
        let in_use_days = self.in_use_days.unwrap_or(14);
        if !(1..=DAYS_MAX).contains(&in_use_days) {
            faults.push(format!("expiry.in_use_days must lie between 1 and {DAYS_MAX}"));
        }
        if self.webhook_url.is_some() != self.webhook_secret_file.is_some() {
            faults.push(
                "expiry.webhook_url and expiry.webhook_secret_file belong together: nobody could tell whose message it is"
                    .to_owned(),
            );
        }
        if self.webhook_ca_file.is_some() && self.webhook_url.is_none() {
            faults.push("expiry.webhook_ca_file needs expiry.webhook_url".to_owned());
        }
        ExpirySettings {
            notice_days,
            in_use_days,
            include_unused: self.include_unused.unwrap_or(false),
            webhook_url: self.webhook_url,
            webhook_secret_file: self.webhook_secret_file.map(|path| data.join(path)),
            webhook_ca_file: self.webhook_ca_file.map(|path| data.join(path)),
        }
    }
}
