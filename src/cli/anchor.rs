use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::context::{Context, Outcome, body, given};
use super::error::CliError;
use super::files;
use super::listing::{self, Limit};
use super::query::{self, Query};
use super::span::Span;
use super::table::Column;

const PATH: &str = "/v1/trust-anchors";
const COLUMNS: [Column; 6] = [
    Column::field("ID", "id"),
    Column::field("PARTNER", "partner"),
    Column::field("SUBJECT", "subject"),
    Column::time("EXPIRES", "not_after", "-"),
    Column::field("REVOCATION", "revocation"),
    Column::made("LISTS", |anchor, _| {
        let authorities = anchor["authorities"].as_array().into_iter().flatten();
        authorities.map(|authority| super::table::shown(&authority["revocation_list"])).collect::<Vec<_>>().join(" ")
    }),
];

/// Authorities of partners: a partner that brings its own CA
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis anchor import acme-ca --partner acme --authority acme-root.pem --intermediate acme-issuing.pem \\\n    --name 'uri:spiffe://acme.example/m2m/' --map 'uri:spiffe://acme.example/m2m/{name}=acme-{name}' \\\n    --crl-url http://pki.acme.example/root.crl --crl-url http://pki.acme.example/issuing.crl\n  portcullis anchor list"
)]
pub(super) struct AnchorArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Import a partner's authority; in force when the command returns
    #[command(
        after_help = "NAMES: dns:host, dns:.domain (hosts below), uri:scheme://host/path, uri:scheme://host/path/ (all below), email:name@host,\nemail:@host, other. A certificate with any name beside these is refused.\n\nEXAMPLE:\n  portcullis anchor import acme-ca --partner acme --authority acme-root.pem --name 'dns:.m2m.acme.example' \\\n    --map 'dns:orders.m2m.acme.example=acme-orders' --crl acme-root.crl"
    )]
    Import(Box<ImportArgs>),
    /// List the authorities of partners
    #[command(after_help = "EXAMPLE:\n  portcullis anchor list --output json")]
    List {
        #[command(flatten)]
        limit: Limit,
    },
    /// Show one authority with its names, mappings and revocation lists
    #[command(after_help = "EXAMPLE:\n  portcullis anchor show acme-ca")]
    Show {
        /// Its id
        id: String,
    },
    /// Take new revocation lists, from a file or from its addresses, at once
    #[command(
        after_help = "EXAMPLES:\n  portcullis anchor refresh acme-ca\n  portcullis anchor refresh acme-ca --crl acme-issuing.crl"
    )]
    Refresh {
        /// Its id
        id: String,
        /// Revocation lists, PEM or DER; repeat for more [default: fetch them]
        #[arg(long = "crl", value_name = "FILE")]
        crls: Vec<PathBuf>,
    },
    /// Trust an authority no more; its connections are closed
    #[command(after_help = "EXAMPLE:\n  portcullis anchor remove acme-ca")]
    Remove {
        /// Its id
        id: String,
    },
}

#[derive(Args, Debug)]
struct ImportArgs {
    /// Your name for it: a-z, 0-9 and '-'
    id: String,
    /// Whose authority it is; it makes none but this partner's clients
    #[arg(long, value_name = "ID")]
    partner: String,
    /// The authority's certificate, PEM
    #[arg(long, value_name = "FILE")]
    authority: PathBuf,
    /// Authorities below it, PEM: their revocation lists count, and clients need not send them; repeat for more
    #[arg(long = "intermediate", value_name = "FILE")]
    intermediates: Vec<PathBuf>,
    /// What its certificates may be named; repeat for more
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// Which client a name means, `kind:name=client`, with `{name}` once on both sides or not at all; repeat for more
    #[arg(long = "map", value_name = "NAME=CLIENT", required = true)]
    mappings: Vec<String>,
    /// Revocation lists of today, PEM or DER; repeat for more
    #[arg(long = "crl", value_name = "FILE")]
    crls: Vec<PathBuf>,
    /// Where revocation lists are fetched from; repeat for more
    #[arg(long = "crl-url", value_name = "URL")]
    crl_urls: Vec<String>,
    /// What a missing or lapsed list means: `required` denies, `best-effort` refuses only what stands on a list
    #[arg(long, value_enum, default_value_t = Revocation::Required)]
    revocation: Revocation,
    /// How long a list still counts after its end [default: not at all]
    #[arg(long, value_name = "TIME")]
    crl_grace: Option<Span>,
    /// How often lists are fetched [default: 1h]
    #[arg(long, value_name = "TIME")]
    refresh_every: Option<Span>,
    /// Fetch lists from private addresses too: only for a partner's authority in your own network
    #[arg(long)]
    allow_private_address: bool,
    /// Take the place of the anchor of this id: other names, other mappings, another certificate
    #[arg(long)]
    replace: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Revocation {
    Required,
    BestEffort,
}

pub(super) async fn run(args: AnchorArgs, context: &Context) -> Result<Outcome, CliError> {
    let answer = match args.verb {
        Verb::List { limit } => return listing::print(context, PATH, &Query::default(), limit, &COLUMNS).await,
        Verb::Import(args) => context.api()?.post(PATH, &order(&args)?).await?,
        Verb::Show { id } => context.api()?.get(&query::item(PATH, &id)?).await?,
        Verb::Refresh { id, crls } => {
            let body = body([("crl", lists(&crls)?)]);
            context.api()?.post(&format!("{}/refresh", query::item(PATH, &id)?), &body).await?
        }
        Verb::Remove { id } => context.api()?.post(&format!("{}/remove", query::item(PATH, &id)?), &json!({})).await?,
    };
    context.output.object(&answer)?;
    for source in answer["sources"].as_array().into_iter().flatten().filter(|source| source["error"].is_string()) {
        let (url, error) = (super::table::shown(&source["url"]), super::table::shown(&source["error"]));
        context.output.note(&format!("{url}: {error}"));
    }
    Ok(Outcome::Done)
}

fn order(args: &ImportArgs) -> Result<Value, CliError> {
    let revocation = match args.revocation {
        Revocation::Required => "required",
        Revocation::BestEffort => "best-effort",
    };
    let mut intermediates = String::new();
    for path in &args.intermediates {
        intermediates.push_str(&files::read_text(path, files::BYTES_MAX)?);
        intermediates.push('\n');
    }
    Ok(body([
        ("id", json!(args.id)),
        ("partner", json!(args.partner)),
        ("certificate", json!(files::read_text(&args.authority, files::BYTES_MAX)?)),
        ("intermediates", if args.intermediates.is_empty() { Value::Null } else { json!(intermediates) }),
        ("names", given(&args.names)),
        ("mappings", json!(args.mappings)),
        ("crl_urls", given(&args.crl_urls)),
        ("crl", lists(&args.crls)?),
        ("revocation", json!(revocation)),
        ("grace_seconds", json!(args.crl_grace.map(Span::seconds))),
        ("refresh_seconds", json!(args.refresh_every.map(Span::seconds))),
        ("allow_private_address", json!(args.allow_private_address)),
        ("replace", json!(args.replace)),
    ]))
}

/// The lists of all files in one PEM text; `null` when there is none.
fn lists(paths: &[PathBuf]) -> Result<Value, CliError> {
    let mut pem = String::new();
    for path in paths {
        pem.push_str(&list(path)?);
        pem.push('\n');
    }
    Ok(if paths.is_empty() { Value::Null } else { pem.into() })
}

fn list(path: &Path) -> Result<String, CliError> {
    let bytes = files::read(path, files::BYTES_MAX)?;
    // DER begins with a SEQUENCE, and authorities publish in it.
    if bytes.first() == Some(&0x30) {
        return Ok(pki::pem_crl(&bytes));
    }
    String::from_utf8(bytes).map_err(|_| CliError::new(format!("{} is neither PEM nor DER", path.display())))
}
