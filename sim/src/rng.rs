//! Seeded randomness: the same seed always gives the same bytes, positions and choices.
//!
//! SplitMix64 is small enough to be read at a glance and never changes under a dependency update,
//! so a seed printed last year still means the same run.

/// Generates pseudo-random numbers from a seed.
#[derive(Debug, Clone)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// Starts a sequence.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Starts the sequence that belongs to `label` under `seed`, independent of any other label.
    #[must_use]
    pub fn labelled(seed: u64, label: &str) -> Self {
        // FNV-1a: order and length of the label matter, nothing else does.
        let hash = label
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, b| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let mut rng = Self::new(seed ^ hash);
        rng.next_u64();
        rng
    }

    /// Returns the next number.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number in `0..limit`; a limit of 0 gives 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        // The high half of the product is free of the modulo's bias for limits far below 2^64.
        u64::try_from((u128::from(self.next_u64()) * u128::from(limit)) >> 64)
            .expect("the high half of a 128-bit product fits 64 bits")
    }

    /// Says yes with the given probability, 0.0 to 1.0.
    pub fn chance(&mut self, probability: f64) -> bool {
        const STEPS: u32 = 1 << 30;
        let step = u32::try_from(self.below(u64::from(STEPS))).expect("a number below 2^30 fits 32 bits");
        f64::from(step) / f64::from(STEPS) < probability
    }

    /// Returns `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next_u64().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_sequence() {
        assert_eq!(Rng::new(7).bytes(1000), Rng::new(7).bytes(1000));
        assert_ne!(Rng::new(7).bytes(1000), Rng::new(8).bytes(1000));
        assert_ne!(Rng::labelled(7, "a").next_u64(), Rng::labelled(7, "b").next_u64());
        // The first output of the published reference implementation for seed 0.
        assert_eq!(Rng::new(0).next_u64(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn chance_keeps_its_bounds() {
        let mut rng = Rng::new(1);
        assert!((0..1000).all(|_| rng.chance(1.0)));
        assert!((0..1000).all(|_| !rng.chance(0.0)));
        let half = (0..1000).filter(|_| rng.chance(0.5)).count();
        assert!((400..600).contains(&half), "{half}");
    }
}
