//! Places where a test lets the process die, to prove that no step between reservation and answer loses or leaks a certificate.
//!
//! A test facility: with `PORTCULLIS_CRASH_AT=<step>` in its environment the process aborts when it reaches that step, as a power
//! failure would end it. Without the variable nothing happens. Whoever can set it could as well kill the process.

use std::sync::LazyLock;

/// The variable that names the step.
pub const CRASH_AT: &str = "PORTCULLIS_CRASH_AT";

/// A step of an operation that must survive a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// Initialisation: the key files lie on disk, the database knows nothing of them.
    AfterKeyFiles,
    /// Issuance: the serial is reserved on disk, nothing is signed.
    AfterReserve,
    /// Issuance: the certificate exists in memory, its row says `reserved`.
    AfterSign,
    /// Issuance: the row says `issued`; this node does not know it yet.
    AfterStore,
    /// Issuance: all is done, the caller has not heard of it.
    BeforeAnswer,
    /// Revocation: it is on disk; this node does not enforce it yet.
    AfterRevoke,
}

impl CrashPoint {
    /// All steps, for tests that try each.
    pub const ALL: [Self; 6] = [
        Self::AfterKeyFiles,
        Self::AfterReserve,
        Self::AfterSign,
        Self::AfterStore,
        Self::BeforeAnswer,
        Self::AfterRevoke,
    ];

    /// The value of [`CRASH_AT`] that stops the process here.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AfterKeyFiles => "after-key-files",
            Self::AfterReserve => "after-reserve",
            Self::AfterSign => "after-sign",
            Self::AfterStore => "after-store",
            Self::BeforeAnswer => "before-answer",
            Self::AfterRevoke => "after-revoke",
        }
    }

    /// Ends the process if this is the armed step.
    pub(crate) fn reached(self) {
        if *ARMED == Some(self) && SPARED.try_with(|()| ()).is_err() {
            tracing::error!(step = self.as_str(), "{CRASH_AT} is set: aborting here");
            std::process::abort();
        }
    }

    /// Reads the variable and says so in the log when a step is armed.
    pub(crate) fn announce() {
        if let Some(step) = *ARMED {
            tracing::warn!(step = step.as_str(), "{CRASH_AT} is set: this process will abort at that step");
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

static ARMED: LazyLock<Option<CrashPoint>> = LazyLock::new(|| {
    let wanted = std::env::var(CRASH_AT).ok()?;
    CrashPoint::ALL.into_iter().find(|step| step.as_str() == wanted)
});
