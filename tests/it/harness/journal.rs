use std::io;
use std::sync::{Mutex, Once, PoisonError};

use tracing_subscriber::EnvFilter;

/// Everything that any gateway of this process has logged.
static JOURNAL: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// More than an operator would ever switch on: all of ours, and what the libraries say when something is looked into.
const FILTER: &str = "debug,portcullis=trace,sqlx=info,h2=info,hyper_util=info";

struct Pen;

impl io::Write for Pen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        JOURNAL.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins to write down what is logged. Gateways log into one journal: secrets are unique, so a test finds its own.
pub(super) fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let filter = EnvFilter::try_new(FILTER).unwrap();
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(|| Pen).init();
    });
}

/// The journal so far.
pub(crate) fn logged() -> String {
    String::from_utf8_lossy(&JOURNAL.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}
