//! Lists of system calls, by purpose.
//!
//! A call that newer C libraries make belongs beside the older one. On no list are starting programs
//! (execve), looking into other processes (ptrace, process_vm_*), mounts, namespaces, users and capabilities,
//! modules, keys, clocks, and whatever else.

use libc::*;

/// Names of the calls that an intruder tries first; `None` for all others, which are told by number.
pub(super) fn name(call: i64) -> Option<&'static str> {
    let named = [
        (SYS_openat, "openat"),
        (SYS_connect, "connect"),
        (SYS_bind, "bind"),
        (SYS_execve, "execve"),
        (SYS_execveat, "execveat"),
        (SYS_ptrace, "ptrace"),
        (SYS_process_vm_readv, "process_vm_readv"),
        (SYS_process_vm_writev, "process_vm_writev"),
        (SYS_io_uring_setup, "io_uring_setup"),
        (SYS_io_uring_register, "io_uring_register"),
        (SYS_bpf, "bpf"),
        (SYS_mount, "mount"),
        (SYS_unshare, "unshare"),
        (SYS_setns, "setns"),
        (SYS_newfstatat, "newfstatat"),
        (SYS_readlinkat, "readlinkat"),
        (SYS_statx, "statx"),
        (SYS_wait4, "wait4"),
    ];
    named.into_iter().find(|(number, _)| *number == call).map(|(_, name)| name)
}

/// Calls of every thread: memory, waiting, time, signals, its own start and end, and use of open descriptors.
pub(super) const ANY: &[c_long] = &[
    // Memory.
    SYS_brk,
    SYS_madvise,
    SYS_membarrier,
    SYS_mmap,
    SYS_mprotect,
    SYS_mremap,
    SYS_munmap,
    // Threads. With clone3 flags cannot be told apart, and a copy of the process has the same list.
    SYS_clone,
    SYS_clone3,
    SYS_exit,
    SYS_exit_group,
    SYS_futex,
    SYS_get_robust_list,
    SYS_getpid,
    SYS_gettid,
    SYS_prctl,
    SYS_rseq,
    SYS_sched_getaffinity,
    SYS_sched_setaffinity,
    SYS_sched_yield,
    SYS_set_robust_list,
    SYS_set_tid_address,
    // Signals: panics, aborts, and to other threads of the process.
    SYS_kill,
    SYS_restart_syscall,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigtimedwait,
    SYS_sigaltstack,
    SYS_tgkill,
    // Time.
    SYS_clock_getres,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_gettimeofday,
    SYS_nanosleep,
    // Open descriptors.
    SYS_close,
    SYS_dup,
    SYS_dup3,
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_epoll_pwait2,
    SYS_eventfd2,
    SYS_fcntl,
    SYS_fstat,
    SYS_ioctl,
    SYS_lseek,
    SYS_pipe2,
    SYS_ppoll,
    SYS_pread64,
    SYS_preadv,
    SYS_pwrite64,
    SYS_read,
    SYS_readv,
    SYS_write,
    SYS_writev,
    SYS_timerfd_create,
    SYS_timerfd_settime,
    // The rest: random numbers, limits, names, and the next filter.
    SYS_getcpu,
    SYS_getegid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getrandom,
    SYS_getresgid,
    SYS_getresuid,
    SYS_getrusage,
    SYS_getuid,
    SYS_prlimit64,
    SYS_seccomp,
    SYS_sysinfo,
    SYS_uname,
    #[cfg(target_arch = "x86_64")]
    SYS_arch_prctl,
    #[cfg(target_arch = "x86_64")]
    SYS_dup2,
    #[cfg(target_arch = "x86_64")]
    SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    SYS_poll,
    #[cfg(target_arch = "x86_64")]
    SYS_time,
];

/// Serving on sockets that are there, and making ones that lead nowhere yet.
pub(super) const SERVE: &[c_long] = &[
    SYS_accept4,
    SYS_getpeername,
    SYS_getsockname,
    SYS_getsockopt,
    SYS_recvfrom,
    SYS_recvmsg,
    SYS_sendmsg,
    SYS_sendto,
    SYS_setsockopt,
    SYS_shutdown,
    SYS_socket,
    SYS_splice,
];

/// Datagrams, several in a call.
pub(super) const DATAGRAMS: &[c_long] = &[SYS_recvmmsg, SYS_sendmmsg];

/// Connecting a socket.
pub(super) const CONNECT: &[c_long] = &[SYS_connect];

/// Giving work to a ring.
pub(super) const DRIVE_RING: &[c_long] = &[SYS_io_uring_enter];

/// Making a ring.
pub(super) const MAKE_RING: &[c_long] = &[SYS_io_uring_register, SYS_io_uring_setup];

/// Sockets to listen on.
pub(super) const LISTEN: &[c_long] = &[SYS_accept, SYS_bind, SYS_listen, SYS_socketpair];

/// Maps and links of kernel programs. bpf(2) asks for its own rights, which are gone.
pub(super) const STEER: &[c_long] = &[SYS_bpf];

/// Reading resources, and writing state and logs.
pub(super) const FILES: &[c_long] = &[
    SYS_chdir,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_fadvise64,
    SYS_fallocate,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_fdatasync,
    SYS_flock,
    SYS_fstatfs,
    SYS_fsync,
    SYS_ftruncate,
    SYS_getcwd,
    SYS_getdents64,
    SYS_inotify_add_watch,
    SYS_inotify_init1,
    SYS_inotify_rm_watch,
    SYS_linkat,
    SYS_mkdirat,
    SYS_newfstatat,
    SYS_openat,
    SYS_openat2,
    SYS_readlinkat,
    SYS_renameat,
    SYS_renameat2,
    SYS_statfs,
    SYS_statx,
    SYS_symlinkat,
    SYS_unlinkat,
    SYS_utimensat,
    SYS_copy_file_range,
    #[cfg(target_arch = "x86_64")]
    SYS_access,
    #[cfg(target_arch = "x86_64")]
    SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    SYS_open,
    #[cfg(target_arch = "x86_64")]
    SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    SYS_rename,
    #[cfg(target_arch = "x86_64")]
    SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    SYS_stat,
    #[cfg(target_arch = "x86_64")]
    SYS_unlink,
    // A thread that writes state makes way for those that somebody waits for.
    SYS_getpriority,
    SYS_setpriority,
];

/// Giving files and sockets to another user.
pub(super) const GIVE: &[c_long] = &[
    SYS_fchown,
    SYS_fchownat,
    #[cfg(target_arch = "x86_64")]
    SYS_chown,
];

/// Calls that only the start of other threads and the end of the process need.
pub(super) const START: &[c_long] = &[
    SYS_capget,
    // The admin socket is to be the group's of root; who may not change that does without.
    SYS_fchownat,
    SYS_getgroups,
    SYS_getppid,
    // Keys for the process that takes over, in memory of no file.
    SYS_memfd_create,
    SYS_mlock,
    SYS_recvmmsg,
    SYS_rt_sigpending,
    SYS_sched_getparam,
    SYS_sched_getscheduler,
    SYS_sendmmsg,
    SYS_signalfd4,
    SYS_umask,
    #[cfg(target_arch = "x86_64")]
    SYS_chown,
];
