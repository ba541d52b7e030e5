//! Per-route series: bounded in number, found without allocating.

use std::hash::{Hash, Hasher};

use hashbrown::{Equivalent, HashMap};

use super::histogram::{DURATION_BOUNDS_US, Histogram, SIZE_BOUNDS};

/// What requests are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesKey {
    /// `url.scheme`: `http` or `https`.
    pub scheme: &'static str,
    /// `http.request.method`: one of the known methods, or `_OTHER` (OpenTelemetry).
    pub method: &'static str,
    /// `http.response.status_code`; 0 if no answer could be sent.
    pub status: u16,
    /// `error.type`: the reason code of an answer of ours or of a broken exchange.
    pub reason: Option<&'static str>,
    /// The listener as `namespace/gateway/listener`, empty if none served the request.
    pub listener: String,
    /// The route as `Kind namespace/name`, empty if none matched.
    pub route: String,
    /// `http.route`: the path pattern that matched, empty if none did.
    pub pattern: String,
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

/// Where a series of one table is, for as long as the table lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeriesPlace(u32);

/// What is measured per series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// `http.server.request.duration` in microseconds.
    pub duration: Histogram,
    /// `http.server.request.body.size` in octets.
    pub request_bytes: Histogram,
    /// `http.server.response.body.size` in octets.
    pub response_bytes: Histogram,
    /// `http.client.request.duration` in microseconds: from the upstream connection in hand to the end of the answer.
    pub upstream: Histogram,
}

/// All series of one worker. None is ever taken away.
#[derive(Clone, Debug, Default)]
pub struct SeriesTable {
    by_key: HashMap<SeriesKey, SeriesPlace>,
    all: Vec<Series>,
    other: Series,
    limit: usize,
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
    const OTHER: Self = Self(u32::MAX);
}

impl SeriesTable {
    /// A table of at most `limit` series.
    pub fn new(limit: usize) -> Self {
        Self { by_key: HashMap::new(), all: Vec::new(), other: Series::default(), limit }
    }

    /// The place of the series of `key`, or of the common one once the table is full.
    pub(crate) fn place(&mut self, key: SeriesRef<'_>) -> SeriesPlace {
        match self.by_key.get(&key) {
            Some(place) => *place,
            None => self.add(key.to_key(), Series::default()),
        }
    }

    /// The series of a place of this table.
    pub(crate) fn at(&mut self, place: SeriesPlace) -> &mut Series {
        self.all.get_mut(place.0 as usize).unwrap_or(&mut self.other)
    }

    /// Adds a series that is not there, if there is room.
    fn add(&mut self, key: SeriesKey, series: Series) -> SeriesPlace {
        match u32::try_from(self.all.len()) {
            Ok(place) if self.all.len() < self.limit && place < u32::MAX => {
                self.all.push(series);
                self.by_key.insert(key, SeriesPlace(place));
                SeriesPlace(place)
            }
            _ => {
                self.other.merge(&series);
                SeriesPlace::OTHER
            }
        }
    }

    /// Adds another worker's table; series beyond the limit join the common one.
    pub fn merge(&mut self, other: &Self) {
        self.limit = self.limit.max(other.limit);
        for (key, theirs) in other.each() {
            match self.by_key.get(key) {
                Some(place) => self.at(*place).merge(theirs),
                None => drop(self.add(key.clone(), theirs.clone())),
            }
        }
        self.other.merge(&other.other);
    }

    fn each(&self) -> impl Iterator<Item = (&SeriesKey, &Series)> {
        self.by_key.iter().filter_map(|(key, place)| Some((key, self.all.get(place.0 as usize)?)))
    }

    /// Every series in a stable order.
    pub fn sorted(&self) -> Vec<(&SeriesKey, &Series)> {
        let mut all: Vec<_> = self.each().collect();
        all.sort_by_key(|(key, _)| *key);
        all
    }

    /// What did not fit into the bounded table.
    pub fn other(&self) -> &Series {
        &self.other
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

    #[test]
    fn one_key_is_one_series_and_the_rest_share_one() {
        let mut table = SeriesTable::new(2);
        for status in [200, 200, 404, 500, 503, 200] {
            let place = table.place(key("HTTPRoute a/b", status));
            table.at(place).duration.record(1);
        }
        let counts: Vec<_> = table.sorted().iter().map(|(k, s)| (k.status, s.duration.count())).collect();
        assert_eq!(counts, [(200, 3), (404, 1)]);
        assert_eq!(table.other().duration.count(), 2);
    }

    #[test]
    fn merged_tables_lose_nothing_and_stay_bounded() {
        let mut a = SeriesTable::new(2);
        let mut b = SeriesTable::new(2);
        let count = |table: &mut SeriesTable, route| {
            let place = table.place(key(route, 200));
            table.at(place).duration.record(1);
        };
        count(&mut a, "x");
        count(&mut b, "x");
        count(&mut b, "y");
        count(&mut a, "z");
        a.merge(&b);
        assert_eq!(a.sorted().len(), 2);
        let total: u64 = a.sorted().iter().map(|(_, s)| s.duration.count()).sum();
        assert_eq!(total + a.other().duration.count(), 4);
    }
}
