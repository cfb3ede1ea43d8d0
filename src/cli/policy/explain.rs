use std::net::IpAddr;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::context::{Context, Outcome, body, given};
use crate::cli::error::CliError;
use crate::cli::steps;
use crate::cli::table;

/// Say whether a described request would pass, and which step decides; nothing is spent, no credential is checked
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis policy explain GET /test/hello-world --client acme-orders --presents api_key\n  portcullis policy explain --method GET --path /test/hello-world --client acme-orders --presents mutual_tls --presents bearer \\\n    --scope https://api.example.com/test/hello-world --source 203.0.113.7\n  portcullis policy explain GET /test/hello-world --credential 5f2c90aa17de4b0c8d3f6a1b2c3d4e5f"
)]
pub(super) struct ExplainArgs {
    /// The request, as one would say it: `GET /test/hello-world`; or with --method and --path
    #[arg(value_name = "METHOD PATH", num_args = 2, conflicts_with_all = ["method", "path"], required_unless_present = "path")]
    request: Vec<String>,
    /// The request's method [default: GET]
    #[arg(long)]
    method: Option<String>,
    /// The request's path, without its query
    #[arg(long)]
    path: Option<String>,
    /// Where it comes from [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    source: Option<IpAddr>,
    /// The listener that it reaches [default: gateway]
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Whose credentials it carries [default: none]
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// A method it authenticates by: `mutual_tls`, `api_key` or `bearer`; repeat for more
    #[arg(long, value_name = "METHOD", requires = "client")]
    presents: Vec<String>,
    /// A credential that it carries as it is now, by its id: of an API key, the serial number of a certificate; repeat for more
    #[arg(long = "credential", value_name = "ID")]
    credentials: Vec<String>,
    /// A scope that the described credential carries; repeat for more [default: all of the client's]
    #[arg(long = "scope", value_name = "SCOPE", requires = "client")]
    scopes: Vec<String>,
}

pub(super) async fn run(args: ExplainArgs, context: &Context) -> Result<Outcome, CliError> {
    // The field names have underscores; people write hyphens.
    let presents: Vec<String> = args.presents.iter().map(|method| method.replace('-', "_")).collect();
    let mut request = args.request.into_iter();
    let method = request.next().or(args.method).unwrap_or_else(|| "GET".to_owned());
    let body = body([
        ("method", json!(method)),
        ("path", json!(request.next().or(args.path))),
        ("source", json!(args.source)),
        ("listener", json!(args.listener)),
        ("client", json!(args.client)),
        ("presents", given(&presents)),
        ("credentials", given(&args.credentials)),
        ("scopes", given(&args.scopes)),
    ]);
    let answer = context.api()?.post("/v1/explain", &body).await?;
    context.output.either(&answer, || shown(&answer))?;
    Ok(Outcome::Done)
}

fn shown(answer: &Value) -> String {
    let told = answer["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut text = steps::shown(told);
    let route = answer["route"].as_str().map_or_else(String::new, |route| format!(" on {}", table::plain(route)));
    let shadow: Vec<String> = answer["shadow"].as_array().into_iter().flatten().map(table::shown).collect();
    text.push_str(&match answer["code"].as_str() {
        None => format!("\n{}{route}\n", table::shown(&answer["decision"])),
        Some(code) => {
            let reason =
                answer["reason"].as_str().map_or_else(String::new, |reason| format!(" ({})", table::plain(reason)));
            format!("\n{}{route}: {}{reason}\n", table::shown(&answer["decision"]), table::plain(code))
        }
    });
    if !shadow.is_empty() {
        text.push_str(&format!("in shadow, it would be denied by: {}\n", shadow.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::shown;

    #[test]
    fn the_step_that_decides_stands_out() {
        let answer = json!({
            "decision": "deny", "code": "insufficient_scope", "reason": "needs a/b", "route": "hello", "steps": [
                {"stage": "source", "passed": true, "detail": "judged as coming from 127.0.0.1"},
                {"stage": "scopes", "passed": false, "detail": "needs a/b"},
            ],
        });
        assert_eq!(
            shown(&answer),
            "\
STAGE         WHAT WAS COMPARED
source  ok    judged as coming from 127.0.0.1
scopes  DENY  needs a/b

deny on hello: insufficient_scope (needs a/b)
"
        );
        let shadowed = json!({"decision": "allow", "code": null, "route": "hello", "shadow": ["networks", "scopes"],
            "steps": [{"stage": "source", "passed": true, "mode": "enforce", "detail": "d"}]});
        assert!(shown(&shadowed).ends_with("\nallow on hello\nin shadow, it would be denied by: networks, scopes\n"));
    }
}
