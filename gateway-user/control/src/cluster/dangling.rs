//! Routes whose parentRef names no Gateway: once that has been so for a while, the route's owner is told.
//!
//! Such a route has no status of ours to hold the message, since status belongs to controllers whose Gateway
//! it names.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use gateway_ir::RouteId;
use gateway_translate::MissingGateway;
use tokio::time::Instant;

/// Time for which a Gateway may be missing: whoever applies a route and its Gateway together, or by two
/// pipelines, needs no advice.
pub const REPORT_DELAY: Duration = Duration::from_secs(30);

/// Routes that wait, and routes that were reported.
#[derive(Debug, Default)]
pub(super) struct Dangling {
    routes: HashMap<RouteId, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    generation: Option<i64>,
    since: Instant,
    told: bool,
}

impl Dangling {
    /// The routes to be told now, each once in a generation, and when to ask again. A route that names an
    /// existing Gateway in between, or none that resembles one of ours, begins anew.
    pub(super) fn due<'m>(
        &mut self,
        missing: &'m BTreeMap<RouteId, MissingGateway>,
        after: Duration,
        now: Instant,
    ) -> (Vec<(&'m RouteId, &'m MissingGateway)>, Option<Instant>) {
        self.routes.retain(|route, waiting| {
            missing.get(route).is_some_and(|one| one.generation == waiting.generation)
        });
        let (mut due, mut next) = (Vec::new(), None::<Instant>);
        for (route, one) in missing {
            let waiting = self.routes.entry(route.clone()).or_insert(Waiting {
                generation: one.generation,
                since: now,
                told: false,
            });
            if waiting.told {
                continue;
            }
            let when = waiting.since + after;
            if when <= now {
                waiting.told = true;
                due.push((route, one));
            } else {
                next = Some(next.map_or(when, |other| other.min(when)));
            }
        }
        (due, next)
    }

    /// Forgets everything: another process counts.
    pub(super) fn clear(&mut self) {
        self.routes.clear();
    }
}

#[cfg(test)]
mod tests {
    use gateway_ir::{ObjectName, RouteKind};

    use super::*;

    fn missing(generation: i64) -> BTreeMap<RouteId, MissingGateway> {
        let one = MissingGateway {
            generation: Some(generation),
            wanted: ObjectName::new("edge", "gatway"),
            message: "no Gateway".to_owned(),
        };
        let object = ObjectName::new("shop", "web");
        BTreeMap::from([(RouteId { kind: RouteKind::HTTPRoute, object }, one)])
    }

    #[test]
    fn a_route_is_told_once_in_a_generation_after_it_has_been_wrong_for_a_while() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut dangling = Dangling::default();
        let mut due = |missing: &BTreeMap<_, _>, seconds| {
            let (due, next) = dangling.due(missing, REPORT_DELAY, at(seconds));
            (due.len(), next.map(|next| (next - begin).as_secs()))
        };
        assert_eq!(due(&missing(1), 0), (0, Some(30)));
        assert_eq!(due(&missing(1), 29), (0, Some(30)));
        assert_eq!(due(&BTreeMap::new(), 29), (0, None), "it was right for a moment");
        assert_eq!(due(&missing(1), 30), (0, Some(60)));
        assert_eq!(due(&missing(1), 60), (1, None));
        assert_eq!(due(&missing(1), 100), (0, None), "once");
        assert_eq!(due(&missing(2), 101), (0, Some(131)), "an edit that does not help begins anew");
        assert_eq!(due(&missing(2), 131), (1, None));
        dangling.clear();
        assert_eq!(
            dangling.due(&missing(2), REPORT_DELAY, at(132)).0.len(),
            0,
            "another process led meanwhile"
        );
    }
}
