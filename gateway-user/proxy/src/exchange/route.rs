//! From a head to what is done about it: no waiting in here but for others to have their turn.

use std::net::SocketAddr;
use std::rc::Rc;

use gateway_grammar::FieldId;
use gateway_grammar::grpc::is_grpc;
use gateway_grammar::path::{self, MergeSlashes};
use gateway_http::grpc;
use gateway_http::head::{Fields, RequestParts};
use gateway_ir::Opening;
use gateway_snapshot::{Action, BindTable, FieldLines, Progress, RequestView};

use super::wire::Wire;
use super::{Exchange, Scratch};
use crate::clock::pause;
use crate::config::UnderscoreHeaders;
use crate::connection::info::ConnInfo;
use crate::context::{Live, Routed, WorkerContext, bind_table};
use crate::fault::{self, Stage};
use crate::observe::record::RequestRecord;
use crate::{Reason, filters, forwarded};

/// The rule that takes a request, and how its path matched: `matched_len` is of the path as it is forwarded.
pub(crate) struct MatchedRoute {
    pub(crate) live: Rc<Live>,
    pub(crate) routed: Rc<Routed>,
    pub(crate) matched_len: usize,
}

/// A head's fields as the tables ask for them.
pub(super) struct Lines<'a>(pub(super) Fields<'a>);

impl FieldLines for Lines<'_> {
    fn find(&self, name: &str, from: usize) -> Option<(usize, &[u8])> {
        let mut lines = self.0.iter().enumerate().skip(from);
        lines
            .find(|(_, field)| field.name.eq_ignore_ascii_case(name.as_bytes()) && is_shown(field.id))
            .map(|(at, field)| (at, field.value))
    }
}

/// True if rules see the field: a client's word about its certificate matches nothing.
fn is_shown(id: FieldId) -> bool {
    id != FieldId::ForwardedClientCert
}

impl<W: Wire> Exchange<'_, W> {
    /// Finds the rule for the request, after its path and fields are screened.
    pub(super) async fn route(&mut self) -> Result<MatchedRoute, Reason> {
        if self.wire.has_underscores() {
            self.record.is_grpc = grpc::is_call(&self.wire.request());
            self.screen()?;
        }
        let Self { info, wire, scratch, record } = self;
        let Scratch { path, merged, host, .. } = &mut **scratch;
        let request = wire.request();
        record.is_grpc = grpc::is_call(&request);
        fault::inject(&info.context.config, || request, Stage::Routing);
        if info.trusted {
            let chain = forwarded::Lines::collect(request.fields.get_all(b"x-forwarded-for"));
            record.client = forwarded::client_address(&info.context.config, info.peer.ip(), chain.iter());
        }
        let path = normal_path(info, &request, path)?;
        let seen = match info.context.config.path.merge_slashes {
            MergeSlashes::Match => path::merged(path, merged),
            MergeSlashes::Always | MergeSlashes::Never => path,
        };
        let mut found = find(info, &request, seen, host, record).await?;
        if seen.len() != path.len() {
            found.matched_len = path::unmerged_len(path, found.matched_len);
        }
        Ok(found)
    }

    /// Applies the policy for field names with `_`, of which the request has some, before anything is matched.
    #[cold]
    fn screen(&mut self) -> Result<(), Reason> {
        let Self { info, wire, scratch, .. } = self;
        let Scratch { host: storage, text, .. } = &mut **scratch;
        let context = &info.context;
        let policy = context.config.underscore_headers;
        if policy == UnderscoreHeaders::Keep {
            return Ok(());
        }
        let request = wire.request();
        let grpc = request.fields.get(b"content-type").is_some_and(is_grpc);
        storage.clear();
        storage.extend(request.host.unwrap_or_default().iter().map(u8::to_ascii_lowercase));
        let live = context.live();
        let table = info.bind_table(&live.snapshot);
        let host = table.map_or(storage.as_slice(), |table| routed_host(info, table, storage));
        let known = |name: &[u8]| table.is_some_and(|table| table.knows_underscored(host, name));
        let mut count = 0;
        wire.retain_fields(|name| {
            let stays = filters::stays(name, grpc, known);
            if !stays {
                count += 1;
                text.note_dropped(name);
            }
            stays
        });
        if policy == UnderscoreHeaders::Reject && count > 0 {
            return Err(Reason::UnderscoreHeader);
        }
        context.metrics.borrow_mut().counters.underscore_headers_dropped += count;
        Ok(())
    }
}

/// The path to forward, and to match but for runs of slashes: as received if it is normal, else written to `out`.
fn normal_path<'a>(
    info: &ConnInfo,
    request: &RequestParts<'a>,
    out: &'a mut Vec<u8>,
) -> Result<&'a [u8], Reason> {
    path::normalize(request.path, info.context.config.path, out).map_err(Reason::Path)
}

/// The first thing on connections to `local`; `None` if nothing is served there.
pub(crate) fn opening(context: &WorkerContext, local: SocketAddr) -> Option<Opening> {
    let live = context.live();
    bind_table(context, local, &live.snapshot).map(|(_, table)| table.opening())
}

/// True if a client that connected to `local` would take a response for one: HTTP is spoken there in the clear, or nothing at
/// all is served.
pub(crate) fn takes_response(context: &WorkerContext, local: SocketAddr) -> bool {
    matches!(opening(context, local), None | Some(Opening::Request))
}

/// The host to route on, of a request for `host`.
fn routed_host<'h>(info: &'h ConnInfo, table: &'h BindTable, host: &'h [u8]) -> &'h [u8] {
    match &info.tls {
        Some(tls) => table.routed_host(tls.server_name.as_deref(), host),
        None => host,
    }
}

/// Looks the request up in the generation that is live now, and lets others run where that takes long.
async fn find(
    info: &ConnInfo,
    request: &RequestParts<'_>,
    path: &[u8],
    host: &mut Vec<u8>,
    record: &mut RequestRecord,
) -> Result<MatchedRoute, Reason> {
    let live = info.context.live();
    let table = info.bind_table(&live.snapshot).ok_or(Reason::NoListenerForAddress)?;
    // A connection that was opened before its listener changed its protocol is not what the listener asks for.
    let opening = if info.tls.is_some() { Opening::ClientHello } else { Opening::Request };
    if table.opening() != opening {
        return Err(Reason::NoListenerForAddress);
    }
    let view = RequestView {
        method: request.method_token,
        host: routed_host(info, table, request.host_lower(host).unwrap_or_default()),
        path,
        query: request.query,
        fields: &Lines(request.fields),
    };
    if let Some(tls) = &info.tls
        && table.is_misdirected(tls.server_name.as_deref(), view.host)
    {
        return Err(Reason::Misdirected);
    }
    let mut progress = Progress::default();
    let hit = loop {
        // Not borrowed while others run.
        let step = table.route_step(&view, &mut live.regexes.borrow_mut(), &mut progress);
        match step {
            Some(result) => break result.map_err(Reason::Miss)?,
            None => {
                info.context.metrics.borrow_mut().counters.lookup_pauses += 1;
                pause().await;
            }
        }
    };
    let routed = live.routed(hit.rule, hit.listener, &info.context.shares, &info.context.settings);
    let matched_len = hit.matched_len;
    record.match_index = hit.match_index;
    record.routed = Some(Rc::clone(&routed));
    routed.settings.check_head(request)?;
    match &routed.rule.action {
        Action::Fail(failure) => Err(Reason::Failure(failure.kind)),
        Action::Forward(_) | Action::Redirect(_) => Ok(MatchedRoute { live, routed, matched_len }),
    }
}
