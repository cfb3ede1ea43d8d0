//! What one credential may do less than its client.

use std::sync::Arc;

use policies::{Scope, ScopeSet};

/// `None` does not narrow. It can only take away: the gate intersects it with what the client may.
#[derive(Clone, Debug, Default)]
pub struct Narrowing {
    pub scopes: Option<ScopeSet>,
    /// Network names or CIDRs, for [`super::PolicyView::allowlist`].
    pub networks: Option<Arc<[String]>>,
}

impl Narrowing {
    /// From the lists of a row. A scope that cannot be read is left out, which takes more away, not less.
    pub(super) fn from_lists(scopes: Option<&[String]>, networks: Option<&[String]>) -> Self {
        Self { scopes: scopes.map(scope_set), networks: networks.map(Arc::from) }
    }
}

/// The scopes of a row.
pub(super) fn scope_set(texts: &[String]) -> ScopeSet {
    texts
        .iter()
        .filter_map(|text| match text.parse::<Scope>() {
            Ok(scope) => Some(scope),
            Err(_) => {
                tracing::error!(scope = text, "a stored scope cannot be read and is not granted");
                None
            }
        })
        .collect()
}
