//! A slow, obvious reading of the specification: it looks at every match of every route, keeps those that
//! hold, and then strikes out losers one sentence of the text after another. It knows nothing of the tables
//! or their order.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use gateway_ir::{
    BindAddress, GrpcMatch, Hostname, HttpRule, Ir, Listener, ListenerId, PathMatch, RouteId, RouteMatch,
    StringMatch,
};
use regex::bytes::{Regex, RegexBuilder};

use super::Request;

/// The specification's outcome for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is served on the address.
    NotServed,
    /// 404 with this code.
    Miss(&'static str),
    /// This rule takes it.
    Hit {
        listener: ListenerId,
        route: RouteId,
        rule: usize,
        position: usize,
        matched_len: usize,
        fails: bool,
    },
}

/// A match that holds for the request, and all that the specification compares.
struct Candidate<'a> {
    effective: &'a Option<Hostname>,
    original: &'a Option<Hostname>,
    matching: &'a RouteMatch,
    created: Option<i64>,
    route: &'a RouteId,
    rule: (usize, &'a HttpRule),
    position: usize,
}

/// The outcome, and how many matches held.
pub fn outcome_of(ir: &Ir, local: SocketAddr, request: &Request) -> (Outcome, usize) {
    let served = |address| ir.binds.iter().find(|bind| bind.port == local.port() && bind.address == address);
    let Some(bind) = served(BindAddress::Ip(local.ip())).or_else(|| served(BindAddress::Any)) else {
        return (Outcome::NotServed, 0);
    };
    let covers = |name: &Option<Hostname>| name.as_ref().is_none_or(|name| name.matches(&request.host));
    let mut listeners: Vec<&Listener> = bind.listeners.iter().filter(|one| covers(&one.hostname)).collect();
    // "Exact matches MUST be processed before wildcard matches, and wildcard matches MUST be processed before
    // fallback"; "the higher the number of dots in the hostname to the right of the wildcard character, the
    // higher the precedence."
    keep_best(&mut listeners, |one| match &one.hostname {
        Some(Hostname::Exact(_)) => (2, 0),
        Some(Hostname::Wildcard(suffix)) => (1, suffix.matches('.').count()),
        None => (0, 0),
    });
    let Some(listener) = listeners.first() else { return (Outcome::Miss("no_listener_for_host"), 0) };

    let mut closest = ("no_route_for_host", 0);
    let mut candidates = Vec::new();
    for (id, hostnames) in &listener.routes {
        let route = &ir.routes[id];
        for hostname in hostnames.iter().filter(|hostname| covers(&hostname.effective)) {
            closest = farther(closest, ("no_rule_for_path", 1));
            for (rule_at, rule) in route.http_rules().iter().enumerate() {
                for (position, matching) in rule.matches.iter().enumerate() {
                    match holds(matching, request) {
                        Ok(()) => candidates.push(Candidate {
                            effective: &hostname.effective,
                            original: &hostname.original,
                            matching,
                            created: route.created(),
                            route: id,
                            rule: (rule_at, rule),
                            position,
                        }),
                        Err(miss) => closest = farther(closest, miss),
                    }
                }
            }
        }
    }
    let contenders = candidates.len();
    strike_out(&mut candidates);
    let Some(winner) = candidates.first() else { return (Outcome::Miss(closest.0), 0) };
    let hit = Outcome::Hit {
        listener: listener.id.clone(),
        route: winner.route.clone(),
        rule: winner.rule.0,
        position: winner.position,
        matched_len: match &winner.matching.path {
            PathMatch::Prefix(prefix) => without_slash(prefix).len(),
            _ => request.path.len(),
        },
        fails: !all_expressions_compile(winner.rule.1),
    };
    (hit, contenders)
}

/// One sentence a line, in the order of the text.
fn strike_out(candidates: &mut Vec<Candidate<'_>>) {
    // "Characters in a matching non-wildcard hostname."
    keep_best(candidates, |one| non_wildcard_characters(one.effective));
    // "Characters in a matching hostname."
    keep_best(candidates, |one| characters(one.effective));
    // "implementations SHOULD evaluate precedence using the original hostnames configured on the Route"
    keep_best(candidates, |one| non_wildcard_characters(one.original));
    keep_best(candidates, |one| characters(one.original));
    // "'Exact' path match."
    keep_best(candidates, |one| matches!(one.matching.path, PathMatch::Exact(_)));
    // "The precedence of RegularExpression path matches are implementation-specific": before prefixes,
    // longest first.
    keep_best(candidates, |one| match &one.matching.path {
        PathMatch::Regex(text) => Some(text.chars().count()),
        _ => None,
    });
    // "'Prefix' path match with largest number of characters."
    keep_best(candidates, |one| match &one.matching.path {
        PathMatch::Prefix(text) => without_slash(text).chars().count(),
        _ => 0,
    });
    // "Method match."
    keep_best(candidates, |one| one.matching.method.is_some() || one.matching.grpc.is_some());
    // gRPC: "Characters in a matching method", where no service is asked for; else the path has decided.
    keep_best(candidates, |one| match &one.matching.grpc {
        Some(GrpcMatch { method: Some(method) }) => method.len(),
        _ => 0,
    });
    // "Largest number of header matches." Of equal names only the first counts.
    keep_best(candidates, |one| {
        let names = one.matching.headers.iter().map(|header| header.name.to_lowercase());
        let content_type = usize::from(one.matching.grpc.is_some());
        names.collect::<BTreeSet<_>>().len() + content_type
    });
    // "Largest number of query param matches."
    keep_best(candidates, |one| {
        one.matching.query.iter().map(|param| &param.name).collect::<BTreeSet<_>>().len()
    });
    // "The oldest Route based on creation timestamp."
    keep_best(candidates, |one| std::cmp::Reverse(one.created.unwrap_or(i64::MAX)));
    // "The Route appearing first in alphabetical order by '{namespace}/{name}'."
    keep_best(candidates, |one| {
        std::cmp::Reverse(format!("{}/{}", one.route.object.namespace, one.route.object.name))
    });
    // "the FIRST matching rule (in list order) with a match meeting the above criteria"
    keep_best(candidates, |one| std::cmp::Reverse(one.rule.0));
    keep_best(candidates, |one| std::cmp::Reverse(one.position));
}

fn keep_best<T, K: Ord>(all: &mut Vec<T>, key: impl Fn(&T) -> K) {
    if let Some(best) = all.iter().map(&key).max() {
        all.retain(|one| key(one) == best);
    }
}

fn farther(a: (&'static str, u8), b: (&'static str, u8)) -> (&'static str, u8) {
    if b.1 > a.1 { b } else { a }
}

fn characters(name: &Option<Hostname>) -> usize {
    name.as_ref().map_or(0, |name| name.to_string().chars().count())
}

fn non_wildcard_characters(name: &Option<Hostname>) -> usize {
    match name {
        Some(Hostname::Exact(name)) => name.chars().count(),
        _ => 0,
    }
}

/// "When specified, a trailing `/` is ignored."
fn without_slash(prefix: &str) -> String {
    let mut prefix = normal(prefix);
    if prefix.ends_with('/') {
        prefix.pop();
    }
    prefix
}

/// RFC 3986 section 6.2.2: escapes are in upper case, and unreserved characters are not escaped.
fn normal(path: &str) -> String {
    let mut path = path.to_owned();
    if !path.contains('%') {
        return path;
    }
    for byte in 0..=255u8 {
        let (upper, lower) = (format!("%{byte:02X}"), format!("%{byte:02x}"));
        let unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let plain = if unreserved { char::from(byte).to_string() } else { upper.clone() };
        path = path.replace(&lower, &plain).replace(&upper, &plain);
    }
    path
}

pub fn holds(matching: &RouteMatch, request: &Request) -> Result<(), (&'static str, u8)> {
    let path = request.path.as_str();
    let path_holds = match &matching.path {
        PathMatch::Exact(want) => normal(want) == path,
        PathMatch::Prefix(prefix) => {
            let prefix = &without_slash(prefix);
            path == prefix || path.starts_with(&format!("{prefix}/"))
        }
        // An expression that does not compile is understood by nobody.
        PathMatch::Regex(text) => whole_match(text, path.as_bytes()).unwrap_or(false),
    };
    if !path_holds {
        return Err(("no_rule_for_path", 1));
    }
    if matching.method.as_ref().is_some_and(|method| *method != request.method) {
        return Err(("method_mismatch", 2));
    }
    if let Some(grpc) = &matching.grpc {
        if request.method != "POST" {
            return Err(("method_mismatch", 2));
        }
        if let Some(method) = &grpc.method {
            let mut elements = path.split('/').skip(1);
            let (service, second, more) = (elements.next(), elements.next(), elements.next());
            if service.is_none_or(str::is_empty) || second != Some(method) || more.is_some() {
                return Err(("no_rule_for_path", 1));
            }
        }
        let first = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if !first.is_some_and(|(_, value)| value.starts_with("application/grpc") && !value.ends_with("-web"))
        {
            return Err(("header_mismatch", 3));
        }
    }
    let mut seen = BTreeSet::new();
    for header in &matching.headers {
        let name = header.name.to_lowercase();
        let lines = request.headers.iter().filter(|(line, _)| line.to_lowercase() == name);
        let values: Vec<&str> = lines.map(|(_, value)| value.as_str()).collect();
        let value = (!values.is_empty()).then(|| values.join(",").into_bytes());
        if seen.insert(name) && !value_holds(&header.value, value) {
            return Err(("header_mismatch", 3));
        }
    }
    let mut seen = BTreeSet::new();
    for param in &matching.query {
        let value = first_param(request.query.as_deref().unwrap_or(""), &param.name);
        if seen.insert(&param.name) && !value_holds(&param.value, value) {
            return Err(("query_mismatch", 4));
        }
    }
    Ok(())
}

fn value_holds(want: &StringMatch, value: Option<Vec<u8>>) -> bool {
    let Some(value) = value else { return false };
    match want {
        StringMatch::Exact(want) => want.as_bytes() == value,
        StringMatch::Present => true,
        // The rule responds 500 then, to whatever it may have been meant for.
        StringMatch::Regex(text) => whole_match(text, &value).unwrap_or(true),
    }
}

fn first_param(query: &str, name: &str) -> Option<Vec<u8>> {
    query.split('&').filter(|part| !part.is_empty()).find_map(|part| {
        let (left, right) = part.split_once('=').unwrap_or((part, ""));
        (decoded(left) == name.as_bytes()).then(|| decoded(right))
    })
}

fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.replace('+', " ").into_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3).filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

thread_local! {
    /// Expressions by their text; `None` for those that do not compile.
    static EXPRESSIONS: RefCell<BTreeMap<String, Option<Regex>>> = const { RefCell::new(BTreeMap::new()) };
}

/// True if the whole value matches; `None` for an expression that does not compile.
fn whole_match(text: &str, value: &[u8]) -> Option<bool> {
    let compile = || {
        RegexBuilder::new(text).unicode(false).build().ok()?;
        RegexBuilder::new(&format!(r"\A(?:{text})\z")).unicode(false).build().ok()
    };
    EXPRESSIONS.with_borrow_mut(|all| {
        let expression = all.entry(text.to_owned()).or_insert_with(compile);
        expression.as_ref().map(|expression| expression.is_match(value))
    })
}

fn all_expressions_compile(rule: &HttpRule) -> bool {
    let value = |value: &StringMatch| match value {
        StringMatch::Exact(_) | StringMatch::Present => true,
        StringMatch::Regex(text) => whole_match(text, b"").is_some(),
    };
    rule.matches.iter().all(|matching| {
        let path = match &matching.path {
            PathMatch::Regex(text) => whole_match(text, b"").is_some(),
            _ => true,
        };
        // A repeated name is ignored, whatever its value.
        let mut names = BTreeSet::new();
        let mut params = BTreeSet::new();
        path && matching.headers.iter().all(|one| !names.insert(one.name.to_lowercase()) || value(&one.value))
            && matching.query.iter().all(|one| !params.insert(&one.name) || value(&one.value))
    })
}
