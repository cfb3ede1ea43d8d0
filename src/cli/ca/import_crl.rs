use std::path::Path;

use pki::RevocationList;
use serde_json::json;

use super::PATH;
use crate::cli::context::{Context, Outcome};
use crate::cli::error::CliError;
use crate::cli::files::{self, BYTES_MAX};
use crate::cli::{moment, query, table};

pub(super) async fn run(path: &Path, issuer: Option<String>, context: &Context) -> Result<Outcome, CliError> {
    let unreadable = |error: pki::Error| CliError::new(format!("{}: {error}", path.display()));
    let lists = RevocationList::read_all(&files::read(path, BYTES_MAX)?).map_err(unreadable)?;
    let [list] = lists.as_slice() else {
        return Err(CliError::new(format!("{} must hold exactly one list", path.display())));
    };
    let issuer = match issuer {
        Some(issuer) => issuer.replace(':', "").to_ascii_lowercase(),
        None => signer(list, context).await?,
    };
    let body = json!({ "list": pki::pem_crl(list.der()) });
    let answer = context.api()?.post(&format!("{}/crl", query::item(PATH, &issuer)?), &body).await?;
    context.output.either(&answer, || {
        let next = answer["next_update"].as_i64().map(|at| moment::with_distance(at, context.now()));
        format!(
            "published list {} of {}; the next one is due {}\n",
            table::shown(&answer["number"]),
            table::shown(&answer["id"]),
            next.unwrap_or_default()
        )
    })?;
    Ok(Outcome::Done)
}

/// The root among ours that signed the list.
async fn signer(list: &RevocationList, context: &Context) -> Result<String, CliError> {
    let issuers = super::issuers(context).await?;
    let signed = issuers.iter().filter(|issuer| issuer["kind"] == "root").find(|issuer| {
        let pem = issuer["certificate_pem"].as_str().unwrap_or_default();
        let ders = pki::pem_certificates(pem.as_bytes()).unwrap_or_default();
        ders.first().is_some_and(|der| list.verify(der).is_ok())
    });
    signed
        .and_then(|issuer| issuer["id"].as_str().map(str::to_owned))
        .ok_or_else(|| CliError::new(format!("no root of this installation signed the list of {}", list.issuer())))
}
