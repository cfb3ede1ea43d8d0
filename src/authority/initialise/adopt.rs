//! The beginning of an installation whose root key is elsewhere: the keys of the issuing authorities are made here, a ceremony
//! certifies them, and then they are taken up.

use pki::{AuthorityName, KeyAlgorithm, Profile, ProfileKind, Signer, SpkiFingerprint};

use super::super::keys::{LocatedKey, write_whole};
use super::super::offline_root::OfflineRoot;
use super::{
    Authority, AuthoritySettings, ISSUING_KEY, Initialised, IssuerKind, KeyDirectory, MARKER, Names,
    SERVER_ISSUING_KEY, instant, key, names_of, off_thread, refused, row, standing_root,
};
use crate::clock::Clock;
use crate::failure::{Failure, Fault, Refusal};
use crate::registry::Actor;
use crate::store::issuer::IssuerRow;
use crate::store::{self, Store};

/// Stands in the keys folder while the requests are out.
pub(super) const AWAITING: &str = ".awaiting-certificates";

/// What the ceremony is to certify.
#[derive(Clone, Debug)]
pub struct AuthorityRequest {
    /// PKCS#10, PEM.
    pub pem: String,
    /// Of the key; the ceremony shows the same.
    pub spki_sha256: SpkiFingerprint,
}

/// The requests of both authorities.
#[derive(Clone, Debug)]
pub struct AuthorityRequests {
    pub issuing: AuthorityRequest,
    pub server_issuing: AuthorityRequest,
}

/// What a ceremony gave: PEM as it came, nothing is believed yet.
#[derive(Clone, Debug)]
pub struct Certified {
    pub root: Vec<u8>,
    pub root_list: Vec<u8>,
    pub issuing: Vec<u8>,
    pub server_issuing: Vec<u8>,
}

impl Authority {
    /// Makes the keys of the authorities below an offline root, once, and the requests for its ceremony.
    ///
    /// # Errors
    /// `already_initialised`; `keys_locked`; `keys_without_database`; `initialisation_broke_off` when one with a root here did.
    pub async fn request_certificates(
        store: &Store,
        keys: &KeyDirectory,
        names: &Names,
    ) -> Result<AuthorityRequests, Failure> {
        keys.make()?;
        let lock = keys.lock()?;
        if standing_root(store).await?.is_some() {
            let message = "There are authorities already: another root is brought in by `portcullis ca rotate root`.";
            return Err(Refusal::conflict("already_initialised", message).into());
        }
        if keys.holds(MARKER)? {
            let message = "An initialisation with its own root broke off here: finish it without a ceremony, or take an empty \
                           folder.";
            return Err(Refusal::conflict("initialisation_broke_off", message).into());
        }
        if !keys.holds(AWAITING)? {
            super::refuse_lost_keys(keys)?;
            write_whole(keys.path(), AWAITING, b"")?;
        }
        let issuing = key(keys, &lock, ISSUING_KEY, KeyAlgorithm::EcdsaP256).await?;
        let server_issuing = key(keys, &lock, SERVER_ISSUING_KEY, KeyAlgorithm::EcdsaP256).await?;
        let request = |key: &dyn Signer, name: AuthorityName| -> Result<AuthorityRequest, Failure> {
            let der = pki::authority_request(key, &name).map_err(refused)?;
            Ok(AuthorityRequest { pem: pki::pem_request(&der), spki_sha256: key.public_key().fingerprint() })
        };
        Ok(AuthorityRequests {
            issuing: request(&issuing.signer, names_of(names, ProfileKind::Issuing))?,
            server_issuing: request(&server_issuing.signer, names_of(names, ProfileKind::ServerIssuing))?,
        })
    }

    /// Takes up the authorities that an offline root certified. Doing it again does no harm.
    ///
    /// # Errors
    /// `no_request` when no keys wait for certificates here; `not_a_root`, `not_this_root`, `wrong_authority`, `key_mismatch`,
    /// `root_list_unusable` when what the ceremony gave does not fit together.
    pub async fn adopt(
        store: &Store,
        keys: &KeyDirectory,
        certified: Certified,
        settings: &AuthoritySettings,
        actor: &Actor,
        clock: &Clock,
    ) -> Result<Initialised, Failure> {
        keys.make()?;
        let _lock = keys.lock()?;
        if let Some(root_pem) = standing_root(store).await? {
            finish(keys)?;
            return Ok(Initialised { root_pem, created: false });
        }
        if !keys.holds(AWAITING)? {
            let message = "No keys wait for certificates here: the first `init --ceremony` makes them.";
            return Err(Refusal::conflict("no_request", message).into());
        }
        let now = clock.now();
        let root = OfflineRoot::read(&certified.root, &certified.root_list, now.0)?;
        let mut below = Vec::with_capacity(2);
        for (kind, profile, name, pem) in [
            (IssuerKind::Issuing, ProfileKind::Issuing, ISSUING_KEY, &certified.issuing),
            (IssuerKind::ServerIssuing, ProfileKind::ServerIssuing, SERVER_ISSUING_KEY, &certified.server_issuing),
        ] {
            let missing = || Fault::new(format!("the key {name} that waits for its certificate is gone"));
            let LocatedKey { location, signer } = keys.located(name).await?.ok_or_else(missing)?;
            let (pem, at) = (pem.clone(), instant(now)?);
            let issuer = off_thread("loading an authority", move || pki::Issuer::load(&pem, signer, at)).await?;
            let issuer = issuer.map_err(|error| unfit(kind.as_str(), &error))?;
            check_below(&root, &issuer, profile)?;
            below.push((issuer, kind, location));
        }
        let mut tx = store.begin().await?;
        store::issuer::insert(&mut tx, &root.row(now.0), now).await?;
        for (issuer, kind, location) in &below {
            let row = row(issuer, *kind, location, 0, now);
            let row = IssuerRow { crl_partitions: settings.crl_partitions_of(*kind), ..row };
            store::issuer::insert(&mut tx, &row, now).await?;
        }
        store::crl::save_whole(&mut tx, &root.list, now).await?;
        let detail = serde_json::json!({
            "root": root.key_id, "root_key": "offline",
            "below": below.iter().map(|(issuer, ..)| issuer.key_id().to_string()).collect::<Vec<_>>(),
        });
        actor.record(&mut tx, clock, "authority.initialise", &root.subject, &detail).await?;
        tx.commit().await?;
        finish(keys)?;
        tracing::info!(root = root.subject, "the authorities below an offline root were taken up");
        Ok(Initialised { root_pem: pki::pem_certificate(&root.der), created: true })
    }
}

fn check_below(root: &OfflineRoot, issuer: &pki::Issuer, kind: ProfileKind) -> Result<(), Failure> {
    let refuse = |code, message: String| -> Result<(), Failure> { Err(Refusal::invalid(code, message).into()) };
    if !pki::is_issued_by(issuer.certificate_der(), &root.der) {
        return refuse("not_this_root", format!("{} was not signed by {}.", issuer.subject(), root.subject));
    }
    let leaf = match kind {
        ProfileKind::ServerIssuing => ProfileKind::Server,
        _ => ProfileKind::Client,
    };
    if issuer.may_issue(&Profile::builtin(leaf)).is_err() {
        let message = format!("{} may not issue {leaf} certificates: were the two exchanged?", issuer.subject());
        return refuse("wrong_authority", message);
    }
    if root.revoked.revocation(issuer.certificate_der()).map_err(refused)?.is_some() {
        return refuse("wrong_authority", format!("{} stands on the root's revocation list.", issuer.subject()));
    }
    Ok(())
}

fn unfit(what: &str, error: &pki::Error) -> Failure {
    Refusal::invalid(error.code(), format!("The certificate of the {what} authority cannot be used: {error}.")).into()
}

fn finish(keys: &KeyDirectory) -> Result<(), Fault> {
    if keys.holds(AWAITING)? {
        std::fs::remove_file(keys.path().join(AWAITING))?;
        std::fs::File::open(keys.path())?.sync_all()?;
    }
    Ok(())
}
