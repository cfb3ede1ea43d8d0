//! Options that every command takes, before or after its name.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};

use super::output::Format;

#[derive(Args, Clone, Debug, Default)]
pub(super) struct Global {
    /// The data folder that `demo` or `init` made: says where the server is and holds the administrator's certificate
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "PORTCULLIS_DATA",
        value_parser = OsStringValueParser::new().map(PathBuf::from),
        help_heading = "Where the server is"
    )]
    pub(super) data: Option<PathBuf>,
    /// The admin listener, instead of what the data folder says: https://gate.example.com:9443
    #[arg(long, global = true, value_name = "URL", help_heading = "Where the server is")]
    pub(super) admin: Option<String>,
    /// CA certificates (PEM) that the server's certificate must chain to
    #[arg(long, global = true, value_name = "FILE", help_heading = "Where the server is")]
    pub(super) ca: Option<PathBuf>,
    /// The administrator's certificate with its chain (PEM)
    #[arg(long, global = true, value_name = "FILE", help_heading = "Where the server is")]
    pub(super) certificate: Option<PathBuf>,
    /// The administrator's private key (PEM)
    #[arg(long, global = true, value_name = "FILE", help_heading = "Where the server is")]
    pub(super) key: Option<PathBuf>,
    /// For people or for programs
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub(super) output: Format,
}

impl Global {
    /// The data folder, if one was named. An empty variable names none.
    pub(super) fn data(&self) -> Option<PathBuf> {
        self.data.clone().filter(|data| !data.as_os_str().is_empty())
    }
}
