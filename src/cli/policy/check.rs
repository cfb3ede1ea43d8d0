//! Documents judged where they lie, without a server.

use std::path::PathBuf;

use policies::{DocumentFault, ListenerFacts, Policy, Surroundings};
use serde_json::json;

use super::documents::Documents;
use crate::cli::context::{Context, Outcome};
use crate::cli::error::CliError;
use crate::cli::table;
use crate::config::{CONFIG_FILE_NAME, Config, ListenerConfig};

pub(super) fn run(paths: &[PathBuf], deny_warnings: bool, context: &Context) -> Result<Outcome, CliError> {
    let documents = Documents::read(paths)?;
    let around = Surroundings { listeners: listeners(context)?, registry: None };
    let (faults, warnings) = match Policy::lint(&documents.with_paths(), &around) {
        Ok((_, warnings)) => (Vec::new(), warnings),
        Err(faults) => (faults, Vec::new()),
    };
    let lines = lines(&faults, &warnings);
    if context.output.is_json() {
        // Beside the JSON, for the log of the build that runs this.
        context.output.remark(&lines);
    }
    context.output.either(&json!({"faults": faults, "warnings": warnings}), || {
        format!("{lines}{}", summary(faults.len(), warnings.len(), documents.len()))
    })?;
    let is_good = faults.is_empty() && (warnings.is_empty() || !deny_warnings);
    Ok(if is_good { Outcome::Done } else { Outcome::Refused })
}

/// Those of the installation that was named, if one was. Documents are mostly checked where there is none.
fn listeners(context: &Context) -> Result<Option<Vec<ListenerFacts>>, CliError> {
    // A folder that only says where the server is has no settings.
    let data = context.global.data().filter(|data| data.join(CONFIG_FILE_NAME).exists());
    let Some(data) = data else { return Ok(None) };
    let config = Config::load(&data).map_err(|faults| CliError::new(faults.join("; ")))?;
    Ok(Some(config.listeners.iter().map(ListenerConfig::facts).collect()))
}

/// `acme.toml:12:8: warning: network "old" is not used: …`
fn lines(faults: &[DocumentFault], warnings: &[DocumentFault]) -> String {
    let faults = faults.iter().map(|fault| format!("{}\n", table::plain(&fault.to_string())));
    let warnings = warnings.iter().map(|warning| {
        let DocumentFault { document, line, column, message } = warning;
        format!("{}\n", table::plain(&format!("{document}:{line}:{column}: warning: {message}")))
    });
    faults.chain(warnings).collect()
}

fn summary(faults: usize, warnings: usize, documents: usize) -> String {
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    match (faults, warnings) {
        (0, 0) => format!("no faults in {}\n", count(documents, "document")),
        (0, warnings) => format!("no faults in {}, {}\n", count(documents, "document"), count(warnings, "warning")),
        (faults, _) => format!("{}\n", count(faults, "fault")),
    }
}

#[cfg(test)]
mod tests {
    use policies::DocumentFault;

    use super::{lines, summary};

    #[test]
    fn faults_and_warnings_are_told_apart() {
        let at =
            |message: &str| DocumentFault { document: "a.toml".into(), line: 1, column: 2, message: message.into() };
        assert_eq!(lines(&[at("bad")], &[]), "a.toml:1:2: bad\n");
        assert_eq!(lines(&[], &[at("odd")]), "a.toml:1:2: warning: odd\n");
        assert_eq!(summary(0, 0, 1), "no faults in 1 document\n");
        assert_eq!(summary(0, 1, 2), "no faults in 2 documents, 1 warning\n");
        assert_eq!(summary(5, 0, 2), "5 faults\n");
    }
}
