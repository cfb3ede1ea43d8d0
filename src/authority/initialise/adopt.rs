//! The beginning of an installation whose root key is elsewhere: the keys of the issuing authorities are made here, a ceremony
//! certifies them, and then they are taken up.

use pki::{AuthorityName, CaCertificate, PrivateKey, Profile, ProfileKind, RevocationList, SpkiFingerprint};

use super::super::keys::write_whole;
use super::{
    Authority, FIRST_CRL, ISSUING_KEY, Initialised, IssuerKind, IssuerState, KeyDirectory, MARKER, Names,
    SERVER_ISSUING_KEY, instant, key, names_of, off_thread, refused, row, standing_root,
};
use crate::clock::Clock;
use crate::failure::{Failure, Fault, Refusal};
use crate::registry::Actor;
use crate::store::crl::CrlRow;
use crate::store::issuer::IssuerRow;
use crate::store::{self, Store};
use pki::KeyAlgorithm;

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
        let request = |key: &PrivateKey, name: AuthorityName| -> Result<AuthorityRequest, Failure> {
            let der = pki::authority_request(key, &name).map_err(refused)?;
            Ok(AuthorityRequest { pem: pki::pem_request(&der), spki_sha256: key.public_key().fingerprint() })
        };
        Ok(AuthorityRequests {
            issuing: request(&issuing, names_of(names, ProfileKind::Issuing))?,
            server_issuing: request(&server_issuing, names_of(names, ProfileKind::ServerIssuing))?,
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
        let root = Root::read(&certified, now.0)?;
        let mut below = Vec::with_capacity(2);
        for (kind, profile, name, pem) in [
            (IssuerKind::Issuing, ProfileKind::Issuing, ISSUING_KEY, &certified.issuing),
            (IssuerKind::ServerIssuing, ProfileKind::ServerIssuing, SERVER_ISSUING_KEY, &certified.server_issuing),
        ] {
            let key = keys.load(name).await?;
            let (pem, at) = (pem.clone(), instant(now)?);
            let issuer = off_thread("loading an authority", move || pki::Issuer::load(&pem, key, at)).await?;
            let issuer = issuer.map_err(|error| unfit(kind.as_str(), &error))?;
            root.check_below(&issuer, profile)?;
            below.push((issuer, kind, name));
        }
        let mut tx = store.begin().await?;
        store::issuer::insert(&mut tx, &root.row(now.0), now).await?;
        for (issuer, kind, name) in &below {
            store::issuer::insert(&mut tx, &row(issuer, *kind, name, 0, now), now).await?;
        }
        store::crl::save(&mut tx, &root.list).await?;
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

/// The root of a ceremony, checked.
struct Root {
    der: Vec<u8>,
    key_id: String,
    subject: String,
    not_after: i64,
    parsed: RevocationList,
    list: CrlRow,
}

impl Root {
    fn read(certified: &Certified, now: i64) -> Result<Self, Failure> {
        let refuse = |code, message: String| -> Failure { Refusal::invalid(code, message).into() };
        let mut certificates =
            pki::pem_certificates(&certified.root).map_err(|error| unfit("root", &error))?.into_iter();
        let (Some(der), None) = (certificates.next(), certificates.next()) else {
            return Err(refuse("not_a_root", "Give exactly one certificate as the root's.".to_owned()));
        };
        let certificate = CaCertificate::parse(&der).map_err(|error| unfit("root", &error))?;
        if !pki::is_issued_by(&der, &der) {
            return Err(refuse("not_a_root", format!("{} is not self-signed: it is no root.", certificate.subject)));
        }
        if !certificate.is_valid_at(now) {
            return Err(refuse("not_a_root", format!("{} is not valid now.", certificate.subject)));
        }
        let Some(key_id) = certificate.key_id else {
            return Err(refuse("not_a_root", format!("{} has no key identifier.", certificate.subject)));
        };
        let unusable = |why: String| refuse("root_list_unusable", format!("The root's revocation list {why}."));
        let lists = RevocationList::read_all(&certified.root_list).map_err(|error| unusable(error.to_string()))?;
        let [list] = lists.as_slice() else { return Err(unusable("is not exactly one".to_owned())) };
        list.verify(&der).map_err(|error| unusable(format!("is not usable: {error}")))?;
        if list.next_update().unix_timestamp() <= now {
            return Err(unusable("has ended: sign the next one (`ca ceremony sign-crl`)".to_owned()));
        }
        let number = list.number().and_then(|number| i64::try_from(number).ok());
        let number = number.filter(|number| *number >= FIRST_CRL).ok_or_else(|| unusable("has no number".to_owned()))?;
        Ok(Self {
            subject: certificate.subject,
            not_after: certificate.not_after,
            list: CrlRow {
                issuer_key_id: key_id.to_string(),
                number,
                this_update: list.this_update().unix_timestamp(),
                next_update: list.next_update().unix_timestamp(),
                der: list.der().to_vec(),
            },
            key_id: key_id.to_string(),
            parsed: list.clone(),
            der,
        })
    }

    fn check_below(&self, issuer: &pki::Issuer, kind: ProfileKind) -> Result<(), Failure> {
        let refuse = |code, message: String| -> Result<(), Failure> { Err(Refusal::invalid(code, message).into()) };
        if !pki::is_issued_by(issuer.certificate_der(), &self.der) {
            return refuse("not_this_root", format!("{} was not signed by {}.", issuer.subject(), self.subject));
        }
        let leaf = match kind {
            ProfileKind::ServerIssuing => ProfileKind::Server,
            _ => ProfileKind::Client,
        };
        if issuer.may_issue(&Profile::builtin(leaf)).is_err() {
            let message = format!("{} may not issue {leaf} certificates: were the two exchanged?", issuer.subject());
            return refuse("wrong_authority", message);
        }
        if self.parsed.revocation(issuer.certificate_der()).map_err(refused)?.is_some() {
            return refuse("wrong_authority", format!("{} stands on the root's revocation list.", issuer.subject()));
        }
        Ok(())
    }

    fn row(&self, now: i64) -> IssuerRow {
        IssuerRow {
            key_id: self.key_id.clone(),
            kind: IssuerKind::Root,
            state: IssuerState::Active,
            state_since: now,
            tainted_at: None,
            subject: self.subject.clone(),
            certificate: self.der.clone(),
            key_location: None,
            not_after: self.not_after,
            crl_number: self.list.number,
            crl_partitions: 1,
            created_at: now,
        }
    }
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
