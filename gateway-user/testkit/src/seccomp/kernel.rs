//! The system calls behind the supervisor: seccomp(2) and its two ioctls.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND, SECCOMP_RET_ALLOW, SECCOMP_RET_USER_NOTIF,
    SECCOMP_SET_MODE_FILTER, SECCOMP_USER_NOTIF_FLAG_CONTINUE, c_int, c_uint, seccomp_notif,
    seccomp_notif_resp, sock_filter, sock_fprog,
};

use super::Verdict;

/// A call as the kernel reports it.
pub(super) struct Seen {
    /// The kernel's number for this one call.
    id: u64,
    pub(super) thread: u32,
    pub(super) number: i64,
    pub(super) arguments: [u64; 6],
}

/// Filters the calling thread: these calls wait for the reader of the returned descriptor, all others pass.
pub(super) fn filter(calls: &[i64]) -> io::Result<OwnedFd> {
    let number = |value: usize| u32::try_from(value).map_err(io::Error::other);
    let step = |code: c_uint, jt: u8, k: u32| -> io::Result<sock_filter> {
        Ok(sock_filter { code: u16::try_from(code).map_err(io::Error::other)?, jt, jf: 0, k })
    };
    // seccomp_data begins with the number of the call.
    let mut program = vec![step(BPF_LD | BPF_W | BPF_ABS, 0, 0)?];
    for (done, call) in calls.iter().enumerate() {
        // Over the comparisons that are left and the ALLOW after them.
        let jump = u8::try_from(calls.len() - done).map_err(io::Error::other)?;
        program.push(step(
            BPF_JMP | BPF_JEQ | BPF_K,
            jump,
            number(usize::try_from(*call).map_err(io::Error::other)?)?,
        )?);
    }
    program.push(step(BPF_RET | BPF_K, 0, SECCOMP_RET_ALLOW)?);
    program.push(step(BPF_RET | BPF_K, 0, SECCOMP_RET_USER_NOTIF)?);
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let whole = sock_fprog { len: length, filter: program.as_mut_ptr() };
    // SAFETY: `whole` points to `length` instructions that live until the call returns; the
    // kernel copies them.
    let listener = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SECCOMP_SET_MODE_FILTER,
            SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const whole,
        )
    };
    let listener = c_int::try_from(listener).map_err(io::Error::other)?;
    if listener < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: with NEW_LISTENER a value that is not negative is a new descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(listener) })
}

/// Takes the next call; `None` if its thread was killed meanwhile.
pub(super) fn receive(listener: BorrowedFd<'_>) -> io::Result<Option<Seen>> {
    // SAFETY: all its fields are integers, for which zero is a value; the kernel wants it zeroed.
    let mut seen: seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one `seccomp_notif`, to which the pointer is valid.
    let done = unsafe { libc::ioctl(listener.as_raw_fd(), SECCOMP_IOCTL_NOTIF_RECV, &raw mut seen) };
    if done == 0 {
        let seccomp_notif { id, pid: thread, data, .. } = seen;
        return Ok(Some(Seen { id, thread, number: data.nr.into(), arguments: data.args }));
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        error => Err(error),
    }
}

/// Gives a call its verdict. That its thread was killed meanwhile is no error.
pub(super) fn respond(listener: BorrowedFd<'_>, seen: &Seen, verdict: Verdict) -> io::Result<()> {
    let mut response = seccomp_notif_resp { id: seen.id, val: 0, error: 0, flags: 0 };
    match verdict {
        Verdict::Allow => {
            response.flags = u32::try_from(SECCOMP_USER_NOTIF_FLAG_CONTINUE).map_err(io::Error::other)?;
        }
        Verdict::Fail(errno) => response.error = -errno,
        Verdict::Give(value) => response.val = value,
    }
    // SAFETY: the kernel reads one `seccomp_notif_resp`, to which the pointer is valid.
    let done = unsafe { libc::ioctl(listener.as_raw_fd(), SECCOMP_IOCTL_NOTIF_SEND, &raw mut response) };
    match io::Error::last_os_error() {
        _ if done == 0 => Ok(()),
        error if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        error => Err(error),
    }
}
