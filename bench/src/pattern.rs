//! Bodies that follow from a seed, so that both ends know every byte without sending it beforehand.

/// An endless byte sequence, read from its start; words of SplitMix64 in little-endian order.
#[derive(Clone, Debug)]
pub struct Pattern {
    seed: u64,
    at: u64,
}

/// FNV-1a with 64 bits: finds lost, repeated and exchanged bytes, which is what proxies do by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum(u64);

impl Pattern {
    /// The sequence of `seed` from its first byte.
    pub fn new(seed: u64) -> Self {
        Self { seed, at: 0 }
    }

    /// Writes the next `into.len()` bytes.
    pub fn fill(&mut self, into: &mut [u8]) {
        for byte in into {
            *byte = self.next();
        }
    }

    /// Compares the next bytes with `seen`.
    ///
    /// # Errors
    /// The offset, from the start of the sequence, of the first byte that differs.
    pub fn expect(&mut self, seen: &[u8]) -> Result<(), u64> {
        for byte in seen {
            let at = self.at;
            if self.next() != *byte {
                return Err(at);
            }
        }
        Ok(())
    }

    fn next(&mut self) -> u8 {
        let word = mix(self.seed.wrapping_add((self.at / 8).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let byte = (word >> (8 * (self.at % 8))) as u8;
        self.at += 1;
        byte
    }
}

/// SplitMix64's output function (Steele, Lea, Flood 2014).
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Default for Checksum {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Checksum {
    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0 =
            bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    }

    /// The sum so far.
    pub fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join_to_the_whole() {
        let mut whole = [0; 100];
        Pattern::new(7).fill(&mut whole);
        for cut in 0..whole.len() {
            let mut pattern = Pattern::new(7);
            assert_eq!(pattern.expect(&whole[..cut]), Ok(()));
            assert_eq!(pattern.expect(&whole[cut..]), Ok(()));
        }
    }

    #[test]
    fn a_wrong_byte_is_found_where_it_is() {
        let mut bytes = [0; 64];
        Pattern::new(1).fill(&mut bytes);
        bytes[33] ^= 1;
        assert_eq!(Pattern::new(1).expect(&bytes), Err(33));
        let mut other = [0; 64];
        Pattern::new(2).fill(&mut other);
        assert!(Pattern::new(1).expect(&other).is_err());
    }

    #[test]
    fn the_checksum_is_fnv_1a() {
        let mut sum = Checksum::default();
        sum.update(b"foo");
        sum.update(b"bar");
        assert_eq!(sum.value(), 0x8594_4171_f739_67e8);
    }
}
