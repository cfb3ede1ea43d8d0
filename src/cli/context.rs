//! What every command is given.

use serde_json::{Map, Value};

use super::admin_api::AdminApi;
use super::connection::Connection;
use super::error::CliError;
use super::global::Global;
use super::output::Output;
use crate::clock::Clock;

/// Options, output and the time.
pub(super) struct Context {
    pub(super) global: Global,
    pub(super) output: Output,
    pub(super) clock: Clock,
}

impl Context {
    /// A client of the server that the options or the data folder name.
    pub(super) fn api(&self) -> Result<AdminApi, CliError> {
        AdminApi::new(Connection::find(&self.global)?)
    }

    /// Seconds since 1970.
    pub(super) fn now(&self) -> i64 {
        self.clock.now().0
    }
}

/// How a command ended that ran to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// What was judged is not good: a chain, a policy, a token's signature.
    Refused,
    /// A token whose signature is good, but not what it says.
    ClaimsRefused,
}

impl Outcome {
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::ClaimsRefused => 3,
        }
    }
}

/// A request's body: the members that have a value.
pub(super) fn body<const N: usize>(members: [(&str, Value); N]) -> Value {
    let given = members.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(given.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

/// `null` for an empty list: on the command line "no --scope" means "not narrowed", never "narrowed to nothing".
pub(super) fn given(list: &[String]) -> Value {
    if list.is_empty() { Value::Null } else { list.into() }
}
