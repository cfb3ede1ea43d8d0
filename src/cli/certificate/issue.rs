use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::bundle::Bundle;
use super::{PATH, hex};
use crate::cli::connection::Endpoints;
use crate::cli::context::{Context, Outcome, body, given};
use crate::cli::error::CliError;
use crate::cli::files::{self, Readers};
use crate::cli::moment;
use crate::cli::span::Span;
use crate::cli::table;

/// Longer requests than this are no requests (RSA-4096 with many names: 3 KiB).
const CSR_BYTES_MAX: u64 = 64 * 1024;
/// Digits of the serial number in the name of the folder.
const SERIAL_PREFIX: usize = 8;

/// What a certificate is narrowed to.
#[derive(Args, Debug)]
struct Narrowing {
    /// How long it lives: 24h, 90d [default: as the profile says]
    #[arg(long, visible_alias = "ttl", value_name = "TIME")]
    lifetime: Option<Span>,
    /// Narrow it to some of the client's scopes; repeat for more
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Narrow it to some networks; repeat for more
    #[arg(long = "network", value_name = "NETWORK")]
    networks: Vec<String>,
}

/// Issue a certificate with a new key: client.crt (with chain), client.key, client.p12 and its password
///
/// The private key is made by the server and kept nowhere: what is written here is the only copy. Where the partner can make
/// its own key, `certificate sign` is better.
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  portcullis certificate issue --client acme-orders --lifetime 90d --out acme\n  portcullis certificate issue --client acme-orders --scope https://api.example.com/test/hello-world --output json\n\nWith --output json and without --out nothing is written: the JSON holds certificate_pem, chain_pem, private_key_pem,\npkcs12 (base64) and pkcs12_password. Keep it as you keep a key."
)]
pub(super) struct IssueArgs {
    /// Whose it will be
    #[arg(long, value_name = "ID")]
    client: String,
    #[command(flatten)]
    narrowing: Narrowing,
    /// `ecdsa-p256`, `ecdsa-p384`, `rsa-2048`, `rsa-3072` or `rsa-4096` [default: ecdsa-p256]
    #[arg(long, value_name = "ALGORITHM")]
    key_algorithm: Option<String>,
    /// Write the files into this folder [default: CLIENT-SERIAL in the current folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace files that are there already
    #[arg(long)]
    force: bool,
}

/// Sign a partner's certificate request: the private key never leaves the partner
#[derive(Args, Debug)]
#[command(
    after_help = "EXAMPLES:\n  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=acme -keyout acme.key -out acme.csr\n  portcullis certificate sign --csr acme.csr --client acme-orders --out acme.crt\n  portcullis certificate sign acme.csr --client acme-orders > acme.crt"
)]
pub(super) struct SignArgs {
    /// The request, PKCS#10 in PEM or DER
    #[arg(value_name = "CSR", required_unless_present = "csr", conflicts_with = "csr")]
    request: Option<PathBuf>,
    /// The request, PKCS#10 in PEM or DER
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    /// Whose the certificate will be
    #[arg(long, value_name = "ID")]
    client: String,
    #[command(flatten)]
    narrowing: Narrowing,
    /// Write certificate and chain into this new file [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file
    #[arg(long, requires = "out")]
    force: bool,
}

pub(super) async fn issue(args: IssueArgs, context: &Context) -> Result<Outcome, CliError> {
    let mut api = context.api()?;
    // Before anything is issued: a certificate whose key could not be written would be one more to revoke.
    if let Some(folder) = &args.out {
        Bundle::check_room(folder, args.force)?;
    }
    let request = body([
        ("client", json!(args.client)),
        ("lifetime_seconds", json!(args.narrowing.lifetime.map(Span::seconds))),
        ("key_algorithm", json!(args.key_algorithm)),
        ("scopes", given(&args.narrowing.scopes)),
        ("networks", given(&args.narrowing.networks)),
    ]);
    let mut answer = api.post_once(PATH, &request).await?;
    if context.output.is_json() && args.out.is_none() {
        context.output.json(&answer)?;
        return Ok(Outcome::Done);
    }
    let serial = answer["id"].as_str().map(hex).unwrap_or_default();
    let folder = args.out.unwrap_or_else(|| {
        PathBuf::from(format!("{}-{}", args.client, serial.get(..SERIAL_PREFIX).unwrap_or(&serial)))
    });
    let bundle = Bundle::of(&answer)?;
    bundle.write(&folder, args.force).map_err(|error| {
        CliError::new(format!("certificate {serial} was issued, but its files could not be written")).with_details([
            error.to_string(),
            format!("revoke it: portcullis certificate revoke {serial} --reason superseded"),
        ])
    })?;
    if context.output.is_json() {
        if let Some(members) = answer.as_object_mut() {
            // They are in the files now; a log of this command's output must not become a second copy.
            members.retain(|name, _| !matches!(name.as_str(), "private_key_pem" | "pkcs12" | "pkcs12_password"));
            members.insert("files".to_owned(), Bundle::files(&folder));
        }
        context.output.json(&answer)?;
        return Ok(Outcome::Done);
    }
    context.output.text(&issued(&answer, &folder, context))?;
    Ok(Outcome::Done)
}

fn issued(answer: &Value, folder: &std::path::Path, context: &Context) -> String {
    let shown = |member: &str| table::shown(&answer[member]);
    let end = answer["not_after"].as_i64().map_or_else(String::new, |at| moment::with_distance(at, context.now()));
    let place = folder.display();
    format!(
        "\
Certificate {serial} for {client}, expires {end}
  {place}/client.crt           the certificate and its chain
  {place}/client.key           the private key; there is no other copy
  {place}/client.p12           both in one file, for browsers, Java and .NET
  {place}/client.p12.password  its password

{curl}
",
        serial = shown("id"),
        client = shown("client"),
        curl = curl(folder, context),
    )
}

/// A line that works when pasted, as far as the data folder knows where the gateway is.
fn curl(folder: &std::path::Path, context: &Context) -> String {
    let data = context.global.data();
    let endpoints = data.as_deref().and_then(|data| Endpoints::read(data).ok()).unwrap_or_default();
    let ca = match (&context.global.ca, &data) {
        (Some(ca), _) => ca.display().to_string(),
        (None, Some(data)) => data.join("ca.pem").display().to_string(),
        (None, None) => "ca.pem".to_owned(),
    };
    let (gateway, path) = (endpoints.gateway.unwrap_or_else(|| "https://GATEWAY".to_owned()), endpoints.path);
    let place = folder.display();
    format!(
        "curl --cacert {ca} --cert {place}/client.crt --key {place}/client.key {gateway}{}",
        path.unwrap_or_else(|| "/".to_owned())
    )
}

pub(super) async fn sign(args: SignArgs, context: &Context) -> Result<Outcome, CliError> {
    if let Some(path) = args.out.as_ref().filter(|path| path.exists() && !args.force) {
        return Err(CliError::new(format!("{} exists already: choose another place, or give --force", path.display())));
    }
    let Some(file) = args.request.or(args.csr) else {
        return Err(CliError::new("give the request: --csr FILE"));
    };
    let csr = files::read(&file, CSR_BYTES_MAX)?;
    let csr = match String::from_utf8(csr) {
        Ok(pem) => pem,
        Err(der) => pem_request(der.as_bytes()),
    };
    let request = body([
        ("client", json!(args.client)),
        ("csr", json!(csr)),
        ("lifetime_seconds", json!(args.narrowing.lifetime.map(Span::seconds))),
        ("scopes", given(&args.narrowing.scopes)),
        ("networks", given(&args.narrowing.networks)),
    ]);
    let answer = context.api()?.post_once(&format!("{PATH}/sign"), &request).await?;
    let chain = super::bundle::chain(&answer)?;
    if let Some(path) = &args.out {
        files::write(path, chain.as_bytes(), Readers::Everyone, args.force)?;
    }
    let end = answer["not_after"].as_i64().map_or_else(String::new, |at| moment::with_distance(at, context.now()));
    context.output.note(&format!(
        "Certificate {} for {}, expires {end}",
        table::shown(&answer["id"]),
        table::shown(&answer["client"])
    ));
    match args.out {
        Some(_) if !context.output.is_json() => Ok(Outcome::Done),
        _ => context.output.either(&answer, || chain).map(|()| Outcome::Done),
    }
}

/// DER put into PEM, since JSON carries text.
fn pem_request(der: &[u8]) -> String {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE REQUEST-----\n".to_owned();
    for line in base64.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE REQUEST-----\n");
    pem
}
