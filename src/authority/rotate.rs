//! One generation of an authority follows another: prepared, trusted, active, retiring, removed.
//!
//! Each step is one transaction, and nothing that partners hold breaks before the last: the old generation is trusted until nothing
//! that it issued is in use. That last step names the clients that it would break and refuses while there is one.

mod below;
mod dependents;
mod outcome;
mod root;

use policies::UnixSeconds;

pub use dependents::DependentClient;
pub use outcome::{Rotation, RotationStep};
pub(super) use root::RootKey;

use super::{Authority, IssuerKind, IssuerState, to_the_end};
use crate::failure::{Failure, Refusal};
use crate::registry::Actor;
use crate::store;
use crate::store::issuer::IssuerRow;
use dependents::Dependents;

/// What an operator asks of a generation.
#[derive(Clone, Debug)]
pub struct Rotate {
    pub kind: IssuerKind,
    /// How far: `Prepared`, `Trusted` or `Active` for the next generation, `Removed` for the last one. One step when absent.
    pub to: Option<IssuerState>,
    /// Says what would be done, and does nothing.
    pub dry_run: bool,
    /// Goes on although somebody breaks by it.
    pub force: bool,
    pub brought: Brought,
}

/// What a ceremony gave, PEM.
#[derive(Clone, Debug, Default)]
pub struct Brought {
    /// The certificate of the next generation.
    pub certificate: Option<String>,
    /// Of a root: its first revocation list.
    pub list: Option<String>,
    /// Of a root: the certificates that it and the root before it gave each other.
    pub cross: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Prepare,
    Trust,
    Activate,
    Remove,
}

/// The generations of one kind that are not removed.
struct Generations {
    /// Prepared or trusted.
    next: Option<IssuerRow>,
    active: IssuerRow,
    /// Oldest first.
    retiring: Vec<IssuerRow>,
}

impl Authority {
    /// Moves the generations of one kind of authority on.
    ///
    /// # Errors
    /// `already_prepared`, `nothing_retires`, `issuer_tainted`, `issuer_in_use`, `issuers_below`, `root_key_elsewhere`,
    /// `no_cross_certificate`, `rotation_overtaken`, and what the certificate of a ceremony is refused for.
    pub async fn rotate(&self, order: Rotate, actor: &Actor) -> Result<Rotation, Failure> {
        let (authority, actor) = (self.clone(), actor.clone());
        to_the_end(async move { authority.rotate_to_the_end(order, &actor).await }).await
    }

    async fn rotate_to_the_end(&self, order: Rotate, actor: &Actor) -> Result<Rotation, Failure> {
        let generations = self.generations(order.kind).await?;
        let plan = generations.plan(order.to)?;
        if order.brought.certificate.is_some() && plan.first() != Some(&Step::Prepare) {
            let message = "The next generation is prepared already; this certificate is not wanted.";
            return Err(Refusal::conflict("already_prepared", message).into());
        }
        let old = generations.retiring.first().unwrap_or(&generations.active).clone();
        let dependents = self.dependents(&old).await?;
        let mut rotation = Rotation::new(order.kind, order.dry_run, &old, &dependents);
        if order.dry_run {
            rotation.steps = plan.iter().map(|step| RotationStep::planned(step.as_str())).collect();
            rotation.next = generations.advice(&dependents);
            return Ok(rotation);
        }
        for step in plan {
            let standing = self.generations(order.kind).await?;
            let done = match step {
                Step::Prepare => self.prepare_next(&order, &mut rotation, actor).await?,
                Step::Trust => Some(self.trust_next(standing, actor, &mut rotation).await?),
                Step::Activate => Some(self.activate_next(standing, order.force, actor, &mut rotation).await?),
                Step::Remove => {
                    Some(self.remove_oldest(standing, &dependents, order.force, actor, &mut rotation).await?)
                }
            };
            // The request is out: nothing more can be done before its certificate is here.
            let Some(row) = done else { break };
            rotation.steps.push(RotationStep::done(step.as_str(), &row));
        }
        let standing = self.generations(order.kind).await?;
        rotation.next = match rotation.request_pem {
            Some(_) => outcome::to_be_certified(order.kind),
            None => standing.advice(&self.dependents(standing.retiring.first().unwrap_or(&standing.active)).await?),
        };
        Ok(rotation)
    }

    async fn generations(&self, kind: IssuerKind) -> Result<Generations, Failure> {
        Generations::of(store::issuer::list(&self.inner.store).await?, kind)
    }

    async fn prepare_next(
        &self,
        order: &Rotate,
        rotation: &mut Rotation,
        actor: &Actor,
    ) -> Result<Option<IssuerRow>, Failure> {
        match order.kind {
            IssuerKind::Root => self.prepare_root(&order.brought, actor).await.map(Some),
            IssuerKind::Issuing | IssuerKind::ServerIssuing => {
                let prepared = self.prepare_below(order.kind, order.brought.certificate.as_deref(), actor).await?;
                match prepared {
                    below::Prepared::Certified(row) => Ok(Some(*row)),
                    below::Prepared::Requested { request_pem, spki_sha256 } => {
                        rotation.steps.push(RotationStep::planned("request"));
                        rotation.request_pem = Some(request_pem);
                        rotation.request_spki_sha256 = Some(spki_sha256);
                        Ok(None)
                    }
                }
            }
        }
    }

    /// Hands the next generation out: it becomes an anchor, its name goes into the hints of the handshakes, and a root into what
    /// partners install.
    async fn trust_next(
        &self,
        generations: Generations,
        actor: &Actor,
        rotation: &mut Rotation,
    ) -> Result<IssuerRow, Failure> {
        let next = generations.next(IssuerState::Prepared)?;
        self.usable(&next)?;
        self.moved(vec![(next.clone(), IssuerState::Prepared, IssuerState::Trusted)], "issuer.trust", actor, rotation)
            .await?;
        Ok(next)
    }

    /// From now on the next generation issues, and the one before it only vouches for what it issued.
    async fn activate_next(
        &self,
        generations: Generations,
        force: bool,
        actor: &Actor,
        rotation: &mut Rotation,
    ) -> Result<IssuerRow, Failure> {
        let next = generations.next(IssuerState::Trusted)?;
        self.usable(&next)?;
        if next.kind == IssuerKind::Root && !force {
            self.check_bridge(&next, &generations.active).await?;
        }
        let moves = vec![
            (generations.active, IssuerState::Active, IssuerState::Retiring),
            (next.clone(), IssuerState::Trusted, IssuerState::Active),
        ];
        self.moved(moves, "issuer.activate", actor, rotation).await?;
        Ok(next)
    }

    async fn remove_oldest(
        &self,
        generations: Generations,
        dependents: &Dependents,
        force: bool,
        actor: &Actor,
        rotation: &mut Rotation,
    ) -> Result<IssuerRow, Failure> {
        let nothing = || Refusal::conflict("nothing_retires", "No authority of this kind is retiring.");
        let old = generations.retiring.into_iter().next().ok_or_else(nothing)?;
        dependents.check_removable(&old, force)?;
        self.moved(vec![(old.clone(), IssuerState::Retiring, IssuerState::Removed)], "issuer.remove", actor, rotation)
            .await?;
        Ok(old)
    }

    /// One transaction; nothing of it when another rotation was faster.
    async fn moved(
        &self,
        moves: Vec<(IssuerRow, IssuerState, IssuerState)>,
        action: &str,
        actor: &Actor,
        rotation: &mut Rotation,
    ) -> Result<(), Failure> {
        let now = self.inner.clock.now();
        let mut tx = self.inner.store.begin().await?;
        for (row, from, to) in &moves {
            if !store::issuer::move_on(&mut tx, &row.key_id, *from, *to, now).await? {
                let message = format!("{} is no longer {}: another rotation was faster.", row.subject, from.as_str());
                return Err(Refusal::conflict("rotation_overtaken", message).into());
            }
        }
        if let Some((row, ..)) = moves.last() {
            let detail = serde_json::json!({
                "kind": row.kind.as_str(),
                "moved": moves.iter().map(|(row, from, to)| {
                    serde_json::json!({ "issuer": row.key_id, "from": from.as_str(), "to": to.as_str() })
                }).collect::<Vec<_>>(),
                "would_break": rotation.would_break,
            });
            actor.record(&mut tx, &self.inner.clock, action, &row.key_id, &detail).await?;
        }
        rotation.connections_closed += self.commit(tx).await?;
        self.reload_issuers().await?;
        for (row, from, to) in &moves {
            tracing::info!(issuer = row.key_id, from = from.as_str(), to = to.as_str(), "an authority has moved on");
        }
        Ok(())
    }

    /// Whether an authority can do what the next step needs of it.
    fn usable(&self, row: &IssuerRow) -> Result<(), Failure> {
        let id = store::stored("issuer key id", &row.key_id)?;
        let tainted_root = row.kind != IssuerKind::Root
            && row.state != IssuerState::Prepared
            && self.inner.snapshot.issuer_denied(&id).is_some();
        if row.tainted_at.is_some() || tainted_root {
            let message = format!("{} is tainted, or its root is.", row.subject);
            return Err(Refusal::conflict("issuer_tainted", message).into());
        }
        let ends = UnixSeconds(row.not_after);
        if ends <= self.inner.clock.now() {
            return Err(Refusal::conflict("outlives_issuer", format!("{} has ended.", row.subject)).into());
        }
        if row.kind != IssuerKind::Root {
            let issuers = self.inner.issuers();
            let issuer = issuers.find(&row.key_id);
            let issuer =
                issuer.ok_or_else(|| Refusal::conflict("key_not_loaded", "Its key is not loaded here yet."))?;
            issuer.signer()?;
        }
        Ok(())
    }
}

impl Generations {
    fn of(rows: Vec<IssuerRow>, kind: IssuerKind) -> Result<Self, Failure> {
        let (mut next, mut active, mut retiring) = (None, None, Vec::new());
        for row in rows.into_iter().filter(|row| row.kind == kind) {
            match row.state {
                IssuerState::Prepared | IssuerState::Trusted => next = Some(row),
                IssuerState::Active => active = Some(row),
                IssuerState::Retiring => retiring.push(row),
                IssuerState::Removed => {}
            }
        }
        retiring.sort_by_key(|row| row.state_since);
        let active = active.ok_or_else(|| {
            crate::failure::Fault::new(format!("the database has no active {} authority", kind.as_str()))
        })?;
        Ok(Self { next, active, retiring })
    }

    /// # Errors
    /// `already_prepared`; `nothing_retires`; `invalid_state`.
    fn plan(&self, to: Option<IssuerState>) -> Result<Vec<Step>, Refusal> {
        use IssuerState::{Active, Prepared, Removed, Retiring, Trusted};
        let next = self.next.as_ref().map(|row| row.state);
        let already =
            |what: &str| Err(Refusal::conflict("already_prepared", format!("The next generation is {what} already.")));
        Ok(match (to, next) {
            (None, Some(Trusted)) => vec![Step::Activate],
            (None, Some(_)) => vec![Step::Trust],
            (None, None) if !self.retiring.is_empty() => vec![Step::Remove],
            (None | Some(Prepared), None) => vec![Step::Prepare],
            (Some(Prepared), Some(state)) => return already(state.as_str()),
            (Some(Trusted), None) => vec![Step::Prepare, Step::Trust],
            (Some(Trusted), Some(Trusted)) => return already("trusted"),
            (Some(Trusted), Some(_)) => vec![Step::Trust],
            (Some(Active), None) => vec![Step::Prepare, Step::Trust, Step::Activate],
            (Some(Active), Some(Trusted)) => vec![Step::Activate],
            (Some(Active), Some(_)) => vec![Step::Trust, Step::Activate],
            (Some(Removed), _) if self.retiring.is_empty() => {
                return Err(Refusal::conflict("nothing_retires", "No authority of this kind is retiring."));
            }
            (Some(Removed), _) => vec![Step::Remove],
            (Some(Retiring), _) => {
                let message = "An authority begins to retire when the next one becomes active.";
                return Err(Refusal::invalid("invalid_state", message));
            }
        })
    }

    fn next(&self, state: IssuerState) -> Result<IssuerRow, Refusal> {
        let message = "The next generation has moved on meanwhile: another rotation was faster.";
        let next = self.next.as_ref().filter(|row| row.state == state);
        next.cloned().ok_or_else(|| Refusal::conflict("rotation_overtaken", message))
    }

    /// What an operator does next.
    fn advice(&self, dependents: &Dependents) -> String {
        outcome::advice(self, dependents)
    }
}

impl Step {
    fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Trust => "trust",
            Self::Activate => "activate",
            Self::Remove => "remove",
        }
    }
}
