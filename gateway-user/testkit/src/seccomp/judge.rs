//! The supervisor: a thread of the test that gets the calls of one process.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::{Call, Verdict, kernel};

/// Longest time that the thread goes on after the wish to stop: a call that waits gets its
/// verdict before that.
const POLL_INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Judges the calls of one process after another, and their children, until it is dropped. Calls that come
/// later fail with `ENOSYS`, so it must outlive the process.
#[derive(Debug)]
pub struct Judge {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Judge {
    /// Listens at `path` for the process that calls [`hand_over`](super::hand_over), and asks `verdict` about
    /// each of its calls.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn start(
        path: &Path,
        verdict: impl FnMut(&Call) -> io::Result<Verdict> + Send + 'static,
    ) -> io::Result<Self> {
        let socket = UnixListener::bind(path)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("judge".to_owned())
            .spawn(move || judge(&socket, &stopped, verdict))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let Some(ended) = self.thread.take().map(JoinHandle::join) else { return };
        // A second panic would hide the first.
        if !thread::panicking() {
            ended.expect("a verdict panicked").expect("judging a process's system calls");
        }
    }
}

fn judge(
    socket: &UnixListener,
    stop: &AtomicBool,
    mut verdict: impl FnMut(&Call) -> io::Result<Verdict>,
) -> io::Result<()> {
    while wait(socket.as_fd(), stop)? {
        let (channel, _) = socket.accept()?;
        let listener = descriptor(channel.as_fd())?;
        while wait(listener.as_fd(), stop)? {
            let Some(seen) = kernel::receive(listener.as_fd())? else { continue };
            // Its memory is gone where its thread was killed; nobody waits for the verdict then.
            let verdict = Call::new(&seen).and_then(|call| verdict(&call)).unwrap_or(Verdict::Allow);
            kernel::respond(listener.as_fd(), &seen, verdict)?;
        }
    }
    Ok(())
}

/// Waits until there is something to read; `false` when there never will be, or it is time to stop.
fn wait(descriptor: BorrowedFd<'_>, stop: &AtomicBool) -> io::Result<bool> {
    loop {
        let mut wanted = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
        match poll(&mut wanted, Some(&POLL_INTERVAL)) {
            Ok(0) | Err(rustix::io::Errno::INTR) if stop.load(Ordering::SeqCst) => return Ok(false),
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(wanted[0].revents().contains(PollFlags::IN)),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The descriptor that one message brings.
fn descriptor(channel: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(channel, &mut [IoSliceMut::new(&mut byte)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    let rights = beside.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
        _ => None,
    });
    rights.ok_or_else(|| io::Error::other("a process was to send its filter's descriptor, and sent none"))
}
