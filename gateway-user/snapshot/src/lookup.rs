//! The lookup in the tables of one generation.

use std::sync::Arc;

use crate::hit::{RouteHit, RouteMiss};
use crate::pattern::WorkerRegexes;
use crate::progress::Progress;
use crate::snapshot::{ListenerInfo, Observer};
use crate::table::Entry;
use crate::{BindTable, RequestView};

impl BindTable {
    /// The rule for a request.
    ///
    /// One listener takes it, that with the most specific hostname, and only its routes count (gateway-api
    /// `GatewaySpec.listeners`, listener isolation). Among those, rules go by [`crate::order`]; rules of a
    /// less specific host still count where none of a more specific one holds. Locks nothing, and allocates
    /// nothing once the buffers in `regexes` have grown to what requests need.
    ///
    /// # Errors
    /// The reason why there is none.
    pub fn route<'s>(
        &'s self,
        request: &RequestView<'_>,
        regexes: &mut WorkerRegexes,
    ) -> Result<RouteHit<'s>, RouteMiss> {
        self.route_observed(request, regexes, &mut ())
    }

    /// As [`Self::route`], in steps: `None` is the end of a step that found nothing yet. The caller lets
    /// others run and calls again, with the same request, `regexes` and `progress`. Between two steps other
    /// lookups may use `regexes`.
    ///
    /// # Errors
    /// Those of [`Self::route`].
    pub fn route_step<'s>(
        &'s self,
        request: &RequestView<'_>,
        regexes: &mut WorkerRegexes,
        progress: &mut Progress,
    ) -> Option<Result<RouteHit<'s>, RouteMiss>> {
        self.walk(request, regexes, progress, &mut ())
    }

    pub(crate) fn route_observed<'s>(
        &'s self,
        request: &RequestView<'_>,
        regexes: &mut WorkerRegexes,
        observer: &mut impl Observer,
    ) -> Result<RouteHit<'s>, RouteMiss> {
        let mut progress = Progress::new(u64::MAX);
        loop {
            if let Some(result) = self.walk(request, regexes, &mut progress, observer) {
                return result;
            }
        }
    }

    fn walk<'s>(
        &'s self,
        request: &RequestView<'_>,
        regexes: &mut WorkerRegexes,
        progress: &mut Progress,
        observer: &mut impl Observer,
    ) -> Option<Result<RouteHit<'s>, RouteMiss>> {
        let (regexes, scratch) = regexes.split(&self.patterns, progress.limit, &progress.verdicts);
        scratch.start();
        let Some(listener) = self.listeners.by_host.covering(request.host).next() else {
            return Some(Err(RouteMiss::NoListenerForHost));
        };
        observer.listener(listener);
        for host in listener.hosts.covering(request.host).skip(progress.hosts) {
            progress.miss = progress.miss.max(RouteMiss::NoRuleForPath);
            // Verdicts are the same as before, and so are these entries.
            let entries = host.tiers.iter().flat_map(|tier| tier.matching(request.path, regexes));
            for entry in entries.skip(progress.entries) {
                let checked = match &entry.conditions {
                    Some(conditions) => conditions.check(request, regexes, scratch),
                    None => Ok(()),
                };
                // Neither its path nor its conditions may hold in truth.
                if regexes.is_over() {
                    break;
                }
                progress.entries += 1;
                match checked {
                    Ok(()) => return Some(Ok(hit(&listener.info, entry, request.path))),
                    Err(mismatch) => {
                        observer.missed(entry, mismatch);
                        progress.miss = progress.miss.max(mismatch.into());
                    }
                }
            }
            if regexes.is_over() {
                regexes.save(&mut progress.verdicts);
                return None;
            }
            observer.passed(host, progress.entries > 0);
            progress.hosts += 1;
            progress.entries = 0;
        }
        Some(Err(progress.miss))
    }
}

fn hit<'s>(listener: &'s Arc<ListenerInfo>, entry: &'s Entry, path: &[u8]) -> RouteHit<'s> {
    RouteHit {
        listener,
        rule: &entry.rule,
        match_index: entry.match_index,
        matched_len: entry.extent.of(path),
    }
}
