//! What a policy would change, for people.

use serde_json::Value;

use crate::cli::table;

pub(super) fn shown(plan: &Value) -> String {
    let mut text = String::new();
    let list = |member: &str| plan[member].as_array().map(Vec::as_slice).unwrap_or_default();
    for change in list("changes") {
        let sign = match change["kind"].as_str() {
            Some("added") => '+',
            Some("removed") => '-',
            _ => '~',
        };
        text.push_str(&format!("{sign} {} {}\n", table::shown(&change["what"]), table::shown(&change["id"])));
        for detail in change["details"].as_array().into_iter().flatten() {
            text.push_str(&format!("    {}\n", table::shown(detail)));
        }
    }
    for effect in list("effects") {
        let note = effect["note"].as_str().map_or_else(String::new, |note| format!(" ({})", table::plain(note)));
        text.push_str(&format!(
            "= {} {} {}{note}\n",
            table::shown(&effect["action"]),
            table::shown(&effect["what"]),
            table::shown(&effect["id"])
        ));
    }
    for conflict in list("conflicts") {
        text.push_str(&format!("! {}\n", table::shown(conflict)));
    }
    if text.is_empty() {
        text.push_str("nothing changes\n");
    }
    let version = table::shown(&plan["current_version"]);
    text.push_str(&match list("changes").len() {
        0 => format!("against version {version}\n"),
        1 => format!("1 change against version {version}\n"),
        changes => format!("{changes} changes against version {version}\n"),
    });
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::shown;

    #[test]
    fn a_plan_is_read_from_top_to_bottom() {
        let plan = json!({
            "current_version": 3,
            "changes": [
                {"kind": "added", "what": "client", "id": "beta", "details": ["scopes: a/b"]},
                {"kind": "changed", "what": "route", "id": "GET /x", "details": ["accept: any -> mutual_tls"]},
                {"kind": "removed", "what": "network", "id": "old", "details": []},
            ],
            "effects": [{"what": "client", "id": "beta", "action": "create", "note": "stays off"}],
            "conflicts": ["client gamma belongs to the registry"],
        });
        assert_eq!(
            shown(&plan),
            "\
+ client beta
    scopes: a/b
~ route GET /x
    accept: any -> mutual_tls
- network old
= create client beta (stays off)
! client gamma belongs to the registry
3 changes against version 3
"
        );
        assert_eq!(shown(&json!({"current_version": 3, "changes": []})), "nothing changes\nagainst version 3\n");
    }
}
