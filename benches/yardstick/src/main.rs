//! Measures what a server's requests cost it. `scripts/bench` starts the servers and reads the JSON lines printed here.

mod bare;
mod certificates;
mod connection;
mod load;
mod primitives;
mod processor;

use clap::Parser;

pub type Error = Box<dyn std::error::Error>;

#[derive(Parser)]
enum Command {
    /// Make a server certificate and its CA
    Certificates(certificates::Args),
    /// Serve a fixed answer over the same TLS and HTTP stack as the product, with no logic of its own
    Bare(bare::Args),
    /// Load a server without ever sleeping, and print what it cost the server
    Load(load::Args),
    /// Print what the cryptography under a handshake costs on this machine
    Primitives,
}

fn main() -> Result<(), Error> {
    match Command::parse() {
        Command::Certificates(args) => certificates::run(&args),
        Command::Bare(args) => bare::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Primitives => primitives::run(),
    }
}
