//! Places in documents, and the list of what is wrong there.

use super::{Document, DocumentFault, MAX_FAULTS};

/// A place: which document, and the byte in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    document: usize,
    offset: usize,
}

impl At {
    pub(super) const fn new(document: usize, offset: usize) -> Self {
        Self { document, offset }
    }

    pub(super) const fn start_of(document: usize) -> Self {
        Self { document, offset: 0 }
    }

    pub(super) const fn document(self) -> usize {
        self.document
    }
}

/// Everything that is wrong so far.
pub(super) struct Faults<'d> {
    documents: &'d [Document],
    /// Where the lines of each document begin, in bytes.
    lines: Vec<Vec<usize>>,
    /// Documents whose syntax is broken: what else seems wrong in them is guesswork.
    muted: Vec<usize>,
    list: Vec<(At, String)>,
}

impl<'d> Faults<'d> {
    pub(super) fn new(documents: &'d [Document]) -> Self {
        let line_starts = |document: &Document| {
            let newlines = document.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            std::iter::once(0).chain(newlines.map(|(position, _)| position + 1)).collect()
        };
        Self { documents, lines: documents.iter().map(line_starts).collect(), muted: Vec::new(), list: Vec::new() }
    }

    pub(super) fn add(&mut self, at: At, message: impl Into<String>) {
        if !self.muted.contains(&at.document) && !self.is_full() {
            self.list.push((at, message.into()));
        }
    }

    /// From now on, faults of this document are not listed.
    pub(super) fn mute(&mut self, document: usize) {
        self.muted.push(document);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether no more faults are listed: then it is not worth finding out what was meant.
    pub(super) fn is_full(&self) -> bool {
        self.list.len() > MAX_FAULTS
    }

    /// `acme.toml:12`, for messages that point at a second place.
    pub(super) fn place(&self, at: At) -> String {
        let fault = self.locate(at, String::new());
        format!("{}:{}", fault.document, fault.line)
    }

    /// Sorted by place.
    pub(super) fn into_list(mut self) -> Vec<DocumentFault> {
        let is_cut = self.list.len() > MAX_FAULTS;
        self.list.truncate(MAX_FAULTS);
        self.list.sort_by_key(|(at, _)| *at);
        let mut list = self.located();
        if is_cut && let Some(last) = list.last_mut() {
            last.message.push_str(" (and more faults, which are not listed)");
        }
        list
    }

    fn located(&self) -> Vec<DocumentFault> {
        self.list.iter().map(|(at, message)| self.locate(*at, message.clone())).collect()
    }

    fn locate(&self, at: At, message: String) -> DocumentFault {
        let (name, text) = self.documents.get(at.document).map_or(("", ""), |found| (&found.name, &found.text));
        let starts = self.lines.get(at.document).map(Vec::as_slice).unwrap_or_default();
        let line = starts.partition_point(|start| *start <= at.offset).max(1);
        let line_start = starts.get(line - 1).copied().unwrap_or(0);
        let column = text.get(line_start..at.offset).unwrap_or_default().chars().count() + 1;
        DocumentFault { document: name.to_owned(), line, column, message }
    }
}
