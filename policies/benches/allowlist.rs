//! Looking an address up in long allowlists.
//!
//!     cargo bench -p portcullis-policies --bench allowlist [-- CIDRS]
//!
//! One network of 100 000 CIDRs of each family, asked for addresses that lie anywhere: nothing that the last look-up left in the
//! cache helps the next. Then the same for the policy document that declares it: how large it is, and how long it takes to read.

// Whatever fails here ends the measurement, which speaks to whoever started it.
#![allow(clippy::expect_used, clippy::print_stdout)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use policies::{Allowlist, Document, Network, Policy, parse_cidr};

const LOOKUPS: usize = 1 << 20;
/// The promise (nanoseconds).
const PROMISED_NANOS: f64 = 200.0;

fn main() {
    let cidrs = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(policies::MAX_CIDRS);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut worst: f64 = 0.0;
    for family in [Family::V4, Family::V6] {
        let texts: Vec<String> = (0..cidrs).map(|_| family.cidr(&mut random)).collect();
        let started = Instant::now();
        let parsed: Vec<_> = texts.iter().map(|text| parse_cidr(text).expect("a CIDR")).collect();
        let network = Network::new("long", parsed.clone(), Vec::new()).expect("a network");
        let built = started.elapsed();
        let list = Allowlist::of(vec![Arc::new(network)]);
        let inside: Vec<IpAddr> = (0..LOOKUPS).map(|_| family.within(&parsed, &mut random)).collect();
        let anywhere: Vec<IpAddr> = (0..LOOKUPS).map(|_| family.address(&mut random)).collect();
        for (what, addresses) in [("inside", &inside), ("anywhere", &anywhere)] {
            let started = Instant::now();
            let hits = addresses.iter().filter(|address| black_box(&list).contains(**address)).count();
            let nanos = started.elapsed().as_nanos() as f64 / LOOKUPS as f64;
            worst = worst.max(nanos);
            println!(
                "{family:?}, {cidrs} CIDRs, addresses {what}: {nanos:.0} ns a look-up, {hits} of {LOOKUPS} inside"
            );
        }
        let document = document(&texts);
        let bytes = document.len();
        let started = Instant::now();
        let policy = Policy::parse(&[Document::new("long.toml", document)]).expect("a policy");
        let read = started.elapsed();
        assert_eq!(policy.networks.len(), 1);
        println!("{family:?}, {cidrs} CIDRs: built in {built:.1?}; as a document {bytes} bytes, read in {read:.1?}");
    }
    println!(
        "slowest {worst:.0} ns; promised are {PROMISED_NANOS} ns: {}",
        if worst <= PROMISED_NANOS { "kept" } else { "BROKEN" }
    );
}

fn document(cidrs: &[String]) -> String {
    let mut text = "[[network]]\nname = \"long\"\ncidrs = [\n".to_owned();
    for cidr in cidrs {
        writeln!(text, "    \"{cidr}\",").expect("memory");
    }
    text + "]\n"
}

#[derive(Clone, Copy, Debug)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn cidr(self, random: &mut Random) -> String {
        match self {
            // Few are neighbours, so that hardly any are joined.
            Self::V4 => {
                let length = 22 + u32::try_from(random.next() % 11).expect("small");
                format!("{}/{length}", Ipv4Addr::from_bits(random.low() & (u32::MAX << (32 - length))))
            }
            Self::V6 => {
                let length = 40 + u32::try_from(random.next() % 25).expect("small");
                format!("{}/{length}", Ipv6Addr::from_bits(random.wide() & (u128::MAX << (128 - length))))
            }
        }
    }

    fn address(self, random: &mut Random) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::from_bits(random.low()).into(),
            Self::V6 => Ipv6Addr::from_bits(random.wide()).into(),
        }
    }

    fn within(self, cidrs: &[ipnet::IpNet], random: &mut Random) -> IpAddr {
        let index = usize::try_from(random.next()).expect("64 bits") % cidrs.len();
        match cidrs[index] {
            ipnet::IpNet::V4(net) => {
                Ipv4Addr::from_bits(net.network().to_bits() | (random.low() & net.hostmask().to_bits())).into()
            }
            ipnet::IpNet::V6(net) => {
                Ipv6Addr::from_bits(net.network().to_bits() | (random.wide() & net.hostmask().to_bits())).into()
            }
        }
    }
}

/// SplitMix64: quick, and the same addresses in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn low(&mut self) -> u32 {
        (self.next() >> 32) as u32
    }

    /// In 2000::/3, where addresses are given out.
    fn wide(&mut self) -> u128 {
        let number = (u128::from(self.next()) << 64) | u128::from(self.next());
        (number & (u128::MAX >> 3)) | (1 << 125)
    }
}
