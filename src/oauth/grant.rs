//! Which of the scopes a client asks for it gets (RFC 6749 §3.3, and Cognito's rules where the RFC leaves a choice).

use policies::{Policy, ScopeSet};

use super::answer::{ErrorAnswer, ErrorCode};

/// What a token will allow, and for whom it is meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) scopes: ScopeSet,
    /// Resource servers of the scopes, in order.
    pub(super) audiences: Vec<String>,
    /// Whether it is something else than what was asked for: it must then be said (RFC 6749 §5.1).
    pub(super) differs: bool,
}

/// Decides.
///
/// - No scope asked for: all that the client has.
/// - A scope that the client has, but that its resource server no longer declares: silently left out, as in Cognito.
/// - Any other scope: `invalid_scope`, nothing is granted. A token that quietly allows less than was asked for fails later,
///   elsewhere, for reasons nobody finds.
/// - `resource` (RFC 8707): only scopes of these resource servers; one that the client has no business with is
///   `invalid_target`.
///
/// `allowed` is what the client may have at most on this connection.
pub(super) fn decide(
    policy: &Policy,
    allowed: &ScopeSet,
    requested: Option<&str>,
    resources: &[&str],
) -> Result<Grant, ErrorAnswer> {
    let in_force: ScopeSet = allowed.iter().filter(|scope| policy.has_scope(scope)).cloned().collect();
    for resource in resources {
        if !in_force.iter().any(|scope| scope.resource_server() == *resource) {
            return Err(ErrorAnswer::new(
                ErrorCode::InvalidTarget,
                "The resource is not one this client has scopes for.",
            ));
        }
    }
    let refused =
        || ErrorAnswer::new(ErrorCode::InvalidScope, "A scope is malformed, unknown or not allowed to this client.");
    let (wanted, asked) = match requested {
        None => (in_force.clone(), None),
        Some(list) => {
            let asked = ScopeSet::parse_list(list).map_err(|_| refused())?;
            if !asked.is_subset(allowed) {
                return Err(refused());
            }
            (asked.intersection(&in_force), Some(asked))
        }
    };
    let scopes: ScopeSet = wanted
        .iter()
        .filter(|scope| resources.is_empty() || resources.contains(&scope.resource_server()))
        .cloned()
        .collect();
    if scopes.is_empty() && (asked.is_some() || !resources.is_empty()) {
        return Err(refused());
    }
    let mut audiences: Vec<String> = scopes.iter().map(|scope| scope.resource_server().to_owned()).collect();
    audiences.sort_unstable();
    audiences.dedup();
    let differs = asked.is_some_and(|asked| asked != scopes);
    Ok(Grant { scopes, audiences, differs })
}

#[cfg(test)]
mod tests {
    use policies::Document;

    use super::*;

    fn policy(scopes: &str) -> Policy {
        let text = format!("[[resource_server]]\nidentifier = \"api\"\nname = \"API\"\nscopes = [{scopes}]\n");
        Policy::parse(&[Document { name: "policy.toml".into(), text }]).unwrap()
    }

    fn set(list: &str) -> ScopeSet {
        ScopeSet::parse_list(list).unwrap()
    }

    /// As in Cognito: a scope that was deleted from the resource server is left out, one that the client never had is an error.
    #[test]
    fn deleted_scopes_are_left_out_and_foreign_ones_refused() {
        let policy = policy("{ name = \"read\", description = \"\" }, { name = \"other\", description = \"\" }");
        let allowed = set("api/read api/deleted");
        let granted = decide(&policy, &allowed, None, &[]).unwrap();
        assert_eq!((granted.scopes, granted.differs), (set("api/read"), false));
        let granted = decide(&policy, &allowed, Some("api/read api/deleted"), &[]).unwrap();
        assert_eq!((granted.scopes, granted.differs), (set("api/read"), true), "less than asked for, so it is said");
        for refused in ["api/other", "api/read api/other", "api/never", "api/deleted", "gone/read"] {
            let answer = decide(&policy, &allowed, Some(refused), &[]).unwrap_err();
            assert_eq!(answer.code, ErrorCode::InvalidScope, "{refused}");
        }
    }

    #[test]
    fn whatever_is_asked_for_nothing_is_granted_beyond_what_is_allowed() {
        use proptest::prelude::*;
        let policy = policy("{ name = \"a\", description = \"\" }, { name = \"b\", description = \"\" }");
        let scope = prop::sample::select(vec!["api/a", "api/b", "api/c", "x/a", "api/aa", ""]);
        let list = prop::collection::vec(scope, 0..5);
        proptest!(|(allowed in list.clone(), asked in prop::option::of(list))| {
            let allowed: ScopeSet = allowed.iter().filter_map(|scope| scope.parse().ok()).collect();
            let asked = asked.map(|asked| asked.join(" "));
            if let Ok(granted) = decide(&policy, &allowed, asked.as_deref(), &[]) {
                prop_assert!(granted.scopes.is_subset(&allowed));
                prop_assert!(granted.scopes.iter().all(|scope| policy.has_scope(scope)));
                if let Some(asked) = asked {
                    prop_assert!(granted.scopes.is_subset(&ScopeSet::parse_list(&asked).unwrap()));
                }
            }
        });
    }
}
