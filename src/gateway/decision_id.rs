use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Builder;

use crate::failure::Fault;

/// Makes decision ids: UUIDv7 (RFC 9562 §5.7), ordered by time, unique by a counter under a random start. They are names,
/// not secrets, so a counter serves and costs nothing.
pub struct DecisionIds {
    node: [u8; 4],
    next: AtomicU64,
}

impl DecisionIds {
    pub fn new() -> Result<Self, Fault> {
        let mut random = [0_u8; 12];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| Fault::new("no randomness"))?;
        let [a, b, c, d, rest @ ..] = random;
        Ok(Self { node: [a, b, c, d], next: AtomicU64::new(u64::from_be_bytes(rest) >> 17) })
    }

    /// `now` in milliseconds since the Unix epoch.
    pub fn next(&self, now_millis: i64) -> String {
        let count = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut tail = [0_u8; 10];
        // The counter comes first, so that ids of one millisecond still sort by age.
        tail[..6].copy_from_slice(&count[2..]);
        tail[6..].copy_from_slice(&self.node);
        Builder::from_unix_timestamp_millis(u64::try_from(now_millis).unwrap_or(0), &tail).into_uuid().to_string()
    }
}
