//! The body of an answer: octets at hand, or a list that is read piece by piece while it is sent.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};
use pki::PemCrl;

use crate::failure::Fault;
use crate::store::{self, Store};

/// The body of an answer on the PKI listener.
#[derive(Clone, Debug)]
pub enum Content {
    Whole(Bytes),
    /// Too long to be kept in memory.
    Lists(StoredLists),
}

/// Published lists, one after another, in one form.
#[derive(Clone, Debug)]
pub struct StoredLists {
    store: Store,
    form: Form,
    lists: Arc<[Stored]>,
}

/// How a list is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Der,
    Pem,
}

/// Where the octets of one list are.
#[derive(Clone, Debug)]
pub(super) enum Stored {
    AtHand(Bytes),
    /// In the database, under this name.
    InPieces {
        list: String,
        octets: usize,
    },
}

impl Stored {
    fn octets(&self) -> usize {
        match self {
            Self::AtHand(octets) => octets.len(),
            Self::InPieces { octets, .. } => *octets,
        }
    }
}

impl Content {
    /// Lists in one form: at once when all of them are at hand.
    pub(super) fn of_lists(store: &Store, form: Form, lists: Vec<Stored>) -> Self {
        match Self::at_hand(form, lists.iter()) {
            Some(whole) => Self::Whole(whole),
            None => Self::Lists(StoredLists { store: store.clone(), form, lists: lists.into() }),
        }
    }

    /// Lists in one form, where all of them are at hand.
    pub(super) fn at_hand<'a>(form: Form, lists: impl Iterator<Item = &'a Stored>) -> Option<Bytes> {
        let mut whole = Vec::new();
        for list in lists {
            match (list, form) {
                (Stored::InPieces { .. }, _) => return None,
                (Stored::AtHand(octets), Form::Der) => whole.extend_from_slice(octets),
                (Stored::AtHand(octets), Form::Pem) => whole.extend(pki::pem_crl(octets).into_bytes()),
            }
        }
        Some(whole.into())
    }

    /// How many octets it has.
    pub fn octets(&self) -> usize {
        match self {
            Self::Whole(octets) => octets.len(),
            Self::Lists(StoredLists { form: Form::Der, lists, .. }) => lists.iter().map(Stored::octets).sum(),
            Self::Lists(StoredLists { form: Form::Pem, lists, .. }) => {
                lists.iter().map(|list| PemCrl::octets(list.octets())).sum()
            }
        }
    }

    /// The octets, in pieces of some hundred kilobytes at most. Each is read when the one before was taken, so that a slow reader
    /// costs no memory. A list that was replaced twice meanwhile breaks off.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Fault>> + Send + 'static {
        let lists = match self {
            Self::Whole(octets) => {
                let at_hand = stream::once(async { Ok(octets) });
                return futures_util::future::Either::Left(at_hand);
            }
            Self::Lists(lists) => lists,
        };
        let sending = Sending {
            store: lists.store,
            form: lists.form,
            lists: lists.lists.iter().cloned().collect(),
            position: 0,
            pem: None,
        };
        futures_util::future::Either::Right(stream::try_unfold(sending, |mut sending| async {
            Ok(sending.next().await?.map(|octets| (octets, sending)))
        }))
    }

    /// All octets at once.
    ///
    /// # Errors
    /// A fault when a list cannot be read.
    pub async fn read(self) -> Result<Bytes, Fault> {
        let whole = self.into_stream().try_fold(Vec::new(), |mut whole, octets| async move {
            whole.extend_from_slice(&octets);
            Ok(whole)
        });
        Ok(whole.await?.into())
    }
}

struct Sending {
    store: Store,
    form: Form,
    lists: VecDeque<Stored>,
    /// The next piece of the first of `lists`.
    position: i64,
    pem: Option<PemCrl>,
}

impl Sending {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let Some(list) = self.lists.front() else { return Ok(None) };
            let piece = match list {
                Stored::AtHand(octets) => (self.position == 0).then(|| octets.clone()),
                Stored::InPieces { list, .. } => {
                    let piece = store::crl::piece(&self.store, list, self.position).await?;
                    if piece.is_none() && self.position == 0 {
                        return Err(Fault::new("a list was replaced twice before it was sent"));
                    }
                    piece.map(Bytes::from)
                }
            };
            match piece {
                Some(piece) => {
                    self.position += 1;
                    let sent = self.in_form(piece);
                    if !sent.is_empty() {
                        return Ok(Some(sent));
                    }
                }
                None => {
                    self.lists.pop_front();
                    self.position = 0;
                    if let Some(pem) = self.pem.take() {
                        return Ok(Some(pem.end().into()));
                    }
                }
            }
        }
    }

    fn in_form(&mut self, piece: Bytes) -> Bytes {
        match self.form {
            Form::Der => piece,
            Form::Pem => {
                let mut out = String::with_capacity(PemCrl::octets(piece.len()));
                let pem = self.pem.get_or_insert_with(|| PemCrl::begin(&mut out));
                pem.push(&piece, &mut out);
                out.into()
            }
        }
    }
}
