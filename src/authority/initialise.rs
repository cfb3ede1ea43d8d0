//! The beginning: a root, and the two authorities below it. Once for an installation.
//!
//! Keys are files and certificates are rows, so a crash can come between them. A marker file stands in the keys folder from
//! before the first key until the rows are committed, all three in one transaction: an initialisation that broke off is resumed
//! with the keys it made, and there is never a second set of authorities beside a first.

mod adopt;

use std::fs::File;

use pki::{AuthorityName, CrlRequest, KeyAlgorithm, Profile, ProfileKind};
use policies::UnixSeconds;
use time::OffsetDateTime;

use super::crash_point::CrashPoint;
use super::keys::{KeyDirectoryLock, LocatedKey, write_whole};
use super::publish::ROOT_CRL_LIFETIME_SECONDS;
use super::{
    Authority, AuthoritySettings, ISSUING_KEY, IssuerKind, IssuerState, KeyDirectory, ROOT_KEY, SERVER_ISSUING_KEY,
    instant, off_thread, random_serial, refused,
};
use crate::clock::Clock;
use crate::failure::{Failure, Fault, Refusal};
use crate::registry::Actor;
use crate::store::crl::WholeList;
use crate::store::issuer::IssuerRow;
use crate::store::{self, Store};

pub use adopt::{AuthorityRequest, AuthorityRequests, Certified};

const MARKER: &str = ".initialising";
/// The root's first list; the number only grows from here.
const FIRST_CRL: i64 = 1;

/// What the authorities are called. The first digits of its key id are added to each name.
#[derive(Clone, Debug)]
pub struct Names {
    /// `Portcullis` makes `Portcullis Root CA 3f9a2c1b`. At most 32 characters.
    pub common_name: String,
    pub organization: Option<String>,
}

/// What stands after initialisation.
#[derive(Clone, Debug)]
pub struct Initialised {
    /// The root's certificate: what partners install. It is public.
    pub root_pem: String,
    /// False when all was there before and nothing was done.
    pub created: bool,
}

impl Authority {
    /// Makes the authorities, or says that they are there: doing it again does no harm.
    ///
    /// The keys are made in the token of `keys`, where it has one. Else the file [`ROOT_KEY`] belongs on a medium that is locked
    /// away: serving does not need it.
    ///
    /// # Errors
    /// `invalid_settings`; `keys_locked` when another process is at it; `keys_without_database` when there are keys that no row
    /// belongs to; `wrong_passphrase` when it resumes one that broke off, with another passphrase.
    pub async fn initialise(
        store: &Store,
        keys: &KeyDirectory,
        names: &Names,
        settings: &AuthoritySettings,
        actor: &Actor,
        clock: &Clock,
    ) -> Result<Initialised, Failure> {
        settings.check()?;
        keys.make()?;
        let lock = keys.lock()?;
        if let Some(root_pem) = standing_root(store).await? {
            finish(keys)?;
            return Ok(Initialised { root_pem, created: false });
        }
        if keys.holds(adopt::AWAITING)? {
            let message =
                "The authorities here wait for the certificates of an offline root: go on with `init --ceremony`.";
            return Err(Refusal::conflict("awaiting_certificates", message).into());
        }
        begin(keys)?;
        let keys_of_all = Keys {
            root: key(keys, &lock, ROOT_KEY, KeyAlgorithm::EcdsaP384).await?,
            issuing: key(keys, &lock, ISSUING_KEY, KeyAlgorithm::EcdsaP256).await?,
            server_issuing: key(keys, &lock, SERVER_ISSUING_KEY, KeyAlgorithm::EcdsaP256).await?,
        };
        CrashPoint::AfterKeyFiles.reached();
        let (names, of_all, now) = (names.clone(), settings.clone(), clock.now());
        let at = instant(now)?;
        let made = off_thread("making the authorities", move || Made::new(keys_of_all, &names, &of_all, at)).await??;
        write_down(store, &made, settings, actor, clock).await?;
        finish(keys)?;
        tracing::info!(
            root = made.root.subject(),
            issuing = made.issuing.subject(),
            "the certificate authority was made"
        );
        Ok(Initialised { root_pem: made.root.certificate_pem(), created: true })
    }
}

struct Keys {
    root: LocatedKey,
    issuing: LocatedKey,
    server_issuing: LocatedKey,
}

struct Made {
    /// Where the keys lie: of the root, of the one for clients, of the one for servers.
    locations: [String; 3],
    root: pki::Issuer,
    issuing: pki::Issuer,
    server_issuing: pki::Issuer,
    root_crl: pki::Crl,
}

impl Made {
    fn new(keys: Keys, names: &Names, settings: &AuthoritySettings, now: OffsetDateTime) -> Result<Self, Failure> {
        let name = |kind: ProfileKind| names_of(names, kind);
        let profile = Profile::builtin(ProfileKind::Root);
        let root = pki::Issuer::self_signed(&profile, name(ProfileKind::Root), keys.root.signer, random_serial()?, now)
            .map_err(refused)?;
        let points = settings.distribution_points(root.key_id());
        let below = |kind: ProfileKind, key: LocatedKey| -> Result<pki::Issuer, Failure> {
            let profile = Profile::builtin(kind);
            pki::Issuer::subordinate(&root, &profile, name(kind), key.signer, random_serial()?, &points, now)
                .map_err(refused)
        };
        let locations =
            [keys.root.location.clone(), keys.issuing.location.clone(), keys.server_issuing.location.clone()];
        let issuing = below(ProfileKind::Issuing, keys.issuing)?;
        let server_issuing = below(ProfileKind::ServerIssuing, keys.server_issuing)?;
        let root_crl = root.sign_crl(CrlRequest {
            number: FIRST_CRL.unsigned_abs(),
            this_update: now,
            next_update: now + time::Duration::seconds(ROOT_CRL_LIFETIME_SECONDS.into()),
            revoked: Vec::new(),
            distribution_point: None,
        });
        Ok(Self { locations, root_crl: root_crl.map_err(refused)?, root, issuing, server_issuing })
    }
}

/// What an authority is called before its generation is added.
pub(super) fn names_of(names: &Names, kind: ProfileKind) -> AuthorityName {
    let what = match kind {
        ProfileKind::Root => "Root CA",
        ProfileKind::ServerIssuing => "Server CA",
        _ => "Client CA",
    };
    AuthorityName { common_name: format!("{} {what}", names.common_name), organization: names.organization.clone() }
}

/// The root's PEM when the authorities stand in the database, all three.
async fn standing_root(from: impl store::Read) -> Result<Option<String>, Failure> {
    let rows = store::issuer::list(from).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let active = |kind: IssuerKind| rows.iter().find(|row| row.kind == kind && row.state == IssuerState::Active);
    match (active(IssuerKind::Root), active(IssuerKind::Issuing), active(IssuerKind::ServerIssuing)) {
        (Some(root), Some(_), Some(_)) => Ok(Some(pki::pem_certificate(&root.certificate))),
        _ => Err(Fault::new("the database knows some authorities, but not one active of each kind").into()),
    }
}

/// Keys that no row belongs to are the remains of a database that was lost. Were they used again, everything that was ever
/// signed with them would have a valid signature under the new authorities.
fn begin(keys: &KeyDirectory) -> Result<(), Failure> {
    if keys.holds(MARKER)? {
        tracing::warn!("an earlier initialisation broke off: it is resumed");
        return Ok(());
    }
    refuse_lost_keys(keys)?;
    Ok(write_whole(keys.path(), MARKER, b"")?)
}

fn refuse_lost_keys(keys: &KeyDirectory) -> Result<(), Failure> {
    for name in [ROOT_KEY, ISSUING_KEY, SERVER_ISSUING_KEY] {
        if keys.holds_key(name)? {
            let message = format!(
                "There are keys in {}, but the database knows no authority. Restore the database, or move the keys away to begin \
                 anew.",
                keys.path().display()
            );
            return Err(Refusal::conflict("keys_without_database", message).into());
        }
    }
    Ok(())
}

fn finish(keys: &KeyDirectory) -> Result<(), Fault> {
    if keys.holds(MARKER)? {
        std::fs::remove_file(keys.path().join(MARKER))?;
        File::open(keys.path())?.sync_all()?;
    }
    Ok(())
}

/// The key that an initialisation which broke off has made, or a new one.
async fn key(
    keys: &KeyDirectory,
    lock: &KeyDirectoryLock,
    name: &'static str,
    algorithm: KeyAlgorithm,
) -> Result<LocatedKey, Failure> {
    match keys.located(name).await? {
        Some(key) => Ok(key),
        None => {
            let purpose = name.strip_suffix(".key").unwrap_or(name);
            keys.make_signer(lock, purpose, algorithm, |_| name.to_owned()).await
        }
    }
}

async fn write_down(
    store: &Store,
    made: &Made,
    settings: &AuthoritySettings,
    actor: &Actor,
    clock: &Clock,
) -> Result<(), Failure> {
    let now = clock.now();
    let mut tx = store.begin().await?;
    if standing_root(&mut tx).await?.is_some() {
        let message = "Another process made the authorities just now. Use those.";
        return Err(Refusal::conflict("already_initialised", message).into());
    }
    let [root, issuing, server_issuing] = &made.locations;
    for (issuer, kind, location, crl_number) in [
        (&made.root, IssuerKind::Root, root, FIRST_CRL),
        (&made.issuing, IssuerKind::Issuing, issuing, 0),
        (&made.server_issuing, IssuerKind::ServerIssuing, server_issuing, 0),
    ] {
        let row = row(issuer, kind, location, crl_number, now);
        let row = IssuerRow { crl_partitions: settings.crl_partitions_of(kind), ..row };
        store::issuer::insert(&mut tx, &row, now).await?;
    }
    let crl = WholeList {
        issuer_key_id: made.root.key_id().to_string(),
        number: FIRST_CRL,
        this_update: made.root_crl.this_update.unix_timestamp(),
        next_update: made.root_crl.next_update.unix_timestamp(),
        der: made.root_crl.der.clone(),
    };
    store::crl::save_whole(&mut tx, &crl, now).await?;
    let detail = serde_json::json!({
        "root": made.root.key_id(), "issuing": made.issuing.key_id(), "server_issuing": made.server_issuing.key_id(),
    });
    actor.record(&mut tx, clock, "authority.initialise", made.root.subject(), &detail).await?;
    Ok(tx.commit().await?)
}

fn row(issuer: &pki::Issuer, kind: IssuerKind, location: &str, crl_number: i64, now: UnixSeconds) -> IssuerRow {
    IssuerRow {
        key_id: issuer.key_id().to_string(),
        kind,
        state: IssuerState::Active,
        state_since: now.0,
        tainted_at: None,
        subject: issuer.subject().to_owned(),
        certificate: issuer.certificate_der().to_vec(),
        key_location: Some(location.to_owned()),
        crl_partitions: 1,
        not_after: issuer.not_after().unix_timestamp(),
        crl_number,
        created_at: now.0,
    }
}
