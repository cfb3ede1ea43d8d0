//! temp
use clap::Parser;
#[derive(Parser)] struct A { #[arg(long, global=true)] data: Option<std::path::PathBuf>, #[command(subcommand)] c: C }
#[derive(clap::Subcommand)] enum C { Demo(portcullis::cli::start::DemoArgs), Init(portcullis::cli::start::InitArgs), Serve }
fn main() -> std::process::ExitCode { let a = A::parse(); let rt = tokio::runtime::Runtime::new().unwrap();
 let r = rt.block_on(async { match a.c { C::Demo(d) => portcullis::cli::start::demo(a.data.as_deref(), &d).await, C::Init(d) => portcullis::cli::start::init(a.data.as_deref().unwrap(), &d).await, C::Serve => portcullis::cli::start::serve(a.data.as_deref().unwrap()).await }});
 match r { Ok(()) => 0.into(), Err(e) => { eprintln!("{e}"); 1.into() } } }
