//! One client connection: request after request until either side ends it.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use gateway_http::h1::RequestError;
use gateway_http::h1::path::{self, MergeSlashes};
use gateway_io::{BufferLevel, Chunk, Stream, buffer_level, place, pool_stats};
use gateway_snapshot::Action;
use gateway_snapshot::rewrite::Scheme;

use super::exchange::Asked;
use super::head::{NoHead, receive};
use super::linger::{Linger, linger};
use super::record::{RequestEnd, request_id};
use super::scratch::Scratch;
use super::secured::Secured;
use super::turns::Turns;
use super::{answer, forward, route};
use crate::fault::{self, Stage};
use crate::metrics::UnsupportedProtocol;
use crate::upstream::PrivateConnections;
use crate::worker::{Counted, Membership, Routed, Worker};
use crate::{Reason, forwarded, request_id as ids};

/// How long a client may take for each step to its first request where places or buffers are scarce.
const OVER_LIMIT_STEP: Duration = Duration::from_secs(2);

/// How long a client may take to be told by TLS that nothing more comes.
const GOODBYE: Duration = Duration::from_secs(1);

/// Lines of `X-Forwarded-For` that are looked at, from the last one.
const MAX_CHAIN: usize = 8;

/// A client connection.
pub(super) struct Session {
    // Before the membership: who has left holds no socket any more.
    pub(super) stream: Stream,
    membership: Membership,
    /// Received and not used yet.
    pub(super) inbox: Option<Chunk>,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    /// The listener's address and port, which differ from `local` where low ports are moved; settled by each lookup.
    pub(super) bind: Cell<SocketAddr>,
    pub(super) trusted: bool,
    /// A PROXY header has to come before all else.
    pub(super) owes_header: bool,
    /// Its first octets have come.
    pub(super) begun: bool,
    /// How it is secured, if it is.
    pub(super) secured: Option<Box<Secured>>,
    /// Connections to backends that this client has logged in, if any.
    pub(super) private: Option<Box<PrivateConnections>>,
}

/// What becomes of the connection after a request.
#[derive(Debug)]
pub(super) enum Next {
    /// Another request.
    Stay,
    /// Closed at once: nothing is lost, or the client is to see that something is.
    Close,
    /// Closed once the client has had the response, though it may still be sending.
    Linger(Linger),
    /// Reset: an orderly close would look like the answer's end.
    Reset,
}

/// What a wait for a request ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waited {
    /// A request's first octets are in the inbox.
    Begun,
    /// Nothing came for so long that the wait goes on in less memory.
    Quiet,
    /// There will be no request.
    Ended,
}

/// One request as far as the head tells.
pub(super) struct Head {
    /// Octets of the head at the start of the inbox.
    pub(super) len: usize,
    pub(super) asked: Asked,
}

impl Session {
    pub(super) fn new(
        membership: Membership,
        stream: Stream,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Box<Self> {
        let config = &membership.worker().config;
        let (trusted, owes_header) = (config.trusts(peer.ip()), config.announces(peer.ip()));
        Box::new(Self {
            membership,
            stream,
            inbox: None,
            peer,
            local,
            bind: Cell::new(local),
            trusted,
            owes_header,
            begun: false,
            secured: None,
            private: None,
        })
    }

    pub(super) fn worker(&self) -> &Rc<Worker> {
        self.membership.worker()
    }

    pub(super) fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Serves the connection to its end. While it is quiet only this small task is kept; what serves requests is placed
    /// when one begins, and goes when none has for about a second.
    pub(super) async fn run(self: Box<Self>) {
        let mut session = self;
        session.begin_first_wait();
        while session.is_woken().await {
            if session.owes_header {
                match place(|| session.take_header()).await {
                    Some(announced) => session = announced,
                    None => return,
                }
                if session.inbox.is_none() {
                    session.begin_first_wait();
                    continue;
                }
            }
            if session.wants_handshake() {
                // It takes more memory than a request, and whose it is is not known.
                if buffer_level() == BufferLevel::Exhausted {
                    session.worker().metrics.borrow_mut().counters.memory_refused += 1;
                    return;
                }
                match place(|| session.handshake()).await {
                    Some(secured) => session = secured,
                    None => return,
                }
                if session.inbox.is_none() {
                    session.begin_first_wait();
                    continue;
                }
            }
            match place(|| session.serve_until_quiet()).await {
                Some(quiet) => session = quiet,
                None => return,
            }
        }
        if session.stream.is_layered() {
            place(|| session.stream.close_in_order(GOODBYE)).await;
        }
    }

    /// Serves requests, the first of which has begun; gives the session back when the connection is quiet, with the wait
    /// going on, and ends it otherwise.
    async fn serve_until_quiet(mut self: Box<Self>) -> Option<Box<Self>> {
        let mut turns = Turns::of(self.worker());
        let next = loop {
            turns.take().await;
            match self.wait().await {
                Waited::Begun => {}
                Waited::Quiet => {
                    self.stream.send.shrink();
                    return Some(self);
                }
                Waited::Ended => break Next::Close,
            }
            let mut scratch = self.worker().take_scratch();
            let next = self.request(&mut scratch).await;
            if let Next::Linger(rest) = next {
                let Self { membership, stream, .. } = *self;
                place(|| linger(membership, stream, scratch, rest)).await;
                return None;
            }
            self.worker().give_back(scratch);
            if !matches!(next, Next::Stay) {
                break next;
            }
        };
        // Held until the stream is gone.
        let Self { membership: _membership, stream, .. } = *self;
        match next {
            // Who is told by TLS that nothing more comes knows that nothing was cut off.
            Next::Close if stream.is_layered() => stream.close_in_order(GOODBYE).await,
            Next::Stay | Next::Linger(_) | Next::Close => drop(stream),
            // If the option can't be set the connection is closed in order; there is nobody left to tell.
            Next::Reset => drop(stream.reset()),
        }
        None
    }

    /// Waits for the first octets of a request until the connection has been quiet for a while.
    async fn wait(&mut self) -> Waited {
        if self.inbox.as_ref().is_some_and(|inbox| !inbox.is_empty()) {
            return Waited::Begun;
        }
        // Between requests an empty buffer goes back to the pool.
        self.inbox = None;
        self.begin_wait(self.worker().config.timeouts.client_idle);
        let received = self.membership.control.kill.unless(self.stream.recv.recv_unless_quiet()).await;
        match received {
            Some(None) => Waited::Quiet,
            Some(Some(received)) => self.end_wait(Some(received)),
            None => self.end_wait(None),
        }
    }

    /// Waits on for the first octets of a request; false if there will be none.
    async fn is_woken(&mut self) -> bool {
        let received = self.membership.control.kill.unless(self.stream.recv.recv()).await;
        self.end_wait(received) == Waited::Begun
    }

    /// Who connects and says nothing gets no more time than who begins a head.
    fn begin_first_wait(&mut self) {
        let timeouts = &self.worker().config.timeouts;
        let limit = timeouts.client_header.min(timeouts.client_idle);
        self.begin_wait(self.limited(limit));
    }

    /// A limit for what comes before a request's head is there, where places or buffers are scarce.
    pub(super) fn limited(&self, limit: Duration) -> Duration {
        let scarce = self.membership.is_over_limit() || buffer_level() >= BufferLevel::Full;
        if scarce { limit.min(OVER_LIMIT_STEP) } else { limit }
    }

    /// From now on no request is under way, for at most `limit`.
    fn begin_wait(&mut self, limit: Duration) {
        self.membership.control.idle.set(true);
        self.stream.recv.set_deadline(Some(limit));
    }

    /// Takes what ended a wait: `None` if the connection must end.
    fn end_wait(&mut self, received: Option<io::Result<Option<Chunk>>>) -> Waited {
        self.stream.recv.set_deadline(None);
        self.membership.control.idle.set(false);
        match received {
            Some(Ok(Some(chunk))) => {
                self.inbox = Some(chunk);
                Waited::Begun
            }
            Some(Ok(None) | Err(_)) | None => Waited::Ended,
        }
    }

    /// Serves one request.
    async fn request(&mut self, scratch: &mut Scratch) -> Next {
        let mut end = RequestEnd::begin(self.peer.ip());
        let active = self.membership.begin_request();
        let next = match self.head(scratch, &mut end).await {
            Err(NoHead::Silent) => return Next::Close,
            Err(NoHead::Refused(reason)) => {
                scratch.text.take_refused(self.inbox.as_deref().unwrap_or_default());
                self.note_refused(reason);
                answer::own(self, scratch, &mut end, None, reason).await
            }
            Ok(head) => self.serve(scratch, &mut end, &head).await,
        };
        drop(active);
        end.finish(self.worker(), &scratch.text, self.secured.as_deref(), self.peer, self.local);
        next
    }

    /// Receives a head and notes what is needed of it later.
    async fn head(&mut self, scratch: &mut Scratch, end: &mut RequestEnd) -> Result<Head, NoHead> {
        let worker = Rc::clone(self.worker());
        let config = &worker.config;
        let limit = self.limited(config.timeouts.client_header);
        let receiving =
            receive(&mut self.stream.recv, &mut self.inbox, &mut scratch.request, &config.head, limit);
        // A drain's maximum ends a head that is still coming in.
        let len =
            self.membership.control.kill.unless(pin!(receiving)).await.unwrap_or(Err(NoHead::Silent))?;
        let request = scratch.request.view(self.inbox.as_deref().unwrap_or_default());
        let mut fresh = [0; ids::ID_LEN];
        let id = request_id(self.worker(), &request, self.trusted, &mut fresh);
        scratch.text.take(&request, id);
        if let Some(protocol) = request.upgrade().and_then(UnsupportedProtocol::of_upgrade) {
            // A server may ignore it (RFC 9110 section 7.8): the request is served over HTTP/1.1.
            worker.metrics.borrow_mut().unsupported.count(protocol);
            end.upgrade = Some(protocol);
        }
        let asked = Asked {
            method: request.method(),
            version: request.version(),
            keep_alive: request.keep_alive(),
            framing: request.framing(),
        };
        Ok(Head { len, asked })
    }

    /// Counts a request whose head was refused, where that has a number of its own.
    fn note_refused(&self, reason: Reason) {
        let metrics = &mut self.worker().metrics.borrow_mut();
        match reason {
            Reason::OverloadMemory => metrics.counters.memory_refused += 1,
            Reason::Request(RequestError::Http2Preface) => {
                metrics.unsupported.count(UnsupportedProtocol::Http2)
            }
            _ => {}
        }
    }

    /// Routes a request and does what its rule says.
    async fn serve(&mut self, scratch: &mut Scratch, end: &mut RequestEnd, head: &Head) -> Next {
        end.version = Some(head.asked.version);
        let found = self.route(scratch, end).await;
        // Counted until the response is out, or the connection is lost.
        let found = self.admit(found);
        match found {
            Err(reason) => answer::own(self, scratch, end, Some(head), reason).await,
            Ok((found, _counted)) => match &found.routed.clone().rule.action {
                Action::Redirect(redirect) => {
                    answer::redirect(self, scratch, end, head, redirect, &found).await
                }
                Action::Forward(picker) => {
                    let target = picker.pick(self.worker().random.next());
                    forward::forward(self, scratch, end, head, found, target).await
                }
                // Told from the others when the rule was found.
                Action::Fail(failure) => {
                    answer::own(self, scratch, end, Some(head), Reason::Failure(failure.kind)).await
                }
            },
        }
    }

    async fn route(&self, scratch: &mut Scratch, end: &mut RequestEnd) -> Result<route::Match, Reason> {
        let Scratch { request: head, path, merged, host, text, .. } = scratch;
        let bytes = self.inbox.as_deref().unwrap_or_default();
        if head.has_underscores() {
            route::screen(self, head, bytes, host, text)?;
        }
        let request = head.view(bytes);
        fault::strike(&self.worker().config, &request, Stage::Routing);
        if self.trusted {
            let lines = request.fields();
            let chain = ForwardedFor::collect(lines.get_all(b"x-forwarded-for"));
            end.client = forwarded::client_address(&self.worker().config, self.peer.ip(), chain.lines());
        }
        let path = route::normal_path(self, &request, path)?;
        let seen = match self.worker().config.path.merge_slashes {
            MergeSlashes::Match => path::merged(path, merged),
            MergeSlashes::Always | MergeSlashes::Never => path,
        };
        let mut found = route::find(self, &request, seen, host, end).await?;
        if seen.len() != path.len() {
            found.matched_len = path::unmerged_len(path, found.matched_len);
        }
        Ok(found)
    }

    /// Counts a request that found its rule, unless others go first.
    fn admit(&self, found: Result<route::Match, Reason>) -> Result<(route::Match, Counted), Reason> {
        if !self.membership.is_over_limit() {
            let found = found?;
            self.takes_its_share(&found.routed)?;
            let counted = found.routed.shared.begin();
            return Ok((found, counted));
        }
        match found {
            Ok(found) if self.worker().shares.goes_first(&found.routed.shared) => {
                self.membership.admit();
                let counted = found.routed.shared.begin();
                Ok((found, counted))
            }
            _ => {
                self.membership.refuse();
                Err(Reason::OverloadConnections)
            }
        }
    }

    /// Where something is scarce the namespace and the listener with the most requests under way wait.
    fn takes_its_share(&self, routed: &Routed) -> Result<(), Reason> {
        let worker = self.worker();
        let (shares, shared) = (&worker.shares, &routed.shared);
        let refused = match buffer_level() {
            BufferLevel::Plenty => None,
            BufferLevel::Short => {
                let lent = pool_stats().lent;
                shares.gives_way(shared, lent).then_some(Reason::OverloadMemory)
            }
            // The rest is for what is under way, and for those that have less of it.
            BufferLevel::Full | BufferLevel::Exhausted => {
                (!shares.goes_first(shared)).then_some(Reason::OverloadMemory)
            }
        };
        let crowded = || {
            let gives_way = worker.is_crowded() && shares.gives_way(shared, worker.inside());
            gives_way.then_some(Reason::OverloadShare)
        };
        let Some(reason) = refused.or_else(crowded) else { return Ok(()) };
        let counters = &mut worker.metrics.borrow_mut().counters;
        match reason {
            Reason::OverloadMemory => counters.memory_refused += 1,
            _ => counters.share_refused += 1,
        }
        Err(reason)
    }

    /// How requests arrive by this connection.
    pub(super) fn scheme(&self) -> Scheme {
        if self.secured.is_some() { Scheme::Https } else { Scheme::Http }
    }

    /// The name that the client asked for when the connection was secured.
    pub(super) fn server_name(&self) -> Option<&[u8]> {
        self.secured.as_ref()?.server_name.as_deref().map(str::as_bytes)
    }

    /// True if local replies to the client give their reason.
    pub(super) fn shows_reason(&self) -> bool {
        self.worker().config.shows_reason(self.peer.ip())
    }

    /// Whether the client's connection may carry another request after an answer to this one.
    pub(super) fn may_stay(&self, asked: Asked) -> bool {
        asked.keep_alive && !self.worker().is_draining() && !self.membership.is_over_limit()
    }
}

/// The last lines of `X-Forwarded-For`, which have to be walked backwards.
struct ForwardedFor<'a> {
    lines: [&'a [u8]; MAX_CHAIN],
    count: usize,
}

impl<'a> ForwardedFor<'a> {
    fn collect(lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut kept = Self { lines: [b""; MAX_CHAIN], count: 0 };
        for line in lines {
            if kept.count == MAX_CHAIN {
                kept.lines.rotate_left(1);
                kept.count -= 1;
            }
            if let Some(slot) = kept.lines.get_mut(kept.count) {
                *slot = line;
            }
            kept.count += 1;
        }
        kept
    }

    fn lines(&self) -> impl DoubleEndedIterator<Item = &'a [u8]> + '_ {
        self.lines.iter().take(self.count).copied()
    }
}

#[cfg(test)]
mod tests {
    use gateway_io::Placed;

    use super::*;

    fn size<F: Future>(_: fn(Box<Session>) -> F) -> usize {
        size_of::<F>()
    }

    fn fits<F: Future>(_: fn(Box<Session>) -> F) -> bool {
        Placed::<F>::FITS
    }

    #[test]
    fn a_connection_costs_little_memory() {
        // The state of a request, every nested wait included: passing futures on by value multiplies it.
        let serving = size(Session::serve_until_quiet);
        assert!(serving <= 6 * 1024, "{serving} octets");
        assert!(fits(Session::serve_until_quiet), "it would leave holes in the heap");
        // What stays when it is quiet.
        let quiet = size(Session::run);
        assert!(quiet <= 128, "{quiet} octets");
        assert!(size_of::<Session>() <= 256, "{} octets", size_of::<Session>());
    }
}
