//! What the commands that work on files say. A reader that has gone away (`init | head -1`) is no reason to stop.

use std::io::Write;
use std::path::Path;

use crate::app::Foundation;
use crate::app::demo::Demo;
use crate::app::initialise::OPERATOR_CLIENT;

pub(super) fn making(data: &Path) {
    say(&format!("Making a CA, a policy and credentials in {} …", data.display()));
}

pub(super) fn already(data: &Path) {
    say(&format!("{} is initialised already; what was missing is added.", data.display()));
}

pub(super) fn initialised(data: &Path, foundation: &Foundation) {
    let data = data.display();
    let root_key = match &foundation.config.pki.pkcs11 {
        None => format!("{data}/keys/root.key, encrypted: move it and a copy of the passphrase offline"),
        Some(token) => format!("in the token {:?}, made there and not extractable, like the issuing keys", token.token),
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
