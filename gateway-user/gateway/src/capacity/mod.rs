//! Bounds of a worker, derived from the process's: descriptors and memory.

mod cgroup;

use std::path::Path;

pub(crate) use cgroup::MemoryLimit;

use gateway_io::PIPES_MAX;

use crate::flags::{Auto, Settings, bytes_text};
use crate::wire::RESERVED_DESCRIPTORS;

/// Memory in bytes that is reckoned for a client connection: 2.3 KB when it is quiet (decision 036), 5.2 KB
/// more with TLS (150), the state of a request (7 KiB) while one is under way, and the kernel's two sockets.
/// Buffers have a share of their own.
pub(crate) const CONNECTION_BYTES: u64 = 16 * 1024;

/// Connections get one part of the memory and buffers another; two are left for tables, TLS handshakes, the
/// kernel's socket buffers and what requests under way may still take.
const PARTS: u64 = 4;

/// The least automatic bounds, of connections and of bytes in buffers: a gateway for fewer would be no
/// gateway.
const LEAST_CONNECTIONS: usize = 16;
const LEAST_BUFFERS: usize = 4 << 20;

/// Bounds of the process.
#[derive(Clone, Debug)]
pub(crate) struct Capacity {
    /// Its limit of open files.
    pub(crate) open_files: u64,
    pub(crate) memory: MemoryLimit,
}

/// Bounds of each worker, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Client connections.
    pub(crate) connections: usize,
    /// Bytes of lent buffers.
    pub(crate) buffers: usize,
    /// For the line at the start.
    pub(crate) text: String,
}

impl Capacity {
    /// Of this process, with that limit of open files.
    pub(crate) fn of_process(open_files: u64) -> Self {
        Self { open_files, memory: MemoryLimit::read(Path::new("/")) }
    }

    /// The bounds of each of so many workers.
    pub(crate) fn bounds(&self, settings: &Settings, workers: usize) -> Bounds {
        let (by_files, by_memory) = (by_descriptors(self.open_files, workers), self.by_memory(workers));
        let (connections, why) = match settings.max_connections {
            Auto::Set(count) => (count.size(), "--max-connections".to_owned()),
            Auto::Auto if by_memory < by_files => {
                let each = bytes_text(CONNECTION_BYTES);
                let why = format!("{each} each of a quarter of {}; open files allow {by_files}", self.memory);
                (by_memory, why)
            }
            Auto::Auto => {
                (by_files, format!("half of {} open files; memory allows {by_memory}", self.open_files))
            }
        };
        let (buffers, from) = match settings.buffer_memory {
            Auto::Set(size) => (size.bytes(), "--buffer-memory".to_owned()),
            Auto::Auto => (self.buffers(workers), format!("a quarter of {}", self.memory)),
        };
        let size = bytes_text(buffers as u64 >> 10 << 10);
        let text = format!("{connections} connections ({why}) and {size} of buffers ({from})");
        Bounds { connections, buffers, text }
    }

    /// Flows of datagrams that a process which starts, and has no connection yet, takes from the one before: for a third of its
    /// descriptors, and no more than its workers may have.
    pub(crate) fn flows_at_once(&self, most: usize, workers: usize) -> usize {
        let third = self.open_files.saturating_sub(RESERVED_DESCRIPTORS) / 3;
        usize::try_from(third).unwrap_or(usize::MAX).min(most.saturating_mul(workers))
    }

    fn by_memory(&self, workers: usize) -> usize {
        let all = self.memory.bytes / PARTS / CONNECTION_BYTES;
        share(all, workers).clamp(LEAST_CONNECTIONS, 1_000_000)
    }

    fn buffers(&self, workers: usize) -> usize {
        share(self.memory.bytes / PARTS, workers).max(LEAST_BUFFERS)
    }
}

/// Each connection may need a second descriptor towards a backend; [`RESERVED_DESCRIPTORS`] are left to the
/// rest, and two for each pipe of a worker where there are many.
fn by_descriptors(open_files: u64, workers: usize) -> usize {
    let pipes = (2 * PIPES_MAX as u64 * workers as u64).min(open_files / 64);
    let left = open_files.saturating_sub(RESERVED_DESCRIPTORS + pipes);
    share(left / 2, workers).clamp(LEAST_CONNECTIONS, 1_000_000)
}

fn share(all: u64, workers: usize) -> usize {
    usize::try_from(all).unwrap_or(usize::MAX) / workers.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::tests::settings;

    fn bounds(flags: &[(&str, &str)], workers: usize, open_files: u64, memory: u64) -> Bounds {
        let settings = settings(flags);
        let memory = MemoryLimit { bytes: memory, cgroup: Some("/sys/fs/cgroup/box".into()) };
        Capacity { open_files, memory }.bounds(&settings, workers)
    }

    #[test]
    fn connections_fit_open_files_and_memory_whichever_is_less() {
        let most = |flags: &[(&str, &str)], workers, files, memory| {
            bounds(flags, workers, files, memory).connections
        };
        assert_eq!(most(&[], 2, 20_320, 1 << 40), 5_000);
        assert_eq!(most(&[], 2, u64::MAX, u64::MAX), 1_000_000);
        assert_eq!(most(&[], 2, 1 << 20, 256 << 20), 2_048, "64 MiB of 16 KiB, for two");
        assert_eq!(most(&[], 2, 20_256, 1), 16);
        assert_eq!(most(&[("max-connections", "7")], 2, 20_256, 1), 7, "who asks gets it");
    }

    #[test]
    fn flows_of_the_process_before_take_a_third_of_what_is_free() {
        let taken = |open_files, most, workers| {
            let memory = MemoryLimit { bytes: 1 << 30, cgroup: None };
            Capacity { open_files, memory }.flows_at_once(most, workers)
        };
        assert_eq!(taken(1_024, 10_000, 2), 256);
        assert_eq!(taken(1 << 20, 100, 2), 200);
        assert_eq!(taken(100, 100, 2), 0);
    }

    #[test]
    fn the_line_at_the_start_says_what_bound_it() {
        let text = |flags: &[(&str, &str)], memory| bounds(flags, 2, 1 << 20, memory).text;
        assert_eq!(
            text(&[], 256 << 20),
            "2048 connections (16KiB each of a quarter of 256MiB of cgroup /sys/fs/cgroup/box; open files allow 262064) \
             and 32MiB of buffers (a quarter of 256MiB of cgroup /sys/fs/cgroup/box)"
        );
        assert!(
            text(&[], 1 << 40).starts_with("262064 connections (half of 1048576 open files; memory allows ")
        );
        let set = text(&[("max-connections", "9"), ("buffer-memory", "8MiB")], 1 << 40);
        assert_eq!(set, "9 connections (--max-connections) and 8MiB of buffers (--buffer-memory)");
    }
}
