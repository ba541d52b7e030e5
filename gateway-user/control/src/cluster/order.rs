//! Order in which statuses are written when there are more than may be written at once. Pure.

use std::cmp::Reverse;
use std::collections::VecDeque;

use gateway_api_types::Kind;
use tokio::time::Instant;

use super::change::Change;

/// Writes that each lane has in turn: Gateways and their classes, first statuses, all else.
const TURNS: [usize; 3] = [2, 2, 1];

/// Puts first what people wait for: Gateways and their classes, and of routes and policies those that have no status of ours yet,
/// the youngest before the others, since whoever has just created it looks at it now. The rest, which is mostly what a change
/// elsewhere made of old routes, has every fifth turn, so that nothing waits for ever.
///
/// Each change comes with the time since which its object waits, by which those of a lane go: whoever has others' statuses change all
/// the time holds up nobody who was there before.
pub(super) fn by_urgency(changes: Vec<(Change, Instant)>) -> Vec<Change> {
    let many = changes.len();
    let mut lanes: [VecDeque<(Change, Instant)>; 3] = Default::default();
    let [gateways, first, others] = &mut lanes;
    for (change, since) in changes {
        match change.kind {
            Kind::Gateway | Kind::GatewayClass => gateways.push_back((change, since)),
            _ if change.is_first => first.push_back((change, since)),
            _ => others.push_back((change, since)),
        }
    }
    first.make_contiguous().sort_by_key(|(change, _)| Reverse(change.created));
    for lane in [gateways, others] {
        lane.make_contiguous().sort_by_key(|(_, since)| *since);
    }
    let mut ordered = Vec::with_capacity(many);
    while ordered.len() < many {
        for (lane, turns) in lanes.iter_mut().zip(TURNS) {
            let part = turns.min(lane.len());
            ordered.extend(lane.drain(..part).map(|(change, _)| change));
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use gateway_api_types::ObjectKey;

    use super::*;

    fn change(kind: Kind, name: &str, is_first: bool, created: i64) -> (Change, Instant) {
        let key = ObjectKey::new("edge", name);
        let change = Change {
            kind,
            key,
            resource_version: String::new(),
            uid: String::new(),
            is_first,
            created: Some(created),
            ops: Vec::new(),
            transitions: Vec::new(),
        };
        (change, *BEGAN)
    }

    static BEGAN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);

    fn names(changes: Vec<Change>) -> Vec<String> {
        changes.into_iter().map(|change| change.key.name).collect()
    }

    #[test]
    fn a_route_that_has_just_come_is_before_thousands_that_wait() {
        let waiting = (0..5_000).map(|n| change(Kind::HttpRoute, &format!("r{n}"), n % 2 == 0, n));
        let new = change(Kind::TcpRoute, "new", true, 6_000);
        let gateways = (0..100).map(|n| change(Kind::Gateway, &format!("g{n}"), false, n));
        let ordered = names(by_urgency(gateways.chain(waiting).chain([new]).collect()));
        assert_eq!(ordered.len(), 5_101);
        assert_eq!(ordered[..8], ["g0", "g1", "new", "r4998", "r1", "g2", "g3", "r4996"]);
    }

    #[test]
    fn whoever_waits_longest_goes_first_whatever_the_names() {
        let busy = (0..50).map(|n| change(Kind::ListenerSet, &format!("a{n}"), false, n));
        let busy = busy.map(|(change, since)| (change, since + std::time::Duration::from_secs(1)));
        let quiet = change(Kind::HttpRoute, "z", false, 0);
        assert_eq!(names(by_urgency(busy.chain([quiet]).collect()))[0], "z");
    }

    #[test]
    fn a_lane_without_work_leaves_its_turns_to_the_others() {
        let old = (0..3).map(|n| change(Kind::GrpcRoute, &format!("r{n}"), false, n)).collect();
        assert_eq!(names(by_urgency(old)), ["r0", "r1", "r2"], "in the order of the plan");
        assert_eq!(names(by_urgency(Vec::new())), Vec::<String>::new());
    }
}
