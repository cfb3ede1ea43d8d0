//! When a certificate should be renewed, so that many that were issued at once do not come back at once.

use aws_lc_rs::digest;
use pki::Serial;
use policies::UnixSeconds;

use super::{Authority, IssuerState};
use crate::snapshot::{CertificateEntry, CertificateState};

/// When the authority of a certificate is being replaced, its certificates are renewed within this time.
const REISSUE_SECONDS: i64 = 7 * 86_400;

/// When to renew, modelled on the suggestedWindow of ACME Renewal Information (RFC 9773 §4.2). Where within the time that is good
/// for all a window begins depends on the serial alone: who renews at its start spreads by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenewalWindow {
    pub start: UnixSeconds,
    pub end: UnixSeconds,
    /// Why it is not the usual one. One sentence for people.
    pub explanation: Option<&'static str>,
}

impl Authority {
    /// The window of a certificate, from memory. `None` for a serial under which nothing was issued.
    pub fn renewal_window(&self, serial: &Serial) -> Option<RenewalWindow> {
        let issuers = self.inner.issuers();
        let found = issuers.all().iter().find_map(|issuer| {
            let entry = self.inner.snapshot.certificate(&issuer.key_id, serial)?;
            (entry.state == CertificateState::Issued).then_some((issuer, entry))
        });
        let (issuer, entry) = found?;
        let leaves_since = match issuer.state {
            _ if issuer.tainted_at.is_some() => issuer.tainted_at,
            IssuerState::Retiring => Some(issuer.state_since),
            _ => None,
        };
        Some(window(serial, &entry, leaves_since, issuer.tainted_at.is_some()))
    }
}

fn window(
    serial: &Serial,
    entry: &CertificateEntry,
    issuer_leaves_since: Option<UnixSeconds>,
    tainted: bool,
) -> RenewalWindow {
    let over = |explanation| RenewalWindow {
        start: entry.not_before,
        end: entry.not_before.plus(1),
        explanation: Some(explanation),
    };
    if entry.revoked.is_some() || tainted {
        return over("It is not accepted any more and cannot renew itself: ask for an enrolment.");
    }
    let life = entry.not_after.0.saturating_sub(entry.not_before.0).max(6);
    // From two thirds of its life to five sixths; the sixth that is left is for what goes wrong.
    let usual = spread(serial, entry.not_before.plus(life / 3 * 2), life / 6);
    match issuer_leaves_since {
        Some(since) => {
            let soon = spread(serial, since, REISSUE_SECONDS);
            match soon.start < usual.start {
                true => RenewalWindow { explanation: Some("Its authority is being replaced."), ..soon },
                false => usual,
            }
        }
        None => usual,
    }
}

/// A window of half of `seconds` that begins somewhere in the first half of them.
fn spread(serial: &Serial, from: UnixSeconds, seconds: i64) -> RenewalWindow {
    let half = (seconds / 2).max(1);
    let digest = digest::digest(&digest::SHA256, format!("renewal window of {serial}").as_bytes());
    let octets = digest.as_ref().first_chunk::<4>().copied().unwrap_or_default();
    let offset = i64::from(u32::from_be_bytes(octets)) * half / (i64::from(u32::MAX) + 1);
    let start = from.plus(offset);
    RenewalWindow { start, end: start.plus(half), explanation: None }
}

#[cfg(test)]
mod tests {
    use super::{RenewalWindow, spread, window};
    use crate::snapshot::{CertificateEntry, CertificateState, Narrowing, RevocationFact};
    use policies::UnixSeconds;

    const DAY: i64 = 86_400;
    const ISSUED: UnixSeconds = UnixSeconds(1_800_000_000);

    fn entry() -> CertificateEntry {
        CertificateEntry {
            client: "acme-orders".parse().unwrap(),
            not_before: ISSUED,
            not_after: ISSUED.plus(90 * DAY),
            thumbprint: None,
            state: CertificateState::Issued,
            revoked: None,
            superseded_at: None,
            narrowing: Narrowing { scopes: None, networks: None },
        }
    }

    fn serials() -> impl Iterator<Item = pki::Serial> {
        (0..1000_u32).map(|number| {
            let mut octets = [7; 16];
            octets[12..].copy_from_slice(&number.to_be_bytes());
            pki::Serial::from_random(octets)
        })
    }

    #[test]
    fn a_thousand_certificates_of_one_moment_come_back_over_the_whole_window() {
        let windows: Vec<RenewalWindow> = serials().map(|serial| window(&serial, &entry(), None, false)).collect();
        let (first, last) = (ISSUED.plus(60 * DAY), ISSUED.plus(75 * DAY));
        assert!(windows.iter().all(|window| window.start >= first && window.end <= last && window.start < window.end));
        // By tenths of the time in which they begin: none is empty, and none has three times its share.
        for tenth in 0..10 {
            let from = first.0 + tenth * DAY * 3 / 4;
            let count = windows.iter().filter(|window| (from..from + DAY * 3 / 4).contains(&window.start.0)).count();
            assert!((30..300).contains(&count), "{tenth}: {count}");
        }
        let again: Vec<RenewalWindow> = serials().map(|serial| window(&serial, &entry(), None, false)).collect();
        assert_eq!(windows, again, "the same serial, the same window");
    }

    #[test]
    fn an_authority_that_goes_takes_its_certificates_back_within_days() {
        let since = ISSUED.plus(10 * DAY);
        for serial in serials().take(50) {
            let soon = window(&serial, &entry(), Some(since), false);
            assert!(soon.start >= since && soon.end <= since.plus(7 * DAY) && soon.explanation.is_some());
            // But nothing is put off.
            let late = window(&serial, &entry(), Some(ISSUED.plus(80 * DAY)), false);
            assert_eq!(late, window(&serial, &entry(), None, false));
        }
    }

    #[test]
    fn what_is_over_should_have_been_renewed_already() {
        let fact = RevocationFact { at: ISSUED.plus(DAY), reason: pki::RevocationReason::Superseded };
        let revoked = CertificateEntry { revoked: Some(fact), ..entry() };
        for serial in serials().take(3) {
            assert!(window(&serial, &revoked, None, false).end < ISSUED.plus(DAY));
            assert!(window(&serial, &entry(), Some(ISSUED.plus(DAY)), true).end < ISSUED.plus(DAY));
            assert!(spread(&serial, ISSUED, 0).end > ISSUED);
        }
    }
}
