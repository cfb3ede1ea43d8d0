use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::context::{Context, Outcome, body, given};
use super::error::CliError;
use super::listing::{self, Limit};
use super::moment;
use super::query::{self, Query};
use super::span::Span;
use super::table::{self, Column};

const PATH: &str = "/v1/enrollments";
const COLUMNS: [Column; 7] = [
    Column::field("ID", "id"),
    Column::field("CLIENT", "client"),
    Column::field("STATUS", "status"),
    Column::field("CREATED BY", "created_by"),
    Column::time("EXPIRES", "expires_at", "-"),
    Column::time("REQUESTED", "requested_at", "-"),
    Column::field("CERTIFICATE", "certificate"),
];

/// One-time tokens with which partners get certificates for keys of their own
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis enrollment create --client acme-orders --ttl 24h\n  portcullis enrollment list --state pending\n  portcullis enrollment approve 7Hc2mQ0pXr4T --remark 'read back by phone'"
)]
pub(super) struct EnrollmentArgs {
    #[command(subcommand)]
    verb: Verb,
}

/// What the partner works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tool {
    /// A shell with openssl and curl
    Openssl,
    /// PowerShell
    Powershell,
    /// A shell with Java's keytool and curl
    Keytool,
}

impl Tool {
    fn member(self) -> &'static str {
        match self {
            Self::Openssl => "openssl",
            Self::Powershell => "powershell",
            Self::Keytool => "keytool",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Openssl => "openssl and curl",
            Self::Powershell => "PowerShell",
            Self::Keytool => "Java's keytool and curl",
        }
    }
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Make a token and print what to send to the partner: it makes the key there and fetches the certificate
    ///
    /// The token is in the text, and shown only this once. It is good for one key of one client.
    #[command(
        after_help = "EXAMPLES:\n  portcullis enrollment create --client acme-orders --ttl 24h\n  portcullis enrollment create --client acme-orders --approve --for keytool > to-acme.txt\n  portcullis enrollment create --client acme-orders --key-algorithm rsa-3072 --lifetime 30d --output json"
    )]
    Create {
        /// Whose certificate it will be
        #[arg(long, value_name = "ID")]
        client: String,
        /// How long the token may be used: 1h, 24h, 7d [default: 24h]
        #[arg(long, visible_alias = "expires-in", value_name = "TIME")]
        ttl: Option<Span>,
        /// Somebody else than you must approve the request before the certificate is issued
        #[arg(long)]
        approve: bool,
        /// Certificate profile [default: client]
        #[arg(long, value_name = "NAME")]
        profile: Option<String>,
        /// A kind of key that is taken, the first is what the partner is told to make; repeat for more [default: all, ecdsa-p256 first]
        #[arg(long = "key-algorithm", value_name = "ALGORITHM")]
        key_algorithms: Vec<String>,
        /// How long the certificate lives: 24h, 90d [default: as the profile says]
        #[arg(long, value_name = "TIME")]
        lifetime: Option<Span>,
        /// Narrow the certificate to some of the client's scopes; repeat for more
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// Narrow the certificate to some networks; repeat for more
        #[arg(long = "network", value_name = "NETWORK")]
        networks: Vec<String>,
        /// For people: a ticket, whom it was sent to
        #[arg(long)]
        remark: Option<String>,
        /// Print the text for this tool only
        #[arg(long = "for", value_name = "TOOL")]
        tool: Option<Tool>,
    },
    /// List enrolments, newest first; never their tokens
    #[command(
        after_help = "EXAMPLES:\n  portcullis enrollment list --client acme-orders\n  portcullis enrollment list --state pending --output json"
    )]
    List {
        /// Only this client's
        #[arg(long, value_name = "ID")]
        client: Option<String>,
        /// `open`, `pending`, `approved`, `signing`, `issued`, `denied` or `cancelled`
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Show one enrolment: who made it, what came with it, who decided
    #[command(after_help = "EXAMPLE:\n  portcullis enrollment show 7Hc2mQ0pXr4T")]
    Show {
        /// The enrolment's id, as `enrollment list` shows it
        id: String,
    },
    /// Let a waiting request through: the certificate is issued at once. Not for the one who made the token
    #[command(
        after_help = "EXAMPLE:\n  portcullis enrollment approve 7Hc2mQ0pXr4T --remark 'fingerprint read back by phone'\n\nThe partner reads the same fingerprint with:\n  openssl req -in acme-orders.csr -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum"
    )]
    Approve {
        /// The enrolment's id, as `enrollment list` shows it
        id: String,
        /// For the record: how you made sure whose key it is
        #[arg(long)]
        remark: Option<String>,
    },
    /// Turn a waiting request down
    #[command(
        after_help = "EXAMPLE:\n  portcullis enrollment deny 7Hc2mQ0pXr4T --reason 'not the key that Acme read to us'"
    )]
    Deny {
        /// The enrolment's id, as `enrollment list` shows it
        id: String,
        /// Why; the partner reads it
        #[arg(long)]
        reason: String,
    },
    /// Take a token back before anything was issued with it
    #[command(after_help = "EXAMPLE:\n  portcullis enrollment cancel 7Hc2mQ0pXr4T")]
    Cancel {
        /// The enrolment's id, as `enrollment list` shows it
        id: String,
    },
}

pub(super) async fn run(args: EnrollmentArgs, context: &Context) -> Result<Outcome, CliError> {
    let answer = match args.verb {
        Verb::List { client, state, limit } => {
            let query = Query::default().with("client", client).with("state", state);
            return listing::print(context, PATH, &query, limit, &COLUMNS).await;
        }
        Verb::Create { client, ttl, approve, profile, key_algorithms, lifetime, scopes, networks, remark, tool } => {
            let body = body([
                ("client", json!(client)),
                ("ttl_seconds", json!(ttl.map(Span::seconds))),
                ("needs_approval", json!(approve)),
                ("profile", json!(profile)),
                ("key_algorithms", given(&key_algorithms)),
                ("lifetime_seconds", json!(lifetime.map(Span::seconds))),
                ("scopes", given(&scopes)),
                ("networks", given(&networks)),
                ("remark", json!(remark)),
            ]);
            let answer = context.api()?.post(PATH, &body).await?;
            return print(context, &answer, tool);
        }
        Verb::Show { id } => context.api()?.get(&query::item(PATH, &id)?).await?,
        Verb::Approve { id, remark } => decide(context, &id, "approve", &body([("remark", json!(remark))])).await?,
        Verb::Deny { id, reason } => decide(context, &id, "deny", &json!({ "reason": reason })).await?,
        Verb::Cancel { id } => decide(context, &id, "cancel", &json!({})).await?,
    };
    context.output.object(&answer)?;
    Ok(Outcome::Done)
}

async fn decide(context: &Context, id: &str, verb: &str, body: &Value) -> Result<Value, CliError> {
    context.api()?.post(&format!("{}/{verb}", query::item(PATH, id)?), body).await
}

/// The text for the partner on standard output, so that it can go into a file or a mail as it is; what is said to the operator
/// goes to standard error.
fn print(context: &Context, answer: &Value, tool: Option<Tool>) -> Result<Outcome, CliError> {
    if context.output.is_json() {
        context.output.json(answer)?;
        return Ok(Outcome::Done);
    }
    let text = texts(answer, tool)?;
    context.output.note(&about(answer, context.now()));
    context.output.text(&text)?;
    Ok(Outcome::Done)
}

fn texts(answer: &Value, tool: Option<Tool>) -> Result<String, CliError> {
    let text = |tool: Tool| answer["instructions"][tool.member()].as_str();
    if let Some(tool) = tool {
        let missing = || CliError::new(format!("there is no text for {} with this kind of key", tool.title()));
        return text(tool).map(str::to_owned).ok_or_else(missing);
    }
    let given = Tool::value_variants().iter().filter_map(|tool| Some((*tool, text(*tool)?)));
    Ok(given.map(|(tool, text)| format!("##### With {}:\n\n{text}\n", tool.title())).collect())
}

fn about(answer: &Value, now: i64) -> String {
    let text = |member: &str| table::shown(&answer[member]);
    let end = answer["expires_at"].as_i64().map_or_else(String::new, |at| moment::with_distance(at, now));
    let approval = match answer["needs_approval"].as_bool() {
        Some(true) => format!(
            "\nBefore the certificate is issued, somebody else must run: portcullis enrollment approve {}",
            text("id")
        ),
        _ => String::new(),
    };
    format!(
        "Enrolment {} of {}, to be used before {end}. The token below is shown only once: send it to the partner now, one of \
         the texts is enough.{approval}\n",
        text("id"),
        text("client"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Tool, about, texts};

    #[test]
    fn one_text_or_all_there_are() {
        let answer = json!({"instructions": {"openssl": "O\n", "keytool": "K\n", "powershell": null}});
        assert_eq!(texts(&answer, Some(Tool::Openssl)).unwrap(), "O\n");
        assert!(texts(&answer, Some(Tool::Powershell)).is_err());
        let all = texts(&answer, None).unwrap();
        assert!(
            all.contains("openssl and curl:\n\nO\n") && all.contains("K\n") && !all.contains("PowerShell"),
            "{all}"
        );
    }

    #[test]
    fn the_operator_is_told_who_must_act_next() {
        let mut answer = json!({"id": "abc", "client": "acme-orders", "expires_at": 1000, "needs_approval": false});
        assert!(!about(&answer, 0).contains("approve"));
        answer["needs_approval"] = json!(true);
        assert!(about(&answer, 0).contains("portcullis enrollment approve abc"));
    }
}
