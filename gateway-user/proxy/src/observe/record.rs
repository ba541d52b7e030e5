//! The record of one request: an access log line and its share of the metrics.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use gateway_http::h1::PartialHead;
use gateway_http::head::{RequestParts, Version};

use crate::Reason;
use crate::clock::Clock;
use crate::context::{Counted, Outcome, Routed, WorkerContext};
use crate::metrics::{SeriesKey, UnsupportedProtocol, bounded, method_label};
use crate::observe::access_log::Record;
use crate::policy::retry::Denial;
use crate::request_id;
use crate::settings::Settings;
use crate::tls::layer::TlsInfo;
use crate::upgrade::Upgrade;

/// Copies of the request's own words: the buffer they came in goes on to the backend.
#[derive(Debug, Default)]
pub(crate) struct RequestText {
    bytes: Vec<u8>,
    method: Range<usize>,
    path: Range<usize>,
    /// Of a request that was refused, and of a connection without requests; others have a version.
    protocol: Range<usize>,
    authority: Range<usize>,
    id: Range<usize>,
    forwarded_for: Option<Range<usize>>,
    user_agent: Option<Range<usize>>,
    dropped_headers: Option<Range<usize>>,
}

/// Everything else that is known about a request once it is over.
pub(crate) struct RequestRecord {
    pub(crate) began: Instant,
    start_ms: u64,
    pub(crate) version: Option<Version>,
    /// It is a gRPC call.
    pub(crate) is_grpc: bool,
    /// The other protocol that it offers, and that was left out.
    pub(crate) ignored_upgrade: Option<UnsupportedProtocol>,
    /// The protocol that it changed to.
    pub(crate) upgrade: Option<Upgrade>,
    pub(crate) client: IpAddr,
    pub(crate) routed: Option<Rc<Routed>>,
    /// Its place among the requests of its namespace and listener, until it is over.
    pub(crate) counted: Option<Counted>,
    pub(crate) match_index: u32,
    pub(crate) upstream: Option<SocketAddr>,
    /// When a connection to the backend was in hand.
    pub(crate) upstream_began: Option<Instant>,
    /// From then to the head of its response.
    pub(crate) upstream_head: Option<Duration>,
    /// 0 until a response's head is sent.
    pub(crate) status: u16,
    /// Its attempts, if its rule has retries.
    pub(crate) retried: Option<Retried>,
    pub(crate) reason: Option<Reason>,
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

/// The attempts of a request whose rule has retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retried {
    /// All of them, the first included.
    pub(crate) attempts: u8,
    /// The reason for which none followed the last one that the rule asks to be tried again.
    pub(crate) denial: Option<Denial>,
}

impl RequestText {
    /// Forgets all; memory above `keep` bytes is freed.
    pub(crate) fn clear(&mut self, keep: usize) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        bytes.shrink_to(keep);
        *self = Self { bytes, ..Self::default() };
    }

    /// The texts alone, for another one who finishes the record; this one has none any more.
    pub(crate) fn take_all(&mut self) -> Self {
        let mut all = std::mem::take(self);
        all.bytes.shrink_to_fit();
        all
    }

    /// That of a connection without requests, in whose place the log has its protocol.
    pub(crate) fn of_connection(protocol: &[u8]) -> Self {
        let mut text = Self::default();
        text.protocol = text.put(protocol);
        text
    }

    /// Copies what the log and the response need.
    pub(crate) fn take(&mut self, request: &RequestParts<'_>, id: &[u8]) {
        self.bytes.clear();
        self.dropped_headers = None;
        let fields = request.fields;
        self.method = self.put(request.method_token);
        self.path = self.put(request.path);
        if let Some(query) = request.query {
            self.bytes.push(b'?');
            let query = self.put(query);
            self.path.end = query.end;
        }
        self.authority = self.put(request.authority.unwrap_or_default());
        self.id = self.put(id);
        self.user_agent = fields.get(b"user-agent").map(|value| self.put(value));
        self.forwarded_for = None;
        for line in fields.get_all(b"x-forwarded-for") {
            let joined = self.forwarded_for.take();
            if joined.is_some() {
                self.bytes.extend_from_slice(b", ");
            }
            let line = self.put(line);
            self.forwarded_for = Some(joined.map_or(line.start, |joined| joined.start)..line.end);
        }
    }

    /// Copies what can be told of a request whose head is not whole or is refused. `bytes` are what was received of it.
    #[cold]
    pub(crate) fn take_refused(&mut self, bytes: &[u8]) {
        self.clear(usize::MAX);
        let PartialHead { method, path, protocol, authority } = PartialHead::of(bytes);
        self.method = self.put(method);
        self.path = self.put(path);
        self.protocol = self.put(protocol);
        self.authority = self.put(authority);
    }

    /// Notes the name of a field that was dropped. Nothing else is put between two of them: they make one text.
    pub(crate) fn note_dropped(&mut self, name: &[u8]) {
        let joined = self.dropped_headers.take();
        if joined.is_some() {
            self.bytes.extend_from_slice(b", ");
        }
        let name = self.put(name);
        self.dropped_headers = Some(joined.map_or(name.start, |joined| joined.start)..name.end);
    }

    pub(crate) fn id(&self) -> &[u8] {
        self.get(&self.id)
    }

    pub(crate) fn authority(&self) -> &[u8] {
        self.get(&self.authority)
    }

    fn put(&mut self, part: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(part);
        start..self.bytes.len()
    }

    fn get(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }
}

impl RequestRecord {
    /// The settings of its listener; the process's if that is not known.
    pub(crate) fn settings(&self, context: &WorkerContext) -> Rc<Settings> {
        Rc::clone(self.routed.as_ref().map_or(&context.settings, |routed| &routed.settings))
    }

    pub(crate) fn begin(peer: IpAddr) -> Self {
        Self {
            began: Instant::now(),
            start_ms: Clock::wall_ms(),
            version: None,
            is_grpc: false,
            ignored_upgrade: None,
            upgrade: None,
            client: peer,
            routed: None,
            counted: None,
            match_index: 0,
            upstream: None,
            upstream_began: None,
            upstream_head: None,
            status: 0,
            retried: None,
            reason: None,
            received: 0,
            sent: 0,
        }
    }

    /// That of a flow of datagrams, at its end.
    pub(crate) fn of_flow(client: IpAddr, began: Instant, start_ms: u64) -> Self {
        Self { began, start_ms, ..Self::begin(client) }
    }

    /// The record, for another one who finishes it; this one is not to be finished any more.
    pub(crate) fn take(&mut self) -> Self {
        let empty = Self::begin(self.client);
        std::mem::replace(self, empty)
    }

    /// Writes the line and counts the request.
    pub(crate) fn finish(
        &self,
        context: &WorkerContext,
        text: &RequestText,
        tls: Option<&TlsInfo>,
        peer: SocketAddr,
        local: SocketAddr,
    ) {
        let now = Instant::now();
        self.count(context, text, tls, now);
        self.log(context, text, tls, (peer, local), now);
    }

    /// Writes the line.
    pub(crate) fn log(
        &self,
        context: &WorkerContext,
        text: &RequestText,
        tls: Option<&TlsInfo>,
        (peer, local): (SocketAddr, SocketAddr),
        now: Instant,
    ) {
        if !self.routed.as_ref().map_or(&context.settings, |routed| &routed.settings).access_log {
            return;
        }
        let duration_us = micros(now.saturating_duration_since(self.began));
        let own_id;
        let request_id = match text.id() {
            // A head that was refused was never given an id.
            [] => {
                own_id = context.random.id();
                own_id.as_slice()
            }
            id => id,
        };
        context.log(&Record {
            start_ms: self.start_ms,
            method: text.get(&text.method),
            path: text.get(&text.path),
            protocol: self.version.map_or(text.get(&text.protocol), |version| version.as_str().as_bytes()),
            ignored_upgrade: self.ignored_upgrade.map(UnsupportedProtocol::name),
            upgrade: self.upgrade.map(|upgrade| upgrade.name(&context.config)),
            response_code: self.status,
            reason: self.reason,
            dropped_headers: text.dropped_headers.as_ref().map(|range| text.get(range)),
            detail: self.detail(),
            bytes_received: self.received,
            bytes_sent: self.sent,
            duration_us,
            upstream_us: self.upstream_head.map(micros),
            retried: self.retried.map(|Retried { attempts, denial }| (attempts, denial.map(Denial::code))),
            x_forwarded_for: text.forwarded_for.as_ref().map(|range| text.get(range)),
            user_agent: text.user_agent.as_ref().map(|range| text.get(range)),
            request_id,
            authority: text.authority(),
            upstream_host: self.upstream,
            route: self.routed.as_ref().map(|routed| &*routed.rule.route.text),
            rule: self.routed.as_ref().map(|routed| routed.rule.index),
            listener: self.routed.as_ref().map(|routed| &*routed.listener.text),
            tls,
            peer,
            client: self.client,
            local,
        });
    }

    /// Counts the request.
    pub(crate) fn count(
        &self,
        context: &WorkerContext,
        text: &RequestText,
        tls: Option<&TlsInfo>,
        now: Instant,
    ) {
        let duration_us = micros(now.saturating_duration_since(self.began));
        let mut metrics = context.metrics.borrow_mut();
        let counters = &mut metrics.counters;
        counters.requests += 1;
        counters.request_bytes += self.received;
        counters.response_bytes += self.sent;
        let outcome = Outcome {
            scheme: if tls.is_some() { "https" } else { "http" },
            method: method_label(text.get(&text.method)),
            status: bounded(self.status),
            reason: self.reason.map(Reason::code),
            match_index: self.match_index,
        };
        let place = match &self.routed {
            Some(routed) => routed.series(outcome, &mut metrics.series),
            None => metrics.series.place(outcome.of("", "", "")),
        };
        let series = metrics.series.at(place);
        series.duration.record(duration_us);
        series.request_bytes.record(self.received);
        series.response_bytes.record(self.sent);
        if let Some(began) = self.upstream_began {
            series.upstream.record(micros(now.saturating_duration_since(began)));
        }
    }

    /// Writes the line of a connection without requests, and counts it.
    pub(crate) fn finish_connection(
        &self,
        context: &WorkerContext,
        text: &RequestText,
        tls: Option<&TlsInfo>,
        ends: (SocketAddr, SocketAddr),
    ) {
        let now = Instant::now();
        self.count_connection(context, now);
        self.log(context, text, tls, ends, now);
    }

    /// Counts a connection without requests.
    pub(crate) fn count_connection(&self, context: &WorkerContext, now: Instant) {
        self.count_whole(SeriesKey::TCP, context, now);
    }

    /// Counts a flow of datagrams.
    pub(crate) fn count_flow(&self, context: &WorkerContext, now: Instant) {
        self.count_whole(SeriesKey::UDP, context, now);
    }

    fn count_whole(&self, scheme: &'static str, context: &WorkerContext, now: Instant) {
        let mut metrics = context.metrics.borrow_mut();
        let reason = self.reason.map(Reason::code);
        let outcome = Outcome { scheme, method: "", status: 0, reason, match_index: 0 };
        let place = match &self.routed {
            Some(routed) => routed.series(outcome, &mut metrics.series),
            None => metrics.series.place(outcome.of("", "", "")),
        };
        let series = metrics.series.at(place);
        series.duration.record(micros(now.saturating_duration_since(self.began)));
        series.request_bytes.record(self.received);
        series.response_bytes.record(self.sent);
    }

    /// The sentence of a broken rule or backendRef.
    fn detail(&self) -> Option<&str> {
        let Some(Reason::Failure(kind)) = self.reason else { return None };
        self.routed.as_ref().and_then(|routed| routed.failure(kind))
    }
}

/// The id a request goes by: a trusted peer's own if it is sane, else a new one.
pub(crate) fn request_id<'a>(
    context: &WorkerContext,
    request: &RequestParts<'a>,
    trusted: bool,
    fresh: &'a mut [u8; request_id::ID_LEN],
) -> &'a [u8] {
    match request.fields.get(b"x-request-id") {
        Some(id) if trusted && request_id::is_sane(id) => id,
        _ => {
            *fresh = context.random.id();
            fresh
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
