//! Rings that can do what a worker does and no more (`IORING_REGISTER_RESTRICTIONS`, Linux 5.10).
//!
//! A filter of system calls does not see what a ring is told to do, and a ring can open files. Restrictions
//! are given to a ring that is built disabled, before anything is submitted, and stay for its life. The
//! runtime below keeps its ring to itself, so it is found among the descriptors of the process: it is the one
//! that is disabled.

use std::fs;
use std::io;
use std::sync::{Mutex, PoisonError};

use iou6::{Builder, opcode};
use libc::{c_long, c_uint};

use crate::driver::Driver;

/// Every operation of a worker. None of them opens, makes or removes a file; `Connect` is left, since a
/// proxy connects.
const OPERATIONS: [u8; 16] = [
    opcode::Accept::CODE,
    opcode::AsyncCancel::CODE,
    opcode::Close::CODE,
    opcode::Connect::CODE,
    opcode::Nop::CODE,
    opcode::PollAdd::CODE,
    opcode::PollRemove::CODE,
    opcode::Read::CODE,
    opcode::Readv::CODE,
    opcode::Recv::CODE,
    opcode::RecvMsg::CODE,
    opcode::Send::CODE,
    opcode::SendMsg::CODE,
    opcode::Timeout::CODE,
    opcode::Write::CODE,
    opcode::Writev::CODE,
];

/// Has `build` make a ring of this driver's kind, restricted if that is wanted and the kernel can.
///
/// # Errors
/// Those of `build`.
pub(crate) fn build<R>(
    driver: Driver,
    restricted: bool,
    build: impl Fn(Builder) -> io::Result<R>,
) -> io::Result<R> {
    /// Two disabled rings could not be told apart.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    if restricted && matches!(driver, Driver::UringDefer | Driver::UringCoop) {
        let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mut builder = driver.ring_builder();
        builder.setup_r_disabled();
        if let Ok(ring) = build(builder)
            && restrict_and_enable().is_ok()
        {
            return Ok(ring);
        }
    }
    build(driver.ring_builder())
}

/// Finds the disabled ring, and has it do [`OPERATIONS`] alone from now on.
fn restrict_and_enable() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")?.flatten() {
        let is_ring =
            fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == "anon_inode:[io_uring]");
        let number = entry.file_name().to_str().and_then(|name| name.parse::<c_uint>().ok());
        let Some(ring) = number.filter(|_| is_ring) else { continue };
        // `EBADFD` of one that is not disabled.
        if register_restrictions(ring).is_ok() {
            return enable(ring);
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// `struct io_uring_restriction` (linux/io_uring.h).
#[repr(C)]
#[derive(Clone, Copy)]
struct Restriction {
    opcode: u16,
    operation: u8,
    reserved: u8,
    more_reserved: [u32; 3],
}

/// `IORING_RESTRICTION_SQE_OP`: this operation may be submitted.
const SQE_OP: u16 = 1;
/// Operations of io_uring_register(2).
const REGISTER_RESTRICTIONS: c_uint = 11;
const ENABLE_RINGS: c_uint = 12;

fn register_restrictions(ring: c_uint) -> io::Result<()> {
    let of = |operation| Restriction { opcode: SQE_OP, operation, reserved: 0, more_reserved: [0; 3] };
    let all = OPERATIONS.map(of);
    // SAFETY: the kernel reads as many restrictions as it is told, all of which live until the call returns.
    let done = unsafe {
        libc::syscall(
            libc::SYS_io_uring_register,
            ring,
            REGISTER_RESTRICTIONS,
            all.as_ptr(),
            all.len() as c_uint,
        )
    };
    result(done)
}

fn enable(ring: c_uint) -> io::Result<()> {
    // SAFETY: no pointer is passed.
    let done = unsafe {
        libc::syscall(
            libc::SYS_io_uring_register,
            ring,
            ENABLE_RINGS,
            std::ptr::null::<Restriction>(),
            0 as c_uint,
        )
    };
    result(done)
}

fn result(done: c_long) -> io::Result<()> {
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use iou6::{IoUring, squeue, types};

    use super::*;

    fn result_of(ring: &mut IoUring, entry: &squeue::Entry) -> i32 {
        // SAFETY: the entry's path is static.
        unsafe { ring.submission().push(entry) }.unwrap();
        ring.submit_and_wait(1).unwrap();
        ring.completion().next().unwrap().result()
    }

    #[test]
    fn a_restricted_ring_opens_no_file_and_does_what_a_worker_does() {
        let run = || {
            let root = c"/";
            let open =
                opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), root.as_ptr()).flags(libc::O_RDONLY).build();
            let nop = opcode::Nop::new().build();
            for driver in [Driver::UringDefer, Driver::UringCoop] {
                let mut free = build(driver, false, |builder| builder.build(8)).unwrap();
                assert!(result_of(&mut free, &open) >= 0, "{driver}: a ring that is not restricted opens");
                let mut ring = build(driver, true, |builder| builder.build(8)).unwrap();
                assert_eq!(result_of(&mut ring, &open), -libc::EACCES, "{driver}");
                assert_eq!(result_of(&mut ring, &nop), 0, "{driver}");
            }
        };
        thread::spawn(run).join().unwrap();
    }
}
