//! The socket as both pumps see it: one owner of the descriptor, and a handle of its own for each direction.

use std::{cell::UnsafeCell, future::Future, io, mem::ManuallyDrop, ptr, rc::Rc};

use monoio::{
    BufResult,
    io::{AsyncWriteRent, CancelHandle, CancelableAsyncReadRent},
    net::TcpStream,
};

use crate::kernel::{GatherBuf, RecvBuf, SendBuf};

/// The operations that pumps begin. Each asks for the handle alone, so one handle carries one
/// operation at a time.
pub(crate) trait Transport {
    /// Receives into an empty chunk.
    fn recv(
        &mut self,
        buffer: RecvBuf,
        cancel: CancelHandle,
    ) -> impl Future<Output = BufResult<usize, RecvBuf>>;

    /// Waits until something can be received. May be dropped.
    fn readable(&mut self) -> impl Future<Output = io::Result<()>>;

    /// Waits until something can be sent. May be dropped.
    fn writable(&mut self) -> impl Future<Output = io::Result<()>>;

    /// Sends one chunk, or a part of it.
    fn send(&mut self, buffer: SendBuf) -> impl Future<Output = BufResult<usize, SendBuf>>;

    /// Sends several chunks, or a part of them.
    fn send_vectored(&mut self, buffer: GatherBuf) -> impl Future<Output = BufResult<usize, GatherBuf>>;
}

/// A handle that may be duplicated bit by bit.
///
/// # Safety
/// Original and copy may both be used, each exclusively through its own place in memory, for as long as the
/// original lives, provided that only the original is dropped: their shared part lies behind a shared pointer,
/// no pointer leads into the handle itself, and no operation gives up or counts the shared part.
pub(crate) unsafe trait Duplicable {}

// SAFETY: monoio 0.2.4 (the workspace asks for exactly this version): a `TcpStream` is an `Rc` of the
// descriptor, which its reads, writes and readiness waits clone for their time, and a cache of addresses with
// a view of the descriptor's number. Only `into_raw_fd`, `into_poll_io` and the drop give the `Rc` up;
// nothing here calls the former two.
unsafe impl Duplicable for TcpStream {}

/// Both handles in one allocation. Dropped with the last side; operations in flight keep the descriptor
/// open on their own.
struct Shared<T> {
    /// The owner: its drop closes the descriptor.
    recv: UnsafeCell<T>,
    /// A copy of its bits, never dropped.
    send: UnsafeCell<ManuallyDrop<T>>,
}

/// The receiving pump's side of a socket. There is one per socket.
pub(crate) struct RecvSide<T>(Rc<Shared<T>>);

/// The sending pump's side of a socket. There is one per socket.
pub(crate) struct SendSide<T>(Rc<Shared<T>>);

/// Gives each pump a handle. monoio's own owned halves are not used: both make `&mut` references to one
/// stream, and the write half calls shutdown(2) when it is dropped, which costs a system call per connection
/// and turns a reset into an orderly end.
pub(crate) fn split<T: Duplicable>(socket: T) -> (RecvSide<T>, SendSide<T>) {
    // SAFETY: `socket` is valid and `Duplicable` allows the copy, which lives no longer than the original and
    // is not dropped: both lie in `Shared`.
    let copy = ManuallyDrop::new(unsafe { ptr::read(&raw const socket) });
    let shared = Rc::new(Shared { recv: UnsafeCell::new(socket), send: UnsafeCell::new(copy) });
    (RecvSide(Rc::clone(&shared)), SendSide(shared))
}

impl<T> RecvSide<T> {
    /// The handle for receiving.
    pub(crate) fn handle(&mut self) -> &mut T {
        // SAFETY: only this method refers to the cell, only one `RecvSide` of a socket exists, and it is
        // borrowed exclusively for as long as the reference lives.
        unsafe { &mut *self.0.recv.get() }
    }
}

impl<T> SendSide<T> {
    /// The handle for sending.
    pub(crate) fn handle(&mut self) -> &mut T {
        // SAFETY: as in `RecvSide::handle`, for the other cell.
        unsafe { &mut *self.0.send.get() }
    }
}

impl Transport for TcpStream {
    fn recv(
        &mut self,
        buffer: RecvBuf,
        cancel: CancelHandle,
    ) -> impl Future<Output = BufResult<usize, RecvBuf>> {
        self.cancelable_read(buffer, cancel)
    }

    async fn readable(&mut self) -> io::Result<()> {
        TcpStream::readable(self, false).await
    }

    async fn writable(&mut self) -> io::Result<()> {
        TcpStream::writable(self, false).await
    }

    fn send(&mut self, buffer: SendBuf) -> impl Future<Output = BufResult<usize, SendBuf>> {
        self.write(buffer)
    }

    fn send_vectored(&mut self, buffer: GatherBuf) -> impl Future<Output = BufResult<usize, GatherBuf>> {
        self.writev(buffer)
    }
}
