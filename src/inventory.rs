//! What is known of the credentials that are out: when each was last used, which of them end soon, and who is told.

mod expiry;
mod sightings;
mod webhook;

pub use self::expiry::{ExpiryItem, ExpiryPart, ExpiryWatch, ListenerCertificate};
pub use self::sightings::{Seen, Sightings};
