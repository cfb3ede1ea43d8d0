//! CPU time from /proc.

use std::collections::HashMap;
use std::fs;

/// CPU nanoseconds of each thread of a process and its descendants. From schedstat, which counts nanoseconds, not from stat,
/// which counts hundredths of a second.
pub struct Tree(HashMap<u32, u64>);

impl Tree {
    /// As of now.
    pub fn of(root: u32) -> Self {
        let parents: Vec<(u32, u32)> = numbers("/proc").filter_map(|id| Some((id, parent(id)?))).collect();
        let mut tree = vec![root];
        let mut next = 0;
        while let Some(id) = tree.get(next).copied() {
            tree.extend(parents.iter().filter(|(_, parent)| *parent == id).map(|(id, _)| *id));
            next += 1;
        }
        let mut threads = HashMap::new();
        for folder in tree.into_iter().map(|id| format!("/proc/{id}/task")) {
            let time = |thread: &u32| schedstat(&format!("{folder}/{thread}/schedstat"));
            threads.extend(numbers(&folder).filter_map(|thread| Some((thread, time(&thread)?))));
        }
        Self(threads)
    }

    /// Nanoseconds used since. A thread that has ended takes its count with it: one that idled, as those do that end, takes none.
    pub fn since(&self, earlier: &Self) -> u64 {
        self.0.iter().map(|(thread, nanos)| nanos - earlier.0.get(thread).copied().unwrap_or(0).min(*nanos)).sum()
    }
}

fn numbers(folder: &str) -> impl Iterator<Item = u32> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Of the calling thread.
pub fn own_nanos() -> u64 {
    schedstat("/proc/thread-self/schedstat").unwrap_or(0)
}

fn schedstat(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
}

fn parent(id: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The command's name may hold blanks and brackets: what follows its last bracket is counted.
    text[text.rfind(')')? + 1..].split_whitespace().nth(1)?.parse().ok()
}

/// Seconds that all processors of the machine have been busy, in hundredths.
pub fn machine_busy_seconds() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let times: Vec<u64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|time| time.parse().ok())
        .collect();
    // user, nice, system, irq, softirq; not idle, waiting for a disk, or stolen by the host.
    [0, 1, 2, 5, 6].iter().filter_map(|index| times.get(*index)).sum::<u64>() as f64 / 100.0
}

pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}
