//! Connections that were closed for want of a PROXY header, by reason.

use gateway_http::proxy_header::ProxyHeaderError;

/// Why a connection that had to begin with a PROXY header was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeaderFailure {
    /// No header came.
    Refused(ProxyHeaderError),
    /// It was not whole in time.
    Timeout,
    /// The connection ended in the middle of it.
    ClientClosed,
}

/// One number for each [`ProxyHeaderFailure`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProxyHeaderFailures([u64; ProxyHeaderError::ALL.len() + 2]);

impl ProxyHeaderFailure {
    /// Its name in metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Refused(error) => error.code(),
            Self::Timeout => "timeout",
            Self::ClientClosed => "client_closed",
        }
    }

    /// All of them, each at its place.
    fn all() -> impl Iterator<Item = Self> {
        ProxyHeaderError::ALL.into_iter().map(Self::Refused).chain([Self::Timeout, Self::ClientClosed])
    }

    const fn place(self) -> usize {
        match self {
            Self::Refused(error) => error as usize,
            Self::Timeout => ProxyHeaderError::ALL.len(),
            Self::ClientClosed => ProxyHeaderError::ALL.len() + 1,
        }
    }
}

impl ProxyHeaderFailures {
    pub(crate) fn count(&mut self, failure: ProxyHeaderFailure) {
        if let Some(count) = self.0.get_mut(failure.place()) {
            *count += 1;
        }
    }

    /// Adds another worker's numbers.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }

    /// Every reason's code and number.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        ProxyHeaderFailure::all().zip(self.0).map(|(failure, count)| (failure.code(), count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_a_number_of_its_own() {
        let mut counts = ProxyHeaderFailures::default();
        for (times, failure) in ProxyHeaderFailure::all().enumerate() {
            (0..times).for_each(|_| counts.count(failure));
        }
        let mut twice = counts;
        twice.merge(&counts);
        assert_eq!(twice.each().count(), twice.0.len());
        for (at, ((code, count), failure)) in twice.each().zip(ProxyHeaderFailure::all()).enumerate() {
            assert_eq!((code, count), (failure.code(), 2 * at as u64));
        }
    }
}
