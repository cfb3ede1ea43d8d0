//! One route and method.

use policies::{Action, ErrorStyle, Mock, Policy, Route, ScopeRequirement};
use serde_json::{Map, Value, json};

use super::{responses, security_schemes};

/// The tag of routes that belong to no resource server.
const OTHER_TAG: &str = "API";
/// Those whose body means something (RFC 9110 §9.3).
const METHODS_WITH_BODY: [&str; 3] = ["POST", "PUT", "PATCH"];

/// The operation object of a route under one of its methods.
pub(super) fn operation(route: &Route, method: &str, id: &str, policy: &Policy) -> Value {
    let mut operation = json!({
        "operationId": id,
        "summary": route.summary.clone().unwrap_or_else(|| route.id.to_string()),
        "description": description(route),
        "tags": [tag(route, policy)],
        "security": security_schemes::requirement(route),
        "responses": answers(route),
    });
    if matches!(route.action, Action::Proxy(_)) && METHODS_WITH_BODY.contains(&method) {
        operation["requestBody"] = json!({
            "description": "Passed on unchanged.",
            "required": false,
            "content": {"*/*": {}}
        });
    }
    operation
}

/// The name of the resource server whose scopes the route asks for.
fn tag<'a>(route: &Route, policy: &'a Policy) -> &'a str {
    let first = route.scopes.scopes().and_then(|scopes| scopes.iter().next());
    let server = first
        .and_then(|scope| policy.resource_servers.iter().find(|server| server.identifier == scope.resource_server()));
    server.map_or(OTHER_TAG, |server| server.name.as_str())
}

/// The author's words, then what the rules say, for those who cannot read `security`.
fn description(route: &Route) -> String {
    let mut paragraphs: Vec<String> = route.description.iter().cloned().collect();
    if route.is_public() {
        paragraphs.push("Anybody may call this.".to_owned());
    } else {
        let accepted: Vec<String> = route.accept.iter().map(|methods| together(*methods)).collect();
        paragraphs.push(format!("Takes {}.", accepted.join(", or ")));
    }
    match &route.scopes {
        ScopeRequirement::None => {}
        ScopeRequirement::Any(scopes) if scopes.len() > 1 => {
            paragraphs.push(format!("The client must hold one of: {}.", code(scopes)));
        }
        ScopeRequirement::Any(scopes) | ScopeRequirement::All(scopes) => {
            paragraphs.push(format!("The client must hold: {}.", code(scopes)))
        }
    }
    paragraphs.join("\n\n")
}

fn together(methods: policies::AuthMethodSet) -> String {
    let words = methods.iter().map(|method| match method {
        policies::AuthMethod::MutualTls => "a client certificate",
        policies::AuthMethod::ApiKey => "an API key",
        policies::AuthMethod::Bearer => "an access token",
    });
    words.collect::<Vec<_>>().join(" together with ")
}

fn code(scopes: &policies::ScopeSet) -> String {
    scopes.iter().map(|scope| format!("`{scope}`")).collect::<Vec<_>>().join(", ")
}

fn answers(route: &Route) -> Value {
    let mut answers = Map::new();
    match &route.action {
        Action::Mock(mock) => {
            answers.insert(mock.status.to_string(), fixed_answer(mock));
        }
        Action::Proxy(_) => {
            answers.insert("200".to_owned(), json!({"description": "What the service behind the gateway answers."}));
            let others = "Any other status of the service behind the gateway comes through unchanged.";
            answers.insert("default".to_owned(), json!({"description": others}));
        }
        Action::Service(_) => {
            answers.insert("200".to_owned(), json!({"description": "Done."}));
        }
    }
    let mut refusals: Vec<u16> = vec![400, 403, 404, 429, 500];
    if !route.is_public() {
        refusals.push(401);
    }
    if matches!(route.action, Action::Proxy(_)) {
        refusals.extend([413, 502, 504]);
    }
    refusals.sort_unstable();
    let aws = route.errors == ErrorStyle::Aws;
    for status in refusals {
        // A mock may itself answer 404: what the author says of it stands.
        answers.entry(status.to_string()).or_insert_with(|| responses::reference(status, aws));
    }
    answers.into()
}

/// What a mock says, under the content type that the gate sends it with.
fn fixed_answer(mock: &Mock) -> Value {
    let mut answer = json!({"description": "A fixed answer from the policy."});
    let named = mock.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let json = mock.body.trim_start().starts_with(['{', '[']);
    let content_type = match named {
        Some((_, value)) => value.as_str(),
        None if json => "application/json",
        None => "text/plain; charset=utf-8",
    };
    let headers = mock.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
    let headers: Map<String, Value> =
        headers.map(|(name, value)| (name.clone(), json!({"schema": {"type": "string"}, "example": value}))).collect();
    if !headers.is_empty() {
        answer["headers"] = headers.into();
    }
    if !mock.body.is_empty() {
        let body = Value::from(mock.body.as_str());
        let example = if json { serde_json::from_str(&mock.body).unwrap_or(body) } else { body };
        answer["content"] = json!({content_type: {"schema": schema_of(&example), "example": example}});
    }
    answer
}

/// The loosest schema that says what kind of thing an example is.
fn schema_of(example: &Value) -> Value {
    match example {
        Value::Object(fields) => {
            let properties: Map<String, Value> =
                fields.iter().map(|(name, value)| (name.clone(), schema_of(value))).collect();
            json!({"type": "object", "properties": properties})
        }
        Value::Array(_) => json!({"type": "array", "items": {}}),
        Value::String(_) => json!({"type": "string"}),
        Value::Number(_) => json!({"type": "number"}),
        Value::Bool(_) => json!({"type": "boolean"}),
        Value::Null => json!({}),
    }
}
