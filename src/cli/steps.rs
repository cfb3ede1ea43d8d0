//! The steps of a decision, for people.

use serde_json::Value;

use super::table::{self, Column};

const STEPS: [Column; 3] = [
    Column::field("STAGE", "stage"),
    Column::made("", |step, _| mark(step).to_owned()),
    Column::field("WHAT WAS COMPARED", "detail"),
];

/// A table, in the order of judgement.
pub(super) fn shown(steps: &[Value]) -> String {
    table::of_items(steps, &STEPS, 0)
}

/// What came of a step. A rule in shadow that says no stands out too, and lets the request on.
fn mark(step: &Value) -> &'static str {
    match (step["passed"] == true, step["mode"].as_str()) {
        (_, Some("off")) => "off",
        (true, _) => "ok",
        (false, Some("shadow")) => "SHADOW",
        (false, _) => "DENY",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn a_step_shows_what_came_of_it_and_whether_it_bites() {
        let step = |passed: bool, mode: &str| json!({"stage": "scopes", "passed": passed, "mode": mode, "detail": "d"});
        let steps = [step(true, "enforce"), step(false, "shadow"), step(true, "off"), step(false, "enforce")];
        assert_eq!(
            super::shown(&steps),
            "\
STAGE           WHAT WAS COMPARED
scopes  ok      d
scopes  SHADOW  d
scopes  off     d
scopes  DENY    d
"
        );
    }
}
