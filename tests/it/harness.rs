//! Starts the whole server on free ports with its own data folder and a clock that the test turns.

mod external_issuer;
mod gateway;
mod hints;
mod journal;
mod partner;
mod partner_authority;
pub(crate) mod policy;
mod raw;
mod session;
mod upstream;

pub(crate) use external_issuer::{ExternalIssuer, SigningKey};
pub(crate) use gateway::{Gateway, GatewayOptions};
pub(crate) use hints::Hints;
pub(crate) use journal::logged;
pub(crate) use partner::{Method, Partner, borrowed, new_certificate};
pub(crate) use partner_authority::{Leaf, ListServer, PartnerAuthority};
pub(crate) use raw::RawConnection;
pub(crate) use session::{
    Answer, Http, Identity, Session, SessionOptions, blind_tls_config, connect_tls, tls_config, tls_config_trusting,
    tls12_config,
};
pub(crate) use upstream::Upstream;
