//! Disjoint, sorted address ranges: what lists of CIDRs become before they are asked.

use std::net::IpAddr;

use ipnet::IpNet;

/// An inclusive range of addresses as numbers.
type Range<T> = (T, T);

/// The addresses of a network, one list for each family. IPv4 and IPv6 never meet: `::/0` is all of IPv6 and no IPv4.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    v4: Vec<Range<u32>>,
    v6: Vec<Range<u128>>,
}

impl Ranges {
    /// All of `cidrs` that is in none of `except`.
    pub(super) fn of(cidrs: &[IpNet], except: &[IpNet]) -> Self {
        let (v4, v6) = numbers(cidrs);
        let (v4_except, v6_except) = numbers(except);
        Self { v4: subtract(&merge(v4), &merge(v4_except)), v6: subtract(&merge(v6), &merge(v6_except)) }
    }

    /// Whether a canonical address is inside.
    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => is_inside(&self.v4, ip.to_bits()),
            IpAddr::V6(ip) => is_inside(&self.v6, ip.to_bits()),
        }
    }
}

fn is_inside<T: Ord + Copy>(ranges: &[Range<T>], number: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= number);
    after.checked_sub(1).and_then(|candidate| ranges.get(candidate)).is_some_and(|(_, last)| number <= *last)
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

/// Sorts, and joins ranges that overlap.
fn merge<T: Ord + Copy>(mut ranges: Vec<Range<T>>) -> Vec<Range<T>> {
    ranges.sort_unstable();
    let mut merged: Vec<Range<T>> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(open) if first <= open.1 => open.1 = open.1.max(last),
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
