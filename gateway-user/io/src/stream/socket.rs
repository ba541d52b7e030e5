//! The socket as both pumps see it.

use std::{cell::UnsafeCell, io, rc::Rc};

use monoio::{
    BufResult,
    io::{AsyncWriteRent, CancelHandle, CancelableAsyncReadRent},
    net::TcpStream,
};

use crate::kernel::{GatherBuf, RecvBuf, SendBuf};

/// A socket shared by two pumps. monoio's own owned halves are not used: its write half calls shutdown(2) when it is
/// dropped, which costs a system call per connection and turns a reset into an orderly end.
#[derive(Clone)]
pub(crate) struct Socket(Rc<UnsafeCell<TcpStream>>);

impl Socket {
    pub(crate) fn new(tcp: TcpStream) -> Socket {
        Socket(Rc::new(UnsafeCell::new(tcp)))
    }

    /// Receives into an empty chunk.
    pub(crate) async fn recv(&self, buffer: RecvBuf, cancel: CancelHandle) -> BufResult<usize, RecvBuf> {
        // SAFETY: monoio declares `TcpStream: Split`: reading and writing may go on at once through references made
        // like this, because each only clones the shared descriptor. One pump reads, the other one writes.
        unsafe { &mut *self.0.get() }.cancelable_read(buffer, cancel).await
    }

    /// Waits until something can be received. May be dropped.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        // SAFETY: as in `recv`; the reading pump does one thing at a time.
        unsafe { &*self.0.get() }.readable(false).await
    }

    /// Sends one chunk, or a part of it.
    pub(crate) async fn send(&self, buffer: SendBuf) -> BufResult<usize, SendBuf> {
        // SAFETY: as in `recv`.
        unsafe { &mut *self.0.get() }.write(buffer).await
    }

    /// Sends several chunks, or a part of them.
    pub(crate) async fn send_vectored(&self, buffer: GatherBuf) -> BufResult<usize, GatherBuf> {
        // SAFETY: as in `recv`.
        unsafe { &mut *self.0.get() }.writev(buffer).await
    }
}
