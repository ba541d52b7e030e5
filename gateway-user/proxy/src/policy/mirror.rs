//! `RequestMirror` (GEP-3171): copies of requests, each sent once by a task of its own that nobody waits for.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;

use gateway_grammar::{Method, Scheme};
use gateway_http::h1::{BodyDecoder, BodyFraming, HeadLimits, Parsed, RequestHead, ResponseHead};
use gateway_http::head::{Fields, HeadEdits, RequestParts};
use gateway_io::{Chunk, spawn};

use crate::Reason;
use crate::backend::{self, Reading};
use crate::body::ends::{PumpError, Sink as _, Source as _};
use crate::body::pacing::SendTimeout;
use crate::body::replay::{Copies, copy};
use crate::clock::within;
use crate::context::{BufferLevel, Counted, Routed, WorkerContext};
use crate::exchange::progress::Progress;
use crate::exchange::waits::Waits;
use crate::exchange::wire::{AttemptError, HeadTimeout, ResponseSource as _};
use crate::guarded::guarded;
use crate::h1::{self, body::LargeChunks};
use crate::upstream::{Cluster, Permit, Tried, lease};

/// Most interim responses of a mirror.
const MAX_INTERIM: u32 = 8;

/// The copies of one request that are to be sent. Those that are not when this is dropped are counted as given up.
pub(crate) struct Mirrors {
    context: Rc<WorkerContext>,
    routed: Rc<Routed>,
    waits: Waits,
    /// The request's client.
    peer: SocketAddr,
    planned: Vec<Planned>,
}

/// One copy.
struct Planned {
    cluster: Rc<Cluster>,
    of_rule: bool,
    head: Option<Rc<CopiedHead>>,
}

/// The head of a copy, as text.
struct CopiedHead {
    text: Chunk,
    scheme: Scheme,
}

impl Mirrors {
    /// Copies to these clusters, each with true if its mirror is the rule's. `None` for none.
    pub(crate) fn new(
        context: &Rc<WorkerContext>,
        routed: &Rc<Routed>,
        (waits, peer): (Waits, SocketAddr),
        clusters: impl Iterator<Item = (Rc<Cluster>, bool)>,
    ) -> Option<Box<Self>> {
        let planned: Vec<_> =
            clusters.map(|(cluster, of_rule)| Planned { cluster, of_rule, head: None }).collect();
        let (context, routed) = (Rc::clone(context), Rc::clone(routed));
        (!planned.is_empty()).then(|| Box::new(Self { context, routed, waits, peer, planned }))
    }

    /// True if a copy is changed by the rule's filters alone, or by those of rule and backend.
    pub(crate) fn has(&self, of_rule: bool) -> bool {
        self.planned.iter().any(|one| one.of_rule == of_rule)
    }

    /// Takes the head of the copies of a kind. One that cannot be written is left out, and so are they.
    pub(crate) fn take_head(&mut self, request: &RequestParts<'_>, edits: &HeadEdits, of_rule: bool) {
        // The body's length is not known until it has come.
        let Ok(text) = h1::backend::head(request, edits, BodyFraming::None, None) else { return };
        let head = Rc::new(CopiedHead { text, scheme: request.scheme });
        let wanted = self.planned.iter_mut().filter(|one| one.of_rule == of_rule);
        wanted.for_each(|one| one.head = Some(Rc::clone(&head)));
    }

    /// False if there is no room for a copy: whatever is scarce is for requests.
    fn begin(&self, planned: Planned, body: &Rc<Vec<Chunk>>) -> bool {
        let Self { context, routed, waits, peer, .. } = self;
        let Planned { cluster, head: Some(head), .. } = planned else { return false };
        let is_short = context.buffer_level() != BufferLevel::Plenty || context.is_crowded();
        if is_short || cluster.is_empty() || cluster.fault().is_some() {
            return false;
        }
        let Ok(permit) = cluster.load.enter(&context.config) else { return false };
        let message = Message { cluster, head, body: Rc::clone(body), waits: *waits };
        let counted = routed.shared.begin();
        spawn(guarded(Rc::clone(context), *peer, {
            let context = Rc::clone(context);
            move || run(context, message, permit, counted)
        }));
        true
    }
}

impl Copies for Mirrors {
    /// Each by a task of its own.
    fn send(mut self: Box<Self>, body: Option<Vec<Chunk>>) {
        let Some(body) = body else { return };
        let body = Rc::new(body);
        while let Some(planned) = self.planned.pop() {
            if !self.begin(planned, &body) {
                self.context.metrics.borrow_mut().counters.mirrors_given_up += 1;
            }
        }
    }
}

impl Drop for Mirrors {
    fn drop(&mut self) {
        self.context.metrics.borrow_mut().counters.mirrors_given_up += self.planned.len() as u64;
    }
}

/// A copy, as its task sends it.
struct Message {
    cluster: Rc<Cluster>,
    head: Rc<CopiedHead>,
    body: Rc<Vec<Chunk>>,
    waits: Waits,
}

/// Sends a copy and reads the response to its end, within the time that a response's head may take.
async fn run(context: Rc<WorkerContext>, message: Message, permit: Permit, _counted: Counted) {
    let limit = message.waits.response_header;
    let sent = within(limit, pin!(exchange(&context, &message, permit))).await;
    let counters = &mut context.metrics.borrow_mut().counters;
    match sent {
        Some(Ok(())) => counters.mirrored += 1,
        Some(Err(_)) | None => counters.mirrors_failed += 1,
    }
}

async fn exchange(context: &Rc<WorkerContext>, message: &Message, permit: Permit) -> Result<(), Reason> {
    let Message { cluster, head, body, waits } = message;
    let CopiedHead { text, scheme } = &**head;
    let lost = |_: PumpError| Reason::UpstreamReset;
    let mut parsed = RequestHead::new();
    // The gateway's own text, which is as long as filters make it.
    let limits = HeadLimits { head: usize::MAX, first_line: usize::MAX, fields: HeadLimits::MAX_FIELDS };
    let Ok(Parsed::Complete { .. }) = parsed.parse(text, &limits) else {
        return Err(Reason::FilteredRequestInvalid);
    };
    let request = parsed.view(text).parts(*scheme);
    let framing = match body.iter().map(|piece| piece.len() as u64).sum() {
        // Of these methods a request says that it has no content (RFC 9110 section 8.6).
        0 if !matches!(request.method, Method::Post | Method::Put | Method::Patch) => BodyFraming::None,
        length => BodyFraming::Length(length),
    };
    let mut lease = lease(context, cluster, true, None, &mut Tried::default()).await?;
    backend::begin(&mut lease, &request, &HeadEdits::new(), framing, None)?;
    let (mut response, mut decoder) = (ResponseHead::new(), BodyDecoder::new(context.config.body.clone()));
    let mut unasked = None;
    let reusable = {
        let reading = Reading {
            config: &context.config,
            method: request.method,
            upgrade: None,
            head: &mut response,
            decoder: &mut decoder,
            large: LargeChunks::Never,
            unasked: &mut unasked,
        };
        let (mut sink, mut source) = backend::halves(&mut lease, framing, reading);
        for piece in body.iter() {
            sink.queue(copy(piece));
        }
        sink.finish(Fields::default());
        sink.flush(SendTimeout::of(waits.upstream_body)).await.map_err(lost)?;
        let progress = Progress::new(permit, *waits, None);
        progress.end_upload();
        let mut interim = 0;
        loop {
            let timeout = HeadTimeout { limit: waits.response_header, progress: &progress };
            source.head(timeout).await.map_err(AttemptError::reason)?;
            if !source.parts().is_interim() {
                break;
            }
            interim += 1;
            if interim > MAX_INTERIM {
                return Err(Reason::UpstreamTooManyInterim);
            }
        }
        progress.permit.response_began();
        source.begin_body().map_err(lost)?;
        while !source.body().is_finished() {
            // A part of it may have come with the head.
            let piece = match source.body().at_hand() {
                Some(piece) => piece,
                None => source.body().next(waits.upstream_body).await,
            };
            piece.map_err(lost)?;
        }
        source.is_reusable()
    };
    if reusable {
        lease.keep(context);
    }
    Ok(())
}
