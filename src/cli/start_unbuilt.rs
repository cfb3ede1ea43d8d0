//! Stands in for `start.rs` until `app` is part of the crate.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::failure::{Failure, Fault};

/// Make a CA, a sample policy, a partner with one credential of each kind, and serve them
#[derive(Args, Clone, Debug)]
#[command(after_help = "EXAMPLES:\n  portcullis demo")]
pub(super) struct DemoArgs {
    /// See start.rs
    #[arg(long, value_name = "ADDR")]
    gateway: Option<SocketAddr>,
    /// See start.rs
    #[arg(long, value_name = "ADDR")]
    mtls: Option<SocketAddr>,
    /// See start.rs
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// See start.rs
    #[arg(long, value_name = "ADDR")]
    pki: Option<SocketAddr>,
}

/// Make a data folder: configuration, CA and the first administrator
#[derive(Args, Clone, Debug)]
#[command(after_help = "EXAMPLES:\n  portcullis --data /var/lib/portcullis init --hostname api.example.com")]
pub(super) struct InitArgs {
    /// See start.rs
    #[arg(long, value_name = "HOST", required = true)]
    hostname: Vec<String>,
    /// See start.rs
    #[arg(long, value_name = "DOMAIN")]
    trust_domain: Option<String>,
    /// See start.rs
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

pub(super) async fn demo(_: Option<&Path>, _: &DemoArgs) -> Result<(), Failure> {
    Err(Fault::new("demo is not built").into())
}

pub(super) async fn init(_: &Path, _: &InitArgs) -> Result<(), Failure> {
    Err(Fault::new("init is not built").into())
}

pub(super) async fn serve(_: &Path) -> Result<(), Failure> {
    Err(Fault::new("serve is not built").into())
}
