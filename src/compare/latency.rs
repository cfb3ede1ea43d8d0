//! Durations in, percentiles out.

use std::time::Duration;

use serde::Serialize;

/// What a series of measurements says. Microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// How many were measured. The 99th percentile of fewer than a hundred is their maximum.
    pub count: usize,
    pub min_us: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
}

impl Latency {
    /// `None` when nothing was measured: a row of zeros would look like a result.
    pub fn of(durations: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut sorted: Vec<f64> = durations.into_iter().map(microseconds).collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            count: sorted.len(),
            min_us: *sorted.first()?,
            p50_us: percentile(&sorted, 0.5)?,
            p99_us: percentile(&sorted, 0.99)?,
            max_us: *sorted.last()?,
        })
    }
}

/// The nearest-rank percentile of sorted values: one that was measured, never one in between. `part` lies in 0..=1.
pub(super) fn percentile(sorted: &[f64], part: f64) -> Option<f64> {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// To a tenth: what is behind it is noise.
pub(super) fn microseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e7).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: impl IntoIterator<Item = u64>) -> Option<Latency> {
        Latency::of(micros.into_iter().map(Duration::from_micros))
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let latency = of((1..=100).rev()).unwrap();
        assert_eq!((latency.count, latency.min_us, latency.max_us), (100, 1.0, 100.0));
        assert_eq!((latency.p50_us, latency.p99_us), (50.0, 99.0));
        let latency = of([7, 3, 5]).unwrap();
        assert_eq!((latency.p50_us, latency.p99_us), (5.0, 7.0));
        let latency = of([4]).unwrap();
        assert_eq!((latency.min_us, latency.p50_us, latency.p99_us, latency.max_us), (4.0, 4.0, 4.0, 4.0));
    }

    #[test]
    fn nothing_measured_is_no_result() {
        assert_eq!(of([]), None);
    }

    #[test]
    fn a_percentile_never_leaves_the_series() {
        use proptest::prelude::*;
        proptest!(|(values in prop::collection::vec(0.0..1e6_f64, 1..200), part in 0.0..=1.0_f64)| {
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            let found = percentile(&sorted, part).unwrap();
            prop_assert!(sorted.contains(&found));
            let below = sorted.iter().filter(|value| **value <= found).count() as f64;
            prop_assert!(below >= part * sorted.len() as f64 - 1e-9);
        });
    }
}
