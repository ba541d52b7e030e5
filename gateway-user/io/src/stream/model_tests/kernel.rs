//! The played socket and kernel.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use monoio::{
    BufResult,
    buf::{IoBuf, IoBufMut, IoVecBuf},
    io::CancelHandle,
};

use crate::{
    kernel::{GatherBuf, RecvBuf, SendBuf},
    stream::socket::{Duplicable, Transport},
};

/// The kernel's state of one descriptor.
#[derive(Default)]
pub(super) struct Kernel {
    pub(super) receive: RefCell<Option<Receive>>,
    pub(super) poll: RefCell<Option<Rc<Cell<bool>>>>,
    pub(super) send: RefCell<Option<Send>>,
    /// Bytes that were taken from sends.
    pub(super) sent: RefCell<Vec<u8>>,
    pub(super) vectored: Cell<usize>,
    pub(super) closed: Cell<usize>,
    /// Addresses of the handles that operations were begun through: for receiving and for sending.
    pub(super) handles: Cell<[usize; 2]>,
}

/// A receive with the kernel: where to write, and where the result goes.
pub(super) struct Receive {
    place: *mut u8,
    room: usize,
    done: Rc<Operation<RecvBuf>>,
}

/// A send with the kernel: what to take, as it lies in memory, and where the result goes.
pub(super) struct Send {
    parts: Vec<(*const u8, usize)>,
    done: Rc<dyn Finish>,
}

/// An operation as the ring keeps it: with its memory until it has completed, also when nobody waits.
struct Operation<B> {
    buffer: RefCell<Option<B>>,
    result: RefCell<Option<io::Result<usize>>>,
    _open: Rc<Descriptor>,
}

trait Finish {
    fn finish(&self, result: io::Result<usize>);
}

impl<B> Finish for Operation<B> {
    fn finish(&self, result: io::Result<usize>) {
        assert!(self.result.replace(Some(result)).is_none(), "completed twice");
    }
}

/// The shared descriptor: closed when its last user has gone.
struct Descriptor(Rc<Kernel>);

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.0.closed.set(self.0.closed.get() + 1);
    }
}

/// A socket as monoio's is: a shared descriptor, and a cache of the handle's own.
pub(super) struct Socket {
    descriptor: Rc<Descriptor>,
    begun: u32,
}

// SAFETY: the descriptor lies behind an `Rc` that operations only clone, the count in the handle itself.
unsafe impl Duplicable for Socket {}

/// Waits for an operation; dropped, it leaves the operation to the kernel.
struct Wait<B>(Rc<Operation<B>>);

impl<B> Future for Wait<B> {
    type Output = BufResult<usize, B>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0.result.take() {
            Some(result) => Poll::Ready((result, self.0.buffer.take().expect("taken once"))),
            None => Poll::Pending,
        }
    }
}

impl Socket {
    pub(super) fn new(kernel: &Rc<Kernel>) -> Socket {
        Socket { descriptor: Rc::new(Descriptor(Rc::clone(kernel))), begun: 0 }
    }

    fn begin<B>(&mut self, direction: usize, buffer: B) -> Rc<Operation<B>> {
        self.begun += 1;
        let mut handles = self.descriptor.0.handles.get();
        handles[direction] = std::ptr::from_mut(self).addr();
        self.descriptor.0.handles.set(handles);
        Rc::new(Operation {
            buffer: RefCell::new(Some(buffer)),
            result: RefCell::default(),
            _open: Rc::clone(&self.descriptor),
        })
    }

    fn begin_send<B: 'static>(
        &mut self,
        buffer: B,
        parts: impl FnOnce(&B) -> Vec<(*const u8, usize)>,
    ) -> Wait<B> {
        let done = self.begin(1, buffer);
        let parts = done.buffer.borrow().as_ref().map(parts).expect("just put there");
        let finish: Rc<dyn Finish> = Rc::<Operation<B>>::clone(&done);
        let before = self.descriptor.0.send.replace(Some(Send { parts, done: finish }));
        assert!(before.is_none(), "two sends at once");
        Wait(done)
    }
}

impl Transport for Socket {
    async fn recv(&mut self, buffer: RecvBuf, _: CancelHandle) -> BufResult<usize, RecvBuf> {
        let done = self.begin(0, buffer);
        let (place, room) = {
            let mut buffer = done.buffer.borrow_mut();
            let buffer = buffer.as_mut().expect("just put there");
            (buffer.write_ptr(), buffer.bytes_total())
        };
        let receive = Receive { place, room, done: Rc::clone(&done) };
        assert!(self.descriptor.0.receive.replace(Some(receive)).is_none(), "two receives at once");
        let (result, mut buffer) = Wait(done).await;
        if let Ok(count) = result {
            // SAFETY: the kernel wrote so many bytes.
            unsafe { buffer.set_init(count) };
        }
        (result, buffer)
    }

    async fn readable(&mut self) -> io::Result<()> {
        let ready = Rc::new(Cell::new(false));
        self.descriptor.0.poll.replace(Some(Rc::clone(&ready)));
        std::future::poll_fn(|_| if ready.get() { Poll::Ready(Ok(())) } else { Poll::Pending }).await
    }

    /// Always: sends of this kernel wait by themselves.
    async fn writable(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn send(&mut self, buffer: SendBuf) -> impl Future<Output = BufResult<usize, SendBuf>> {
        self.begin_send(buffer, |buffer| vec![(buffer.read_ptr(), buffer.bytes_init())])
    }

    fn send_vectored(&mut self, buffer: GatherBuf) -> impl Future<Output = BufResult<usize, GatherBuf>> {
        let kernel = &self.descriptor.0;
        kernel.vectored.set(kernel.vectored.get() + 1);
        self.begin_send(buffer, |buffer| {
            // SAFETY: the array is lent for the operation, and initialised.
            let places =
                unsafe { std::slice::from_raw_parts(buffer.read_iovec_ptr(), buffer.read_iovec_len()) };
            places.iter().map(|place| (place.iov_base.cast::<u8>().cast_const(), place.iov_len)).collect()
        })
    }
}

impl Kernel {
    /// Ends the receive under way: with these bytes, which may be none, or an error.
    pub(super) fn complete_receive(&self, result: io::Result<&[u8]>) {
        let Receive { place, room, done } = self.receive.take().expect("a receive is under way");
        let result = result.map(|bytes| {
            assert!(bytes.len() <= room);
            // SAFETY: the memory is lent to this operation alone until it has completed, and is large enough.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len()) };
            bytes.len()
        });
        done.finish(result);
    }

    /// Takes up to so many bytes of the send under way.
    pub(super) fn complete_send(&self, most: usize) {
        let Send { parts, done } = self.send.take().expect("a send is under way");
        let mut taken = 0;
        for (place, len) in parts {
            let len = len.min(most - taken);
            // SAFETY: the memory is lent to this operation, and unchanged until it has completed.
            let bytes = unsafe { std::slice::from_raw_parts(place, len) };
            self.sent.borrow_mut().extend_from_slice(bytes);
            taken += len;
        }
        done.finish(Ok(taken));
    }

    /// Ends the send under way with an error.
    pub(super) fn fail_send(&self) {
        let Send { done, .. } = self.send.take().expect("a send is under way");
        done.finish(Err(io::ErrorKind::ConnectionReset.into()));
    }

    /// Something can be received: whoever waits for it is told.
    pub(super) fn complete_poll(&self) {
        self.poll.take().expect("somebody waits").set(true);
    }
}
