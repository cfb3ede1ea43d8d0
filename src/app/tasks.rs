//! What goes on in the background.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::tls_cells::TlsCells;
use super::{Foundation, initialise};
use crate::failure::Failure;
use crate::gateway::Gate;
use crate::oauth::OAuth;

/// The floor under every notice: changes made by another process are in force after this at the latest.
const FEED_PERIOD: Duration = Duration::from_millis(250);
const HOUSEKEEPING_PERIOD: Duration = Duration::from_secs(5);
const TIDY_PERIOD: Duration = Duration::from_secs(300);

pub(super) fn spawn(
    tasks: &TaskTracker,
    foundation: &Foundation,
    gate: &Arc<Gate>,
    tls: &Arc<TlsCells>,
    oauth: &Arc<OAuth>,
    draining: &CancellationToken,
) {
    tasks.spawn(follow_feed(foundation.clone(), draining.clone()));
    tasks.spawn(housekeep(foundation.clone(), Arc::clone(gate), draining.clone()));
    tasks.spawn(tidy(foundation.clone(), Arc::clone(gate), Arc::clone(oauth), draining.clone()));
    tasks.spawn(renew_tls(foundation.clone(), Arc::clone(tls), draining.clone()));
    tasks.spawn(foundation.authority.clone().run_publisher(draining.clone()));
    tasks.spawn(foundation.authority.clone().run_ocsp(draining.clone()));
    tasks.spawn(foundation.authority.clone().run_anchor_refresher(draining.clone()));
    tasks.spawn(foundation.authority.clone().run_superseding(draining.clone()));
    tasks.spawn(Arc::clone(tls.own()).run(draining.clone()));
}

async fn follow_feed(foundation: Foundation, draining: CancellationToken) {
    let mut failing = false;
    while pause(FEED_PERIOD, &draining).await {
        match foundation.snapshot.catch_up(&foundation.store).await {
            Ok(_) => failing = false,
            Err(fault) => {
                if !failing {
                    tracing::error!(fault = fault.inside(), "changes cannot be read; what is in memory stays in force");
                }
                failing = true;
            }
        }
        gauge!("portcullis_policy_version").set(foundation.snapshot.policy().version as f64);
    }
}

async fn housekeep(foundation: Foundation, gate: Arc<Gate>, draining: CancellationToken) {
    while pause(HOUSEKEEPING_PERIOD, &draining).await {
        gate.housekeep();
        if let Err(fault) = gate.limits().quotas.housekeep(foundation.clock.now()).await {
            tracing::warn!(fault = fault.inside(), "unused parts of quotas could not be given back");
        }
        gauge!("portcullis_connections_with_certificate").set(foundation.snapshot.connections().count() as f64);
    }
}

async fn tidy(foundation: Foundation, gate: Arc<Gate>, oauth: Arc<OAuth>, draining: CancellationToken) {
    while pause(TIDY_PERIOD, &draining).await {
        if let Err(fault) = gate.limits().quotas.tidy(foundation.clock.now()).await {
            tracing::warn!(fault = fault.inside(), "old periods of quotas could not be removed");
        }
        if let Err(fault) = oauth.tidy().await {
            tracing::warn!(fault = fault.inside(), "expired token revocations could not be removed");
        }
    }
}

async fn renew_tls(foundation: Foundation, tls: Arc<TlsCells>, draining: CancellationToken) {
    let mut issuers = foundation.snapshot.issuer_changes();
    let mut anchors = foundation.snapshot.anchors().changes();
    let mut own = tls.own().subscribe();
    loop {
        tokio::select! {
            () = draining.cancelled() => return,
            changed = issuers.changed() => {
                if changed.is_err() {
                    return;
                }
                if let Err(failure) = take_up_issuers(&foundation, &tls).await {
                    tracing::error!(%failure, "what changed among the authorities could not be taken up");
                }
            }
            changed = anchors.changed() => if changed.is_err() { return },
            changed = own.changed() => if changed.is_err() { return },
        }
        if let Err(failure) = tls.renew(&foundation).await {
            tracing::error!(%failure, "the TLS configuration could not be renewed; the old one stays in force");
        }
    }
}

async fn take_up_issuers(foundation: &Foundation, tls: &TlsCells) -> Result<(), Failure> {
    foundation.authority.reload_issuers().await?;
    initialise::write_roots(foundation)?;
    tls.own().follow().await
}

/// `false` when the server drains.
async fn pause(period: Duration, draining: &CancellationToken) -> bool {
    tokio::select! {
        () = draining.cancelled() => false,
        () = tokio::time::sleep(period) => true,
    }
}
