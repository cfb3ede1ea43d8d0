//! What was done to the root, one line a step. Each line holds the SHA-256 of the one before, so that who keeps the last hash
//! (on paper, say) notices when a line was changed or taken out.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use pki::Thumbprint;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::format_description::well_known::Rfc3339;

use super::files::{self, Hashed};
use super::{Ceremony, TRANSCRIPT};
use crate::authority::instant;
use crate::failure::{Failure, Fault, Refusal};

/// A thousand steps take half a megabyte.
const TRANSCRIPT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// One step.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    step: u64,
    /// RFC 3339, by the clock of the machine of the ceremony.
    at: String,
    action: String,
    program: String,
    /// Of the file that ran.
    program_sha256: Option<String>,
    witnesses: Vec<String>,
    facts: Value,
    inputs: Vec<Hashed>,
    outputs: Vec<Hashed>,
    /// SHA-256 of the line before, without its end of line; absent in the first.
    previous: Option<String>,
}

/// What a check of a transcript found.
#[derive(Clone, Debug, Serialize)]
pub struct TranscriptReport {
    pub steps: u64,
    /// SHA-256 of the last line: who noted it elsewhere can hold it against this.
    pub last_sha256: String,
    pub files: Vec<Checked>,
    /// One sentence each; empty when all holds.
    pub faults: Vec<String>,
}

/// A file that a step made, and whether it is still what it was.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    pub file: String,
    pub sha256: String,
    /// `same`, `changed` or `absent` (carried away, which is no fault).
    pub now: &'static str,
}

/// Adds a step.
pub(super) fn append(
    ceremony: &Ceremony,
    action: &str,
    facts: Value,
    inputs: Vec<Hashed>,
    outputs: Vec<Hashed>,
) -> Result<(), Failure> {
    let path = ceremony.folder.join(TRANSCRIPT);
    let lines = match path.try_exists().map_err(Fault::from)? {
        true => read(&path)?,
        false => Vec::new(),
    };
    let at = instant(ceremony.clock.now())?.format(&Rfc3339).map_err(|error| Fault::new(error.to_string()))?;
    let line = Line {
        step: lines.len() as u64 + 1,
        at,
        action: action.to_owned(),
        program: format!("portcullis {}", env!("CARGO_PKG_VERSION")),
        program_sha256: own_program(),
        witnesses: ceremony.witnesses.clone(),
        facts,
        inputs,
        outputs,
        previous: lines.last().map(|line| Thumbprint::of(line.as_bytes()).to_string()),
    };
    let mut text = serde_json::to_string(&line).map_err(Fault::from)?;
    text.push('\n');
    let written = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).mode(0o644).open(&path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    Ok(written().map_err(|error| Fault::new(format!("writing {}: {error}", path.display())))?)
}

pub(super) fn check(folder: &Path) -> Result<TranscriptReport, Failure> {
    let path = folder.join(TRANSCRIPT);
    if !path.try_exists().map_err(Fault::from)? {
        let message = format!("There is no transcript in {}.", folder.display());
        return Err(Refusal::not_found("transcript_missing", message).into());
    }
    let (mut faults, mut made) = (Vec::new(), BTreeMap::new());
    let mut previous = None;
    let lines = read(&path)?;
    for (index, text) in lines.iter().enumerate() {
        let number = index as u64 + 1;
        let line: Line = serde_json::from_str(text).map_err(|error| {
            let message = format!("Line {number} of {} cannot be read: {error}.", path.display());
            Refusal::invalid("transcript_damaged", message)
        })?;
        if line.step != number {
            faults.push(format!("line {number} says that it is step {}", line.step));
        }
        if line.previous != previous {
            faults.push(format!("line {number} does not follow from the line before: a line was changed or taken out"));
        }
        // A list is written anew each year: the newest counts.
        made.extend(line.outputs.into_iter().map(|file| (file.file.clone(), file)));
        previous = Some(Thumbprint::of(text.as_bytes()).to_string());
    }
    let files = made.into_values().map(|file| checked(folder, file)).collect::<Result<Vec<_>, Failure>>()?;
    let changed = files.iter().filter(|file| file.now == "changed");
    faults.extend(changed.map(|file| format!("{} is not what the ceremony made", file.file)));
    Ok(TranscriptReport { steps: lines.len() as u64, last_sha256: previous.unwrap_or_default(), files, faults })
}

fn checked(folder: &Path, made: Hashed) -> Result<Checked, Failure> {
    let path = folder.join(&made.file);
    let now = match path.try_exists().map_err(Fault::from)? {
        false => "absent",
        true if Thumbprint::of(&files::read(&path)?).to_string() == made.sha256 => "same",
        true => "changed",
    };
    Ok(Checked { file: made.file, sha256: made.sha256, now })
}

fn read(path: &Path) -> Result<Vec<String>, Failure> {
    let fault = |error: std::io::Error| Fault::new(format!("reading {}: {error}", path.display()));
    let mut text = String::new();
    let file = File::open(path).map_err(fault)?;
    file.take(TRANSCRIPT_BYTES_MAX + 1).read_to_string(&mut text).map_err(fault)?;
    if text.len() as u64 > TRANSCRIPT_BYTES_MAX {
        return Err(Refusal::invalid("transcript_damaged", "The transcript is larger than any can be.").into());
    }
    Ok(text.lines().map(str::to_owned).collect())
}

/// An auditor who builds the same version can tell whether it was this program that ran.
fn own_program() -> Option<String> {
    let mut file = File::open(std::env::current_exe().ok()?).ok()?;
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut part = vec![0; 64 * 1024];
    loop {
        match file.read(&mut part).ok()? {
            0 => break,
            length => context.update(&part[..length]),
        }
    }
    Some(context.finish().as_ref().iter().map(|octet| format!("{octet:02x}")).collect())
}
