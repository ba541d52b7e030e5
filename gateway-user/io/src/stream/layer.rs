//! A protocol between a socket's bytes and what its halves carry, such as TLS.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt, io,
};

use crate::chunk::Chunk;

/// Opens what is received and seals what is sent. It works on the chunks of one stream, in the order of the
/// bytes, and never waits.
pub trait Layer {
    /// Takes what was received next. Content goes behind what is in `content`; bytes that the peer must be
    /// sent go behind those in `out`, and leave with the next flush.
    ///
    /// # Errors
    /// The peer broke the protocol. `out` may hold what tells it so.
    fn open(
        &mut self,
        received: Chunk,
        content: &mut VecDeque<Chunk>,
        out: &mut VecDeque<Chunk>,
    ) -> io::Result<Opened>;

    /// True if the peer has said that nothing more comes before the layer was a stream's, behind its last content.
    fn is_ended(&self) -> bool {
        false
    }

    /// The peer has closed its side of the connection.
    ///
    /// # Errors
    /// `UnexpectedEof` if the protocol has an end of its own and this came before it.
    fn end(&mut self) -> io::Result<()>;

    /// Seals all of `content` and puts it behind what is in `out`.
    ///
    /// # Errors
    /// Nothing more can be sent.
    fn seal(&mut self, content: &mut VecDeque<Chunk>, out: &mut VecDeque<Chunk>) -> io::Result<()>;

    /// Puts what says that nothing more comes behind what is in `out`.
    fn close(&mut self, out: &mut VecDeque<Chunk>);

    /// Frees what the next bytes can have made again: the stream is quiet for a while.
    fn park(&mut self) {}
}

/// Says if more content may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It may.
    More,
    /// The peer said, in the protocol's own words, that this was all.
    End,
}

/// A stream's layer and what it has in hand.
pub(crate) struct Layered {
    layer: RefCell<Box<dyn Layer>>,
    opened: RefCell<VecDeque<Chunk>>,
    unsealed: RefCell<VecDeque<Chunk>>,
    ended: Cell<bool>,
    /// Kind of the layer's error. Content that was opened before it comes first, and it stays: a failure must
    /// not pass for an end.
    failed: Cell<Option<io::ErrorKind>>,
}

impl Layered {
    pub(crate) fn new(layer: Box<dyn Layer>, opened: VecDeque<Chunk>) -> Self {
        Self {
            ended: Cell::new(layer.is_ended()),
            layer: RefCell::new(layer),
            opened: RefCell::new(opened),
            unsealed: RefCell::default(),
            failed: Cell::new(None),
        }
    }

    /// Content that is there already; `Ok(None)` at its end.
    pub(crate) fn content(&self) -> Option<io::Result<Option<Chunk>>> {
        let next = self.opened.borrow_mut().pop_front();
        if next.is_some() {
            return Some(Ok(next));
        }
        if let Some(kind) = self.failed.get() {
            return Some(Err(kind.into()));
        }
        self.ended.get().then_some(Ok(None))
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.get() && self.opened.borrow().is_empty()
    }

    /// Takes what the socket gave: bytes, or its end.
    pub(crate) fn take(&self, received: Option<Chunk>, out: &RefCell<VecDeque<Chunk>>) {
        let mut layer = self.layer.borrow_mut();
        let opened = match received {
            Some(received) => layer.open(received, &mut self.opened.borrow_mut(), &mut out.borrow_mut()),
            None => layer.end().map(|()| Opened::End),
        };
        match opened {
            Ok(opened) => self.ended.set(opened == Opened::End),
            Err(error) => self.failed.set(Some(error.kind())),
        }
    }

    pub(crate) fn queue(&self, chunk: Chunk) {
        self.unsealed.borrow_mut().push_back(chunk);
    }

    pub(crate) fn queued(&self) -> usize {
        self.unsealed.borrow().iter().map(Chunk::len).sum()
    }

    /// Seals what was queued.
    pub(crate) fn seal(&self, out: &RefCell<VecDeque<Chunk>>) -> io::Result<()> {
        let mut unsealed = self.unsealed.borrow_mut();
        if unsealed.is_empty() {
            return Ok(());
        }
        let sealed = self.layer.borrow_mut().seal(&mut unsealed, &mut out.borrow_mut());
        if sealed.is_err() {
            unsealed.clear();
        }
        sealed
    }

    pub(crate) fn close(&self, out: &RefCell<VecDeque<Chunk>>) {
        self.layer.borrow_mut().close(&mut out.borrow_mut());
    }

    /// The stream is quiet for a while.
    pub(crate) fn park(&self) {
        self.layer.borrow_mut().park();
    }

    /// Frees what empty queues keep.
    pub(crate) fn shrink(&self) {
        self.opened.borrow_mut().shrink_to_fit();
        self.unsealed.borrow_mut().shrink_to_fit();
    }
}

impl fmt::Debug for Layered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layered").field("ended", &self.ended).finish_non_exhaustive()
    }
}
