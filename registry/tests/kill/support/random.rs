//! Seeded choices, so that a failure can name what made it.

/// A generator (SplitMix64): the same seed makes the same choices.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Makes a generator.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Makes an independent generator.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.next())
    }

    /// Returns the next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("it is below a usize")
    }

    /// Returns one of the items, or `None` of none.
    pub(crate) fn pick<T: Clone>(&mut self, items: impl Iterator<Item = T>) -> Option<T> {
        let items: Vec<T> = items.collect();
        if items.is_empty() { None } else { Some(items[self.below(items.len())].clone()) }
    }

    /// Returns bytes that nothing compresses and no two calls share.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(len);
        bytes
    }
}
