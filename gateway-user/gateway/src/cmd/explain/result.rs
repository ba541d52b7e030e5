//! The result of a request that a rule takes: a local reply, a redirect, or backends.
//!
//! Everything is asked of what workers ask: the compiled rule, its filters and weights, the endpoints of its
//! clusters, and the table of reasons.

use gateway_ir::{Retry, RuleError, Share};
use gateway_proxy::{FilterOutcome, OwnFields, Reason, admit_cors, redirect_fields};
use gateway_snapshot::rewrite::{Redirect, RedirectSource, write_location, write_target};
use gateway_snapshot::{Action, Destination, FieldLines, Filters, Mirror, Rule, Target};

use super::backends::{Backends, Reached};
use super::target::Target as Url;

/// The request, as it was matched.
pub(super) struct Request<'a> {
    pub(super) target: &'a Url,
    pub(super) method: &'a str,
    /// The path to forward.
    pub(super) path: &'a [u8],
    /// The part of that path that the rule's prefix stands for.
    pub(super) matched_len: usize,
    /// Its header lines.
    pub(super) fields: &'a dyn FieldLines,
}

/// The result of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// For people.
    pub(super) lines: Vec<String>,
    /// A backend or a redirect serves it, if only a share of such requests.
    pub(super) serves: bool,
}

impl Outcome {
    /// Outcome of a request that `rule` takes.
    pub(super) fn of(rule: &Rule, request: &Request<'_>, backends: Backends<'_>) -> Self {
        match &rule.action {
            Action::Fail(failure) => Self { lines: vec![failed(failure)], serves: false },
            Action::Redirect(redirect) => match decided(&rule.filters, request) {
                Decided::Reply { line, fields, serves } => {
                    Self { lines: std::iter::once(line).chain(fields).collect(), serves }
                }
                Decided::GoesOn(own) => {
                    Self { lines: redirected(redirect, &rule.filters, request, own), serves: true }
                }
            },
            Action::Forward(picker) => {
                let total = picker.targets().map(|(weight, _)| weight).sum();
                let mut outcome = Self { lines: Vec::new(), serves: false };
                for (weight, target) in picker.targets() {
                    let own = match decided(&target.filters, request) {
                        Decided::Reply { line, fields, serves } => {
                            outcome.lines.push(format!("{}{line}", share(weight, total, "requests")));
                            outcome.lines.extend(fields);
                            outcome.serves |= serves;
                            continue;
                        }
                        Decided::GoesOn(own) => own,
                    };
                    let reached = match &target.destination {
                        Destination::Fail(failure) => Err(failed(failure)),
                        Destination::Cluster(id) => backends
                            .reached(*id)
                            .map(|reached| Reached { to: sent(&reached.to, target, request), ..reached })
                            .map_err(|(reason, more)| format!("{}: {more}", status(reason))),
                    };
                    let is_reached = reached.is_ok();
                    outcome.add(&share(weight, total, "requests"), reached);
                    outcome.lines.extend(rule.retry.as_deref().filter(|_| is_reached).map(retried));
                    outcome.lines.extend(target.mirrors.iter().map(|mirror| copied(mirror, backends)));
                    let own = own.iter().flat_map(|own| own.beside(&[]));
                    outcome.lines.extend(own.map(|field| format!("with {}", field_line(field))));
                }
                outcome
            }
        }
    }
}

/// The attempts that may follow the first.
fn retried(retry: &Retry) -> String {
    let Retry { codes, attempts, backoff_ms } = retry;
    let times = if *attempts == 1 { "once more".to_owned() } else { format!("up to {attempts} times more") };
    let codes: Vec<_> = codes.iter().map(u16::to_string).collect();
    let statuses = match codes.as_slice() {
        [] => String::new(),
        codes => format!(" or status {}", codes.join(", ")),
    };
    format!("tried {times} after a failed connection{statuses}, {backoff_ms} ms later at least")
}

/// The Service that gets copies, and of how many requests.
fn copied(mirror: &Mirror, backends: Backends<'_>) -> String {
    let to = match backends.reached(mirror.cluster) {
        Ok(reached) => reached.to,
        Err((_, more)) => format!("to nobody: {more}"),
    };
    match mirror.share {
        share if share.is_all() => format!("copied {to}"),
        Share { numerator, denominator } => format!("copied, {numerator} of {denominator} requests, {to}"),
    }
}

/// The decision of a rule's filters about a request.
enum Decided {
    /// A local reply: its status and reason, a line for each field, and whether a client takes it for a success.
    Reply { line: String, fields: Vec<String>, serves: bool },
    /// It goes on, with fields for its response.
    GoesOn(Option<OwnFields>),
}

fn decided(filters: &Filters, request: &Request<'_>) -> Decided {
    let Some(cors) = &filters.cors else { return Decided::GoesOn(None) };
    match admit_cors(cors, request.method.as_bytes(), request.fields) {
        (own, FilterOutcome::Continue) => Decided::GoesOn(Some(own)),
        (own, FilterOutcome::Reply(reason)) => Decided::Reply {
            line: status(reason),
            fields: own.beside(&[]).into_iter().map(field_line).collect(),
            serves: reason.status().is_some_and(|status| status < 400),
        },
    }
}

fn field_line((name, value): (&str, &[u8])) -> String {
    format!("{name}: {}", text(value))
}

impl Outcome {
    /// Outcome of a connection that `rule` takes.
    pub(super) fn of_connection(rule: &Rule, backends: Backends<'_>) -> Self {
        let reset = |failure: &RuleError| {
            format!("reset, {}: {}", Reason::Failure(failure.kind).code(), failure.message)
        };
        let picker = match &rule.action {
            Action::Forward(picker) => picker,
            Action::Fail(failure) => return Self { lines: vec![reset(failure)], serves: false },
            // Of requests alone.
            Action::Redirect(_) => return Self { lines: Vec::new(), serves: false },
        };
        let total = picker.targets().map(|(weight, _)| weight).sum();
        let mut outcome = Self { lines: Vec::new(), serves: false };
        for (weight, target) in picker.targets() {
            let reached = match &target.destination {
                Destination::Fail(failure) => Err(reset(failure)),
                Destination::Cluster(id) => backends
                    .reached(*id)
                    .map_err(|(reason, more)| format!("reset, {}: {more}", reason.code())),
            };
            outcome.add(&share(weight, total, "connections"), reached);
        }
        outcome
    }

    /// Adds the lines of a backend, or of what is said in its place.
    fn add(&mut self, share: &str, reached: Result<Reached, String>) {
        self.serves |= reached.is_ok();
        match reached {
            Ok(Reached { to, tls }) => {
                self.lines.push(format!("{share}{to}"));
                self.lines.extend(tls);
            }
            Err(reply) => self.lines.push(format!("{share}{reply}")),
        }
    }
}

/// The share of requests or connections that a line is about; nothing where it is about all of them.
fn share(weight: u64, total: u64, noun: &str) -> String {
    if weight == total { String::new() } else { format!("{weight} of {total} {noun}: ") }
}

fn status(reason: Reason) -> String {
    let status = reason.status().map(|status| status.to_string()).unwrap_or_default();
    format!("{status} {}", reason.code())
}

fn failed(failure: &RuleError) -> String {
    format!("{}: {}", status(Reason::Failure(failure.kind)), failure.message)
}

/// Service, and the request as the filters of rule and backend leave it.
fn sent(to: &str, target: &Target, request: &Request<'_>) -> String {
    let filters = &target.filters;
    let mut path = Vec::new();
    let query = request.target.query.as_deref().map(str::as_bytes);
    write_target(filters.path.as_ref(), request.path, request.matched_len, query, &mut path);
    let host = filters.host.as_deref().map_or_else(|| request.target.authority(), text);
    format!("{to}: {} {} with Host {host}", request.method, text(&path))
}

fn redirected(
    redirect: &Redirect,
    filters: &Filters,
    request: &Request<'_>,
    own: Option<OwnFields>,
) -> Vec<String> {
    let url = request.target;
    let source = RedirectSource {
        scheme: url.scheme,
        host: url.host.as_bytes(),
        listener_port: url.port,
        path: request.path,
        query: url.query.as_deref().map(str::as_bytes),
        matched_len: request.matched_len,
    };
    let mut location = Vec::new();
    write_location(redirect, &source, &mut location);
    let first = format!("{} {}", redirect.status, Reason::Redirect.code());
    let fields = redirect_fields(filters, &location);
    let fields = own.as_ref().map_or(fields.clone(), |own| own.beside(&fields));
    std::iter::once(first).chain(fields.into_iter().map(field_line)).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
