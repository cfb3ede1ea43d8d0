//! The document of the guarded routes.

use std::collections::{BTreeMap, HashSet};

use policies::{Policy, Route};
use serde_json::{Map, Value, json};

use super::operation::operation;
use super::security_schemes::{self, security_schemes};
use super::{responses, token_endpoint};

/// What OpenAPI 3.1 can say of a path. Other methods are served all the same, and named in words.
const EXPRESSIBLE_METHODS: [&str; 8] = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"];

/// What is described, and where it is found.
#[derive(Clone, Debug)]
pub struct Site {
    pub title: String,
    /// `/oauth2/token`, or absolute. Of the same origin as the page, else a browser will not ask it.
    pub token_url: String,
    /// The first is where the page itself lies.
    pub listeners: Vec<PublishedListener>,
}

/// A gateway listener as callers see it.
#[derive(Clone, Debug)]
pub struct PublishedListener {
    /// As routes name it.
    pub name: String,
    /// `https://api.example.com:8444`, or `/` for wherever the document came from.
    pub url: String,
    /// For people.
    pub description: String,
}

/// OpenAPI 3.1 of the routes on the site's listeners.
///
/// Two routes can have one method and path on two listeners; one document has room for one of them, that of the earlier
/// listener.
pub fn gateway_document(policy: &Policy, site: &Site) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": site.title,
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What can be called through this gateway, and what each call takes. Where several kinds of \
                credential are listed, any one line of them is enough; everything that is presented must be good and belong \
                to the same client."
        },
        "servers": servers(&site.listeners),
        "paths": paths(policy, site),
        "components": {
            "securitySchemes": schemes(policy, site),
            "schemas": responses::schemas(),
            "responses": responses::shared(),
        }
    })
}

fn schemes(policy: &Policy, site: &Site) -> Value {
    let mut schemes = security_schemes(&site.token_url, security_schemes::scopes(policy));
    schemes[security_schemes::CLIENT_SECRET_BASIC] = token_endpoint::client_secret_basic();
    schemes
}

fn servers<'a>(listeners: impl IntoIterator<Item = &'a PublishedListener>) -> Value {
    let server = |listener: &PublishedListener| json!({"url": listener.url, "description": listener.description});
    listeners.into_iter().map(server).collect()
}

fn paths(policy: &Policy, site: &Site) -> Value {
    let mut paths = Paths::default();
    for listener in &site.listeners {
        for route in policy.routes.routes().iter().filter(|route| route.is_on(&listener.name)) {
            paths.add(route, policy, site);
        }
    }
    let mut items: Map<String, Value> = paths.items.into_iter().map(|(_, (path, item))| (path, item.into())).collect();
    items.insert(token_endpoint::PATH.to_owned(), token_endpoint::path_item());
    items.into()
}

#[derive(Default)]
struct Paths {
    /// By the shape of the path: OpenAPI takes `/a/{id}` and `/a/{name}` for one, and so does the gate.
    items: BTreeMap<String, (String, Map<String, Value>)>,
    operation_ids: HashSet<String>,
}

impl Paths {
    fn add(&mut self, route: &Route, policy: &Policy, site: &Site) {
        let shape: String = route.path.split_inclusive('/').map(placeholder).collect();
        let (path, item) =
            self.items.entry(shape).or_insert_with(|| (route.path.replace("{*", "{"), parameters(&route.path)));
        let mut unexpressed = Vec::new();
        for method in &route.methods {
            if !EXPRESSIBLE_METHODS.contains(&method.as_str()) {
                unexpressed.push(method.as_str());
                continue;
            }
            let key = method.to_ascii_lowercase();
            if !item.contains_key(&key) {
                let id = unused_id(&mut self.operation_ids, &key, path);
                let mut operation = operation(route, method, &id, policy);
                let on: Vec<_> = site.listeners.iter().filter(|listener| route.is_on(&listener.name)).collect();
                if on.len() < site.listeners.len() {
                    operation["servers"] = servers(on);
                }
                item.insert(key, operation);
            }
        }
        if !unexpressed.is_empty() {
            let text = format!("Methods that OpenAPI 3.1 has no word for: {}.", unexpressed.join(", "));
            item.insert("description".to_owned(), text.into());
        }
    }
}

fn placeholder(segment: &str) -> &str {
    match (segment.starts_with('{'), segment.ends_with('/')) {
        (true, true) => "{}/",
        (true, false) => "{}",
        (false, _) => segment,
    }
}

/// A path item with the parameters of its path.
fn parameters(path: &str) -> Map<String, Value> {
    let names = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let parameters: Vec<Value> = names
        .map(|name| {
            let (name, description) = match name.strip_prefix('*') {
                Some(name) => (name, "The rest of the path: one segment or more, with the slashes between them."),
                None => (name, "One segment of the path."),
            };
            json!({
                "name": name,
                "in": "path",
                "required": true,
                "description": description,
                "schema": {"type": "string", "minLength": 1}
            })
        })
        .collect();
    let mut item = Map::new();
    if !parameters.is_empty() {
        item.insert("parameters".to_owned(), parameters.into());
    }
    item
}

/// `get_orders_id`, with a number behind it when that is taken.
fn unused_id(taken: &mut HashSet<String>, method: &str, path: &str) -> String {
    let words = path.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let id = words.fold(method.to_owned(), |id, word| format!("{id}_{word}"));
    let mut unused = id.clone();
    let mut number = 2;
    while !taken.insert(unused.clone()) {
        unused = format!("{id}_{number}");
        number += 1;
    }
    unused
}
