//! Heads: a plain one with one or two peculiarities.

use gateway_testkit::http2::frames::literal;

/// Fields as they are sent, pseudo-headers among them.
#[derive(Clone, Debug)]
pub(super) struct Head(Vec<(Vec<u8>, Vec<u8>)>);

impl Head {
    fn plain() -> Self {
        let fields: [(&str, &str); 5] = [
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/text"),
            (":authority", "a.example"),
            ("accept", "*/*"),
        ];
        Self(fields.map(|(name, value)| (name.into(), value.into())).into())
    }

    fn set(&mut self, name: &str, value: &[u8]) {
        match self.0.iter_mut().find(|(own, _)| own == name.as_bytes()) {
            Some((_, own)) => *own = value.to_vec(),
            None => self.add(name.as_bytes(), value),
        }
    }

    fn add(&mut self, name: &[u8], value: &[u8]) {
        self.0.push((name.to_vec(), value.to_vec()));
    }

    fn remove(&mut self, name: &str) {
        self.0.retain(|(own, _)| own != name.as_bytes());
    }

    /// Its field block, nothing of it compressed.
    pub(super) fn block(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(name, value)| literal(name, value)).collect()
    }
}

/// A change to a plain head.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// A value in place of that of a pseudo-header or field.
    Set(&'static str, &'static [u8]),
    /// One field more, behind all others.
    Add(&'static [u8], &'static [u8]),
    Two(&'static [u8], &'static [u8], &'static [u8]),
    Remove(&'static str),
    /// `Host` in place of `:authority`.
    HostAlone,
}

/// Changes by their names, which the table of allowed differences has.
const CHANGES: &[(&str, Change)] = {
    use Change::{Add, HostAlone, Remove, Set, Two};
    &[
        ("method in lower case", Set(":method", b"get")),
        ("unknown method", Set(":method", b"FOO")),
        ("method with a blank", Set(":method", b"G ET")),
        ("empty method", Set(":method", b"")),
        ("no method", Remove(":method")),
        ("CONNECT with a path", Set(":method", b"CONNECT")),
        ("scheme https", Set(":scheme", b"https")),
        ("unknown scheme", Set(":scheme", b"ftp")),
        ("empty scheme", Set(":scheme", b"")),
        ("no scheme", Remove(":scheme")),
        ("empty path", Set(":path", b"")),
        ("no path", Remove(":path")),
        ("path without a slash", Set(":path", b"text")),
        ("path with a blank", Set(":path", b"/text a")),
        ("path with a tab", Set(":path", b"/text\ta")),
        ("path with a line feed", Set(":path", b"/text\na")),
        ("path with NUL", Set(":path", b"/text\0a")),
        ("path beyond ASCII", Set(":path", b"/text\xc3\xa4")),
        ("path with a fragment", Set(":path", b"/text#a")),
        ("whole URI as path", Set(":path", b"http://b.example/text")),
        ("asterisk", Set(":path", b"*")),
        ("escape that is none", Set(":path", b"/text/%zz")),
        ("escaped slash", Set(":path", b"/text%2fa")),
        ("dots", Set(":path", b"/text/../text")),
        ("query", Set(":path", b"/text?a=b&c")),
        ("curly brackets", Set(":path", b"/text/{a}")),
        ("empty authority", Set(":authority", b"")),
        ("no authority", Remove(":authority")),
        ("authority with a user", Set(":authority", b"u@a.example")),
        ("authority with a port", Set(":authority", b"a.example:80")),
        ("port that is none", Set(":authority", b"a.example:x")),
        ("port beyond 65535", Set(":authority", b"a.example:99999")),
        ("authority with a blank", Set(":authority", b"a example")),
        ("authority with a slash", Set(":authority", b"a.example/b")),
        ("authority of IPv6", Set(":authority", b"[::1]:80")),
        ("Host alone", HostAlone),
        ("Host beside the same", Add(b"host", b"a.example")),
        ("Host beside another", Add(b"host", b"b.example")),
        ("two Hosts", Two(b"host", b"a.example", b"a.example")),
        ("second method", Add(b":method", b"GET")),
        ("unknown pseudo-header", Add(b":x", b"y")),
        ("pseudo-header of responses", Add(b":status", b"200")),
        ("upper-case name", Add(b"X-A", b"b")),
        ("empty name", Add(b"", b"b")),
        ("name with a blank", Add(b"x a", b"b")),
        ("name with a colon", Add(b"x:a", b"b")),
        ("name with NUL", Add(b"x\0a", b"b")),
        ("name beyond ASCII", Add(b"x\xe4", b"b")),
        ("name with an underscore", Add(b"x_a", b"b")),
        ("value with a carriage return", Add(b"x-a", b"b\rc")),
        ("value with a line feed", Add(b"x-a", b"b\nc")),
        ("value with NUL", Add(b"x-a", b"b\0c")),
        ("value with a control", Add(b"x-a", b"b\x01c")),
        ("value with DEL", Add(b"x-a", b"b\x7fc")),
        ("value with a tab", Add(b"x-a", b"b\tc")),
        ("value beyond ASCII", Add(b"x-a", b"b\xe4c")),
        ("blank before a value", Add(b"x-a", b" b")),
        ("blank behind a value", Add(b"x-a", b"b ")),
        ("empty value", Add(b"x-a", b"")),
        ("two values", Two(b"x-a", b"1", b"2")),
        ("two cookies", Two(b"cookie", b"a=1", b"b=2")),
        ("connection: close", Add(b"connection", b"close")),
        ("keep-alive", Add(b"keep-alive", b"5")),
        ("proxy-connection", Add(b"proxy-connection", b"keep-alive")),
        ("transfer-encoding", Add(b"transfer-encoding", b"chunked")),
        ("upgrade", Add(b"upgrade", b"h2c")),
        ("te: trailers", Add(b"te", b"trailers")),
        ("te: gzip", Add(b"te", b"gzip")),
        ("length 0", Add(b"content-length", b"0")),
        ("length without content", Add(b"content-length", b"5")),
        ("length with a sign", Add(b"content-length", b"+0")),
        ("length that is none", Add(b"content-length", b"x")),
        ("same length twice", Two(b"content-length", b"0", b"0")),
        ("two lengths", Two(b"content-length", b"0", b"5")),
        ("list of a length", Add(b"content-length", b"0, 0")),
        ("expectation that is none", Add(b"expect", b"else")),
    ]
};

/// A head and its peculiarities.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) names: Vec<&'static str>,
    pub(super) head: Head,
}

impl Case {
    fn of(changes: &[(&'static str, Change)]) -> Self {
        let mut head = Head::plain();
        for (_, change) in changes {
            match *change {
                Change::Set(name, value) => head.set(name, value),
                Change::Add(name, value) => head.add(name, value),
                Change::Two(name, one, another) => {
                    head.add(name, one);
                    head.add(name, another);
                }
                Change::Remove(name) => head.remove(name),
                Change::HostAlone => {
                    head.remove(":authority");
                    head.add(b"host", b"a.example");
                }
            }
        }
        Self { names: changes.iter().map(|(name, _)| *name).collect(), head }
    }
}

/// A head by its peculiarities, for people.
pub(super) fn name(names: &[&str]) -> String {
    if names.is_empty() { "plain".to_owned() } else { names.join(" and ") }
}

/// The plain head, each peculiarity alone, and as many pairs by a seed.
pub(super) fn cases(seed: u64, pairs: usize) -> Vec<Case> {
    let alone = CHANGES.iter().map(|change| Case::of(&[*change]));
    let mut random = seed;
    let mut next = || {
        // Knuth's MMIX generator: the same list for the same seed, on every machine.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        CHANGES[(random >> 33) as usize % CHANGES.len()]
    };
    let both: Vec<Case> = (0..pairs).map(|_| Case::of(&[next(), next()])).collect();
    std::iter::once(Case::of(&[])).chain(alone).chain(both).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_its_cases_and_every_name_is_its_own() {
        let names = |seed| cases(seed, 50).iter().map(|case| name(&case.names)).collect::<Vec<_>>();
        assert_eq!(names(1), names(1));
        assert_ne!(names(1), names(2));
        let mut all: Vec<_> = CHANGES.iter().map(|(name, _)| name).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), CHANGES.len());
        assert_eq!(names(1).len(), 1 + CHANGES.len() + 50);
    }
}
