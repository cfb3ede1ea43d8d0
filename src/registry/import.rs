//! Credentials and clients that are brought along from elsewhere, thousands in one transaction.
//!
//! What stands already and is the same counts as done, so that an import that broke off is simply run again. One row that is
//! wrong refuses the whole part, and every wrong row of it is named.

use serde::Serialize;
use utoipa::ToSchema;

use crate::failure::Refusal;

/// Rows of one part. More would hold the one writer for too long.
pub const IMPORT_ROWS_MAX: usize = 10_000;
/// How many wrong rows are named.
const FAULTS_SHOWN_MAX: usize = 20;

/// What an import did, or would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ImportOutcome)]
pub struct ImportOutcome {
    /// Rows that were new.
    pub imported: usize,
    /// Rows that stood already, the same.
    pub unchanged: usize,
}

/// How an import is to be done.
#[derive(Clone, Copy, Debug)]
pub struct ImportTerms {
    /// The number of the first row, for messages: imports come in parts.
    pub first_row: u64,
    /// Judge all and change nothing.
    pub check_only: bool,
}

/// The wrong rows of a part.
#[derive(Default)]
pub(super) struct RowFaults {
    lines: Vec<String>,
    count: usize,
}

impl RowFaults {
    pub(super) fn note(&mut self, row: u64, fault: &str) {
        self.count += 1;
        if self.lines.len() < FAULTS_SHOWN_MAX {
            self.lines.push(format!("row {row}: {fault}"));
        }
    }

    /// Refuses when there is any.
    pub(super) fn check(mut self) -> Result<(), Refusal> {
        if self.count == 0 {
            return Ok(());
        }
        if self.count > self.lines.len() {
            self.lines.push(format!("and {} more", self.count - self.lines.len()));
        }
        let message = format!("{} rows cannot be imported; nothing of this part was.", self.count);
        Err(Refusal::invalid("import_refused", message).with_details(self.lines))
    }
}

/// A part must have rows, and not too many.
pub(super) fn check_size(rows: usize) -> Result<(), Refusal> {
    if (1..=IMPORT_ROWS_MAX).contains(&rows) {
        return Ok(());
    }
    Err(Refusal::invalid("import_size", format!("An import has 1 to {IMPORT_ROWS_MAX} rows in one part.")))
}
