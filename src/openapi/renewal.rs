//! Renewal by the certificate itself, which the gate answers on every listener.

use serde_json::{Map, Value, json};

/// Marks what the gate answers before any router is asked.
pub const SERVED_BY_GATE: &str = "x-served-by-gate";

/// The path items of renewal and of the window for it.
pub fn renewal_paths() -> Map<String, Value> {
    let serial = json!({
        "name": "serial", "in": "path", "required": true, "schema": {"type": "string", "minLength": 1},
        "description": "Serial, hex, any case, colons allowed"
    });
    let refused = |description: &str| {
        json!({
            "description": description,
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        })
    };
    let renew = json!({
        "post": {
            SERVED_BY_GATE: true,
            "parameters": [serial],
            "operationId": "renew_certificate",
            "summary": "Renew the certificate of this connection",
            "description": "The next certificate for the same client, narrowed alike and for as long. The request is signed with a \
                new key, unless the client's terms allow the old one. Within the client's grace this also works after the end.",
            "tags": ["Certificates"],
            "security": [{"mutualTLS": []}],
            "requestBody": {"required": true, "content": {
                "application/json": {"schema": {
                    "type": "object", "required": ["csr"], "additionalProperties": false,
                    "properties": {"csr": {"type": "string", "description": "PKCS#10, PEM"}}
                }},
                "application/pkcs10": {"schema": {"type": "string", "description": "PKCS#10: PEM, DER or base64"}}
            }},
            "responses": {
                "201": {"description": "The certificate, and the authorities to send after it", "content": {
                    "application/json": {"schema": {"type": "object", "required": ["id", "certificate_pem", "chain_pem"], "properties": {
                        "id": {"type": "string", "description": "The serial"},
                        "not_after": {"type": "integer", "format": "int64"},
                        "certificate_pem": {"type": "string"},
                        "chain_pem": {"type": "string"}
                    }}},
                    "application/pem-certificate-chain": {"schema": {"type": "string", "description": "Leaf first, when JSON is not asked for"}}
                }},
                "401": refused("No certificate, or one that is not good."),
                "403": refused("Another certificate is named than that of the connection, or the address is not allowed."),
                "409": refused("The certificate cannot be renewed any more, or was renewed too often."),
                "422": refused("The request is not acceptable; the message says why.")
            }
        }
    });
    let window = json!({
        "get": {
            SERVED_BY_GATE: true,
            "parameters": [serial],
            "operationId": "show_renewal_window",
            "summary": "When to renew a certificate",
            "description": "Modelled on ACME Renewal Information (RFC 9773). Where the window begins depends on the serial, so \
                that certificates which were issued together are not renewed together. Whoever knows the serial may ask.",
            "tags": ["Certificates"],
            "security": [],
            "responses": {
                "200": {"description": "The window", "content": {"application/json": {"schema": {
                    "type": "object", "required": ["suggestedWindow"], "properties": {
                        "suggestedWindow": {"type": "object", "required": ["start", "end"], "properties": {
                            "start": {"type": "string", "format": "date-time"},
                            "end": {"type": "string", "format": "date-time"}
                        }},
                        "explanation": {"type": "string", "description": "Why it is not the usual one"}
                    }
                }}}},
                "404": refused("Nothing was issued under that serial.")
            }
        }
    });
    Map::from_iter([
        ("/v1/certificates/{serial}/renew".to_owned(), renew),
        ("/v1/certificates/{serial}/renewal-info".to_owned(), window),
    ])
}
