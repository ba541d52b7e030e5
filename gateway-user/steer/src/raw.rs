//! Commands of bpf(2) that aya does not offer: links as plain descriptors, and maps that can only be read.

// bpf(2) takes a union of the kernel's by address; setsockopt(2) takes a program by address.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use libc::{c_int, c_long};

// enum bpf_cmd in include/uapi/linux/bpf.h.
const BPF_OBJ_PIN: c_int = 6;
const BPF_OBJ_GET: c_int = 7;
const BPF_OBJ_GET_INFO_BY_FD: c_int = 15;
const BPF_LINK_CREATE: c_int = 28;
const BPF_LINK_DETACH: c_int = 34;
/// `BPF_SK_LOOKUP` of enum bpf_attach_type.
const BPF_SK_LOOKUP: u32 = 36;
/// `BPF_LINK_TYPE_NETNS` of enum bpf_link_type.
const BPF_LINK_TYPE_NETNS: u32 = 5;
/// `BPF_F_RDONLY`.
const READ_ONLY: u32 = 1 << 3;

/// The kernel's union in the form of the command that is made.
#[repr(C, align(8))]
#[derive(Clone, Copy, Default)]
struct Words([u64; 4]);

/// Two numbers as they lie in memory one after the other.
fn pair(first: u32, second: u32) -> u64 {
    let mut bytes = [0; 8];
    let (low, high) = bytes.split_at_mut(4);
    low.copy_from_slice(&first.to_ne_bytes());
    high.copy_from_slice(&second.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

fn number(descriptor: &impl AsFd) -> u32 {
    u32::try_from(descriptor.as_fd().as_raw_fd()).unwrap_or(u32::MAX)
}

fn bpf(command: c_int, words: &mut Words) -> io::Result<c_long> {
    // SAFETY: the union is zero beyond what the command reads, and every address in it points to memory that
    // lives as long as the call.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, words as *mut Words, size_of::<Words>()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done) }
}

fn owned(descriptor: c_long) -> io::Result<OwnedFd> {
    let descriptor = c_int::try_from(descriptor).map_err(|_| io::Error::other("no descriptor"))?;
    // SAFETY: the kernel has just made it for this call, so that nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Attaches an `sk_lookup` program to a network namespace; it stays as long as somebody has the link.
pub(crate) fn attach(program: &impl AsFd, netns: &impl AsFd) -> io::Result<OwnedFd> {
    let target = pair(number(program), number(netns));
    owned(bpf(BPF_LINK_CREATE, &mut Words([target, pair(BPF_SK_LOOKUP, 0), 0, 0]))?)
}

/// Detaches a link whoever has it.
pub(crate) fn detach(link: &impl AsFd) -> io::Result<()> {
    bpf(BPF_LINK_DETACH, &mut Words([pair(number(link), 0), 0, 0, 0])).map(drop)
}

/// True if nobody has detached the link of a network namespace.
pub(crate) fn is_attached(link: &impl AsFd) -> io::Result<bool> {
    let [_, _, _, _, inode, _] = link_info(link)?;
    // It is 0 after a detach.
    Ok(inode != 0)
}

/// True if the descriptor is the link of an `sk_lookup` program that is attached.
pub(crate) fn is_lookup(link: &impl AsFd) -> io::Result<bool> {
    let [kind, _, _, _, inode, attach_type] = link_info(link)?;
    Ok(kind == BPF_LINK_TYPE_NETNS && attach_type == BPF_SK_LOOKUP && inode != 0)
}

/// The beginning of struct bpf_link_info: type, id, program and, behind a hole, for the link of a network namespace the
/// namespace's inode and the type of attachment.
fn link_info(link: &impl AsFd) -> io::Result<[u32; 6]> {
    let mut info = [0_u32; 32];
    let length = u32::try_from(size_of_val(&info)).unwrap_or(u32::MAX);
    let mut words = Words([pair(number(link), length), info.as_mut_ptr() as u64, 0, 0]);
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut words)?;
    Ok([info[0], info[1], info[2], info[3], info[4], info[5]])
}

/// Gives an object a name on bpffs.
pub(crate) fn pin(object: &impl AsFd, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    bpf(BPF_OBJ_PIN, &mut Words([path.as_ptr() as u64, pair(number(object), 0), 0, 0])).map(drop)
}

/// A descriptor of a pinned map by which it can be read and not written. The kernel gives one by a map's
/// number too (`BPF_MAP_GET_FD_BY_ID`), but only with CAP_SYS_ADMIN.
pub(crate) fn open_to_read(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    owned(bpf(BPF_OBJ_GET, &mut Words([path.as_ptr() as u64, pair(0, READ_ONLY), 0, 0]))?)
}

/// Makes an `sk_reuseport` program what chooses within the socket's group.
pub(crate) fn choose_by(program: &impl AsFd, socket: &impl AsFd) -> io::Result<()> {
    let program = program.as_fd().as_raw_fd();
    let length = libc::socklen_t::try_from(size_of_val(&program)).map_err(io::Error::other)?;
    // SAFETY: the value is an int that lives as long as the call, of the length that is given.
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_EBPF,
            (&raw const program).cast(),
            length,
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
