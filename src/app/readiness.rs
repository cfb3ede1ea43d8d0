use std::sync::Arc;
use std::time::Duration;

use super::Foundation;
use crate::admin::{Check, Probe};
use crate::audit::Audit;
use crate::authority::Authority;
use crate::clock::Clock;
use crate::snapshot::Snapshot;

/// A node that has not read the feed for this long must not call itself ready.
const STALENESS_MAX: Duration = Duration::from_secs(30);
/// A signer of OCSP answers is renewed when a third of its life is left.
const OCSP_SIGNER_LIFE_LEFT_MIN: f64 = 0.25;
/// A CRL with less than this part of its life left is lapsing.
const CRL_LIFE_LEFT_MIN: f64 = 0.25;

pub(super) struct Readiness {
    snapshot: Arc<Snapshot>,
    authority: Authority,
    clock: Clock,
    audit: Audit,
}

impl Readiness {
    pub(super) fn new(foundation: &Foundation, audit: Audit) -> Self {
        Self {
            snapshot: Arc::clone(&foundation.snapshot),
            authority: foundation.authority.clone(),
            clock: foundation.clock.clone(),
            audit,
        }
    }

    pub(super) fn probe(self) -> Probe {
        Arc::new(move || self.checks())
    }

    fn checks(&self) -> Vec<Check> {
        let age = self.snapshot.age();
        let mut checks = vec![
            Check {
                name: "snapshot",
                ok: age <= STALENESS_MAX,
                detail: format!("changes last read {} ms ago", age.as_millis()),
            },
            Check { name: "audit", ok: self.audit.is_alive(), detail: self.audit.health() },
        ];
        let now = self.clock.now().0;
        for issuer in self.authority.issuers() {
            // The root signs by hand once a year. It is shown, but a gate that refuses nobody for it must not be taken away.
            if issuer.kind == "root" {
                let days = issuer.crl.as_ref().map_or(0, |crl| (crl.next_update - now).div_euclid(86_400));
                let detail = format!("the CRL of {} ends in {days} days", issuer.subject);
                checks.push(Check { name: "root-crl", ok: true, detail });
                continue;
            }
            if let Some(crl) = &issuer.crl_ends_first {
                let life = (crl.next_update - crl.this_update).max(1) as f64;
                let left = (crl.next_update - now) as f64 / life;
                checks.push(Check {
                    name: "crl",
                    ok: left >= CRL_LIFE_LEFT_MIN,
                    detail: format!("CRL {} of {}: {:.0} % of its life left", crl.number, issuer.subject, left * 100.0),
                });
            } else if issuer.signs && issuer.state == "active" {
                let detail = format!("{} has published no CRL: see the log", issuer.subject);
                checks.push(Check { name: "crl", ok: false, detail });
            }
            if issuer.ocsp {
                let left = issuer.ocsp_signer.map_or(0.0, |signer| {
                    let life = (signer.not_after - signer.not_before).max(1) as f64;
                    (signer.not_after - now) as f64 / life
                });
                checks.push(Check {
                    name: "ocsp",
                    ok: left >= OCSP_SIGNER_LIFE_LEFT_MIN,
                    detail: format!("OCSP signer of {}: {:.0} % of its life left", issuer.subject, left * 100.0),
                });
            }
        }
        checks
    }
}
