//! What the commands that work on files say. A reader that has gone away (`init | head -1`) is no reason to stop.

use std::io::Write;
use std::path::Path;

use crate::app::Foundation;
use crate::app::demo::Demo;
use crate::app::initialise::OPERATOR_CLIENT;
use crate::app::offline_root::{ISSUING_REQUEST, SERVER_ISSUING_REQUEST};
use crate::authority::AuthorityRequests;
use crate::authority::ceremony::{ROOT_CERTIFICATE, ROOT_LIST};

pub(super) fn making(data: &Path) {
    say(&format!("Making a CA, a policy and credentials in {} …", data.display()));
}

pub(super) fn already(data: &Path) {
    say(&format!("{} is initialised already; what was missing is added.", data.display()));
}

/// The requests are out; how to go on.
pub(super) fn requested(data: &Path, folder: &Path, requests: &AuthorityRequests, pki_url: &str) {
    let (data, stick) = (data.display(), folder.display());
    let sign = |kind: &str| {
        format!(
            "  portcullis ca ceremony sign-issuing --root ROOT --passphrase-file FILE --kind {kind} \\\n    --request \
             {stick}/{kind}.csr --out {stick}/{kind}.pem --pki-url {pki_url}"
        )
    };
    say(&format!(
        "\
The authorities of {data} wait for certificates. Their requests:
  {stick}/{ISSUING_REQUEST}          SHA-256 of the key {issuing}
  {stick}/{SERVER_ISSUING_REQUEST}   SHA-256 of the key {server_issuing}

Carry the folder to the machine of the root and let it sign (compare the hashes):
{sign_issuing}
{sign_server}
  cp ROOT/{ROOT_CERTIFICATE} ROOT/{ROOT_LIST} {stick}/

Then here again: portcullis --data {data} init --ceremony {stick}",
        issuing = requests.issuing.spki_sha256,
        server_issuing = requests.server_issuing.spki_sha256,
        sign_issuing = sign("issuing"),
        sign_server = sign("server-issuing"),
    ));
}

pub(super) fn initialised(data: &Path, foundation: &Foundation) {
    let root = foundation.authority.issuers().into_iter().find(|issuer| issuer.kind == "root");
    let data = data.display();
    let root_key = match root.and_then(|root| root.key_location) {
        Some(uri) if uri.starts_with("pkcs11:") => {
            "in the token, made there and not extractable, like the issuing keys".to_owned()
        }
        Some(file) => format!("{data}/keys/{file}, encrypted: move it and a copy of the passphrase offline"),
        None => "elsewhere: it signs a new list every year (`portcullis ca ceremony sign-crl`)".to_owned(),
    };
    say(&format!(
        "\
Initialised {data}.
  configuration   {data}/portcullis.toml
  CA certificate  {data}/ca.pem
  administrator   {OPERATOR_CLIENT}: {data}/admin/admin.crt, admin.key (for browsers: admin.p12, password in admin.p12.password)
  root key        {root_key}
"
    ));
    if let Some(passphrase) = &foundation.config.passphrase_file {
        say(&format!(
            "The passphrase of the CA's keys is in {}. Back it up apart from the data.",
            passphrase.display()
        ));
    }
    say(&format!("Next: portcullis --data {data} serve"));
}

pub(super) fn demo(data: &Path, demo: &Demo) {
    let folder = data.display();
    let url = format!("{}{}", demo.gateway, demo.path);
    let curl = format!("curl --cacert {folder}/{}", demo.ca);
    say(&format!(
        "\
Portcullis is up. The same route, three ways in:

# 1. client certificate
{curl} --cert {folder}/{certificate} --key {folder}/{key} {url}

# 2. API key
{curl} -H 'x-api-key: {api_key}' {url}

# 3. OAuth 2.0 client credentials
{curl} -H \"Authorization: Bearer $({curl} -s -u '{client_id}:{secret}' -d grant_type=client_credentials --data-urlencode 'scope={scope}' {token_url} | sed -E 's/.*\"access_token\":\"([^\"]+)\".*/\\1/')\" {url}

  gateway  {gateway}        docs {gateway}/docs
  mTLS     {mtls}        (a client certificate is required)
  admin    {admin}        console {admin}/console, docs {admin}/docs
  PKI      {pki}        /ca.pem, /crl/…

In another terminal: export PORTCULLIS_DATA={folder} and try `portcullis client list`.
Everything above for programs: {folder}/demo.json. Stop with Ctrl-C.
",
        certificate = demo.client_certificate,
        key = demo.client_key,
        api_key = demo.api_key,
        client_id = demo.client_id,
        secret = demo.client_secret,
        scope = demo.scope,
        token_url = demo.token_url,
        gateway = demo.gateway,
        mtls = demo.mtls,
        admin = demo.admin,
        pki = demo.pki,
    ));
}

fn say(text: &str) {
    let mut stdout = std::io::stdout().lock();
    // Whoever reads through a pipe must see it now, not when the server ends.
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}
