//! The next generation of an authority below the root.

use pki::{AuthorityName, CaCertificate, KeyAlgorithm, KeyId, Profile, ProfileKind};

use super::super::{Authority, IssuerKind, IssuerState, off_thread, random_serial, refused};
use super::root::RootKey;
use crate::authority::keys::{KeyDirectoryLock, LocatedKey};
use crate::failure::{Failure, Refusal};
use crate::registry::Actor;
use crate::store;
use crate::store::issuer::IssuerRow;

/// How far it came.
pub(super) enum Prepared {
    Certified(Box<IssuerRow>),
    /// Its key is here, its certificate must come from the root.
    Requested {
        request_pem: String,
        spki_sha256: String,
    },
}

impl Authority {
    /// Makes the next generation: a key of its own and a certificate by the active root, or by the one that a ceremony used. With
    /// the root's key elsewhere it goes no further than a request.
    pub(super) async fn prepare_below(
        &self,
        kind: IssuerKind,
        brought: Option<&str>,
        actor: &Actor,
    ) -> Result<Prepared, Failure> {
        let lock = self.inner.keys.lock()?;
        let issuers = self.inner.issuers();
        let now = self.now()?;
        let (issuer, location) = match brought {
            Some(pem) => self.take_certificate(kind, pem).await?,
            None => {
                let LocatedKey { location, signer: key } = self.waiting_key(&lock, kind).await?;
                let old = match kind {
                    IssuerKind::ServerIssuing => issuers.server_issuing(),
                    _ => issuers.issuing(),
                };
                let name = AuthorityName::of(&old.certificate_der).map_err(refused)?;
                let root = match self.root_key(issuers.root()).await? {
                    RootKey::Here(root) => root,
                    RootKey::Elsewhere => {
                        let der = pki::authority_request(&key, &name).map_err(refused)?;
                        let spki_sha256 = key.public_key().fingerprint().to_string();
                        return Ok(Prepared::Requested { request_pem: pki::pem_request(&der), spki_sha256 });
                    }
                };
                let points = self.inner.settings.distribution_points(root.key_id());
                let serial = random_serial()?;
                let issuer = off_thread("making an authority", move || {
                    pki::Issuer::subordinate(&root, &Profile::builtin(profile(kind)), name, key, serial, &points, now)
                });
                (issuer.await?.map_err(refused)?, location)
            }
        };
        let row = self.row(&issuer, kind, Some(location));
        self.write_prepared(&row, &[], None, actor).await?;
        Ok(Prepared::Certified(Box::new(row)))
    }

    /// A certificate that a ceremony made for a key that waits here.
    async fn take_certificate(&self, kind: IssuerKind, pem: &str) -> Result<(pki::Issuer, String), Failure> {
        let unfit =
            |error: pki::Error| Refusal::invalid(error.code(), format!("The certificate cannot be used: {error}."));
        let mut certificates = pki::pem_certificates(pem.as_bytes()).map_err(unfit)?;
        let (Some(der), true) = (certificates.pop(), certificates.is_empty()) else {
            let message = "Give the one certificate of the new authority, without its chain.";
            return Err(Refusal::invalid("malformed_pem", message).into());
        };
        let read = CaCertificate::of_any_use(&der).map_err(unfit)?;
        let key_id = read.key_id.map(|id| id.to_string()).unwrap_or_default();
        if store::issuer::get(&self.inner.store, &key_id).await?.is_some() {
            let message = format!("{} is known already: a key serves one authority once.", read.subject);
            return Err(Refusal::conflict("already_prepared", message).into());
        }
        let file = key_file(kind, &key_id);
        let Some(LocatedKey { location, signer: key }) = self.inner.keys.located(&file).await? else {
            let message =
                format!("The key of {} does not wait here: was the request made by another server?", read.subject);
            return Err(Refusal::not_found("key_not_here", message).into());
        };
        let issuers = self.inner.issuers();
        let signed_by = |root: &&std::sync::Arc<super::super::issuer::Issuer>| {
            root.kind == IssuerKind::Root && root.is_trusted() && pki::is_issued_by(&der, &root.certificate_der)
        };
        if !issuers.all().iter().any(|root| signed_by(&root)) {
            let message = format!("{} was not signed by a root that is trusted here.", read.subject);
            return Err(Refusal::invalid("not_this_root", message).into());
        }
        let now = self.now()?;
        let issuer =
            off_thread("loading an authority", move || pki::Issuer::load(&der, key, now)).await?.map_err(unfit)?;
        let leaf = if kind == IssuerKind::ServerIssuing { ProfileKind::Server } else { ProfileKind::Client };
        if issuer.may_issue(&Profile::builtin(leaf)).is_err() {
            let message = format!("{} may not issue {leaf} certificates: is it of the other kind?", issuer.subject());
            return Err(Refusal::invalid("wrong_authority", message).into());
        }
        Ok((issuer, location))
    }

    /// The key of a generation that was begun and is no row yet, or a new one: asking twice makes one key.
    async fn waiting_key(&self, lock: &KeyDirectoryLock, kind: IssuerKind) -> Result<LocatedKey, Failure> {
        let prefix = format!("{}-", kind.as_str());
        for file in self.inner.keys.names()? {
            let name = file.strip_suffix(".pkcs11").unwrap_or(&file);
            let key_id = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".key")).unwrap_or_default();
            if key_id.parse::<KeyId>().is_ok()
                && store::issuer::get(&self.inner.store, key_id).await?.is_none()
                && let Some(key) = self.inner.keys.located(name).await?
            {
                return Ok(key);
            }
        }
        let algorithm = Profile::builtin(profile(kind)).key_algorithms().first().copied();
        let algorithm = algorithm.unwrap_or(KeyAlgorithm::EcdsaP256);
        let file = |id: &KeyId| key_file(kind, &id.to_string());
        self.inner.keys.make_signer(lock, kind.as_str(), algorithm, file).await
    }

    pub(super) fn row(&self, issuer: &pki::Issuer, kind: IssuerKind, key_location: Option<String>) -> IssuerRow {
        let now = self.inner.clock.now();
        IssuerRow {
            key_id: issuer.key_id().to_string(),
            kind,
            state: IssuerState::Prepared,
            state_since: now.0,
            tainted_at: None,
            subject: issuer.subject().to_owned(),
            certificate: issuer.certificate_der().to_vec(),
            key_location,
            not_after: issuer.not_after().unix_timestamp(),
            crl_number: 0,
            crl_partitions: self.inner.settings.crl_partitions_of(kind),
            created_at: now.0,
        }
    }
}

/// Named by the whole key id, so that the certificate that comes back finds its key.
pub(super) fn key_file(kind: IssuerKind, key_id: &str) -> String {
    format!("{}-{key_id}.key", kind.as_str())
}

fn profile(kind: IssuerKind) -> ProfileKind {
    match kind {
        IssuerKind::Root => ProfileKind::Root,
        IssuerKind::Issuing => ProfileKind::Issuing,
        IssuerKind::ServerIssuing => ProfileKind::ServerIssuing,
    }
}
