//! Which buckets were in use, second by second, in a file that outlives the process.
//!
//! Buckets are saved each second. A process that is killed loses what it let through since, and whoever was served in that time would
//! get it a second time. To know who that can be, the second is noted in the cell of the bucket's group before the request is served:
//! once a second for each group, four bytes into the page cache, which a killed process leaves behind. After a crash the groups that were
//! in use since the last save count as spent; all others are exactly what was saved.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use super::buckets::Key;

/// Groups, by the first 16 bits of the second half of a bucket's name.
pub(super) const GROUPS: usize = 1 << 16;
const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// `PCACT` and the version of the format.
const MAGIC: [u8; 8] = *b"PCACT\0\0\x01";
const HEADER_BYTES: usize = 8 + 8 + 36;
/// Changes with every start of the machine, which loses what was not yet on disk (Linux).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The group of a bucket.
pub(super) fn group(key: Key) -> usize {
    (key.1 >> 48) as usize
}

/// The cells of a running process.
pub(super) struct Activity {
    file: File,
    /// The second after the one in which the group was last in use, by the process's clock; 0 is never.
    cells: Box<[AtomicU32]>,
}

impl Activity {
    /// A new file for `run`, in place of an older one.
    pub(super) fn create(path: &Path, run: i64) -> io::Result<Self> {
        let draft = path.with_extension("draft");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        let mut bytes = vec![0; HEADER_BYTES + GROUPS * 4];
        bytes[..HEADER_BYTES].copy_from_slice(&header(run, &boot_id()));
        // Written whole, so that no later write needs room on the disk.
        file.write_all_at(&bytes, 0)?;
        std::fs::rename(&draft, path)?;
        Ok(Self { file, cells: (0..GROUPS).map(|_| AtomicU32::new(0)).collect() })
    }

    /// Notes that the bucket is in use now. Must come after the request was counted, and before it is served.
    pub(super) fn note(&self, key: Key, now_nanos: u64) -> io::Result<()> {
        let group = group(key);
        let Some(cell) = self.cells.get(group) else { return Ok(()) };
        let second = u32::try_from(now_nanos / NANOS_PER_SECOND + 1).unwrap_or(u32::MAX);
        if cell.load(Ordering::Acquire) >= second {
            return Ok(());
        }
        // First the file: whoever finds the cell set relies on it.
        self.file.write_all_at(&second.to_le_bytes(), (HEADER_BYTES + group * 4) as u64)?;
        cell.fetch_max(second, Ordering::Release);
        Ok(())
    }
}

/// What a process left behind: for each group, up to when it may have been in use, in nanoseconds of that process's clock.
///
/// `None` if the file is not of `run`, or of another life of the machine: then nothing is known.
pub(super) fn read(path: &Path, run: i64) -> Option<Vec<Option<u64>>> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + GROUPS * 4 + 1);
    let file = File::open(path).ok()?;
    file.take((HEADER_BYTES + GROUPS * 4 + 1) as u64).read_to_end(&mut bytes).ok()?;
    let boot_id = boot_id();
    if bytes.len() != HEADER_BYTES + GROUPS * 4 || boot_id == UNKNOWN_BOOT {
        return None;
    }
    let (head, cells) = bytes.split_at(HEADER_BYTES);
    if head != header(run, &boot_id) {
        return None;
    }
    let cell = |bytes: &[u8]| {
        let second = <[u8; 4]>::try_from(bytes).map_or(u32::MAX, u32::from_le_bytes);
        (second > 0).then(|| u64::from(second) * NANOS_PER_SECOND)
    };
    Some(cells.chunks_exact(4).map(cell).collect())
}

const UNKNOWN_BOOT: [u8; 36] = [0; 36];

fn boot_id() -> [u8; 36] {
    let text = std::fs::read(BOOT_ID).unwrap_or_default();
    text.get(..36).and_then(|id| id.try_into().ok()).unwrap_or(UNKNOWN_BOOT)
}

fn header(run: i64, boot_id: &[u8; 36]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..16].copy_from_slice(&run.to_le_bytes());
    header[16..].copy_from_slice(boot_id);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_process_reads_when_each_group_was_last_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("throttle-activity");
        let activity = Activity::create(&path, 7).unwrap();
        let (one, other) = (Key(1, 5 << 48), Key(1, (5 << 48) + 9));
        activity.note(one, 1_500_000_000).unwrap();
        activity.note(other, 700_000_000).unwrap();
        activity.note(Key(2, u64::MAX), 0).unwrap();
        let left = read(&path, 7).unwrap();
        assert_eq!(left[5], Some(2_000_000_000), "the later of the two, to the end of its second");
        assert_eq!(left[GROUPS - 1], Some(1_000_000_000));
        assert_eq!(left.iter().flatten().count(), 2);
        assert_eq!(read(&path, 8), None, "another run's");
        std::fs::write(&path, b"PCACT").unwrap();
        assert_eq!(read(&path, 7), None);
    }
}
