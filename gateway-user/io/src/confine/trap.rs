//! The handler of SIGSYS, by which the kernel reports a call that is not on a thread's list.

use std::borrow::Cow;
use std::cell::Cell;
use std::io;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use libc::{c_int, c_void, siginfo_t, ucontext_t};

use super::{Role, calls};

/// Numbers above this are counted as this one; no architecture has so many.
const CALLS: usize = 512;
/// Names of roles, by their index.
const ROLES: [&str; 5] = ["worker", "compiler", "builder", "helper", "control"];

/// Number of times that each call was denied, by the thread's role.
static COUNTS: [[AtomicU64; CALLS]; ROLES.len()] =
    [const { [const { AtomicU64::new(0) }; CALLS] }; ROLES.len()];

thread_local! {
    /// The thread's role; those that it starts count as control, as long as they have none.
    static ROLE: Cell<usize> = const { Cell::new(ROLES.len() - 1) };
}

/// Calls that failed because they are not on the list of the thread that made them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied {
    /// The thread's role, by name.
    pub role: &'static str,
    /// The call's number on this architecture.
    pub call: i64,
    /// Number of such calls since the process began.
    pub times: u64,
}

/// All of them, by role and number.
#[must_use]
pub fn denied() -> Vec<Denied> {
    let of_role = |(role, counts): (&'static str, &'static [AtomicU64; CALLS])| {
        let counts = (0..).zip(counts).map(|(call, count)| (call, count.load(Relaxed)));
        counts.filter(|(_, times)| *times > 0).map(move |(call, times)| Denied { role, call, times })
    };
    ROLES.into_iter().zip(&COUNTS).flat_map(of_role).collect()
}

impl Denied {
    /// The call, for people: its name, or its number.
    #[must_use]
    pub fn name(&self) -> Cow<'static, str> {
        calls::name(self.call).map_or_else(|| Cow::Owned(self.call.to_string()), Cow::Borrowed)
    }
}

/// Takes the calling thread's reports from now on.
pub(super) fn serve(role: Role) -> io::Result<()> {
    static ONCE: Once = Once::new();
    let mut installed = Ok(());
    ONCE.call_once(|| installed = install());
    ROLE.set(role.index());
    installed.and_then(|()| unblock())
}

/// A blocked SIGSYS would end the process (`force_sig_seccomp`).
fn unblock() -> io::Result<()> {
    // SAFETY: the set is initialised by sigemptyset before it is read; both pointers are valid for the calls.
    let done = unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGSYS);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut())
    };
    if done == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(done)) }
}

fn install() -> io::Result<()> {
    // SAFETY: zero is a value of every field; the handler has the signature that SA_SIGINFO promises, and
    // calls nothing that is not async-signal-safe (signal-safety(7)).
    let done = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_sigsys as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut())
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `si_code` of a filter's report (asm-generic/siginfo.h).
const SYS_SECCOMP: c_int = 1;

extern "C" fn on_sigsys(_signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes both pointers to a handler with SA_SIGINFO; nobody else has
    // them while it runs.
    let (code, context) = unsafe { ((*info).si_code, &mut *context.cast::<ucontext_t>()) };
    if code != SYS_SECCOMP {
        return;
    }
    let call = deny(context);
    let call = usize::try_from(call).unwrap_or(CALLS).min(CALLS - 1);
    // No allocation and no lock: a plain cell of the thread, and atomics.
    let role = ROLE.try_with(Cell::get).unwrap_or(ROLES.len() - 1);
    if let Some(count) = COUNTS.get(role).and_then(|counts| counts.get(call)) {
        count.fetch_add(1, Relaxed);
    }
}

/// Puts `-EPERM` where the call's result belongs; gives its number. The kernel has put registers back as they
/// were before the call (`syscall_rollback`), so the number is where the caller had put it.
#[cfg(target_arch = "x86_64")]
fn deny(context: &mut ucontext_t) -> i64 {
    let Some(register) = context.uc_mcontext.gregs.get_mut(libc::REG_RAX as usize) else { return 0 };
    std::mem::replace(register, i64::from(-libc::EPERM))
}

/// The same: number in x8, result in x0.
#[cfg(target_arch = "aarch64")]
fn deny(context: &mut ucontext_t) -> i64 {
    let [result, _, _, _, _, _, _, _, call, ..] = &mut context.uc_mcontext.regs;
    *result = i64::from(-libc::EPERM).cast_unsigned();
    call.cast_signed()
}

/// Elsewhere no filter is set.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn deny(_: &mut ucontext_t) -> i64 {
    0
}
