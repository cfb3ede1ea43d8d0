use serde::{Deserialize, Serialize};

use super::UsageSettings;

/// Thirteen months: the invoice of a year ago can still be checked.
const RETENTION_DAYS_DEFAULT: u32 = 400;
/// At some 300 bytes a row, 600 MB.
const ROWS_MAX_DEFAULT: u32 = 2_000_000;

/// `[usage]` as written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_max: Option<u32>,
}

impl UsageFile {
    pub(super) fn check(self, faults: &mut Vec<String>) -> UsageSettings {
        let retention_days = self.retention_days.unwrap_or(RETENTION_DAYS_DEFAULT);
        if !(1..=3650).contains(&retention_days) {
            faults.push("usage.retention_days must lie between 1 and 3650".to_owned());
        }
        let rows_max = self.rows_max.unwrap_or(ROWS_MAX_DEFAULT);
        if !(10_000..=100_000_000).contains(&rows_max) {
            faults.push("usage.rows_max must lie between 10000 and 100000000".to_owned());
        }
        UsageSettings { retention_days, rows_max }
    }
}
