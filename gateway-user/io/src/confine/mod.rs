//! Lists of system calls that a thread may make (seccomp(2)): an intruder in a worker finds no way to open a
//! file, start a program or trace another process.
//!
//! A call that is not on the thread's list fails with `EPERM` and is counted; nothing is ever killed for it.
//! The kernel reports such a call by SIGSYS to the thread that made it, whose handler counts it and puts
//! `EPERM` in the place of the result. Filters are inherited by threads that a thread starts, and can only
//! become stricter, so a list holds what those need too.
//!
//! Operations that a thread gives to an io_uring are no system calls, and no filter sees them. So rings are
//! restricted as well, where the kernel can (`ring`).

mod calls;
pub(crate) mod ring;
mod trap;

use std::collections::BTreeMap;
use std::io;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

pub use trap::{Denied, denied};

use crate::driver::Driver;

/// Purpose of a thread, which decides its list of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A worker, whose ring is there already, if it has one.
    Worker(Driver),
    /// Reads resources, compiles and steers: files, sockets to listen on, maps of kernel programs.
    Compiler,
    /// Builds regular expressions: memory, and waiting for more of them.
    Builder,
    /// Holds the rights of a gateway in another process: everything but connections and programs.
    Helper,
    /// Everything else, and starts all other threads.
    Control,
}

/// Treatment of a call that is not on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlisted {
    /// It fails with `EPERM` and is counted.
    Fails,
    /// It is done, and the kernel's audit log tells of it.
    IsLogged,
}

impl Role {
    /// Name for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Role::Worker(_) => "worker",
            Role::Compiler => "compiler",
            Role::Builder => "builder",
            Role::Helper => "helper",
            Role::Control => "control",
        }
    }

    const fn index(self) -> usize {
        match self {
            Role::Worker(_) => 0,
            Role::Compiler => 1,
            Role::Builder => 2,
            Role::Helper => 3,
            Role::Control => 4,
        }
    }

    /// Every call that it may make, by number.
    fn calls(self) -> Vec<i64> {
        match self {
            Role::Worker(Driver::Epoll) => {
                [calls::ANY, calls::SERVE, calls::CONNECT, calls::DATAGRAMS].concat()
            }
            // Its ring connects as well; sockets of flows are connected without it.
            Role::Worker(_) => {
                [calls::ANY, calls::SERVE, calls::CONNECT, calls::DATAGRAMS, calls::DRIVE_RING].concat()
            }
            Role::Builder => calls::ANY.to_vec(),
            Role::Compiler => [calls::ANY, calls::SERVE, calls::FILES, calls::LISTEN, calls::STEER].concat(),
            Role::Helper => {
                [calls::ANY, calls::SERVE, calls::FILES, calls::LISTEN, calls::STEER, calls::GIVE].concat()
            }
            Role::Control => [
                calls::ANY,
                calls::SERVE,
                calls::FILES,
                calls::LISTEN,
                calls::STEER,
                calls::CONNECT,
                calls::DRIVE_RING,
                calls::MAKE_RING,
                calls::START,
            ]
            .concat(),
        }
    }
}

/// Restricts the calling thread, and those that it starts from now on, to the calls of its role.
///
/// # Errors
/// The kernel has no such filters, or refuses this one.
pub fn confine(role: Role, unlisted: Unlisted) -> io::Result<()> {
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let action = match unlisted {
        Unlisted::Fails => SeccompAction::Trap,
        Unlisted::IsLogged => SeccompAction::Log,
    };
    let program = program(&role.calls(), action)?;
    trap::serve(role)?;
    apply_filter(&program).map_err(io::Error::other)
}

fn program(calls: &[i64], unlisted: SeccompAction) -> io::Result<BpfProgram> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    // No condition on arguments: the kernel remembers the verdict on a number alone and does not run
    // the filter again.
    let rules: BTreeMap<_, _> = calls.iter().map(|call| (*call, Vec::new())).collect();
    let filter = SeccompFilter::new(rules, unlisted, SeccompAction::Allow, arch).map_err(io::Error::other)?;
    filter.try_into().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::*;

    /// Runs on a thread with the list of that role.
    fn confined<T: Send + 'static>(role: Role, body: impl FnOnce() -> T + Send + 'static) -> T {
        let run = move || {
            confine(role, Unlisted::Fails).unwrap();
            body()
        };
        thread::spawn(run).join().unwrap()
    }

    fn is_denied<T>(done: io::Result<T>) -> bool {
        done.err().and_then(|error| error.raw_os_error()) == Some(libc::EPERM)
    }

    fn count(role: Role, call: i64) -> u64 {
        let of = |denied: &Denied| denied.role == role.name() && denied.call == call;
        denied().iter().filter(|denied| of(denied)).map(|denied| denied.times).sum()
    }

    #[test]
    fn a_worker_opens_and_starts_nothing_and_each_try_is_counted() {
        let role = Role::Worker(Driver::UringDefer);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let before = count(role, libc::SYS_openat);
        let all = confined(role, move || {
            // SAFETY: PTRACE_TRACEME takes no pointer, and the filter refuses it.
            let ptrace = || unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
            [
                is_denied(File::open("/etc/hostname")),
                // Of no program, so that a call that passes is told from one that does not.
                nix::unistd::execv(c"/nowhere", &[c"x"]) == Err(nix::errno::Errno::EPERM),
                is_denied(TcpListener::bind("127.0.0.1:0")),
                ptrace() == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EPERM),
                listener.local_addr().is_ok(),
                thread::spawn(|| 7).join().unwrap() == 7,
            ]
        });
        assert_eq!(all, [true; 6]);
        assert!(count(role, libc::SYS_openat) > before);
        assert!(count(role, libc::SYS_bind) >= 1 && count(role, libc::SYS_ptrace) >= 1);
    }

    #[test]
    fn a_worker_connects() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        for driver in Driver::ALL {
            assert!(confined(Role::Worker(driver), move || TcpStream::connect(to)).is_ok(), "{driver:?}");
        }
    }

    #[test]
    fn the_compiler_reads_and_listens_and_control_connects_too() {
        let all = || {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            File::open("/etc/passwd")?;
            let starts = nix::unistd::execv(c"/nowhere", &[c"x"]) != Err(nix::errno::Errno::EPERM);
            Ok::<_, io::Error>((TcpStream::connect(listener.local_addr()?).is_ok(), starts))
        };
        assert_eq!(confined(Role::Compiler, all).unwrap(), (false, false));
        assert_eq!(confined(Role::Control, all).unwrap(), (true, false));
    }

    #[test]
    fn the_builder_has_memory_and_threads_and_nothing_that_leads_anywhere() {
        let all = confined(Role::Builder, || {
            let memory = vec![1_u8; 8 << 20];
            [
                is_denied(File::open("/etc/hostname")),
                is_denied(TcpListener::bind("127.0.0.1:0")),
                is_denied(std::net::UdpSocket::bind("127.0.0.1:0")),
                nix::unistd::execv(c"/nowhere", &[c"x"]) == Err(nix::errno::Errno::EPERM),
                memory.iter().map(|byte| usize::from(*byte)).sum::<usize>() == memory.len(),
                thread::spawn(|| 7).join().unwrap() == 7,
            ]
        });
        assert_eq!(all, [true; 6]);
    }

    #[test]
    fn the_helper_listens_and_gives_away_and_neither_connects_nor_starts_anything() {
        let all = confined(Role::Helper, || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let file = File::open("/etc/hostname").unwrap();
            let given = nix::unistd::fchown(&file, None, None);
            [
                given.is_ok(),
                is_denied(TcpStream::connect(listener.local_addr().unwrap())),
                nix::unistd::execv(c"/nowhere", &[c"x"]) == Err(nix::errno::Errno::EPERM),
            ]
        });
        assert_eq!(all, [true; 3]);
    }

    #[test]
    fn what_is_only_logged_is_done() {
        let opened = thread::spawn(|| {
            confine(Role::Worker(Driver::Epoll), Unlisted::IsLogged).unwrap();
            File::open("/etc/passwd").is_ok()
        });
        assert!(opened.join().unwrap());
    }

    #[test]
    fn control_may_do_what_the_threads_that_it_starts_may() {
        let control = Role::Control.calls();
        for role in Driver::ALL.map(Role::Worker).into_iter().chain([Role::Compiler, Role::Builder]) {
            assert!(role.calls().iter().all(|call| control.contains(call)), "{role:?}");
        }
    }
}
