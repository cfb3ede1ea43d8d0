//! Disjoint, sorted address ranges: what lists of CIDRs become before they are asked.

use std::net::IpAddr;

use ipnet::IpNet;

/// An inclusive range of addresses as numbers.
type Range<T> = (T, T);

/// The addresses of a network, one list for each family. IPv4 and IPv6 never meet: `::/0` is all of IPv6 and no IPv4.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    v4: Sorted<u32>,
    v6: Sorted<u128>,
}

impl Ranges {
    /// All of `cidrs` that is in none of `except`.
    pub(super) fn of(cidrs: &[IpNet], except: &[IpNet]) -> Self {
        let (v4, v6) = numbers(cidrs);
        let (v4_except, mut v6_except) = numbers(except);
        v6_except.extend(v4_except.iter().flat_map(|hole| translated(*hole)));
        Self {
            v4: Sorted::of(&subtract(&merge(v4), &merge(v4_except))),
            v6: Sorted::of(&subtract(&merge(v6), &merge(v6_except))),
        }
    }

    /// Whether a canonical address is inside.
    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.v4.contains(ip.to_bits()),
            IpAddr::V6(ip) => self.v6.contains(ip.to_bits()),
        }
    }

    /// Whether no address is inside.
    pub(super) fn is_empty(&self) -> bool {
        self.v4.lasts.is_empty() && self.v6.lasts.is_empty()
    }

    /// Whether an address is inside both.
    pub(super) fn intersects(&self, other: &Self) -> bool {
        self.v4.intersects(&other.v4) || self.v6.intersects(&other.v6)
    }

    /// Whether all of a family is inside.
    pub(super) fn hold_a_family(&self) -> bool {
        self.v4.is_exactly(u32::MIN, u32::MAX) || self.v6.is_exactly(u128::MIN, u128::MAX)
    }
}

/// Ranges for looking up. Above the beginnings stand levels of every 16th, every 256th and so on; of each level one block of 16 is
/// read, all of it and without asking in between, so that the processor fetches its lines at once. Of 100 000 ranges only the last
/// block and the one end are not in the cache already, where a binary search waits for memory at most of its 17 steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sorted<T> {
    /// From the shortest to `firsts`.
    levels: Box<[Box<[T]>]>,
    lasts: Box<[T]>,
}

const BLOCK: usize = 16;

impl<T: Ord + Copy> Sorted<T> {
    fn of(ranges: &[Range<T>]) -> Self {
        let mut levels: Vec<Box<[T]>> = vec![ranges.iter().map(|(first, _)| *first).collect()];
        while let Some(level) = levels.last().filter(|level| level.len() > BLOCK) {
            levels.push(level.iter().step_by(BLOCK).copied().collect());
        }
        levels.reverse();
        Self { levels: levels.into(), lasts: ranges.iter().map(|(_, last)| *last).collect() }
    }

    /// The beginnings of all ranges.
    fn firsts(&self) -> &[T] {
        self.levels.last().map_or(&[], |firsts| firsts)
    }

    fn contains(&self, number: T) -> bool {
        // The last range that begins at or before the number is the only one that can hold it.
        let mut found = 0;
        for level in &self.levels {
            let start = found * BLOCK;
            let block = level.get(start..level.len().min(start + BLOCK)).unwrap_or_default();
            let before = block.iter().filter(|first| **first <= number).count();
            let Some(last) = (start + before).checked_sub(1) else { return false };
            found = last;
        }
        self.lasts.get(found).is_some_and(|last| number <= *last)
    }

    fn intersects(&self, other: &Self) -> bool {
        // Of two ranges that meet, one begins inside the other.
        self.firsts().iter().any(|first| other.contains(*first))
            || other.firsts().iter().any(|first| self.contains(*first))
    }

    fn is_exactly(&self, first: T, last: T) -> bool {
        *self.firsts() == [first] && *self.lasts == [last]
    }
}

/// The same IPv4 hosts as a translator or a tunnel shows them: NAT64 with the well-known prefix (RFC 6052 §2.1, `64:ff9b::/96`) and
/// 6to4 (RFC 3056 §2, `2002::/16`). Whoever is an exception is one in these spellings too, or he would walk around it where the
/// network holds all of IPv6. Whoever is *let in* is not let in by them: they are translators' addresses, and anybody may use one.
fn translated((first, last): Range<u32>) -> [Range<u128>; 2] {
    const NAT64: u128 = 0x0064_ff9b << 96;
    const SIX_TO_FOUR: u128 = 0x2002 << 112;
    const SIX_TO_FOUR_HOST_BITS: u32 = 80;
    let (first, last) = (u128::from(first), u128::from(last));
    let below = (1 << SIX_TO_FOUR_HOST_BITS) - 1;
    [
        (NAT64 | first, NAT64 | last),
        (SIX_TO_FOUR | (first << SIX_TO_FOUR_HOST_BITS), SIX_TO_FOUR | (last << SIX_TO_FOUR_HOST_BITS) | below),
    ]
}

fn numbers(cidrs: &[IpNet]) -> (Vec<Range<u32>>, Vec<Range<u128>>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for cidr in cidrs {
        match cidr {
            IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits())),
            IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits())),
        }
    }
    (v4, v6)
}

/// Sorts, and joins ranges that overlap or touch.
fn merge<T: Neighbours>(mut ranges: Vec<Range<T>>) -> Vec<Range<T>> {
    ranges.sort_unstable();
    let mut merged: Vec<Range<T>> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(open) if first <= open.1 || open.1.after() == Some(first) => open.1 = open.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// `ranges` without `holes`; both sorted and disjoint.
fn subtract<T: Neighbours>(ranges: &[Range<T>], holes: &[Range<T>]) -> Vec<Range<T>> {
    let mut rest = Vec::with_capacity(ranges.len());
    let mut holes = holes.iter().peekable();
    for (first, last) in ranges.iter().copied() {
        let mut start = Some(first);
        while let Some(&&(hole_first, hole_last)) = holes.peek() {
            let Some(from) = start else { break };
            if hole_first > last {
                break;
            }
            if let Some(before) = hole_first.before()
                && hole_last >= from
                && before >= from
            {
                rest.push((from, before));
            }
            if hole_last >= from {
                start = hole_last.after();
            }
            if hole_last > last {
                break; // the same hole may reach into the next range
            }
            holes.next();
        }
        if let Some(from) = start
            && from <= last
        {
            rest.push((from, last));
        }
    }
    rest
}

/// The numbers next to a number, without wrapping round.
trait Neighbours: Ord + Copy {
    fn before(self) -> Option<Self>;
    fn after(self) -> Option<Self>;
}

impl Neighbours for u32 {
    fn before(self) -> Option<Self> {
        self.checked_sub(1)
    }
    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Neighbours for u128 {
    fn before(self) -> Option<Self> {
        self.checked_sub(1)
    }
    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }
}
