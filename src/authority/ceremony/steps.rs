//! The steps: a root is made, it certifies an authority or its successor, it signs its list.

use std::path::Path;

use pki::{
    AuthorityName, CaCertificate, CrlRequest, KeyId, PrivateKey, ProfileKind, RevocationList, RevocationReason,
    RevokedEntry, SpkiFingerprint, VerifiedRequest,
};
use serde::Serialize;

use super::files::Bench;
use super::{Ceremony, MadeRoot, NewIssuing, NewRoot, ROOT_CERTIFICATE, ROOT_LIST, profile, root_points};
use crate::authority::publish::ROOT_CRL_LIFETIME_SECONDS;
use crate::authority::{ROOT_KEY, instant, off_thread, random_serial, refused};
use crate::failure::{Failure, Fault, Refusal};

/// The root's first list; the number only grows from here.
const FIRST_LIST: u64 = 1;

/// An authority's certificate, signed by the root.
#[derive(Clone, Debug, Serialize)]
pub struct SignedIssuing {
    pub kind: &'static str,
    pub subject: String,
    pub serial: String,
    pub key_id: KeyId,
    /// Of the key that was certified: what the machine that made the request shows too.
    pub spki_sha256: SpkiFingerprint,
    pub certificate_sha256: String,
    /// Seconds since the Unix epoch.
    pub not_after: i64,
}

/// Another root's name and key, certified by this one.
#[derive(Clone, Debug, Serialize)]
pub struct CrossSigned {
    pub subject: String,
    pub serial: String,
    pub certificate_sha256: String,
    /// Seconds since the Unix epoch.
    pub not_after: i64,
}

/// The root's newest list. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, Serialize)]
pub struct SignedList {
    pub number: u64,
    pub this_update: i64,
    pub next_update: i64,
    /// Serials of everything on it.
    pub revoked: Vec<String>,
}

/// What the next list is to revoke besides what the last one did.
#[derive(Clone, Debug)]
pub struct Revoke<'a> {
    /// Certificates of the root's, PEM.
    pub certificates: &'a [std::path::PathBuf],
    pub reason: RevocationReason,
}

impl Ceremony {
    /// Makes the root: its key, its certificate and its first, empty list.
    ///
    /// # Errors
    /// `file_exists` when there is a root in the folder; `key_not_allowed`, `lifetime_too_long`, `invalid_name`.
    pub async fn init_root(&self, new: NewRoot) -> Result<MadeRoot, Failure> {
        let mut bench = self.bench("init-root");
        let [certificate, list, key_file] = [ROOT_CERTIFICATE, ROOT_LIST, ROOT_KEY].map(|name| bench.own(name));
        bench.refuse_existing(&[&certificate, &list, &key_file])?;
        let profile = profile(ProfileKind::Root, new.days)?;
        self.keys.make()?;
        let lock = self.keys.lock()?;
        let (now, algorithm) = (instant(self.clock.now())?, new.algorithm);
        if !profile.key_algorithms().contains(&algorithm) {
            return Err(refused(pki::Error::KeyNotAllowed {
                algorithm: algorithm.as_str(),
                profile: "root",
                allowed: profile.key_algorithms().iter().map(|known| known.as_str()).collect::<Vec<_>>().join(", "),
            }));
        }
        let key = off_thread("making a key", move || PrivateKey::generate(algorithm)).await?.map_err(refused)?;
        let key = self.keys.create(&lock, ROOT_KEY, key).await?;
        let root = pki::Issuer::self_signed(&profile, new.name, key, random_serial()?, now).map_err(refused)?;
        let first = self.list(&root, FIRST_LIST, Vec::new())?;
        bench.write(&certificate, root.certificate_pem().as_bytes())?;
        bench.write(&list, first.pem().as_bytes())?;
        bench.note_made(&key_file)?;
        let made = MadeRoot {
            subject: root.subject().to_owned(),
            key_id: root.key_id().clone(),
            spki_sha256: root.public_key().fingerprint(),
            certificate_sha256: root.thumbprint().to_string(),
            not_after: root.not_after().unix_timestamp(),
        };
        bench.finish(&made)?;
        Ok(made)
    }

    /// Certifies the key of an issuing authority from its request (PKCS#10), and writes the certificate to `out`.
    ///
    /// # Errors
    /// `file_exists`; what reading a request refuses; `outlives_issuer`; `lifetime_too_long`; `invalid_name`; `invalid_url`.
    pub async fn sign_issuing(&self, request: &Path, new: NewIssuing, out: &Path) -> Result<SignedIssuing, Failure> {
        let mut bench = self.bench("sign-issuing");
        bench.refuse_existing(&[out])?;
        let verified = VerifiedRequest::parse(&bench.read(request)?).map_err(refused)?;
        let profile = profile(new.kind, new.days)?;
        let name = match (new.name, verified.common_name()) {
            (Some(name), _) => name,
            (None, Some(name)) => AuthorityName::from(name),
            (None, None) => {
                let message = "The request has no common name: give the authority a name.";
                return Err(Refusal::invalid("invalid_name", message).into());
            }
        };
        let root = self.root(&mut bench).await?;
        let urls = root_points(new.pki_url.as_deref(), root.key_id());
        let issued = root
            .certify_authority(
                &profile,
                name,
                verified.public_key(),
                random_serial()?,
                &urls,
                instant(self.clock.now())?,
            )
            .map_err(refused)?;
        bench.write(out, issued.pem().as_bytes())?;
        let signed = SignedIssuing {
            kind: new.kind.as_str(),
            subject: issued.subject.clone(),
            serial: issued.serial.to_string(),
            key_id: verified.public_key().key_id().clone(),
            spki_sha256: issued.spki_fingerprint,
            certificate_sha256: issued.thumbprint.to_string(),
            not_after: issued.not_after.unix_timestamp(),
        };
        bench.finish(&signed)?;
        Ok(signed)
    }

    /// Certifies another root under this one, and writes the certificate to `out`: for the time while one follows the other.
    ///
    /// # Errors
    /// `file_exists`; `not_an_authority`; `issuer_not_permitted` when this root's path length leaves no room.
    pub async fn cross_sign(&self, other: &Path, pki_url: Option<&str>, out: &Path) -> Result<CrossSigned, Failure> {
        let mut bench = self.bench("cross-sign");
        bench.refuse_existing(&[out])?;
        let other = one_certificate(other, &bench.read(other)?)?;
        let root = self.root(&mut bench).await?;
        let urls = root_points(pki_url, root.key_id());
        let profile = profile(ProfileKind::Cross, None)?;
        let issued = root
            .cross_certify(&profile, &other, random_serial()?, &urls, instant(self.clock.now())?)
            .map_err(caller)?;
        bench.write(out, issued.pem().as_bytes())?;
        let signed = CrossSigned {
            subject: issued.subject.clone(),
            serial: issued.serial.to_string(),
            certificate_sha256: issued.thumbprint.to_string(),
            not_after: issued.not_after.unix_timestamp(),
        };
        bench.finish(&signed)?;
        Ok(signed)
    }

    /// Signs the root's next list, for another year: what the last one revoked, and more.
    ///
    /// # Errors
    /// `file_missing` without the last list (its number must not be used again); `foreign_list` when it is another root's;
    /// `not_issued_here` for a certificate that this root did not sign.
    pub async fn sign_list(&self, revoke: Revoke<'_>) -> Result<SignedList, Failure> {
        let mut bench = self.bench("sign-crl");
        let path = bench.own(ROOT_LIST);
        let last = one_list(&path, &bench.read(&path)?)?;
        let root = self.root(&mut bench).await?;
        if last.verify(root.certificate_der()).is_err() {
            let message = format!("{} is not a list of this root.", path.display());
            return Err(Refusal::invalid("foreign_list", message).into());
        }
        let number = last.number().and_then(|number| number.checked_add(1));
        let number = number.ok_or_else(|| Refusal::invalid("foreign_list", "The last list has no number."))?;
        let now = instant(self.clock.now())?;
        let mut entries = last.entries().map_err(refused)?;
        for file in revoke.certificates {
            let der = one_certificate(file, &bench.read(file)?)?;
            if !pki::is_issued_by(&der, root.certificate_der()) {
                let message = format!("{} was not signed by {}.", file.display(), root.subject());
                return Err(Refusal::invalid("not_issued_here", message).into());
            }
            let serial = pki::ClientCertificate::parse(&der).map_err(refused)?.serial;
            entries.push(RevokedEntry { serial, revoked_at: now, reason: revoke.reason });
        }
        let list = self.list(&root, number, entries)?;
        bench.write(&path, list.pem().as_bytes())?;
        let entries = RevocationList::parse(&list.der).and_then(|list| list.entries()).map_err(refused)?;
        let signed = SignedList {
            number,
            this_update: list.this_update.unix_timestamp(),
            next_update: list.next_update.unix_timestamp(),
            revoked: entries.iter().map(|entry| entry.serial.to_string()).collect(),
        };
        bench.finish(&signed)?;
        Ok(signed)
    }

    fn list(&self, root: &pki::Issuer, number: u64, revoked: Vec<RevokedEntry>) -> Result<pki::Crl, Failure> {
        let now = instant(self.clock.now())?;
        let request = CrlRequest {
            number,
            this_update: now,
            next_update: now + time::Duration::seconds(ROOT_CRL_LIFETIME_SECONDS.into()),
            revoked,
            distribution_point: None,
        };
        root.sign_crl(request).map_err(refused)
    }

    async fn root(&self, bench: &mut Bench<'_>) -> Result<pki::Issuer, Failure> {
        let certificate = bench.read(&bench.own(ROOT_CERTIFICATE))?;
        bench.note_read(&bench.own(ROOT_KEY))?;
        let (key, now) = (self.root_key().await?, instant(self.clock.now())?);
        off_thread("loading the root", move || pki::Issuer::load(&certificate, key, now)).await?.map_err(caller)
    }
}

/// Here the files are the caller's: what is wrong with them is no fault of ours.
fn caller(error: pki::Error) -> Failure {
    let text = error.to_string();
    match refused(error.clone()) {
        Failure::Fault(_) => Refusal::invalid(error.code(), text).into(),
        refusal => refusal,
    }
}

fn one_certificate(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut certificates = pki::pem_certificates(bytes).map_err(refused)?;
    match (certificates.pop(), certificates.is_empty()) {
        (Some(one), true) => {
            CaCertificate::of_any_use(&one).map_err(caller)?;
            Ok(one)
        }
        _ => {
            let message = format!("{} must hold exactly one certificate.", path.display());
            Err(Refusal::invalid("malformed_pem", message).into())
        }
    }
}

fn one_list(path: &Path, bytes: &[u8]) -> Result<RevocationList, Failure> {
    let mut lists = RevocationList::read_all(bytes).map_err(caller)?;
    match (lists.pop(), lists.is_empty()) {
        (Some(one), true) => Ok(one),
        _ => Err(Fault::new(format!("{} must hold exactly one list", path.display())).into()),
    }
}
