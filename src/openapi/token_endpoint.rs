//! The token endpoint (RFC 6749 §3.2), which the gateway answers itself.

use serde_json::{Value, json};

use super::security_schemes::CLIENT_SECRET_BASIC;

/// Where the gate answers before it looks for a route.
pub(super) const PATH: &str = "/oauth2/token";

/// The path item of the client-credentials grant (RFC 6749 §4.4).
pub(super) fn path_item() -> Value {
    json!({
        "post": {
            "operationId": "request_token",
            "summary": "Get an access token",
            "description": "The client-credentials grant. The client proves itself with its secret, in `Authorization: Basic` or \
                in the form. A client that also shows its certificate gets a token that is bound to it (RFC 8705). Without \
                `scope`, the token carries every scope of the client.",
            "tags": ["OAuth 2.0"],
            "security": [{CLIENT_SECRET_BASIC: []}, {}],
            "requestBody": {
                "required": true,
                "content": {"application/x-www-form-urlencoded": {"schema": {
                    "type": "object",
                    "required": ["grant_type"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": ["client_credentials"]},
                        "scope": {"type": "string", "description": "Scopes with a space between them."},
                        "client_id": {"type": "string", "description": "When it is not in `Authorization`."},
                        "client_secret": {"type": "string", "format": "password", "description": "When it is not in `Authorization`."}
                    }
                }}}
            },
            "responses": {
                "200": {
                    "description": "A token.",
                    "headers": {"Cache-Control": {"description": "Always `no-store`.", "schema": {"type": "string"}}},
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TokenResponse"}}}
                },
                "400": error("The request is not acceptable.", "invalid_scope"),
                "401": error("The client could not prove itself.", "invalid_client"),
                "429": {"$ref": "#/components/responses/TooManyRequests"},
                "500": {"$ref": "#/components/responses/InternalServerError"}
            }
        }
    })
}

fn error(description: &str, example: &str) -> Value {
    json!({
        "description": description,
        "content": {"application/json": {
            "schema": {"$ref": "#/components/schemas/TokenError"},
            "example": {"error": example}
        }}
    })
}

/// How a client shows its secret here and nowhere else.
pub(super) fn client_secret_basic() -> Value {
    json!({
        "type": "http",
        "scheme": "basic",
        "description": "Client id and client secret, at the token endpoint only."
    })
}

/// RFC 6749 §5.1.
pub(super) fn token_response() -> Value {
    json!({
        "type": "object",
        "required": ["access_token", "token_type", "expires_in"],
        "properties": {
            "access_token": {"type": "string", "description": "A signed JSON Web Token (RFC 9068)."},
            "token_type": {"type": "string", "enum": ["Bearer"]},
            "expires_in": {"type": "integer", "description": "Seconds."},
            "scope": {"type": "string", "description": "When it is not what was asked for."}
        }
    })
}

/// RFC 6749 §5.2.
pub(super) fn token_error() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {"type": "string", "enum": [
                "invalid_request",
                "invalid_client",
                "invalid_grant",
                "unauthorized_client",
                "unsupported_grant_type",
                "invalid_scope"
            ]},
            "error_description": {"type": "string"}
        }
    })
}
