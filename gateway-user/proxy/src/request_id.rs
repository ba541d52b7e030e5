//! Request ids, and the worker's random numbers they are made of.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use fastrand::Rng;

/// Length of an own id, in bytes.
pub(crate) const ID_LEN: usize = 32;
/// Longest id that is taken over from a trusted peer.
const MAX_FOREIGN: usize = 128;

/// Random numbers of one worker: fast, not for secrets. Two generators with seeds of their own, so that ids of 128 bits
/// repeat no sooner than 128 bits of state do.
pub(crate) struct Random {
    high: Cell<Rng>,
    low: Cell<Rng>,
}

impl Random {
    /// Seeds from the keys that the standard library draws from the operating system for its hash maps.
    pub(crate) fn seeded() -> Self {
        let generator = |n: u64| Cell::new(Rng::with_seed(RandomState::new().hash_one(n)));
        Self { high: generator(1), low: generator(2) }
    }

    /// The next 64 bits.
    pub(crate) fn next(&self) -> u64 {
        draw(&self.low, |generator| generator.u64(..))
    }

    /// A number below `n`; 0 for `n` = 0.
    pub(crate) fn below(&self, n: usize) -> usize {
        if n == 0 { 0 } else { draw(&self.low, |generator| generator.usize(..n)) }
    }

    /// 128 random bits in lower-case hexadecimal.
    pub(crate) fn id(&self) -> [u8; ID_LEN] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let high = draw(&self.high, |generator| generator.u64(..));
        let bits = (u128::from(high) << 64) | u128::from(self.next());
        // A nibble is below 16, the table's length.
        std::array::from_fn(|at| HEX[(bits >> (124 - 4 * at)) as usize & 0xf])
    }
}

/// Without the state: whoever knows it knows the ids to come.
impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}

fn draw<T>(generator: &Cell<Rng>, draw: impl FnOnce(&mut Rng) -> T) -> T {
    // The placeholder has a constant seed: nothing is drawn for it.
    let mut taken = generator.replace(Rng::with_seed(0));
    let drawn = draw(&mut taken);
    generator.set(taken);
    drawn
}

/// True if an id sent by a trusted peer may stay: visible ASCII without quotes, of a bounded length.
pub(crate) fn is_sane(id: &[u8]) -> bool {
    !id.is_empty()
        && id.len() <= MAX_FOREIGN
        && id.iter().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b','))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_hexadecimal_and_never_repeat() {
        let random = Random::seeded();
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            let id = random.id();
            assert!(id.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b)));
            assert!(seen.insert(id));
        }
        assert_ne!(random.id(), Random::seeded().id(), "two workers draw different ids");
    }

    #[test]
    fn below_reaches_every_number_and_no_other() {
        let random = Random::seeded();
        let seen: HashSet<usize> = (0..1000).map(|_| random.below(5)).collect();
        assert_eq!(seen, HashSet::from([0, 1, 2, 3, 4]));
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn foreign_ids_are_bounded_and_printable() {
        assert!(is_sane(b"3f2b-11_x.y:z/9="));
        assert!(!is_sane(b""));
        assert!(!is_sane(b"a b") && !is_sane(b"a\"b") && !is_sane("ä".as_bytes()) && !is_sane(b"a,b"));
        assert!(is_sane(&[b'a'; 128]) && !is_sane(&[b'a'; 129]));
    }
}
