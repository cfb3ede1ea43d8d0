//! Swagger UI from the binary. The page and its start script are ours: the vendored ones bring a bar that loads any document
//! from anywhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use utoipa_swagger_ui::Config;

use super::asset::Asset;

const PAGE: &str = include_str!("../../web/docs/index.html");
const START: &str = include_str!("../../web/docs/start.js");
/// Fits the bundle's two icons: the browser's tab must not ask for what is not there.
const VENDORED: [(&str, &str); 4] = [
    ("swagger-ui.css", "text/css; charset=utf-8"),
    ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    ("favicon-16x16.png", "image/png"),
    ("favicon-32x32.png", "image/png"),
];

/// The files of one Swagger UI.
#[derive(Clone, Debug)]
pub struct SwaggerUi {
    /// By path.
    assets: Arc<BTreeMap<String, Asset>>,
}

impl SwaggerUi {
    /// A Swagger UI at `base` (`/docs`) that shows the document at `document` (`/openapi.json`).
    pub fn new(base: &str, document: &str, title: &str) -> Self {
        let page = PAGE
            .replace("{base}", &escape(base))
            .replace("{document}", &escape(document))
            .replace("{title}", &escape(title));
        let page = Asset::new("text/html; charset=utf-8", page);
        let mut assets = BTreeMap::new();
        assets.insert(format!("{base}/"), page.clone());
        assets.insert(base.to_owned(), page);
        assets.insert(format!("{base}/start.js"), Asset::new("text/javascript; charset=utf-8", START));
        let config = Arc::new(Config::new([document.to_owned()]));
        for (name, content_type) in VENDORED {
            // Files without a place for our settings cannot fail; one that is gone shows as 404 and in the tests.
            if let Ok(Some(file)) = utoipa_swagger_ui::serve(name, Arc::clone(&config)) {
                assets.insert(format!("{base}/{name}"), Asset::new(content_type, file.bytes.into_owned()));
            }
        }
        Self { assets: Arc::new(assets) }
    }

    /// The file at `path`, if it is one of ours.
    pub fn asset(&self, path: &str) -> Option<&Asset> {
        self.assets.get(path)
    }
}

/// For text and for attributes in double quotes.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
