//! How the gate refuses, in both of its styles: what `gateway::respond` writes, as `components.responses`.

use serde_json::{Map, Value, json};

/// Title, code, message and detail of each problem that an operation can meet.
const PROBLEMS: [(u16, &str, &str, &[Example]); 9] = [
    (
        400,
        "BadRequest",
        "The request itself is not acceptable, whoever sent it.",
        &[("malformed_path", "Bad Request", "The path is not in normal form.")],
    ),
    (
        401,
        "Unauthorized",
        "No credential, a bad one, or not of the kind that is asked for here.",
        &[
            ("no_credential", "Unauthorized", "This route asks for a client certificate, or an API key in x-api-key."),
            (
                "credential_unknown",
                "Unauthorized",
                "The credential is not valid: unknown, expired or revoked. Ask whoever issued it, with the decision id.",
            ),
            (
                "invalid_token",
                "Unauthorized",
                "The access token is not valid: malformed, expired, revoked, or not for this server.",
            ),
        ],
    ),
    (
        403,
        "Forbidden",
        "The client is known, and may not do this, or not from there.",
        &[
            (
                "insufficient_scope",
                "Forbidden",
                "This route asks for the scope https://api.example.com/test/hello-world.",
            ),
            ("source_not_allowed", "Forbidden", "This may not be called from the address that the request comes from."),
            ("credential_mismatch", "Forbidden", "The credentials sent together belong to different clients."),
        ],
    ),
    (
        404,
        "NotFound",
        "Nothing is served under this method and path.",
        &[("route_not_found", "Not Found", "There is no route for this method and path.")],
    ),
    (
        413,
        "ContentTooLarge",
        "The body is larger than the gateway passes on.",
        &[("body_too_large", "Content Too Large", "the request body is larger than 10485760 bytes")],
    ),
    (
        429,
        "TooManyRequests",
        "Too fast, or the quota is used up. `Retry-After` says when the next request will pass.",
        &[
            ("throttled", "Too Many Requests", "The client's usage plan allows fewer requests per second."),
            ("quota_exceeded", "Limit Exceeded", "The quota of the client's usage plan is spent for this period."),
        ],
    ),
    (
        500,
        "InternalServerError",
        "The gateway failed. Nothing was passed on.",
        &[("internal_error", "Internal Server Error", "The server could not do this. Try again later.")],
    ),
    (
        502,
        "BadGateway",
        "The service behind this route failed.",
        &[("upstream_unreachable", "Bad Gateway", "The service behind this route cannot be reached.")],
    ),
    (
        504,
        "GatewayTimeout",
        "The service behind this route did not answer in time.",
        &[("upstream_timeout", "Gateway Timeout", "The service behind this route did not answer in time.")],
    ),
];

type Example = (&'static str, &'static str, &'static str);

/// The same in the words of API Gateway, where they differ.
const AWS: [(u16, &str, &str, &[&str]); 6] = [
    (401, "AwsUnauthorized", "No credential, a bad one, or a scope is missing.", &["Unauthorized"]),
    (403, "AwsForbidden", "No good API key, or not from there.", &["Forbidden"]),
    (429, "AwsTooManyRequests", "Too fast, or the quota is used up.", &["Too Many Requests", "Limit Exceeded"]),
    (500, "AwsInternalServerError", "The gateway failed.", &["Internal Server Error"]),
    (502, "AwsBadGateway", "The service behind this route failed.", &["Bad Gateway"]),
    (504, "AwsGatewayTimeout", "The service behind this route did not answer in time.", &["Gateway Timeout"]),
];

/// A `$ref` to the shared answer of a status.
pub(super) fn reference(status: u16, aws: bool) -> Value {
    let aws_name = AWS.iter().find(|(known, ..)| aws && *known == status).map(|(_, name, ..)| *name);
    let name = aws_name.or_else(|| PROBLEMS.iter().find(|(known, ..)| *known == status).map(|(_, name, ..)| *name));
    json!({"$ref": format!("#/components/responses/{}", name.unwrap_or("InternalServerError"))})
}

/// `components.responses`.
pub(super) fn shared() -> Value {
    let standard = PROBLEMS.iter().map(|(status, name, description, examples)| {
        let mut headers = decision_id();
        match status {
            401 => {
                headers["WWW-Authenticate"] =
                    header("One challenge for each method that is taken here (RFC 9110 §11.6.1).")
            }
            429 => limit_headers(&mut headers),
            _ => {}
        }
        let examples: Map<String, Value> = examples.iter().map(|example| problem(*status, example)).collect();
        let content = json!({
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}
        });
        ((*name).to_owned(), json!({"description": description, "headers": headers, "content": content}))
    });
    let aws = AWS.iter().map(|(status, name, description, messages)| {
        let mut headers = decision_id();
        headers["x-amzn-RequestId"] = header("The decision id again.");
        headers["x-amzn-ErrorType"] = header("The name of API Gateway's exception.");
        if *status == 429 {
            limit_headers(&mut headers);
        }
        let examples: Map<String, Value> =
            messages.iter().map(|message| (message.replace(' ', ""), json!({"value": {"message": message}}))).collect();
        let content = json!({
            "application/json": {"schema": {"$ref": "#/components/schemas/AwsError"}, "examples": examples}
        });
        ((*name).to_owned(), json!({"description": description, "headers": headers, "content": content}))
    });
    standard.chain(aws).collect::<Map<_, _>>().into()
}

/// draft-ietf-httpapi-ratelimit-headers-11 §5.1 and §5.2.
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
const REDUCED_CAPACITY: &str = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";

/// `components.schemas`.
pub(super) fn schemas() -> Value {
    json!({
        "Problem": {
            "type": "object",
            "description": "Problem details (RFC 9457).",
            "required": ["type", "title", "status", "code", "message", "detail", "decision_id"],
            "properties": {
                "type": {"type": "string", "enum": ["about:blank", QUOTA_EXCEEDED, REDUCED_CAPACITY]},
                "title": {"type": "string", "description": "The name of the status, or that of the type."},
                "status": {"type": "integer", "minimum": 400, "maximum": 599},
                "code": {"type": "string", "description": "Stable, for programs.", "pattern": "^[a-z0-9_]+$"},
                "message": {"type": "string", "description": "Short, for programs that were written for API Gateway."},
                "detail": {"type": "string", "description": "For people."},
                "decision_id": {
                    "type": "string",
                    "description": "Under this id the operator finds the reason in the audit log."
                },
                "violated-policies": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "Of a limit that is reached: the names of the limits that said no."
                }
            }
        },
        "AwsError": {
            "type": "object",
            "description": "The body of API Gateway's refusals.",
            "required": ["message"],
            "properties": {"message": {"type": "string"}}
        },
        "TokenResponse": super::token_endpoint::token_response(),
        "TokenError": super::token_endpoint::token_error()
    })
}

fn problem(status: u16, (code, message, detail): &Example) -> (String, Value) {
    let title = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or(message);
    // One example each: as a client with a plan of its own meets them.
    let policies = match *code {
        "throttled" => Some("burst"),
        "quota_exceeded" => Some("monthly"),
        _ => None,
    };
    let mut value = json!({
        "type": policies.map_or("about:blank", |_| QUOTA_EXCEEDED),
        "title": policies.map_or(title, |_| "Request cannot be satisfied as assigned quota has been exceeded"),
        "status": status,
        "code": code,
        "message": message,
        "detail": detail,
        "decision_id": "019ab2f4-7d10-7c1e-9a53-0b6f6c1f2d3e"
    });
    if let Some(name) = policies {
        value["violated-policies"] = json!([name]);
    }
    ((*code).to_owned(), json!({"value": value}))
}

fn decision_id() -> Value {
    json!({"X-Portcullis-Decision-Id": header("Under this id the operator finds the decision in the audit log.")})
}

/// As `limits.headers = "standard"` has them.
fn limit_headers(headers: &mut Value) {
    headers["Retry-After"] = retry_after();
    headers["RateLimit-Policy"] =
        header("The limits: name, requests (`q`) and seconds (`w`). draft-ietf-httpapi-ratelimit-headers.");
    headers["RateLimit"] =
        header("Those that are reached: name, requests left (`r`) and seconds until they are whole (`t`).");
}

fn retry_after() -> Value {
    json!({"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}})
}

fn header(description: &str) -> Value {
    json!({"description": description, "schema": {"type": "string"}})
}
