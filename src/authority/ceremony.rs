//! The root's ceremonies: on a machine without network, with files alone. Each writes down what it did, with the SHA-256 of every
//! file that it read or made, in a transcript that is chained so that nothing can be taken out of it later.
//!
//! The root lives in a folder of its own: its key (encrypted), its certificate, its newest revocation list, the transcript. What
//! travels to and from it are requests, certificates and lists, which are public.

mod files;
mod steps;
mod transcript;

use std::path::{Path, PathBuf};

use pki::{
    AuthorityName, DistributionPoints, KeyAlgorithm, KeyId, Profile, ProfileConfig, ProfileKind, SpkiFingerprint,
};
use serde::Serialize;

pub use steps::{CrossSigned, Revoke, SignedIssuing, SignedList};
pub use transcript::{Checked, TranscriptReport};

use super::{KeyDirectory, Passphrase, ROOT_KEY};
use crate::clock::Clock;
use crate::failure::{Failure, Refusal};
use files::Bench;

/// The root's certificate, PEM.
pub const ROOT_CERTIFICATE: &str = "root.pem";
/// The root's newest revocation list, PEM.
pub const ROOT_LIST: &str = "root.crl";
/// One JSON object a line, oldest first.
pub const TRANSCRIPT: &str = "transcript.jsonl";

/// A machine that is set up for a ceremony: the root's folder, what locks its key, and who watches.
#[derive(Clone, Debug)]
pub struct Ceremony {
    folder: PathBuf,
    keys: KeyDirectory,
    clock: Clock,
    witnesses: Vec<String>,
}

/// What a root is to be.
#[derive(Clone, Debug)]
pub struct NewRoot {
    pub name: AuthorityName,
    /// `ecdsa-p384` or `rsa-4096`.
    pub algorithm: KeyAlgorithm,
    /// 15 years when absent.
    pub days: Option<u32>,
}

/// What an authority below the root is to be.
#[derive(Clone, Debug)]
pub struct NewIssuing {
    /// `issuing` or `server-issuing`.
    pub kind: ProfileKind,
    /// The request's own common name when absent. The first digits of the key id are added.
    pub name: Option<AuthorityName>,
    /// 3 years when absent.
    pub days: Option<u32>,
    /// Where the root's list and certificate will be found, as `init --pki-url` has it. `None` writes no addresses.
    pub pki_url: Option<String>,
}

/// The root that a ceremony made.
#[derive(Clone, Debug, Serialize)]
pub struct MadeRoot {
    pub subject: String,
    pub key_id: KeyId,
    pub spki_sha256: SpkiFingerprint,
    pub certificate_sha256: String,
    /// Seconds since the Unix epoch.
    pub not_after: i64,
}

impl Ceremony {
    /// Names the root's folder. Nothing is read yet.
    pub fn new(folder: impl Into<PathBuf>, passphrase: Passphrase, clock: Clock, witnesses: Vec<String>) -> Self {
        let folder = folder.into();
        Self { keys: KeyDirectory::new(folder.clone(), passphrase), folder, clock, witnesses }
    }

    /// Where the root's files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Holds the transcript of a root's folder against itself and against the files that are still there. Needs no passphrase.
    ///
    /// # Errors
    /// `transcript_missing`; `transcript_damaged` when a line cannot be read.
    pub fn check_transcript(folder: &Path) -> Result<TranscriptReport, Failure> {
        transcript::check(folder)
    }

    fn bench(&self, action: &'static str) -> Bench<'_> {
        Bench::new(self, action)
    }

    async fn root_key(&self) -> Result<pki::PrivateKey, Failure> {
        self.keys.load(ROOT_KEY).await
    }
}

/// The profile of this kind, with another lifetime where one is asked for.
fn profile(kind: ProfileKind, days: Option<u32>) -> Result<Profile, Failure> {
    let profile = Profile::builtin(kind);
    let Some(days) = days else { return Ok(profile) };
    let mut config: ProfileConfig = profile.config().clone();
    config.validity.default_seconds = days.saturating_mul(86_400);
    let refuse = |_| {
        let most = config.validity.max_seconds / 86_400;
        Refusal::invalid("lifetime_too_long", format!("A certificate of kind {kind} lives from 1 to {most} days."))
    };
    Ok(Profile::new(config.clone()).map_err(refuse)?)
}

/// Where the root's list and certificate are found: what the certificates that it signs say.
fn root_points(pki_url: Option<&str>, root: &KeyId) -> DistributionPoints {
    let at = |path: String| pki_url.map(|url| format!("{}{path}", url.trim_end_matches('/')));
    DistributionPoints {
        crl: at(format!("/crl/{root}.crl")),
        ca_issuers: at(format!("/ca/{root}.cer")),
        ..DistributionPoints::default()
    }
}
