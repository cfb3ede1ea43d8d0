use std::time::Duration;

/// Upper bounds of the latency histogram, inclusive, in microseconds; the last class has none.
const BOUNDS_MICROS: [u64; BUCKETS - 1] =
    [100, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];
/// Classes of the latency histogram.
pub const BUCKETS: usize = 13;

/// What was counted under one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub requests: u64,
    /// Bytes of bodies that were taken from the caller.
    pub request_bytes: u64,
    /// Bytes of bodies that the caller was given.
    pub response_bytes: u64,
    /// From the request's head to the answer's, all requests together.
    pub micros: u64,
    /// How many requests took how long, by class.
    pub latency: [u64; BUCKETS],
}

impl Counts {
    /// One request that took so long from its head to the answer's.
    pub fn request(took: Duration) -> Self {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mut latency = [0; BUCKETS];
        if let Some(class) = latency.get_mut(BOUNDS_MICROS.partition_point(|bound| *bound < micros)) {
            *class = 1;
        }
        Self { requests: 1, micros, latency, ..Self::default() }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.request_bytes = self.request_bytes.saturating_add(other.request_bytes);
        self.response_bytes = self.response_bytes.saturating_add(other.response_bytes);
        self.micros = self.micros.saturating_add(other.micros);
        for (sum, more) in self.latency.iter_mut().zip(other.latency) {
            *sum += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_lies_in_one_class() {
        for (micros, class) in
            [(0, 0), (100, 0), (101, 1), (1_000, 2), (5_000_000, 11), (5_000_001, 12), (u64::MAX, 12)]
        {
            let counts = Counts::request(Duration::from_micros(micros));
            assert_eq!(counts.latency.iter().position(|count| *count == 1), Some(class), "{micros}");
            assert_eq!(counts.latency.iter().sum::<u64>(), 1);
        }
    }
}
