//! Request ids, and the worker's random numbers they are made of.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// Length of an id of ours in bytes.
pub(crate) const ID_LEN: usize = 32;
/// Longest id that is taken over from a trusted peer.
const MAX_FOREIGN: usize = 128;

/// xoshiro256++ (Blackman and Vigna, 2019): fast, one per worker, not for secrets.
#[derive(Debug)]
pub(crate) struct Random {
    state: Cell<[u64; 4]>,
}

impl Random {
    /// Seeds from the keys that the standard library draws from the operating system for its hash maps.
    pub(crate) fn seeded() -> Self {
        let draw = |n: u64| RandomState::new().hash_one(n);
        // The state must not be all zero: the constant sees to it.
        Self { state: Cell::new([draw(1), draw(2), draw(3), draw(4) | 1]) }
    }

    /// The next 64 bits.
    pub(crate) fn next(&self) -> u64 {
        let [mut a, mut b, mut c, mut d] = self.state.get();
        let out = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let t = b << 17;
        c ^= a;
        d ^= b;
        b ^= c;
        a ^= d;
        c ^= t;
        d = d.rotate_left(45);
        self.state.set([a, b, c, d]);
        out
    }

    /// A number below `n`; 0 for `n` = 0. The bias of the multiplication is below n/2^64.
    pub(crate) fn below(&self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// 128 random bits in lower-case hexadecimal.
    pub(crate) fn id(&self) -> [u8; ID_LEN] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let bits = (u128::from(self.next()) << 64) | u128::from(self.next());
        // A nibble is below 16, the table's length.
        std::array::from_fn(|at| HEX[(bits >> (124 - 4 * at)) as usize & 0xf])
    }
}

/// Whether an id sent by a trusted peer may stay: visible ASCII without quotes, of a bounded length.
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
