use std::path::PathBuf;

use clap::Args;
use policies::TokenProfile;
use serde_json::{Value, json};

use super::offline::{self, Verdict};
use crate::cli::context::{Context, Outcome};
use crate::cli::error::CliError;
use crate::cli::files;
use crate::cli::moment::Instant;
use crate::cli::table;

/// Say whether the gate would take a token, and why: exit 0 accepted, 1 signature refused, 3 signature good but claims refused
///
/// Without --jwks the server is asked: it knows the issuers, the audiences and what was revoked. With --jwks nothing is asked:
/// signature, form, claims and dates are judged as the gate judges its own tokens (--profile rfc9068); what was revoked, and
/// whom the token may be for, stays open.
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis token issue --client acme-orders | portcullis token inspect -\n  portcullis token inspect --jwks jwks.json --profile cognito --audience https://api.example.com/test eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"
)]
pub(super) struct InspectArgs {
    /// Keys to verify with, a JSON Web Key Set: judge offline
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// The issuer that must have issued it [default: whoever the token names: the keys speak for it]
    #[arg(long, value_name = "URL", requires = "jwks")]
    issuer: Option<String>,
    /// An identifier that it may be for; repeat for more [default: any]
    #[arg(long = "audience", value_name = "ID", requires = "jwks")]
    audiences: Vec<String>,
    /// Whose rules the claims follow: `rfc9068`, `cognito` or `generic`
    #[arg(long, value_name = "PROFILE", requires = "jwks", default_value = "rfc9068", value_parser = profile)]
    profile: TokenProfile,
    /// When to judge (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME", requires = "jwks")]
    at: Option<Instant>,
    /// The token, or - for standard input
    token: String,
}

fn profile(name: &str) -> Result<TokenProfile, String> {
    [TokenProfile::Rfc9068, TokenProfile::Cognito, TokenProfile::Generic]
        .into_iter()
        .find(|profile| profile.as_str() == name)
        .ok_or_else(|| "use rfc9068, cognito or generic".to_owned())
}

pub(super) async fn run(args: InspectArgs, context: &Context) -> Result<Outcome, CliError> {
    let token = super::read(args.token.clone())?;
    let (answer, outcome) = match &args.jwks {
        Some(path) => {
            let keys = offline::keys(&files::read(path, files::BYTES_MAX)?)
                .map_err(|why| CliError::new(format!("{}: {why}", path.display())))?;
            let verdict = offline::judge(
                &token,
                &keys,
                &offline::Rules {
                    issuer: args.issuer.as_deref(),
                    profile: args.profile,
                    audiences: &args.audiences,
                    at: args.at.map_or_else(|| context.now(), |at| at.unix_seconds),
                },
            );
            let outcome = match &verdict {
                Verdict::Accepted { .. } => Outcome::Done,
                Verdict::SignatureRefused { .. } => Outcome::Refused,
                Verdict::ClaimsRefused { .. } => Outcome::ClaimsRefused,
            };
            (verdict.into_json(), outcome)
        }
        None => {
            let answer = context.api()?.post(&format!("{}/inspect", super::PATH), &json!({"token": token})).await?;
            let outcome = outcome(&answer)?;
            (answer, outcome)
        }
    };
    context.output.either(&answer, || shown(&answer))?;
    Ok(outcome)
}

fn outcome(answer: &Value) -> Result<Outcome, CliError> {
    match answer["verdict"].as_str() {
        Some("accepted") => Ok(Outcome::Done),
        Some("signature_refused") => Ok(Outcome::Refused),
        Some("claims_refused") => Ok(Outcome::ClaimsRefused),
        _ => Err(CliError::new("the server's answer has no verdict: it is of another version than this program")),
    }
}

fn shown(answer: &Value) -> String {
    let mut text = match (answer["verdict"].as_str(), answer["reason"].as_str()) {
        (Some("accepted"), None) => "accepted\n".to_owned(),
        (verdict, reason) => {
            format!("{}: {}\n", verdict.unwrap_or_default().replace('_', " "), table::plain(reason.unwrap_or_default()))
        }
    };
    if let Some(claims) = answer["claims"].as_object() {
        for (name, value) in claims {
            text.push_str(&format!("  {}: {}\n", table::plain(name), table::plain(&value.to_string())));
        }
    }
    text
}
