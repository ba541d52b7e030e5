//! Series whose rule is gone: found when a page is rendered, and forgotten by workers a while later.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_ir::Generation;
use gateway_proxy::metrics::SeriesKey;
use gateway_snapshot::Snapshot;

/// Time for which a series is kept that no rule makes any more: its last values are scraped, and a generation
/// that workers have already and this thread does not know yet is no reason to forget its series.
const KEPT_FOR: Duration = Duration::from_secs(5);

/// Series that the live generation can make, and since when each other one was seen.
#[derive(Debug, Default)]
pub(super) struct GoneSeries {
    generation: Option<Generation>,
    /// Hashes of listener, route and pattern.
    served: HashSet<u64>,
    hasher: RandomState,
    since: HashMap<SeriesKey, Instant>,
}

impl GoneSeries {
    /// Those of `keys` that are to be forgotten. Series of requests that no route took stay: they are few.
    pub(super) fn find<'a>(
        &mut self,
        live: &Snapshot,
        keys: impl Iterator<Item = &'a SeriesKey>,
    ) -> Arc<[SeriesKey]> {
        self.find_at(Instant::now(), live, keys)
    }

    fn find_at<'a>(
        &mut self,
        now: Instant,
        live: &Snapshot,
        keys: impl Iterator<Item = &'a SeriesKey>,
    ) -> Arc<[SeriesKey]> {
        if self.generation != Some(live.generation()) {
            self.generation = Some(live.generation());
            let rules = live.attached_rules();
            let hashes = rules.flat_map(|(listener, rule)| {
                // A rule for connections has none, and counts with an empty one.
                let none = rule.path_patterns().next().is_none().then_some("");
                let patterns = rule.path_patterns().chain(none);
                patterns.map(|pattern| self.hasher.hash_one((&*listener.text, &*rule.route.text, pattern)))
            });
            self.served = hashes.collect();
        }
        let is_served = |key: &SeriesKey| {
            let hash = self.hasher.hash_one((&*key.listener, &*key.route, &*key.pattern));
            key.route.is_empty() || self.served.contains(&hash)
        };
        let mut since = HashMap::new();
        let mut forgotten = Vec::new();
        for key in keys.filter(|key| !is_served(key)) {
            let (key, first) = self.since.remove_entry(key).unwrap_or_else(|| (key.clone(), now));
            if now.saturating_duration_since(first) >= KEPT_FOR {
                forgotten.push(key);
            } else {
                since.insert(key, first);
            }
        }
        self.since = since;
        forgotten.into()
    }
}

#[cfg(test)]
mod tests {
    use gateway_ir::Ir;

    use super::*;

    fn key(route: &str) -> SeriesKey {
        SeriesKey {
            scheme: "http",
            method: "GET",
            status: 200,
            reason: None,
            listener: String::new(),
            route: route.to_owned(),
            pattern: String::new(),
        }
    }

    #[test]
    fn a_series_without_a_rule_is_forgotten_after_a_while_unless_it_comes_back() {
        let empty = gateway_snapshot::compile(&Ir::default(), Generation(1));
        let (mut gone, start) = (GoneSeries::default(), Instant::now());
        let keys = [key("a/b"), key("")];
        let mut after = |seconds: u64, keys: &[SeriesKey]| {
            gone.find_at(start + Duration::from_secs(seconds), &empty, keys.iter()).to_vec()
        };
        assert_eq!(after(0, &keys), []);
        assert_eq!(after(4, &keys), []);
        assert_eq!(after(5, &keys), [key("a/b")], "requests without a route are counted on");
        assert_eq!(after(6, &[]), []);
        assert_eq!(after(7, &keys), [], "seen anew");
    }
}
