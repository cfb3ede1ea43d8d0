//! Starts the whole server on free ports with its own data folder and a clock that the test turns.

mod gateway;
mod partner;
mod session;
mod upstream;

pub(crate) use gateway::{Gateway, GatewayOptions};
pub(crate) use partner::{Method, Partner, borrowed};
pub(crate) use session::{Answer, Http, Identity, Session, SessionOptions, connect_tls};
pub(crate) use upstream::{Seen, Upstream};
