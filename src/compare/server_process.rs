//! The CPU time of a server on this machine, from /proc: what a call costs the other side.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// A process that listens on an address of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServerProcess {
    id: u32,
}

impl ServerProcess {
    /// `None` when it cannot be told: no /proc, another user's process, or this very process.
    pub(super) fn listening_on(address: SocketAddr) -> Option<Self> {
        let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
            .into_iter()
            .filter_map(|table| fs::read_to_string(table).ok())
            .find_map(|table| table.lines().find_map(|line| listening_inode(line, address)))?;
        let socket = format!("socket:[{inode}]");
        let processes = fs::read_dir("/proc").ok()?;
        let id = processes
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
            .find(|id| holds(*id, &socket))?;
        (id != std::process::id()).then_some(Self { id })
    }

    /// What each of its threads has used so far.
    pub(super) fn cpu(self) -> Option<ThreadTimes> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.id)).ok()?.flatten();
        // In nanoseconds, not in the hundredths of a second of `stat`.
        let times = threads.filter_map(|thread| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            Some((thread.file_name().to_str()?.parse().ok()?, text.split_whitespace().next()?.parse().ok()?))
        });
        Some(ThreadTimes(times.collect())).filter(|times| !times.0.is_empty())
    }
}

/// CPU nanoseconds by thread.
pub(super) struct ThreadTimes(HashMap<u32, u64>);

impl ThreadTimes {
    /// A thread that has ended takes its count with it: those end that had nothing to do.
    pub(super) fn since(&self, earlier: &Self) -> Duration {
        let used = |(thread, nanos): (&u32, &u64)| nanos.saturating_sub(earlier.0.get(thread).copied().unwrap_or(0));
        Duration::from_nanos(self.0.iter().map(used).sum())
    }
}

fn holds(id: u32, socket: &str) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{id}/fd")) else { return false };
    descriptors.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == Path::new(socket)))
}

/// The inode of a line of /proc/net/tcp, if that socket listens on the address or on all of them.
fn listening_inode(line: &str, address: SocketAddr) -> Option<u64> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace();
    let (host, port) = fields.nth(1)?.split_once(':')?;
    let state = fields.nth(1)?;
    let is_wildcard = host.bytes().all(|digit| digit == b'0');
    let fits = u16::from_str_radix(port, 16).ok()? == address.port()
        && (is_wildcard || host.eq_ignore_ascii_case(&written(address.ip())));
    let inode = fields.nth(5)?;
    (state == LISTEN && fits).then(|| inode.parse().ok()).flatten()
}

/// As the kernel writes addresses there: 32-bit words in the machine's own byte order.
fn written(ip: IpAddr) -> String {
    let word = |octets: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(octets));
    match ip {
        IpAddr::V4(ip) => word(ip.octets()),
        IpAddr::V6(ip) => ip.octets().chunks_exact(4).map(|part| word([part[0], part[1], part[2], part[3]])).collect(),
    }
}

/// The machine's load average over the last minute.
pub(super) fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let line = "   0: 0100007F:20FB 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 48219 1 0 100 0";
        let on = |text: &str| listening_inode(line, text.parse().unwrap());
        if cfg!(target_endian = "little") {
            assert_eq!(on("127.0.0.1:8443"), Some(48219));
            assert_eq!(on("127.0.0.1:8444"), None);
            assert_eq!(on("127.0.0.2:8443"), None);
        }
        let connected = line.replace(" 0A ", " 01 ");
        assert_eq!(listening_inode(&connected, "127.0.0.1:8443".parse().unwrap()), None);
        let wildcard = line.replace("0100007F:20FB", "00000000000000000000000000000000:20FB");
        assert_eq!(listening_inode(&wildcard, "[::1]:8443".parse().unwrap()), Some(48219));
    }

    #[test]
    fn this_process_does_not_measure_itself_as_the_server() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(ServerProcess::listening_on(socket.local_addr().unwrap()), None);
        if Path::new("/proc/self/schedstat").exists() {
            assert!(ServerProcess { id: std::process::id() }.cpu().is_some());
        }
    }

    #[test]
    fn threads_come_and_go() {
        let earlier = ThreadTimes([(1, 500), (2, 90_000)].into());
        let later = ThreadTimes([(1, 1_500), (3, 200)].into());
        assert_eq!(later.since(&earlier), Duration::from_nanos(1_200));
    }
}
