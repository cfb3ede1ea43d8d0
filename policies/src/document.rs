//! Policy documents: TOML in, one checked [`Policy`] out, or every fault with its place.
//!
//! serde would stop at the first fault, so documents are parsed into spanned tables and read field by field.

mod build;
mod client;
mod fault;
mod lint;
mod network;
mod reader;
mod resource_server;
mod route;
mod rules;
mod token_issuer;
mod usage_plan;

use std::fmt;

use serde::Serialize;
use toml::Spanned;
use toml::de::DeTable;

use crate::policy::Policy;
use build::Builder;
use fault::{At, Faults};
use lint::Places;
use reader::Fields;

pub use client::MAX_SCOPES_PER_CLIENT;
pub use lint::{ListenerFacts, RegistryFacts, Surroundings};
pub use resource_server::MAX_SCOPES_PER_RESOURCE_SERVER;

/// Largest document, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 4 * 1024 * 1024;
/// Most documents of one policy.
pub const MAX_DOCUMENTS: usize = 256;
/// Most faults that are listed.
pub const MAX_FAULTS: usize = 1_000;

/// One policy document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// File name, for messages.
    pub name: String,
    /// TOML.
    pub text: String,
}

impl Document {
    /// A document of this name and text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }
}

/// One fault of a document: where it is, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DocumentFault {
    /// File name.
    pub document: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// For the author.
    pub message: String,
}

/// `acme.toml:12:14: unknown network "acme-ofices"; did you mean "acme-offices"?`
impl fmt::Display for DocumentFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.document, self.line, self.column, self.message)
    }
}

impl std::error::Error for DocumentFault {}

/// Reads and checks all documents as one policy. See [`Policy::parse`].
pub(crate) fn parse(documents: &[Document]) -> Result<Policy, Vec<DocumentFault>> {
    parse_with_places(documents).map(|(policy, _)| policy)
}

/// What is remarkable about documents without faults. See [`Policy::lint`].
pub(crate) fn lint(
    documents: &[Document],
    around: &Surroundings,
) -> Result<(Policy, Vec<DocumentFault>), Vec<DocumentFault>> {
    let (policy, places) = parse_with_places(documents)?;
    let mut warnings = Faults::new(documents);
    lint::remark(&policy, &places, around, &mut warnings);
    Ok((policy, warnings.into_list()))
}

fn parse_with_places(documents: &[Document]) -> Result<(Policy, Places), Vec<DocumentFault>> {
    let mut faults = Faults::new(documents);
    if documents.len() > MAX_DOCUMENTS {
        faults.add(At::start_of(MAX_DOCUMENTS), format!("more than {MAX_DOCUMENTS} documents"));
        return Err(faults.into_list());
    }
    let tables: Vec<Spanned<DeTable<'_>>> =
        documents.iter().enumerate().map(|(index, document)| syntax(index, document, &mut faults)).collect();

    let mut sections = Sections::default();
    for (index, table) in tables.iter().enumerate() {
        sections.add(Fields::of_document(index, table.get_ref()), &mut faults);
    }
    // What is referred to comes before what refers to it; each section is read over all documents.
    let mut builder = Builder::new(faults);
    sections.resource_servers.into_iter().for_each(|fields| resource_server::read(fields, &mut builder));
    sections.networks.into_iter().for_each(|fields| network::read(fields, &mut builder));
    sections.usage_plans.into_iter().for_each(|fields| usage_plan::read(fields, &mut builder));
    sections.partners.into_iter().for_each(|fields| client::read_partner(fields, &mut builder));
    sections.clients.into_iter().for_each(|fields| client::read(fields, &mut builder));
    sections.routes.into_iter().for_each(|fields| route::read(fields, &mut builder));
    sections.token_issuers.into_iter().for_each(|fields| token_issuer::read(fields, &mut builder));
    builder.finish()
}

/// The tables of all documents, by kind.
#[derive(Default)]
struct Sections<'d> {
    resource_servers: Vec<Fields<'d>>,
    networks: Vec<Fields<'d>>,
    usage_plans: Vec<Fields<'d>>,
    partners: Vec<Fields<'d>>,
    clients: Vec<Fields<'d>>,
    routes: Vec<Fields<'d>>,
    token_issuers: Vec<Fields<'d>>,
}

impl<'d> Sections<'d> {
    fn add(&mut self, mut document: Fields<'d>, faults: &mut Faults<'d>) {
        self.resource_servers.extend(document.tables("resource_server", faults));
        self.networks.extend(document.tables("network", faults));
        self.usage_plans.extend(document.tables("usage_plan", faults));
        self.partners.extend(document.tables("partner", faults));
        self.clients.extend(document.tables("client", faults));
        self.routes.extend(document.tables("route", faults));
        self.token_issuers.extend(document.tables("token_issuer", faults));
        document.finish(faults);
    }
}

/// Parses the TOML of one document. If it is not TOML, the first error is its only fault; what can be made out of the
/// rest is still known to the other documents, so that one missing quote does not make every reference to this file a
/// fault.
fn syntax<'d>(index: usize, document: &'d Document, faults: &mut Faults<'d>) -> Spanned<DeTable<'d>> {
    if document.text.len() > MAX_DOCUMENT_BYTES {
        faults.add(At::start_of(index), format!("the document is larger than {MAX_DOCUMENT_BYTES} bytes"));
        faults.mute(index);
        return Spanned::new(0..0, DeTable::new());
    }
    let (table, errors) = DeTable::parse_recoverable(&document.text);
    let at = |error: &toml::de::Error| At::new(index, error.span().map_or(0, |span| span.start));
    let is_harmless = |error: &&toml::de::Error| error.message().contains("duplicate key");
    match errors.iter().find(|error| !is_harmless(error)) {
        Some(error) => {
            faults.add(at(error), error.message());
            faults.mute(index);
        }
        // A key given twice leaves the rest readable.
        None => errors.iter().for_each(|error| {
            let key = error.span().and_then(|span| document.text.get(span)).unwrap_or_default();
            faults.add(at(error), format!("{} {key:?}", error.message()));
        }),
    }
    table
}
