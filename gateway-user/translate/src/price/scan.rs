//! The most that one request can have scanned: the bytes of its head times the expressions that may be tried
//! on them.
//!
//! A request tries an expression on a part of it once (`gateway-snapshot`), and its parts share the head: the
//! path and all parameters are in the request line, the values of all headers in the rest. So the most is
//! reached by a request whose line is nothing but the part with the most expressions, and whose rest is
//! nothing but such a header.

use std::collections::{BTreeMap, HashMap, HashSet};

use gateway_ir::order::by_age;
use gateway_ir::{Hostname, RouteId};

use super::{Demand, RegexLimits, Subject, bytes};
use crate::parent::ParentKey;
use crate::route::OwnRoute;

/// Index of a listener in a Gateway.
type Listener<'a> = (&'a ParentKey, usize);
/// A hostname; `None` is every host.
type Host<'a> = Option<&'a Hostname>;

/// The expressions that requests for one host may try: those of its own rules and of less specific hosts'.
#[derive(Default)]
struct Load<'a> {
    pairs: HashSet<(&'a Subject, &'a str)>,
    counts: HashMap<&'a Subject, usize>,
}

/// The rules that may not have their expressions because of older ones on the same hosts, and why.
pub(crate) fn refusals<'r>(
    routes: impl Iterator<Item = &'r OwnRoute>,
    limits: &RegexLimits,
) -> BTreeMap<RouteId, BTreeMap<usize, String>> {
    let mut routes: Vec<_> = routes.filter(|route| !route.demands.is_empty()).collect();
    // By age, without a time youngest, then by name.
    routes.sort_by(|a, b| by_age(&a.ir, &b.ir));
    let mut loads: HashMap<Listener<'r>, HashMap<Host<'r>, Load<'r>>> = HashMap::new();
    for route in &routes {
        for attachment in &route.attachments {
            let hosts = loads.entry((&attachment.at, attachment.listener)).or_default();
            for name in attachment.hostnames.iter() {
                hosts.entry(name.effective.as_ref()).or_default();
            }
        }
    }
    let mut refused: BTreeMap<RouteId, BTreeMap<usize, String>> = BTreeMap::new();
    for route in routes {
        for demand in &route.demands {
            if let Err(why) = add(&mut loads, route, demand, limits) {
                refused.entry(route.ir.id().clone()).or_default().insert(demand.rule, why);
            }
        }
    }
    refused
}

/// Adds a rule's expressions to all hosts whose requests may try them, or to none.
fn add<'r>(
    loads: &mut HashMap<Listener<'r>, HashMap<Host<'r>, Load<'r>>>,
    route: &'r OwnRoute,
    demand: &'r Demand,
    limits: &RegexLimits,
) -> Result<(), String> {
    let mut places = Vec::new();
    for attachment in &route.attachments {
        let listener = (&attachment.at, attachment.listener);
        let Some(hosts) = loads.get(&listener) else { continue };
        let own = || attachment.hostnames.iter().map(|name| name.effective.as_ref());
        let concerned = hosts.keys().copied().filter(|host| own().any(|own| covers(own, *host)));
        places.extend(concerned.map(|host| (listener, host)));
    }
    let loaded = |listener: &Listener<'r>, host: &Host<'r>| loads.get(listener)?.get(host);
    let over = places.iter().filter_map(|(listener, host)| {
        let most = loaded(listener, host)?.most_with(demand, limits);
        (most > limits.scan).then_some((host.map(ToString::to_string), most))
    });
    // Hosts have no order here, and the message must not depend on one: every host first, then by name.
    if let Some((host, most)) = over.min() {
        let host = host.map_or_else(|| "every host".to_owned(), |host| format!("host {host}"));
        return Err(format!(
            "with the expressions of older rules, one request for {host} could have {} scanned, more than {} \
             (--regex-scan-bytes): write fewer different expressions, or join some with |",
            bytes(most),
            bytes(limits.scan)
        ));
    }
    for (listener, host) in places {
        if let Some(load) = loads.get_mut(&listener).and_then(|hosts| hosts.get_mut(&host)) {
            load.add(demand);
        }
    }
    Ok(())
}

/// True if requests for `host` get to rules of `pattern` where none of their own holds.
fn covers(pattern: Host<'_>, host: Host<'_>) -> bool {
    match (pattern, host) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(pattern), Some(host)) => pattern.intersect(host) == Some(host),
    }
}

impl<'a> Load<'a> {
    fn add(&mut self, demand: &'a Demand) {
        for (subject, text) in &demand.expressions {
            if self.pairs.insert((subject, text)) {
                *self.counts.entry(subject).or_default() += 1;
            }
        }
    }

    /// The most bytes that a request can have scanned if this rule is there as well.
    fn most_with(&self, demand: &'a Demand, limits: &RegexLimits) -> usize {
        let mut counts = self.counts.clone();
        for (subject, text) in &demand.expressions {
            if !self.pairs.contains(&(subject, text.as_str())) {
                *counts.entry(subject).or_default() += 1;
            }
        }
        let most = |is_header: bool| {
            let of_kind = counts.iter().filter(|(one, _)| matches!(one, Subject::Header(_)) == is_header);
            of_kind.map(|(_, count)| *count).max().unwrap_or(0)
        };
        let (in_line, in_header) = (most(false), most(true));
        // The part of the head that is the request line: all that may be, if more is tried on that.
        let line = if in_line > in_header { limits.request_line.min(limits.head) } else { 0 };
        in_line.saturating_mul(line).saturating_add(in_header.saturating_mul(limits.head - line))
    }
}
