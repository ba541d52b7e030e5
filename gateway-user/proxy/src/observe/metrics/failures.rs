//! Handshakes that failed, by reason.

use gateway_tls::HandshakeError;

/// One number for each [`HandshakeError`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsFailures([u64; HandshakeError::ALL.len()]);

impl TlsFailures {
    pub(crate) fn count(&mut self, failure: HandshakeError) {
        if let Some(count) = self.0.get_mut(failure as usize) {
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
        HandshakeError::ALL.iter().zip(self.0).map(|(failure, count)| (failure.code(), count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_a_number_of_its_own() {
        let mut counts = TlsFailures::default();
        for (times, failure) in HandshakeError::ALL.iter().enumerate() {
            (0..times).for_each(|_| counts.count(*failure));
        }
        let mut twice = counts;
        twice.merge(&counts);
        for (at, (code, count)) in twice.each().enumerate() {
            assert_eq!((code, count), (HandshakeError::ALL[at].code(), 2 * at as u64));
        }
    }
}
