//! Kernels that tests do not have: another process's system calls, judged one by one by a test.
//!
//! A seccomp filter can refuse a system call by its number and plain arguments; what an older kernel refuses
//! often depends on what an argument points to (flags of a ring, kind of a BPF command). So the filter hands
//! such calls to a supervisor (seccomp_unotify(2)), which reads the memory of the caller and decides.

mod judge;
mod kernel;

use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

pub use judge::Judge;

/// A system call that waits for its verdict.
#[derive(Debug)]
pub struct Call {
    /// Its number: `SYS_…` of the libc crate.
    pub number: i64,
    /// Its arguments as they lie in registers.
    pub arguments: [u64; 6],
    /// The id of the thread that calls.
    pub thread: u32,
    memory: File,
}

/// The verdict on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The kernel does it.
    Allow,
    /// It fails with this error number, and nothing is done.
    Fail(i32),
    /// It gives this value, and nothing is done.
    Give(i64),
}

impl Call {
    fn new(seen: &kernel::Seen) -> io::Result<Self> {
        let memory = File::options().read(true).write(true).open(format!("/proc/{}/mem", seen.thread))?;
        Ok(Self { number: seen.number, arguments: seen.arguments, thread: seen.thread, memory })
    }

    /// The caller's memory at `address`.
    ///
    /// # Errors
    /// Nothing is mapped there.
    pub fn read<const N: usize>(&self, address: u64) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.memory.read_exact_at(&mut bytes, address)?;
        Ok(bytes)
    }

    /// A number in the caller's memory.
    ///
    /// # Errors
    /// Nothing is mapped there.
    pub fn read_u32(&self, address: u64) -> io::Result<u32> {
        self.read(address).map(u32::from_ne_bytes)
    }

    /// An address or a long number in the caller's memory.
    ///
    /// # Errors
    /// Nothing is mapped there.
    pub fn read_u64(&self, address: u64) -> io::Result<u64> {
        self.read(address).map(u64::from_ne_bytes)
    }

    /// Puts into the caller's memory what the kernel would.
    ///
    /// # Errors
    /// Nothing is mapped there.
    pub fn write(&self, address: u64, bytes: &[u8]) -> io::Result<()> {
        self.memory.write_all_at(bytes, address)
    }
}

/// Hands every later call of these numbers, by this thread and by what it becomes and starts, to the
/// [`Judge`] that listens at `judge`. Cannot be undone, so this is for a process that a test started.
///
/// # Errors
/// The kernel refuses the filter, which takes root, or nobody listens.
pub fn hand_over(calls: &[i64], judge: &Path) -> io::Result<()> {
    // Connected before the filter, which may be about just these calls.
    let channel = UnixStream::connect(judge)?;
    let listener = kernel::filter(calls)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    let listeners = [listener.as_fd()];
    if !beside.push(SendAncillaryMessage::ScmRights(&listeners)) {
        return Err(io::Error::other("no room for one descriptor"));
    }
    sendmsg(&channel, &[IoSlice::new(b"x")], &mut beside, SendFlags::NOSIGNAL)?;
    Ok(())
}
