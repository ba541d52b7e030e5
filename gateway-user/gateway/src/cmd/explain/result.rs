//! The result of a request that a rule takes: a local reply, a redirect, or backends.
//!
//! Everything is asked of what workers ask: the compiled rule, its filters and weights, the endpoints of its
//! clusters, and the table of reasons.

use gateway_ir::RuleError;
use gateway_proxy::{Reason, redirect_fields};
use gateway_snapshot::rewrite::{Redirect, RedirectSource, write_location, write_target};
use gateway_snapshot::{Action, Destination, Filters, Rule, Target};

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
}

/// The result of a request.
#[derive(Debug, PartialEq, Eq)]
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
            Action::Redirect(redirect) => {
                Self { lines: redirected(redirect, &rule.filters, request), serves: true }
            }
            Action::Forward(picker) => {
                let total = picker.targets().map(|(weight, _)| weight).sum();
                let mut outcome = Self { lines: Vec::new(), serves: false };
                for (weight, target) in picker.targets() {
                    let reached = match &target.destination {
                        Destination::Fail(failure) => Err(failed(failure)),
                        Destination::Cluster(id) => backends
                            .reached(*id)
                            .map(|reached| Reached { to: sent(&reached.to, target, request), ..reached })
                            .map_err(|(reason, more)| format!("{}: {more}", status(reason))),
                    };
                    outcome.add(&share(weight, total, "requests"), reached);
                }
                outcome
            }
        }
    }
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

fn redirected(redirect: &Redirect, filters: &Filters, request: &Request<'_>) -> Vec<String> {
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
    std::iter::once(first)
        .chain(fields.into_iter().map(|(name, value)| format!("{name}: {}", text(value))))
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
