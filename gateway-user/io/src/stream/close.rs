//! Ways to end a stream other than dropping it.

use std::{io, os::fd::BorrowedFd, time::Duration};

use nix::sys::socket::{setsockopt, sockopt};

use super::Stream;

impl Stream {
    /// Flushes, says that nothing more comes, then receives and drops what the peer still sends, until it
    /// ends, or `max_bytes` came, or `max_time` passed; then closes.
    ///
    /// For responses sent before the request was read: closing with unread data makes the kernel send a
    /// reset, and that can destroy the response in the peer's receive buffer (RFC 9112 section 9.6).
    pub async fn close_lingering(mut self, max_bytes: usize, max_time: Duration) {
        self.send.set_deadline(Some(max_time));
        self.recv.set_deadline(Some(max_time));
        if self.send.shutdown_write().await.is_err() {
            return;
        }
        let mut dropped = 0;
        while dropped < max_bytes {
            match self.recv.recv().await {
                Ok(Some(chunk)) => dropped += chunk.len(),
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Flushes, says that nothing more comes, and closes, within about `max_time`. Without a layer dropping
    /// the stream says the same at once.
    pub async fn close_in_order(mut self, max_time: Duration) {
        self.send.set_deadline(Some(max_time));
        // A peer that does not take it in time is told by the close alone.
        let _ = self.send.shutdown_write().await;
    }

    /// Closes with a reset: the peer learns that what it got is not the whole. Unsent data is dropped.
    ///
    /// # Errors
    /// The socket option cannot be set; the stream is closed in order then.
    pub fn reset(self) -> io::Result<()> {
        let link = self.recv.link();
        // SAFETY: the descriptor is open as long as a half lives, and `self` lives to the end
        // of this function.
        let socket = unsafe { BorrowedFd::borrow_raw(link.fd()) };
        // Lingering for no time: close sends RST (tcp(7), socket(7) SO_LINGER).
        let abort = libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&socket, sockopt::Linger, &abort)?;
        link.close_by_reset();
        Ok(())
    }

    /// Sends small segments at once (`true`) or collects them (Nagle). Accepted and connected
    /// streams send at once.
    ///
    /// # Errors
    /// The system call fails.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        // SAFETY: as in `reset`.
        let socket = unsafe { BorrowedFd::borrow_raw(self.recv.link().fd()) };
        setsockopt(&socket, sockopt::TcpNoDelay, &on)?;
        Ok(())
    }
}
