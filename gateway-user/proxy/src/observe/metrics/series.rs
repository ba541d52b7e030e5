//! Per-route series: bounded in number, found without allocating.

use std::hash::{Hash, Hasher};

use hashbrown::{Equivalent, HashMap};

use super::histogram::{DURATION_BOUNDS_US, Histogram, SIZE_BOUNDS};

/// Labels of a request's series.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesKey {
    /// `url.scheme`: `http` or `https`; [`Self::TCP`] or [`Self::UDP`] of connections and flows without requests, whose method and status say nothing.
    pub scheme: &'static str,
    /// `http.request.method`: one of the known methods, or `_OTHER` (OpenTelemetry).
    pub method: &'static str,
    /// `http.response.status_code` if it is registered, else its first digit; 0 if no response could be sent.
    /// [`status_label`](super::status_label) writes it.
    pub status: u16,
    /// `error.type`: the reason code of a response of ours or of a broken exchange.
    pub reason: Option<&'static str>,
    /// The listener as `namespace/gateway/listener`, empty if none served the request.
    pub listener: String,
    /// The route as `namespace/name`, empty if none matched.
    pub route: String,
    /// `http.route`: the path pattern that matched, empty if none did.
    pub pattern: String,
}

impl SeriesKey {
    /// The scheme of a connection without requests.
    pub const TCP: &'static str = "tcp";
    /// That of a flow of datagrams.
    pub const UDP: &'static str = "udp";
}

/// A [`SeriesKey`] whose texts are borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeriesRef<'a> {
    pub(crate) scheme: &'static str,
    pub(crate) method: &'static str,
    pub(crate) status: u16,
    pub(crate) reason: Option<&'static str>,
    pub(crate) listener: &'a str,
    pub(crate) route: &'a str,
    pub(crate) pattern: &'a str,
}

/// Where a series of one table is, for as long as the table [`holds`](SeriesTable::holds) it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeriesPlace {
    index: u32,
    /// The place's how-manieth series.
    generation: u32,
}

/// Measurements per series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// `http.server.request.duration` in microseconds.
    pub duration: Histogram,
    /// `http.server.request.body.size` in bytes.
    pub request_bytes: Histogram,
    /// `http.server.response.body.size` in bytes.
    pub response_bytes: Histogram,
    /// `http.client.request.duration` in microseconds: from the upstream connection in hand to the end of the response.
    pub upstream: Histogram,
}

/// All series of one worker: at most `limit`, and at most `namespace_limit` of the routes of one namespace. All that found
/// no room, and all that were forgotten, are one common series, so that sums never fall.
#[derive(Clone, Debug, Default)]
pub struct SeriesTable {
    by_key: HashMap<SeriesKey, u32>,
    slots: Vec<Slot>,
    /// Slots without a series.
    free: Vec<u32>,
    /// Series by namespace; those without a route count as the namespace without a name.
    by_namespace: HashMap<Box<str>, usize>,
    other: Series,
    limit: usize,
    namespace_limit: usize,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    generation: u32,
    series: Series,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            duration: Histogram::new(DURATION_BOUNDS_US),
            request_bytes: Histogram::new(SIZE_BOUNDS),
            response_bytes: Histogram::new(SIZE_BOUNDS),
            upstream: Histogram::new(DURATION_BOUNDS_US),
        }
    }
}

impl Series {
    fn merge(&mut self, other: &Self) {
        self.duration.merge(&other.duration);
        self.request_bytes.merge(&other.request_bytes);
        self.response_bytes.merge(&other.response_bytes);
        self.upstream.merge(&other.upstream);
    }
}

impl SeriesPlace {
    /// The common series of all that found no room.
    const OTHER: Self = Self { index: u32::MAX, generation: 0 };
}

impl SeriesTable {
    /// A table of at most `limit` series, and at most `namespace_limit` of one namespace's routes.
    pub fn new(limit: usize, namespace_limit: usize) -> Self {
        Self { limit, namespace_limit, ..Self::default() }
    }

    /// The place of the series of `key`, or of the common one where there is no room.
    pub(crate) fn place(&mut self, key: SeriesRef<'_>) -> SeriesPlace {
        match self.by_key.get(&key) {
            Some(index) => self.place_at(*index),
            None => self.add(key.to_key(), Series::default()),
        }
    }

    /// The place still is of the series that it was given for.
    pub(crate) fn holds(&self, place: SeriesPlace) -> bool {
        let slot = self.slots.get(place.index as usize);
        slot.is_none_or(|slot| slot.generation == place.generation)
    }

    /// The series of a place that this table [`holds`](Self::holds).
    pub(crate) fn at(&mut self, place: SeriesPlace) -> &mut Series {
        self.slots.get_mut(place.index as usize).map_or(&mut self.other, |slot| &mut slot.series)
    }

    fn place_at(&self, index: u32) -> SeriesPlace {
        let generation = self.slots.get(index as usize).map_or(0, |slot| slot.generation);
        SeriesPlace { index, generation }
    }

    /// Adds a series that is not there, if there is room.
    fn add(&mut self, key: SeriesKey, series: Series) -> SeriesPlace {
        let Some(index) = self.free_slot(key.namespace()) else {
            self.other.merge(&series);
            return SeriesPlace::OTHER;
        };
        match self.by_namespace.get_mut(key.namespace()) {
            Some(count) => *count += 1,
            None => drop(self.by_namespace.insert(key.namespace().into(), 1)),
        }
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.series = series;
        }
        self.by_key.insert(key, index);
        self.place_at(index)
    }

    /// A slot for a series of this namespace; `None` if the table or the namespace's share of it is full.
    fn free_slot(&mut self, namespace: &str) -> Option<u32> {
        let of_namespace = self.by_namespace.get(namespace).copied().unwrap_or_default();
        if self.by_key.len() >= self.limit || of_namespace >= self.namespace_limit {
            return None;
        }
        self.free.pop().or_else(|| {
            let index = u32::try_from(self.slots.len()).ok().filter(|index| *index < u32::MAX)?;
            self.slots.push(Slot::default());
            Some(index)
        })
    }

    /// Counts these series with the common one from now on, and makes room for others.
    pub fn forget(&mut self, keys: &[SeriesKey]) {
        for key in keys {
            let Some(index) = self.by_key.remove(key) else { continue };
            if let Some(slot) = self.slots.get_mut(index as usize) {
                slot.generation = slot.generation.wrapping_add(1);
                self.other.merge(&std::mem::take(&mut slot.series));
                self.free.push(index);
            }
            if let Some(count) = self.by_namespace.get_mut(key.namespace()) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.by_namespace.remove(key.namespace());
                }
            }
        }
    }

    /// Adds another worker's table; series beyond the limits, of which the larger ones count, join the common one.
    pub fn merge(&mut self, other: &Self) {
        self.limit = self.limit.max(other.limit);
        self.namespace_limit = self.namespace_limit.max(other.namespace_limit);
        for (key, theirs) in other.each() {
            match self.by_key.get(key) {
                Some(index) => self.at(self.place_at(*index)).merge(theirs),
                None => drop(self.add(key.clone(), theirs.clone())),
            }
        }
        self.other.merge(&other.other);
    }

    fn each(&self) -> impl Iterator<Item = (&SeriesKey, &Series)> {
        self.by_key.iter().filter_map(|(key, index)| Some((key, &self.slots.get(*index as usize)?.series)))
    }

    /// Every series in a stable order.
    pub fn sorted(&self) -> Vec<(&SeriesKey, &Series)> {
        let mut all: Vec<_> = self.each().collect();
        all.sort_by_key(|(key, _)| *key);
        all
    }

    /// Every key, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &SeriesKey> {
        self.by_key.keys()
    }

    /// Requests of series that did not fit into the bounded table or were forgotten.
    pub fn other(&self) -> &Series {
        &self.other
    }
}

impl SeriesKey {
    /// The namespace of its route; empty without one.
    fn namespace(&self) -> &str {
        self.route.split_once('/').map_or("", |(namespace, _)| namespace)
    }
}

impl SeriesRef<'_> {
    fn to_key(self) -> SeriesKey {
        SeriesKey {
            scheme: self.scheme,
            method: self.method,
            status: self.status,
            reason: self.reason,
            listener: self.listener.to_owned(),
            route: self.route.to_owned(),
            pattern: self.pattern.to_owned(),
        }
    }
}

/// Fields in the order of [`SeriesKey`], whose derived `Hash` feeds the same values: `str` and `String` hash alike.
impl Hash for SeriesRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.scheme.hash(state);
        self.method.hash(state);
        self.status.hash(state);
        self.reason.hash(state);
        self.listener.hash(state);
        self.route.hash(state);
        self.pattern.hash(state);
    }
}

impl Equivalent<SeriesKey> for SeriesRef<'_> {
    fn equivalent(&self, key: &SeriesKey) -> bool {
        self.status == key.status
            && self.scheme == key.scheme
            && self.method == key.method
            && self.reason == key.reason
            && self.pattern == key.pattern
            && self.route == key.route
            && self.listener == key.listener
    }
}

/// The method as a label of bounded cardinality.
pub(crate) fn method_label(method: &[u8]) -> &'static str {
    match method {
        b"GET" => "GET",
        b"HEAD" => "HEAD",
        b"POST" => "POST",
        b"PUT" => "PUT",
        b"DELETE" => "DELETE",
        b"OPTIONS" => "OPTIONS",
        b"PATCH" => "PATCH",
        b"TRACE" => "TRACE",
        b"CONNECT" => "CONNECT",
        b"QUERY" => "QUERY",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(route: &str, status: u16) -> SeriesRef<'_> {
        SeriesRef {
            scheme: "http",
            method: "GET",
            status,
            reason: None,
            listener: "ns/gw/http",
            route,
            pattern: "/",
        }
    }

    fn count(table: &mut SeriesTable, route: &str, status: u16) {
        let place = table.place(key(route, status));
        table.at(place).duration.record(1);
    }

    fn total(table: &SeriesTable) -> u64 {
        let own: u64 = table.each().map(|(_, series)| series.duration.count()).sum();
        own + table.other().duration.count()
    }

    #[test]
    fn one_key_is_one_series_and_the_rest_share_one() {
        let mut table = SeriesTable::new(2, 2);
        for status in [200, 200, 404, 500, 503, 200] {
            count(&mut table, "a/b", status);
        }
        let counts: Vec<_> = table.sorted().iter().map(|(k, s)| (k.status, s.duration.count())).collect();
        assert_eq!(counts, [(200, 3), (404, 1)]);
        assert_eq!(table.other().duration.count(), 2);
    }

    #[test]
    fn one_namespace_cannot_use_up_the_table() {
        let mut table = SeriesTable::new(10, 5);
        for route in 0..1000 {
            count(&mut table, &format!("greedy/{route}"), 200);
        }
        for route in 0..5 {
            count(&mut table, &format!("modest/{route}"), 200);
        }
        let modest = table.keys().filter(|key| key.route.starts_with("modest/")).count();
        assert_eq!((modest, table.keys().count()), (5, 10));
        assert_eq!(total(&table), 1005);
    }

    #[test]
    fn what_is_forgotten_makes_room_and_stays_in_the_sum() {
        let mut table = SeriesTable::new(4, 4);
        let gone = table.place(key("a/0", 200));
        for round in 0..50 {
            for route in 0..4 {
                count(&mut table, &format!("a/{round}-{route}"), 200);
            }
            let keys: Vec<_> = table.keys().cloned().collect();
            table.forget(&keys);
            assert_eq!(total(&table), 4 * (round + 1));
        }
        assert!(!table.holds(gone), "its slot has been others' since");
        count(&mut table, "b/new", 200);
        assert!(table.keys().any(|key| key.route == "b/new"), "not full for good");
        assert!(table.slots.len() <= 4 && table.by_namespace.len() == 1, "{:?}", table.by_namespace);
        assert!(table.holds(SeriesPlace::OTHER));
    }

    #[test]
    fn merged_tables_lose_nothing_and_stay_bounded() {
        let mut a = SeriesTable::new(2, 2);
        let mut b = SeriesTable::new(2, 2);
        count(&mut a, "x", 200);
        count(&mut b, "x", 200);
        count(&mut b, "y", 200);
        count(&mut a, "z", 200);
        let mut whole = SeriesTable::new(usize::MAX, usize::MAX);
        whole.merge(&a);
        whole.merge(&b);
        assert_eq!((whole.keys().count(), total(&whole)), (3, 4), "a sum leaves nothing out");
        a.merge(&b);
        assert_eq!((a.keys().count(), total(&a)), (2, 4));
    }
}
