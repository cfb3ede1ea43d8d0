//! Parts of policies. `{server}` and `{scope}` are filled in when they are applied.

/// The demo's resource server, with two scopes more.
pub(crate) const SERVER: &str = r#"
[[resource_server]]
identifier = "{server}"
name = "Mock API"
scopes = [
    { name = "hello-world", description = "Hello world endpoints" },
    { name = "read", description = "Read" },
    { name = "write", description = "Write" },
]

[[partner]]
id = "acme"
name = "Acme Ltd"
"#;

/// The demo's client, without a plan.
pub(crate) const ACME: &str = r#"
[[client]]
id = "acme-orders"
partner = "acme"
scopes = ["{scope}"]
"#;

/// The demo's route.
pub(crate) const HELLO: &str = r#"
[[route]]
methods = ["GET"]
path = "/test/hello-world"
accept = [["mutual_tls"], ["api_key"], ["bearer"]]
scopes = { any = ["{scope}"] }
action = { mock = { body = '{"message": "hello world!"}' } }
"#;

/// One document of several parts.
pub(crate) fn document(parts: &[&str]) -> String {
    parts.concat()
}

/// A route that takes each method alone and asks for the demo's scope.
pub(crate) fn route(methods: &str, path: &str, action: &str) -> String {
    format!(
        r#"
[[route]]
methods = [{methods}]
path = "{path}"
accept = [["mutual_tls"], ["api_key"], ["bearer"]]
scopes = {{ any = ["{{scope}}"] }}
action = {action}
"#
    )
}
