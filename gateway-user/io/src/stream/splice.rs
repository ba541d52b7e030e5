//! Bytes from one socket to another without a copy: by way of a pipe, which holds references to the kernel's pages
//! (splice(2)).
//!
//! A stream takes part once its halves have nothing in flight: its socket is made non-blocking then, and system calls move
//! all there is, where a ring would have a thread of the kernel wait for it.

use std::{
    cell::RefCell,
    fmt, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    task::{Context, Poll, ready},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice},
    unistd::pipe2,
};

use super::{recv::RecvHalf, send::SendHalf, state::StreamState};

/// Bytes that a pipe is asked to have room for. A user who has many pipes gets smaller ones (pipe(7)).
const ROOM: usize = 256 * 1024;
/// Pipes that a worker has at most. Each is two descriptors, and pins as many bytes of what came as it has room for.
pub const PIPES_MAX: usize = 16;

thread_local! {
    static PIPES: RefCell<Pipes> = const { RefCell::new(Pipes { idle: Vec::new(), made: 0 }) };
}

/// A worker's pipes.
struct Pipes {
    idle: Vec<Ends>,
    made: usize,
}

struct Ends {
    read: OwnedFd,
    write: OwnedFd,
    room: usize,
}

/// A pipe of the worker's, on loan, with what is on its way in it.
pub struct Pipe {
    ends: Option<Ends>,
    held: usize,
}

/// Outcome of [`RecvHalf::try_splice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spliced {
    /// So many bytes are in the pipe.
    Moved(usize),
    /// None have come.
    Nothing,
    /// The peer has finished sending.
    End,
    /// A receive is in flight, which has what comes next.
    Busy,
}

impl Pipe {
    /// An empty pipe; `None` if this worker has lent all that it may have, or there are no descriptors.
    #[must_use]
    pub fn take() -> Option<Pipe> {
        PIPES.with_borrow_mut(|pipes| {
            let ends = match pipes.idle.pop() {
                Some(ends) => ends,
                None if pipes.made < PIPES_MAX => {
                    let ends = Ends::new()?;
                    pipes.made += 1;
                    ends
                }
                None => return None,
            };
            Some(Pipe { ends: Some(ends), held: 0 })
        })
    }

    /// Bytes in it.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }
}

impl Ends {
    fn new() -> Option<Ends> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).ok()?;
        let asked =
            i32::try_from(ROOM).ok().and_then(|room| fcntl(&write, FcntlArg::F_SETPIPE_SZ(room)).ok());
        let room = asked.or_else(|| fcntl(&write, FcntlArg::F_GETPIPE_SZ).ok())?;
        Some(Ends { read, write, room: usize::try_from(room).ok()? })
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let Some(ends) = self.ends.take() else { return };
        // A thread that ends has no pool any more.
        let _ = PIPES.try_with(|pipes| {
            let mut pipes = pipes.borrow_mut();
            match self.held {
                0 => pipes.idle.push(ends),
                // What is in it belongs to nobody any more.
                _ => pipes.made -= 1,
            }
        });
    }
}

impl RecvHalf {
    /// True if bytes go through it as they are.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.link().layer.get().is_none()
    }

    /// Moves what has come into an empty pipe, without waiting.
    ///
    /// # Errors
    /// Those of the kernel, such as `ConnectionReset`.
    pub fn try_splice(&mut self, pipe: &mut Pipe) -> io::Result<Spliced> {
        let state = &self.link().recv;
        if state.ended.get() {
            return Ok(Spliced::End);
        }
        if state.has_receive() {
            return Ok(Spliced::Busy);
        }
        self.link().set_nonblocking()?;
        let Some(ends) = &pipe.ends else { return Ok(Spliced::Busy) };
        match moved(self.link().socket(), ends.write.as_fd(), ends.room) {
            Ok(0) => {
                state.ended.set(true);
                Ok(Spliced::End)
            }
            Ok(count) => {
                pipe.held += count;
                Ok(Spliced::Moved(count))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Spliced::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Ready once something can be received, without receiving it.
    ///
    /// # Errors
    /// As [`poll_recv`](Self::poll_recv).
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &self.link().recv;
        if state.ended.get() {
            return Poll::Ready(Ok(()));
        }
        if let Some(ready) = self.wait_readable(cx) {
            state.way.done();
            return Poll::Ready(ready);
        }
        if state.way.expired.take() {
            state.way.done();
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        state.way.wait(cx);
        Poll::Pending
    }
}

impl SendHalf {
    /// True if bytes go through it as they are.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.link().layer.get().is_none()
    }

    /// Sends what is queued, then all that is in the pipe. Ready when the kernel has taken all of it.
    ///
    /// # Errors
    /// As [`poll_flush`](Self::poll_flush).
    pub fn poll_splice(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<()>> {
        loop {
            if self.link().send.waits_only.get() {
                ready!(self.poll_writable(cx))?;
            } else if self.link().send.is_busy() {
                ready!(self.poll_flush(cx))?;
            }
            match self.splice_now(pipe) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.link().send.waits_only.set(true);
                }
                Err(error) => {
                    self.link().send.broken.set(true);
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    fn splice_now(&self, pipe: &mut Pipe) -> io::Result<()> {
        if self.is_broken() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.link().set_nonblocking()?;
        let Some(ends) = &pipe.ends else { return Ok(()) };
        while pipe.held > 0 {
            match moved(ends.read.as_fd(), self.link().socket(), pipe.held)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => pipe.held = pipe.held.saturating_sub(count),
            }
        }
        Ok(())
    }
}

/// One splice(2) that does not wait.
fn moved(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
    loop {
        match splice(from, None, to, None, most, flags) {
            Err(Errno::EINTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}

impl StreamState {
    /// The flags of a socket count for splice(2), whose own are only about the pipe. Rings then tell of what cannot be done
    /// at once, and the pumps wait.
    fn set_nonblocking(&self) -> io::Result<()> {
        if self.is_nonblocking.get() {
            return Ok(());
        }
        let flags = OFlag::from_bits_truncate(fcntl(self.socket(), FcntlArg::F_GETFL)?);
        fcntl(self.socket(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        self.is_nonblocking.set(true);
        Ok(())
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe").field("held", &self.held).finish_non_exhaustive()
    }
}
