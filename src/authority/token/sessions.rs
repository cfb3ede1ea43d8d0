//! Sessions with a token, used again and again.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, Result, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;

use super::Pin;

/// Tokens count sessions, and a token signs one or a few things at a time anyway.
const SESSIONS_MAX: usize = 4;

pub(super) struct Sessions {
    module: Pkcs11,
    slot: Slot,
    pin: Pin,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Session>,
    open: usize,
    /// Grows when all sessions are given up; one of an older generation is not put back.
    generation: u64,
}

impl Sessions {
    pub(super) fn new(module: Pkcs11, slot: Slot, pin: Pin) -> Self {
        Self { module, slot, pin, state: Mutex::default(), returned: Condvar::new() }
    }

    /// Does something in a session that is logged in, waiting for one if all are taken. Where the token was away in between, it
    /// is done once more.
    pub(super) fn with<T>(&self, work: impl Fn(&Session) -> Result<T>) -> Result<T> {
        match self.once(&work) {
            Err(error) if was_away(&error) => {
                tracing::warn!(%error, "the token was away: logging in again");
                metrics::counter!("portcullis_token_reconnects_total").increment(1);
                self.once(&work)
            }
            done => done,
        }
    }

    fn once<T>(&self, work: impl Fn(&Session) -> Result<T>) -> Result<T> {
        let (session, generation) = self.take()?;
        let done = work(&session);
        let mut state = self.state();
        match &done {
            Err(error) if was_away(error) => {
                if state.generation == generation {
                    state.generation += 1;
                    state.open = state.open.saturating_sub(state.idle.len());
                    state.idle.clear();
                }
                state.open = state.open.saturating_sub(1);
            }
            _ if state.generation == generation => state.idle.push(session),
            _ => state.open = state.open.saturating_sub(1),
        }
        drop(state);
        self.returned.notify_one();
        done
    }

    fn take(&self) -> Result<(Session, u64)> {
        let mut state = self.state();
        while state.idle.is_empty() && state.open >= SESSIONS_MAX {
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(session) = state.idle.pop() {
            return Ok((session, state.generation));
        }
        state.open += 1;
        let generation = state.generation;
        drop(state);
        self.open().map(|session| (session, generation)).inspect_err(|_| {
            let mut state = self.state();
            state.open = state.open.saturating_sub(1);
            drop(state);
            self.returned.notify_one();
        })
    }

    /// Read-write, since keys are made in it too. The login is the process's, not the session's: a second one says so.
    fn open(&self) -> Result<Session> {
        let session = self.module.open_rw_session(self.slot)?;
        match session.login(UserType::User, Some(self.pin.secret())) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => Err(error),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a new session may help. Nothing about PINs is in it: each wrong one brings the token nearer to being locked.
fn was_away(error: &Error) -> bool {
    use RvError as E;
    matches!(
        error,
        Error::Pkcs11(
            E::SessionHandleInvalid
                | E::SessionClosed
                | E::UserNotLoggedIn
                | E::DeviceRemoved
                | E::DeviceError
                | E::TokenNotPresent
                | E::TokenNotRecognized
                | E::KeyHandleInvalid
                | E::ObjectHandleInvalid,
            _
        )
    )
}
