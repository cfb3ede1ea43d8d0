//! Who calls: a partner company and its clients.

use std::sync::Arc;

use crate::network::Allowlist;
use crate::plan::UsagePlan;
use crate::rule::ClientRules;
use crate::scope::ScopeSet;
use crate::text::{InvalidText, checked_text};

/// An OAuth client identifier (RFC 6749 §2.2): one machine client, the same under all three methods.
///
/// `[A-Za-z0-9][A-Za-z0-9._+-]{0,127}`: safe in a URL path, in a log line and in a SPIFFE path; 128 is Cognito's limit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(Arc<str>);

impl ClientId {
    fn check(text: &str) -> Result<(), InvalidText> {
        const MAX_BYTES: usize = 128;
        let good = text.len() <= MAX_BYTES
            && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'+' | b'-'));
        let expected = "1 to 128 letters, digits, '.', '_', '+' or '-', beginning with a letter or digit";
        if good { Ok(()) } else { Err(InvalidText::new("client id", text, expected)) }
    }
}

checked_text!(ClientId);

/// The short name of a partner company: `[a-z0-9][a-z0-9-]{0,62}`.
///
/// It stands in certificates as `spiffe://<trust-domain>/partner/<partner>/client/<client>`, so it may hold no `/`, no
/// dot and no upper case: two spellings of one partner would be two identities.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartnerId(Arc<str>);

impl PartnerId {
    fn check(text: &str) -> Result<(), InvalidText> {
        const MAX_BYTES: usize = 63;
        let good = text.len() <= MAX_BYTES
            && !text.is_empty()
            && !text.starts_with('-')
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let expected = "1 to 63 lower-case letters, digits or '-', beginning with a letter or digit";
        if good { Ok(()) } else { Err(InvalidText::new("partner id", text, expected)) }
    }
}

checked_text!(PartnerId);

/// One machine client with all its grants resolved, as the data plane reads it.
///
/// [`crate::Policy::resolve_client`] makes one from what the registry or a document says.
#[derive(Debug, Clone)]
pub struct Client {
    /// The client's identifier.
    pub id: ClientId,
    /// The company it belongs to.
    pub partner: PartnerId,
    /// Whether client *and* partner are enabled.
    pub enabled: bool,
    /// All that this client may ever be granted; a credential can only narrow it.
    pub scopes: ScopeSet,
    /// Where it may call from; its partner's allowlist counts besides.
    pub networks: Allowlist,
    /// Which of its allowlists bite.
    pub rules: ClientRules,
    /// Its allowance; `None` is unlimited.
    pub usage_plan: Option<Arc<UsagePlan>>,
    /// Where any client of its partner may call from.
    pub partner_networks: Allowlist,
    /// The allowance that all clients of its partner share; `None` is unlimited.
    pub partner_usage_plan: Option<Arc<UsagePlan>>,
}

/// What holds for all clients of a partner, as the data plane reads it. The default restricts nothing.
///
/// [`crate::Policy::resolve_partner`] makes it from what the registry or a document says.
#[derive(Debug, Clone, Default)]
pub struct PartnerTerms {
    /// Where any of them may call from.
    pub networks: Allowlist,
    /// The allowance that they share.
    pub usage_plan: Option<Arc<UsagePlan>>,
}

impl Client {
    /// The same client under the terms of its partner.
    #[must_use]
    pub fn under(self, terms: &PartnerTerms) -> Self {
        Self { partner_networks: terms.networks.clone(), partner_usage_plan: terms.usage_plan.clone(), ..self }
    }
}
