//! Values by hostname, looked up from the most to the least specific.

use gateway_ir::Hostname;
use hashbrown::HashMap;

/// At most one value for each hostname pattern.
#[derive(Clone, Debug)]
pub(crate) struct HostMap<T> {
    exact: HashMap<Box<[u8]>, T>,
    /// By the suffix after `*.`.
    wildcard: HashMap<Box<[u8]>, T>,
    any: Option<T>,
    /// The length of the longest wildcard's suffix. Longer ones need no look, so that a host made of nothing
    /// but dots costs its own length and not the square of it.
    longest_suffix: usize,
}

impl<T> Default for HostMap<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wildcard: HashMap::new(), any: None, longest_suffix: 0 }
    }
}

impl<T> HostMap<T> {
    /// Adds a value unless its pattern has one already.
    pub(crate) fn insert(&mut self, hostname: Option<&Hostname>, value: T) {
        match hostname {
            Some(Hostname::Exact(name)) => {
                self.exact.entry(name.as_bytes().into()).or_insert(value);
            }
            Some(Hostname::Wildcard(suffix)) => {
                self.longest_suffix = self.longest_suffix.max(suffix.len());
                self.wildcard.entry(suffix.as_bytes().into()).or_insert(value);
            }
            None => {
                self.any.get_or_insert(value);
            }
        }
    }

    /// Adds a value in place of the one that its pattern has, or takes that away.
    pub(crate) fn replace(&mut self, hostname: Option<&Hostname>, value: Option<T>) {
        match hostname {
            Some(Hostname::Exact(name)) => drop(self.exact.remove(name.as_bytes())),
            Some(Hostname::Wildcard(suffix)) => drop(self.wildcard.remove(suffix.as_bytes())),
            None => self.any = None,
        }
        if let Some(value) = value {
            self.insert(hostname, value);
        }
    }

    /// Gives memory back that growing left over.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.exact.shrink_to_fit();
        self.wildcard.shrink_to_fit();
    }

    /// Every value, in no order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.exact.values().chain(self.wildcard.values()).chain(&self.any)
    }

    /// The values whose patterns cover `host`: its own name, wildcards from the longest to the shortest, then
    /// the pattern that covers every host.
    pub(crate) fn covering<'s>(&'s self, host: &[u8]) -> impl Iterator<Item = &'s T> {
        let wildcards = (!self.wildcard.is_empty()).then(|| {
            suffixes(host)
                .filter(|suffix| suffix.len() <= self.longest_suffix)
                .filter_map(|suffix| self.wildcard.get(suffix))
        });
        self.exact.get(host).into_iter().chain(wildcards.into_iter().flatten()).chain(&self.any)
    }
}

/// The suffix after each dot, the first excepted if `host` starts with it: a wildcard stands for at least one
/// character.
fn suffixes(host: &[u8]) -> impl Iterator<Item = &[u8]> {
    memchr::memchr_iter(b'.', host).filter(|dot| *dot > 0).filter_map(|dot| host.get(dot + 1..))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(patterns: &[&str]) -> HostMap<String> {
        let mut map = HostMap::default();
        for pattern in patterns {
            let hostname = (!pattern.is_empty()).then(|| Hostname::parse(pattern).unwrap());
            map.insert(hostname.as_ref(), (*pattern).to_owned());
        }
        map
    }

    #[test]
    fn from_the_most_to_the_least_specific() {
        let map = map(&["", "*.com", "*.example.com", "a.example.com", "example.com", "*.a.example.com"]);
        for (host, want) in [
            ("a.example.com", &["a.example.com", "*.example.com", "*.com", ""][..]),
            ("b.a.example.com", &["*.a.example.com", "*.example.com", "*.com", ""]),
            ("example.com", &["example.com", "*.com", ""]),
            (".example.com", &["*.com", ""]),
            ("com", &[""]),
            ("", &[""]),
            ("[::1]", &[""]),
        ] {
            assert_eq!(map.covering(host.as_bytes()).collect::<Vec<_>>(), want, "{host:?}");
        }
    }

    #[test]
    fn agrees_with_the_definition_of_a_hostname() {
        let patterns = ["a.b", "*.b", "*.a.b", "b"];
        let map = map(&patterns);
        for host in ["a.b", "b", "x.b", "x.a.b", ".b", "..b", "a..b", ".a.b", "ab", "xb", "x.y.a.b"] {
            let found: Vec<_> = map.covering(host.as_bytes()).cloned().collect();
            let covers = |pattern: &&str| Hostname::parse(pattern).unwrap().matches(host);
            let mut want: Vec<_> = patterns.into_iter().filter(covers).collect();
            want.sort_by_key(|pattern| (pattern.starts_with('*'), std::cmp::Reverse(pattern.len())));
            assert_eq!(found, want, "{host:?}");
        }
    }

    #[test]
    fn the_first_value_of_a_pattern_stays() {
        let mut map = HostMap::default();
        for (pattern, value) in [(None, 1), (None, 2)] {
            map.insert(pattern, value);
        }
        assert_eq!(map.covering(b"a").collect::<Vec<_>>(), [&1]);
    }
}
