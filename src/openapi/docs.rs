//! `/docs` and `/openapi.json` of a gateway listener, always of the policy in force.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderMap, Response};
use policies::Policy;

use super::asset::Asset;
use super::document::{Site, gateway_document};
use super::swagger::SwaggerUi;

/// The public pages of the gateway. One for each group of listeners that is described together.
#[derive(Debug)]
pub struct GatewayDocs {
    site: Site,
    swagger: SwaggerUi,
    /// Made again when the version of the policy is another.
    document: ArcSwapOption<(i64, Asset)>,
}

impl GatewayDocs {
    pub fn new(site: Site) -> Self {
        let swagger = SwaggerUi::new("/docs", "/openapi.json", &site.title);
        Self { site, swagger, document: ArcSwapOption::empty() }
    }

    /// What GET (or HEAD, without the bytes) of `path` gives: `/docs`, what lies under it, and `/openapi.json`. `None`: not ours.
    ///
    /// `version` is that of `policy`: while it stays, the document is not made again.
    pub fn answer(&self, path: &str, headers: &HeaderMap, version: i64, policy: &Policy) -> Option<Response<Bytes>> {
        if path == "/openapi.json" {
            return Some(self.document(version, policy).answer(headers));
        }
        Some(self.swagger.asset(path)?.answer(headers))
    }

    fn document(&self, version: i64, policy: &Policy) -> Asset {
        match self.document.load().as_deref() {
            Some((made_of, asset)) if *made_of == version => return asset.clone(),
            _ => {}
        }
        let document = gateway_document(policy, &self.site);
        let asset = Asset::new("application/json", document.to_string());
        self.document.store(Some(Arc::new((version, asset.clone()))));
        asset
    }
}
