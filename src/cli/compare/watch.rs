use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::output::Output;
use crate::compare::Progress;

/// A bar on standard error, if that is a terminal.
pub(super) struct Watch {
    output: Output,
    bar: Mutex<ProgressBar>,
}

impl Watch {
    pub(super) fn new(output: Output) -> Self {
        Self { output, bar: Mutex::new(ProgressBar::hidden()) }
    }

    pub(super) fn finish(&self) {
        self.bar().finish_and_clear();
    }

    fn bar(&self) -> ProgressBar {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Progress for Watch {
    fn begin(&self, what: &str, steps: u64) {
        self.finish();
        // A bar draws itself on standard error, and only if somebody watches.
        let bar = ProgressBar::new(steps).with_message(what.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{msg:<32} {bar:40} {pos}/{len}") {
            bar.set_style(style);
        }
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    fn step(&self, steps: u64) {
        self.bar().inc(steps);
    }

    fn warn(&self, text: &str) {
        self.bar().suspend(|| self.output.note(&format!("warning: {text}")));
    }
}
