//! A chain against trust anchors and revocation lists: the listeners' verifier, and then the lists.

use std::time::Duration;

use pki::{Revocation, RevocationList, is_issued_by};
use rustls::pki_types::UnixTime;

use crate::cli::moment;
use crate::listen::{ChainVerdict, TrustAnchors, verify_chain};

/// Judges a chain, leaf first, at `at` (seconds since 1970). Without lists, revocation is not asked about.
///
/// With lists, one that is good must say of the leaf that it is not revoked. An authority in the chain is held against the
/// lists of its own issuer where there are any, and left out of the chain when they speak against it; so a revoked authority
/// costs the chain only if there is no other way to an anchor.
pub(super) fn chain(
    anchors: Vec<Vec<u8>>,
    chain: &[Vec<u8>],
    lists: Option<&[RevocationList]>,
    at: i64,
) -> ChainVerdict {
    let verdict = path(&anchors, chain, at);
    let (Some(lists), ChainVerdict::Accepted, Some((leaf, intermediates))) = (lists, &verdict, chain.split_first())
    else {
        return verdict;
    };
    let authorities: Vec<&[u8]> = intermediates.iter().chain(&anchors).map(Vec::as_slice).collect();
    let standing = |certificate: &[u8]| Standing::of(certificate, &authorities, lists, at);
    match standing(leaf) {
        Standing::Good => {}
        bad => return ChainVerdict::Rejected(bad.describe("the certificate")),
    }
    let (mut sound, mut objection) = (vec![leaf.clone()], None);
    for intermediate in intermediates {
        match standing(intermediate) {
            // No list of its issuer was given: only the leaf's is demanded, as `openssl verify -crl_check` does.
            Standing::Good | Standing::NoList(_) => sound.push(intermediate.clone()),
            bad => objection = objection.or_else(|| Some(bad.describe("an issuing authority"))),
        }
    }
    match objection {
        None => verdict,
        Some(objection) => match path(&anchors, &sound, at) {
            ChainVerdict::Accepted => ChainVerdict::Accepted,
            ChainVerdict::Rejected(_) => ChainVerdict::Rejected(objection),
        },
    }
}

fn path(anchors: &[Vec<u8>], chain: &[Vec<u8>], at: i64) -> ChainVerdict {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at).unwrap_or(0)));
    match TrustAnchors::new(anchors.to_vec()).and_then(|anchors| verify_chain(anchors, chain, now)) {
        Ok(ChainVerdict::Accepted) => ChainVerdict::Accepted,
        Ok(ChainVerdict::Rejected(why)) => ChainVerdict::Rejected(in_words(&why)),
        Err(fault) => ChainVerdict::Rejected(fault.inside().to_owned()),
    }
}

/// What rustls says in one word, for people; its word stays, for search engines.
fn in_words(why: &str) -> String {
    let why = why.strip_prefix("invalid peer certificate: ").unwrap_or(why);
    let why = why.strip_prefix("unexpected error: ").unwrap_or(why);
    let words = match why {
        "Expired" => "the certificate has expired",
        "NotValidYet" => "the certificate is not valid yet",
        "UnknownIssuer" => "no trusted authority issued it, directly or through the chain",
        "BadSignature" => "a signature in the chain does not verify",
        "BadEncoding" => "the certificate cannot be read",
        _ if why.contains("NameConstraintViolation") => "an authority in the chain may not issue for this name",
        _ if why.contains("CriticalExtension") => "a certificate in the chain has an unknown critical extension",
        _ if why.contains("xtended key usage") || why.contains("InvalidPurpose") => {
            "a certificate in the chain is not for clients (extendedKeyUsage)"
        }
        _ if why.contains("SignatureAlgorithm") => "a signature in the chain is by a weak or unknown algorithm",
        _ if why.contains("EndEntityUsedAsCa") => "a certificate in the chain is no authority's, but issued another",
        _ if why.contains("CaUsedAsEndEntity") => "it is an authority's certificate, not a client's",
        _ if why.starts_with("certificate expired") => "a certificate in the chain has expired",
        _ if why.starts_with("certificate not valid yet") => "a certificate in the chain is not valid yet",
        _ => return why.to_owned(),
    };
    format!("{words} ({why})")
}

/// What the lists say of one certificate.
enum Standing {
    Good,
    Revoked {
        by: String,
        revocation: Revocation,
    },
    /// There is no list of its issuer.
    NoList(String),
    /// There are lists of its issuer, and none of them can be used.
    Unclear(String),
}

impl Standing {
    fn of(certificate: &[u8], authorities: &[&[u8]], lists: &[RevocationList], at: i64) -> Self {
        let issuers = authorities.iter().filter(|authority| is_issued_by(certificate, authority));
        let pairs =
            issuers.flat_map(|issuer| lists.iter().filter(|list| list.names(issuer)).map(move |list| (*issuer, list)));
        let (mut good, mut unclear) = (false, None);
        for (issuer, list) in pairs {
            let judged = Self::by(list, certificate, issuer, at);
            match judged {
                // Revocation is for good: any list that was ever signed is proof enough, an old one too.
                Self::Revoked { .. } => return judged,
                Self::Good => good = true,
                Self::NoList(_) => {}
                Self::Unclear(why) => unclear = unclear.or(Some(why)),
            }
        }
        match unclear {
            _ if good => Self::Good,
            Some(why) => Self::Unclear(why),
            None => Self::NoList(issuer_name(certificate)),
        }
    }

    fn by(list: &RevocationList, certificate: &[u8], issuer: &[u8], at: i64) -> Self {
        let by = || list.issuer().to_owned();
        if let Err(error) = list.verify(issuer) {
            let why = error.to_string();
            let why = why.strip_prefix("the revocation list is not usable: ").unwrap_or(&why);
            return Self::Unclear(format!("the CRL of {} is not usable: {why}", by()));
        }
        match list.revocation(certificate) {
            Ok(Some(revocation)) => return Self::Revoked { by: by(), revocation },
            Ok(None) => {}
            Err(error) => return Self::Unclear(error.to_string()),
        }
        match list.covers(certificate) {
            Ok(true) => {}
            Ok(false) => return Self::Unclear(format!("the CRL of {} is about other certificates (its scope)", by())),
            Err(error) => return Self::Unclear(error.to_string()),
        }
        let (begin, end) = (list.this_update().unix_timestamp(), list.next_update().unix_timestamp());
        if at < begin {
            return Self::Unclear(format!("the CRL of {} is not valid before {}", by(), moment::rfc3339(begin)));
        }
        if at > end {
            return Self::Unclear(format!("the CRL of {} expired at {}", by(), moment::rfc3339(end)));
        }
        Self::Good
    }

    fn describe(&self, what: &str) -> String {
        match self {
            Self::Good => String::new(),
            Self::Revoked { by, revocation } => format!(
                "{what} was revoked at {} ({}), says the CRL of {by}",
                moment::rfc3339(revocation.revoked_at.unix_timestamp()),
                revocation.reason
            ),
            Self::NoList(issuer) => format!("there is no CRL of {issuer}"),
            Self::Unclear(why) => why.clone(),
        }
    }
}

fn issuer_name(certificate: &[u8]) -> String {
    pki::issuer_name(certificate).unwrap_or_else(|_| "its issuer".to_owned())
}

#[cfg(test)]
mod tests;
