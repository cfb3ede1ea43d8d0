use metrics::{Counter, Histogram, counter, histogram};
use papaya::HashMap;

use crate::listen::Listener;

/// The counters of decisions. The handles are kept: looking one up by its labels would cost more than the decision.
pub struct Meters {
    decisions: HashMap<(u16, &'static str), Counter>,
    seconds: Histogram,
}

impl Meters {
    /// Call it after the recorder is installed.
    pub fn new() -> Self {
        Self { decisions: HashMap::new(), seconds: histogram!("portcullis_decision_seconds") }
    }

    /// Counts one decision. `outcome` is `allowed` or a code.
    pub(super) fn decided(&self, listener: &Listener, outcome: &'static str, nanos: u64) {
        // A listener is known by its port: labels are strings, and strings are slow to hash.
        let decisions = self.decisions.pin();
        let counter = decisions.get_or_insert_with(
            (listener.address.port(), outcome),
            || counter!("portcullis_decisions_total", "listener" => listener.config.name.clone(), "outcome" => outcome),
        );
        counter.increment(1);
        self.seconds.record(nanos as f64 / 1e9);
    }
}

impl Default for Meters {
    fn default() -> Self {
        Self::new()
    }
}
