//! The load generator: a handful of connections in a closed loop, polled in turn by one thread that never sleeps. A client that
//! sleeps is woken by each answer, and on a virtual machine the waking is billed to the server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CipherSuite, ClientConfig, NamedGroup, RootCertStore};
use serde_json::json;

use crate::Error;
use crate::connection::{Connection, Event};
use crate::processor;

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Requests on kept connections
    Kept,
    /// A new connection, a full handshake and one request each
    Full,
    /// A new connection, a resumed handshake and one request each
    Resumed,
    /// As `full`, but each identity once: certificates that the server has never seen
    Strangers,
}

#[derive(clap::Args)]
pub struct Args {
    #[arg(long)]
    address: SocketAddr,
    #[arg(long, default_value = "/")]
    path: String,
    /// CA of the server
    #[arg(long)]
    ca: PathBuf,
    /// Folder of NAME.crt (with chain) and NAME.key; absent: no client certificate
    #[arg(long)]
    identities: Option<PathBuf>,
    #[arg(long, value_enum)]
    mode: Mode,
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// `Name: value`; repeat for more
    #[arg(long)]
    header: Vec<String>,
    /// Makes it a POST
    #[arg(long)]
    body: Option<String>,
    /// Root of the server's process tree
    #[arg(long)]
    pid: u32,
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Not counted, before
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,
    /// Offer X25519MLKEM768 first, as clients of the product do; otherwise X25519 alone, which every server here has
    #[arg(long)]
    post_quantum: bool,
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Counts since the beginning.
#[derive(Clone, Copy, Default)]
struct Counts {
    answers: u64,
    full: u64,
    resumed: u64,
}

struct Slot {
    connection: Connection,
    config: Arc<ClientConfig>,
    answered: bool,
}

struct Run<'a> {
    args: &'a Args,
    configs: Vec<Arc<ClientConfig>>,
    next: usize,
    request: Vec<u8>,
    counts: Counts,
}

pub fn run(args: &Args) -> Result<(), Error> {
    let configs = configs(args)?;
    let mut run = Run { args, configs, next: 0, request: request(args), counts: Counts::default() };
    // Strangers are met by a server that has seen others: the first identity is no stranger.
    let strangers = args.mode == Mode::Strangers;
    let mut slots = (0..args.connections).map(|_| run.open(strangers)).collect::<Result<Vec<_>, _>>()?;
    let warm = Instant::now() + Duration::from_secs_f64(args.warm_up);
    while Instant::now() < warm {
        run.turn(&mut slots, strangers)?;
    }
    run.next = 1;
    let before =
        (Instant::now(), processor::Tree::of(args.pid), processor::own_nanos(), processor::machine_busy_seconds());
    let counted = run.counts;
    let end = before.0 + Duration::from_secs_f64(args.seconds);
    let is_over = |run: &Run<'_>| if strangers { run.next >= run.configs.len() } else { Instant::now() >= end };
    while !is_over(&run) {
        run.turn(&mut slots, false)?;
    }
    let seconds = before.0.elapsed().as_secs_f64();
    let server = processor::Tree::of(args.pid).since(&before.1) as f64 / 1e3;
    let own = (processor::own_nanos() - before.2) as f64 / 1e9;
    let busy = processor::machine_busy_seconds() - before.3;
    let operations = run.counts.answers - counted.answers;
    if operations == 0 {
        return Err("no answer came".into());
    }
    let line = json!({
        "operations": operations,
        "cpu_us": server / operations as f64,
        "per_second": operations as f64 / seconds,
        "server_busy": server / 1e6 / seconds,
        "strangers_busy": ((busy - own - server / 1e6) / seconds).max(0.0),
        "full": run.counts.full - counted.full,
        "resumed": run.counts.resumed - counted.resumed,
        "load_average": processor::load_average(),
    });
    println!("{line}");
    Ok(())
}

impl Run<'_> {
    /// Polls every connection once.
    fn turn(&mut self, slots: &mut [Slot], always_first: bool) -> Result<(), Error> {
        for slot in slots {
            match slot.connection.poll()? {
                Event::Nothing => {}
                Event::Answer(200) => {
                    self.counts.answers += 1;
                    slot.answered = true;
                    if self.args.mode == Mode::Kept {
                        slot.connection.send(&self.request)?;
                    }
                }
                Event::Answer(status) => return Err(format!("the server answered {status}").into()),
                Event::Closed if slot.answered && self.args.mode != Mode::Kept => {
                    let resumed = slot.connection.is_resumed();
                    *if resumed { &mut self.counts.resumed } else { &mut self.counts.full } += 1;
                    *slot = if self.args.mode == Mode::Resumed {
                        let config = Arc::clone(&slot.config);
                        self.open_with(config)?
                    } else {
                        self.open(always_first)?
                    };
                }
                Event::Closed => return Err("the server closed the connection without an answer".into()),
            }
        }
        Ok(())
    }

    fn open(&mut self, always_first: bool) -> Result<Slot, Error> {
        let index = if always_first { 0 } else { self.next % self.configs.len() };
        self.next += 1;
        self.open_with(Arc::clone(&self.configs[index]))
    }

    fn open_with(&mut self, config: Arc<ClientConfig>) -> Result<Slot, Error> {
        let mut connection = Connection::open(self.args.address, &config)?;
        connection.send(&self.request)?;
        Ok(Slot { connection, config, answered: false })
    }
}

fn request(args: &Args) -> Vec<u8> {
    let method = if args.body.is_some() { "POST" } else { "GET" };
    let mut text = format!("{method} {} HTTP/1.1\r\nHost: {}\r\n", args.path, args.address);
    for header in &args.header {
        text.push_str(&format!("{header}\r\n"));
    }
    if args.mode != Mode::Kept {
        text.push_str("Connection: close\r\n");
    }
    if let Some(body) = &args.body {
        text.push_str(&format!(
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
            body.len()
        ));
    }
    text.push_str("\r\n");
    text.push_str(args.body.as_deref().unwrap_or_default());
    text.into_bytes()
}

/// One configuration for each identity; when sessions are resumed, one for each connection, with its own tickets.
fn configs(args: &Args) -> Result<Vec<Arc<ClientConfig>>, Error> {
    let provider = Arc::new(provider(args.post_quantum));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&args.ca)? {
        roots.add(certificate?)?;
    }
    let identities = match &args.identities {
        Some(folder) => read_identities(folder)?.into_iter().map(Some).collect(),
        None => vec![None],
    };
    let count = if args.mode == Mode::Resumed { args.connections } else { identities.len() };
    let make = |index: usize| -> Result<_, Error> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots.clone());
        let mut config = match &identities[index % identities.len()] {
            Some(identity) => builder.with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption =
            if args.mode == Mode::Resumed { Resumption::in_memory_sessions(8) } else { Resumption::disabled() };
        Ok(Arc::new(config))
    };
    (0..count).map(make).collect()
}

/// The same for every server: what they choose by themselves is another question than what their work costs.
fn provider(post_quantum: bool) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256);
    if !post_quantum {
        provider.kx_groups.retain(|group| group.name() == NamedGroup::X25519);
    }
    provider
}

fn read_identities(folder: &Path) -> Result<Vec<Identity>, Error> {
    let mut files: Vec<_> = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "crt"));
    files.sort();
    let read = |path: PathBuf| {
        let chain = CertificateDer::pem_file_iter(&path)?.collect::<Result<Vec<_>, _>>()?;
        Ok(Identity { chain, key: PrivateKeyDer::from_pem_file(path.with_extension("key"))? })
    };
    files.into_iter().map(read).collect()
}
