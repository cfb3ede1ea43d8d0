//! The pages for people: the console and Swagger UI. They are the same for everybody and hold nothing; what they show they ask
//! `/v1` for, with the browser's own certificate.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde_json::Value;

use super::AdminState;
use super::problem;
use crate::openapi::{Asset, SwaggerUi};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Path under `/console`, content type and bytes.
macro_rules! console {
    ($($path:literal: $content_type:ident = $file:literal),+ $(,)?) => {
        [$((concat!("/console", $path), $content_type, include_str!(concat!("../../web/console/", $file)))),+]
    };
}

const SVG: &str = "image/svg+xml";
const CONSOLE: [(&str, &str, &str); 17] = console![
    "": HTML = "index.html",
    "/": HTML = "index.html",
    "/console.css": CSS = "console.css",
    "/icon.svg": SVG = "icon.svg",
    "/main.js": SCRIPT = "main.js",
    "/api.js": SCRIPT = "api.js",
    "/dom.js": SCRIPT = "dom.js",
    "/format.js": SCRIPT = "format.js",
    "/dialog.js": SCRIPT = "dialog.js",
    "/views/overview.js": SCRIPT = "views/overview.js",
    "/views/partners.js": SCRIPT = "views/partners.js",
    "/views/client.js": SCRIPT = "views/client.js",
    "/views/certificates.js": SCRIPT = "views/certificates.js",
    "/views/policy.js": SCRIPT = "views/policy.js",
    "/views/audit.js": SCRIPT = "views/audit.js",
    "/views/explain.js": SCRIPT = "views/explain.js",
    "/views/locked.js": SCRIPT = "views/locked.js",
];

/// Everything that can be shown without being anybody.
#[derive(Clone)]
pub(super) struct Pages {
    assets: Arc<BTreeMap<&'static str, Asset>>,
    swagger: SwaggerUi,
}

impl Pages {
    /// `document` is that of the admin API.
    pub(super) fn new(document: &Value) -> Self {
        let console = CONSOLE.iter().map(|(path, content_type, text)| (*path, Asset::new(content_type, *text)));
        let mut assets: BTreeMap<&'static str, Asset> = console.collect();
        assets.insert("/openapi.json", Asset::new("application/json", document.to_string()));
        Self { assets: Arc::new(assets), swagger: SwaggerUi::new("/docs", "/openapi.json", "Portcullis admin API") }
    }

    pub(super) fn router(self) -> Router<Arc<AdminState>> {
        let show = move |request: Request| async move { self.show(request) };
        let mut router = Router::new().route("/", get(|| async { Redirect::to("/console") }));
        for path in ["/openapi.json", "/docs", "/docs/", "/docs/{*rest}", "/console", "/console/", "/console/{*rest}"] {
            router = router.route(path, get(show.clone()));
        }
        router
    }

    fn show(&self, request: Request) -> Response {
        let path = request.uri().path();
        match self.assets.get(path).or_else(|| self.swagger.asset(path)) {
            Some(asset) => asset.answer(request.headers()).map(axum::body::Body::from),
            None => problem::nothing_at(path).into_response(),
        }
    }
}
