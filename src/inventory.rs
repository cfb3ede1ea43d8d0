//! What is known of the credentials that are out: when each was last used, which of them end soon, and who is told.

mod sightings;

pub use self::sightings::{Seen, Sightings};
