//! The next root, and the bridges between it and the one before (RFC 4210 §4.4).

use pki::{AuthorityName, CrlRequest, KeyId, Profile, ProfileKind};
use policies::UnixSeconds;

use super::super::issuer::Issuer;
use super::super::keys::LocatedKey;
use super::super::offline_root::OfflineRoot;
use super::super::publish::ROOT_CRL_LIFETIME_SECONDS;
use super::super::token::Locator;
use super::super::{Authority, IssuerKind, IssuerState, ROOT_KEY, off_thread, random_serial, refused};
use super::Brought;
use super::below::key_file;
use crate::failure::{Failure, Refusal};
use crate::registry::Actor;
use crate::store;
use crate::store::crl::WholeList;
use crate::store::cross_certificate::CrossCertificateRow;
use crate::store::issuer::IssuerRow;

/// The root's first list; the number only grows from here.
const FIRST_LIST: u64 = 1;

/// Where the root's key is.
pub(in crate::authority) enum RootKey {
    Here(Box<pki::Issuer>),
    Elsewhere,
}

impl Authority {
    /// Opens the root's key when it lies in the token or in the keys folder: on small installations always, otherwise for as long
    /// as a ceremony takes.
    pub(in crate::authority) async fn root_key(&self, root: &Issuer) -> Result<RootKey, Failure> {
        let location = root.key_location.as_deref().unwrap_or(ROOT_KEY);
        if !Locator::is_one(location) && !self.inner.keys.holds(location)? {
            return Ok(RootKey::Elsewhere);
        }
        let key = self.inner.keys.signer(location).await?;
        let (certificate, now) = (root.certificate_der.clone(), self.now()?);
        let root = off_thread("loading the root", move || pki::Issuer::load(&certificate, key, now)).await?;
        Ok(RootKey::Here(Box::new(root.map_err(refused)?)))
    }

    pub(super) async fn prepare_root(&self, brought: &Brought, actor: &Actor) -> Result<IssuerRow, Failure> {
        match &brought.certificate {
            Some(certificate) => self.take_root(certificate, brought, actor).await,
            None => self.make_root(actor).await,
        }
    }

    /// # Errors
    /// `root_key_elsewhere` when the ceremony must make the next root.
    async fn make_root(&self, actor: &Actor) -> Result<IssuerRow, Failure> {
        let lock = self.inner.keys.lock()?;
        let issuers = self.inner.issuers();
        let RootKey::Here(old) = self.root_key(issuers.root()).await? else {
            let message = "The root's key is elsewhere: make the next root there (`portcullis ca ceremony init-root` and \
                           `cross-sign`) and bring it with --next, --list and --cross.";
            return Err(Refusal::conflict("root_key_elsewhere", message).into());
        };
        let name = AuthorityName::of(old.certificate_der()).map_err(refused)?;
        let profile = Profile::builtin(ProfileKind::Root);
        let algorithm = profile.key_algorithms().first().copied().unwrap_or(pki::KeyAlgorithm::EcdsaP384);
        let file = |id: &KeyId| key_file(IssuerKind::Root, &id.to_string());
        let LocatedKey { location, signer: key } =
            self.inner.keys.make_signer(&lock, IssuerKind::Root.as_str(), algorithm, file).await?;
        let (now, settings) = (self.now()?, self.inner.settings.clone());
        let made = off_thread("making a root", move || -> Result<_, Failure> {
            let new = pki::Issuer::self_signed(&profile, name, key, random_serial()?, now).map_err(refused)?;
            let list = new.sign_crl(CrlRequest {
                number: FIRST_LIST,
                this_update: now,
                next_update: now + time::Duration::seconds(ROOT_CRL_LIFETIME_SECONDS.into()),
                revoked: Vec::new(),
                distribution_point: None,
            });
            let mut bridges = Vec::new();
            for (by, of) in [(&*old, &new), (&new, &*old)] {
                let points = settings.distribution_points(by.key_id());
                let cross = Profile::builtin(ProfileKind::Cross);
                match by.cross_certify(&cross, of.certificate_der(), random_serial()?, &points, now) {
                    Ok(bridge) => bridges.push(CrossCertificateRow {
                        subject_key_id: of.key_id().to_string(),
                        issuer_key_id: by.key_id().to_string(),
                        not_after: bridge.not_after.unix_timestamp(),
                        certificate: bridge.der,
                        created_at: now.unix_timestamp(),
                    }),
                    // A root of an older installation: its path length leaves no room. Activation then asks for --force.
                    Err(pki::Error::IssuerNotPermitted(_)) => {
                        tracing::warn!(root = by.subject(), "this root cannot certify its successor");
                    }
                    Err(error) => return Err(refused(error)),
                }
            }
            Ok((new, list.map_err(refused)?, bridges))
        });
        let (new, list, bridges) = made.await??;
        let row = IssuerRow { crl_number: FIRST_LIST as i64, ..self.row(&new, IssuerKind::Root, Some(location)) };
        let list = WholeList {
            issuer_key_id: row.key_id.clone(),
            number: FIRST_LIST as i64,
            this_update: list.this_update.unix_timestamp(),
            next_update: list.next_update.unix_timestamp(),
            der: list.der,
        };
        self.write_prepared(&row, &bridges, Some(&list), actor).await?;
        Ok(row)
    }

    async fn take_root(&self, certificate: &str, brought: &Brought, actor: &Actor) -> Result<IssuerRow, Failure> {
        let now = self.inner.clock.now();
        let Some(list) = &brought.list else {
            let message = "Bring the root's first revocation list too (root.crl of its ceremony).";
            return Err(Refusal::invalid("root_list_unusable", message).into());
        };
        let root = OfflineRoot::read(certificate.as_bytes(), list.as_bytes(), now.0)?;
        if store::issuer::get(&self.inner.store, &root.key_id).await?.is_some() {
            let message = format!("{} is known already.", root.subject);
            return Err(Refusal::conflict("already_prepared", message).into());
        }
        let mut bridges = Vec::new();
        for pem in &brought.cross {
            bridges.extend(self.read_bridges(pem, &root, now)?);
        }
        let row = IssuerRow { state: IssuerState::Prepared, ..root.row(now.0) };
        self.write_prepared(&row, &bridges, Some(&root.list), actor).await?;
        Ok(row)
    }

    /// A bridge between the new root and one of ours, either way. A certificate that is neither is refused: it would be handed out.
    fn read_bridges(
        &self,
        pem: &str,
        root: &OfflineRoot,
        now: UnixSeconds,
    ) -> Result<Vec<CrossCertificateRow>, Failure> {
        let unfit = |why: String| Refusal::invalid("cross_certificate_unusable", format!("A cross-certificate {why}."));
        let ours = self.inner.issuers();
        let mut bridges = Vec::new();
        for der in pki::pem_certificates(pem.as_bytes()).map_err(|error| unfit(format!("cannot be read: {error}")))? {
            let read = pki::CaCertificate::parse(&der).map_err(|error| unfit(format!("cannot be used: {error}")))?;
            let subject = read.key_id.as_ref().map(ToString::to_string).unwrap_or_default();
            let by = |other: &[u8], key_id: &str| {
                (pki::is_issued_by(&der, other) && subject != key_id).then(|| key_id.to_owned())
            };
            let roots = || ours.all().iter().filter(|issuer| issuer.kind == IssuerKind::Root);
            let issuer = match subject == root.key_id {
                true => roots().find_map(|ours| by(&ours.certificate_der, &ours.key_id.to_string())),
                false => roots()
                    .any(|ours| ours.key_id.to_string() == subject)
                    .then(|| by(&root.der, &root.key_id))
                    .flatten(),
            };
            let Some(issuer) = issuer else {
                return Err(unfit(format!("of {} is not between the new root and one of ours", read.subject)).into());
            };
            if !read.is_valid_at(now.0) {
                return Err(unfit(format!("of {} is not valid now", read.subject)).into());
            }
            bridges.push(CrossCertificateRow {
                subject_key_id: subject,
                issuer_key_id: issuer,
                not_after: read.not_after,
                certificate: der,
                created_at: now.0,
            });
        }
        Ok(bridges)
    }

    /// Who has only the old root installed must reach what the new one signs.
    pub(super) async fn check_bridge(&self, next: &IssuerRow, active: &IssuerRow) -> Result<(), Failure> {
        let now = self.inner.clock.now().0;
        let bridges = store::cross_certificate::list(&self.inner.store).await?;
        let bridged = bridges.iter().any(|bridge| {
            bridge.subject_key_id == next.key_id && bridge.issuer_key_id == active.key_id && bridge.not_after > now
        });
        if bridged {
            return Ok(());
        }
        let message = format!(
            "No certificate by {} for {} is here: who has only the old root would refuse the gate. Bring one (`ca ceremony \
             cross-sign`), or give --force when everybody has the new root.",
            active.subject, next.subject
        );
        Err(Refusal::conflict("no_cross_certificate", message).into())
    }

    /// One transaction for a new authority and what comes with it.
    pub(super) async fn write_prepared(
        &self,
        row: &IssuerRow,
        bridges: &[CrossCertificateRow],
        list: Option<&WholeList>,
        actor: &Actor,
    ) -> Result<(), Failure> {
        let now = self.inner.clock.now();
        let mut tx = self.inner.store.begin().await?;
        store::issuer::insert(&mut tx, row, now).await?;
        for bridge in bridges {
            store::cross_certificate::put(&mut tx, bridge, now).await?;
        }
        if let Some(list) = list {
            store::crl::save_whole(&mut tx, list, now).await?;
        }
        let detail = serde_json::json!({
            "kind": row.kind.as_str(), "subject": row.subject, "not_after": row.not_after,
            "cross_certificates": bridges.len(),
        });
        actor.record(&mut tx, &self.inner.clock, "issuer.prepare", &row.key_id, &detail).await?;
        self.commit(tx).await?;
        self.reload_issuers().await
    }
}
