//! Places where a test lets the process die, to prove that no step between reservation and answer loses or leaks a certificate.
//!
//! A test facility: with `PORTCULLIS_CRASH_AT=<step>` in its environment the process aborts when it reaches that step, as a power
//! failure would end it. Without the variable nothing happens. Whoever can set it could as well kill the process.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};

/// The variable that names the step.
pub const CRASH_AT: &str = "PORTCULLIS_CRASH_AT";

/// A step of an operation that must survive a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// Initialisation: the key files lie on disk, the database knows nothing of them.
    AfterKeyFiles,
    /// Issuance: the reservation is written and not yet committed.
    WithinReserve,
    /// Issuance: the serial and the octets to be signed are on disk, nothing is signed.
    AfterReserve,
    /// Issuance: the octets were signed under a throw-away key and found good.
    AfterLint,
    /// Issuance: the certificate exists in memory, its row says `reserved`.
    AfterSign,
    /// Issuance: the certificate is written and not yet committed.
    WithinStore,
    /// Issuance: the row says `issued`; this node does not know it yet.
    AfterStore,
    /// Issuance: all is done, the caller has not heard of it.
    BeforeAnswer,
    /// Revocation: it is written and not yet committed.
    WithinRevoke,
    /// Revocation: it is on disk; this node does not enforce it yet.
    AfterRevoke,
}

impl CrashPoint {
    /// All steps, for tests that try each.
    pub const ALL: [Self; 10] = [
        Self::AfterKeyFiles,
        Self::WithinReserve,
        Self::AfterReserve,
        Self::AfterLint,
        Self::AfterSign,
        Self::WithinStore,
        Self::AfterStore,
        Self::BeforeAnswer,
        Self::WithinRevoke,
        Self::AfterRevoke,
    ];

    /// The value of [`CRASH_AT`] that stops the process here; with `:3` behind it, when it comes here for the third time.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AfterKeyFiles => "after-key-files",
            Self::WithinReserve => "within-reserve",
            Self::AfterReserve => "after-reserve",
            Self::AfterLint => "after-lint",
            Self::AfterSign => "after-sign",
            Self::WithinStore => "within-store",
            Self::AfterStore => "after-store",
            Self::BeforeAnswer => "before-answer",
            Self::WithinRevoke => "within-revoke",
            Self::AfterRevoke => "after-revoke",
        }
    }

    /// Ends the process if this is the armed step and its time has come.
    pub(crate) fn reached(self) {
        let Some(armed) = ARMED.as_ref().filter(|armed| armed.step == self) else { return };
        if SPARED.try_with(|()| ()).is_ok() {
            return;
        }
        if armed.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            tracing::error!(step = self.as_str(), "{CRASH_AT} is set: aborting here");
            std::process::abort();
        }
    }

    /// Reads the variable and says so in the log when a step is armed.
    pub(crate) fn announce() {
        if let Some(armed) = ARMED.as_ref() {
            tracing::warn!(step = armed.step.as_str(), "{CRASH_AT} is set: this process will abort at that step");
        }
    }
}

tokio::task_local! {
    static SPARED: ();
}

/// Runs what the server does for itself at each start: it would die in the place of what the step is armed for.
pub(super) async fn spared<T>(operation: impl Future<Output = T>) -> T {
    SPARED.scope((), operation).await
}

struct Armed {
    step: CrashPoint,
    /// How often it may still be reached, this one included.
    left: AtomicI64,
}

static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| {
    let wanted = std::env::var(CRASH_AT).ok()?;
    let (step, times) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    let step = CrashPoint::ALL.into_iter().find(|known| known.as_str() == step)?;
    Some(Armed { step, left: AtomicI64::new(times.parse().ok()?) })
});
