//! The way of a request through the tables, in words. The steps are those of the lookup itself,
//! which tells them.

mod connection;
mod text;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use gateway_ir::{Opening, Transport};

use crate::pattern::PatternSet;
use crate::rewrite::Scheme;
use crate::snapshot::{HostTable, ListenerTable, Observer};
use crate::table::condition::ValueTest;
use crate::table::{Entry, Mismatch};
use crate::{BindTable, ListenerInfo, RequestView, RouteMiss, Rule, Selected, Snapshot, WorkerRegexes};
pub use connection::{explain_connection, explain_datagram, explain_tls};
use text::{bind_text, clients_text, failing, header_lines, hostname_text, list, path_text, place, text};

/// The steps of a lookup and its result. Prints as one line a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The steps of the lookup, in order; the last one names the rule, or says why there is none.
    pub steps: Vec<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// The rule that takes the request, if one does.
    pub hit: Option<ExplainedHit>,
    /// The listener that takes the request's host, if one does.
    pub listener: Option<Arc<ListenerInfo>>,
}

/// The rule that takes a request, for callers that show the request's further way.
#[derive(Clone, Debug)]
pub struct ExplainedHit {
    /// The rule.
    pub rule: Arc<Rule>,
    /// The listener that took the request.
    pub listener: Arc<ListenerInfo>,
    /// Index of the rule's match that held.
    pub match_index: u32,
    /// Bytes of the path that the match covers, as in [`RouteHit`](crate::RouteHit).
    pub matched_len: usize,
}

impl ExplainedHit {
    /// The rule and its match, as the steps name them.
    pub fn place(&self) -> String {
        place(&self.rule, self.match_index)
    }
}

impl PartialEq for ExplainedHit {
    fn eq(&self, other: &Self) -> bool {
        let of = |hit: &Self| (hit.rule.route.id.clone(), hit.rule.index, hit.matched_len);
        of(self) == of(other)
    }
}

impl Eq for ExplainedHit {}

/// The result for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A rule takes it; the text names the rule as the steps do.
    Hit(String),
    /// No rule takes it.
    Miss(RouteMiss),
    /// Its connection was made for another listener's server name.
    Misdirected,
    /// Nothing is served on this address and port, or not by this scheme.
    NotServed,
}

/// Explains the way of `request` on a connection to `local` that was made for its host alone, over TLS
/// with [`Scheme::Https`]. Allocates freely: for people, not for traffic.
pub fn explain(
    snapshot: &Snapshot,
    local: SocketAddr,
    scheme: Scheme,
    request: &RequestView<'_>,
) -> Explanation {
    explain_over(snapshot, local, (scheme, server_name(request.host)), request)
}

/// The same of a connection that was made for a server name, which may be another one than the request's host.
pub fn explain_over(
    snapshot: &Snapshot,
    local: SocketAddr,
    (scheme, name): (Scheme, Option<&str>),
    request: &RequestView<'_>,
) -> Explanation {
    let (bind, mut steps) = match find_bind(snapshot, local) {
        Ok(found) => found,
        Err(steps) => return Explanation { steps, verdict: Verdict::NotServed, hit: None, listener: None },
    };
    let secured = secure(bind, scheme, name);
    let is_secured = secured.is_ok();
    steps.extend(secured.unwrap_or_else(Some));
    if !is_secured {
        return Explanation { steps, verdict: Verdict::NotServed, hit: None, listener: None };
    }
    let host = match scheme {
        Scheme::Https => bind.routed_host(name, request.host),
        Scheme::Http => request.host,
    };
    if scheme == Scheme::Https && bind.is_misdirected(name, host) {
        steps.push(format!(
            "421 misdirected_request: another listener takes host {}; the client is to open a connection for it",
            text(host)
        ));
        return Explanation { steps, verdict: Verdict::Misdirected, hit: None, listener: None };
    }
    if host != request.host {
        steps.push(format!("without a server name the request is routed as one for host {}", text(host)));
    }
    let request = &RequestView { host, ..*request };
    let mut observer = ExplainObserver { request, patterns: &bind.patterns, steps, listener: None };
    let found = bind.route_observed(request, &mut WorkerRegexes::new(snapshot), &mut observer);
    let (mut steps, listener) = (observer.steps, observer.listener);
    let mut taken = None;
    let verdict = match found {
        Ok(hit) => {
            let rule = place(hit.rule, hit.match_index);
            steps.push(format!("{rule} takes the request"));
            taken = Some(ExplainedHit {
                rule: Arc::clone(hit.rule),
                listener: Arc::clone(hit.listener),
                match_index: hit.match_index,
                matched_len: hit.matched_len,
            });
            Verdict::Hit(rule)
        }
        Err(miss) => {
            if miss == RouteMiss::NoListenerForHost {
                let listeners = bind.listeners().map(|listener| {
                    format!("{} for {}", listener.text, hostname_text(listener.hostname.as_ref()))
                });
                steps.push(format!("the listeners here are {}", list(listeners)));
            }
            steps.push(format!("404 {}: {miss} ({})", miss.code(), text(request.host)));
            Verdict::Miss(miss)
        }
    };
    Explanation { steps, verdict, hit: taken, listener }
}

/// The table for connections to `local`, and the step that tells it; or else the step that tells why there is none.
fn find_bind(snapshot: &Snapshot, local: SocketAddr) -> Result<(&BindTable, Vec<String>), Vec<String>> {
    found(snapshot, local, snapshot.bind(local))
}

fn found<'s>(
    snapshot: &'s Snapshot,
    local: SocketAddr,
    bind: Option<&'s BindTable>,
) -> Result<(&'s BindTable, Vec<String>), Vec<String>> {
    let Some(bind) = bind else {
        let place = |bind: &BindTable| (bind.port(), bind.address(), bind.opening().transport());
        let mut served: Vec<_> = snapshot.binds().map(place).collect();
        served.sort();
        let served = served.into_iter().map(|(port, address, transport)| match transport {
            Transport::Tcp => bind_text(address, port),
            Transport::Udp => format!("{} (UDP)", bind_text(address, port)),
        });
        return Err(vec![format!("nothing is served on {local}; served are {}", list(served))]);
    };
    Ok((bind, vec![format!("{local} belongs to {}", bind_text(bind.address(), bind.port()))]))
}

/// The result of the handshake, if there is one; `Err` if the connection goes no further.
fn secure(bind: &BindTable, scheme: Scheme, name: Option<&str>) -> Result<Option<String>, String> {
    match (scheme, bind.opening()) {
        (Scheme::Http, Opening::Request) => return Ok(None),
        (Scheme::Http, Opening::ClientHello) => return Err("TLS is spoken here: ask with https://".into()),
        (Scheme::Https, Opening::Request) => return Err("TLS is not spoken here: ask with http://".into()),
        (_, Opening::Bytes) => {
            return Err("connections are forwarded here and not looked into: ask with tcp://".into());
        }
        (_, Opening::Datagram) => return Err("datagrams are forwarded here: ask with udp://".into()),
        (Scheme::Https, Opening::ClientHello) => {}
    }
    let asks = name.map_or_else(|| "no server name".into(), |name| format!("server name {name:?}"));
    let Some(Selected { listener, tls, .. }) = bind.select(name) else {
        return Err(unrecognized(bind, &asks));
    };
    if listener.serve.takes_connections() {
        return Err(format!(
            "listener {} takes {asks} for connections that are not looked into: ask with tls://",
            listener.text
        ));
    }
    let certificates = tls.map(|tls| tls.certificates.as_slice()).unwrap_or_default();
    let secrets = certificates.iter().map(|certificate| format!("Secret {}", certificate.secret));
    match failing(tls, &listener.text, &asks) {
        Some(failing) => Err(failing),
        None => {
            let clients = clients_text(tls);
            Ok(Some(format!("listener {} secures {asks} with {}{clients}", listener.text, list(secrets))))
        }
    }
}

fn unrecognized(bind: &BindTable, asks: &str) -> String {
    format!("handshake fails, unrecognized_name: no listener here takes {asks}; {}", hosts(bind))
}

/// The hosts of a bind's listeners.
fn hosts(bind: &BindTable) -> String {
    format!("there are {}", list(bind.listeners().map(|one| hostname_text(one.hostname.as_ref()))))
}

/// The server name that clients send for a host: none for an IP address (RFC 6066 section 3).
fn server_name(host: &[u8]) -> Option<&str> {
    let host = std::str::from_utf8(host).unwrap_or_default();
    let is_address = host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
    (!is_address).then_some(host)
}

struct ExplainObserver<'a> {
    request: &'a RequestView<'a>,
    patterns: &'a PatternSet,
    steps: Vec<String>,
    listener: Option<Arc<ListenerInfo>>,
}

impl Observer for ExplainObserver<'_> {
    fn listener(&mut self, listener: &ListenerTable) {
        self.listener = Some(Arc::clone(&listener.info));
        let hostname = hostname_text(listener.info.hostname.as_ref());
        let host = text(self.request.host);
        self.steps.push(format!("listener {} for {hostname} takes host {host}", listener.info.text));
        if listener.hosts.covering(self.request.host).next().is_none() {
            let mut hostnames: Vec<_> = listener.hosts.values().map(|host| host.hostname.as_ref()).collect();
            hostnames.sort();
            self.steps.push(format!("its routes serve {}", list(hostnames.into_iter().map(hostname_text))));
        }
    }

    fn missed(&mut self, entry: &Entry, mismatch: Mismatch) {
        let rule = place(&entry.rule, entry.match_index);
        self.steps.push(format!("{rule} does not take it: {}", self.reason(entry, mismatch)));
    }

    fn passed(&mut self, host: &HostTable, found: bool) {
        let hostname = hostname_text(host.hostname.as_ref());
        if found {
            return self.steps.push(format!("no rule for {hostname} is left"));
        }
        let mut paths: Vec<_> = host
            .tiers
            .iter()
            .flat_map(|tier| tier.entries())
            .filter_map(|entry| entry.rule.paths.get(entry.match_index as usize))
            .map(path_text)
            .collect();
        paths.sort();
        paths.dedup();
        let path = text(self.request.path);
        self.steps.push(format!("no rule for {hostname} matches path {path}; there are {}", list(paths)));
    }
}

impl ExplainObserver<'_> {
    fn reason(&self, entry: &Entry, mismatch: Mismatch) -> String {
        let conditions = entry.conditions.as_deref();
        match mismatch {
            Mismatch::Method => {
                let want = conditions.and_then(|all| all.method.as_deref()).unwrap_or_default();
                format!("the method is {}, not {}", text(self.request.method), text(want))
            }
            Mismatch::ContentType => {
                let lines = header_lines(self.request.fields, "content-type");
                let is = if lines.is_empty() { "missing".into() } else { lines.join(" and ") };
                format!("it takes gRPC requests alone, and their content type is application/grpc, not {is}")
            }
            Mismatch::GrpcMethod => {
                let grpc = conditions.and_then(|all| all.grpc.as_ref());
                let want = grpc.and_then(|grpc| grpc.method.as_deref()).unwrap_or_default();
                format!("the path {} does not name the gRPC method {}", text(self.request.path), text(want))
            }
            Mismatch::Header(at) => {
                conditions.and_then(|all| all.headers.get(at)).map_or_else(String::new, |header| {
                    let lines = header_lines(self.request.fields, &header.name);
                    self.difference("header", &header.name, &lines, &header.value)
                })
            }
            Mismatch::Query(at) => {
                conditions.and_then(|all| all.query.get(at)).map_or_else(String::new, |param| {
                    let query = self.request.query.map(|query| format!("the query is {}", text(query)));
                    let query = query.unwrap_or_else(|| "there is no query".into());
                    format!("query parameter {:?} must {}, but {query}", param.name, self.want(&param.value))
                })
            }
        }
    }

    fn difference(&self, what: &str, name: &str, values: &[String], want: &ValueTest) -> String {
        let is = if values.is_empty() {
            "it is missing".into()
        } else {
            format!("it is {}", values.join(" and "))
        };
        format!("{what} {name:?} must {}, but {is}", self.want(want))
    }

    fn want(&self, test: &ValueTest) -> String {
        match test {
            ValueTest::Exact(value) => format!("be {}", text(value)),
            ValueTest::Regex(id) => format!("match the expression {:?}", self.patterns.expression(*id)),
            ValueTest::Present => "be there".into(),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.steps.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            f.write_str(step)?;
        }
        Ok(())
    }
}
