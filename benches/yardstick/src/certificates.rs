//! One server certificate for all servers under comparison.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::Error;

#[derive(clap::Args)]
pub struct Args {
    /// Gets server-ca.pem, server.pem and server.key
    folder: PathBuf,
}

pub fn run(args: &Args) -> Result<(), Error> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    ca.distinguished_name.push(DnType::CommonName, "Benchmark server CA");
    let ca_certificate = ca.self_signed(&ca_key)?;
    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    leaf.distinguished_name.push(DnType::CommonName, "localhost");
    let certificate = leaf.signed_by(&key, &Issuer::new(ca, ca_key))?;
    std::fs::write(args.folder.join("server-ca.pem"), ca_certificate.pem())?;
    std::fs::write(args.folder.join("server.pem"), certificate.pem())?;
    std::fs::write(args.folder.join("server.key"), key.serialize_pem())?;
    Ok(())
}
