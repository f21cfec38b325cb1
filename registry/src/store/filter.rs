//! A set that takes a fixed amount of memory however much is put into it.
//!
//! It may seem to hold more than it does, and never less: whoever keeps what it holds keeps some garbage for a
//! while. Each set errs elsewhere, so what one run over a store keeps, the next one takes.

use std::hash::{BuildHasher, Hash, RandomState};

/// How many bits stand for one thing.
const BITS_PER_THING: usize = 3;

/// A Bloom filter. It takes no memory while it is empty.
#[derive(Debug)]
pub(super) struct Filter {
    words: Vec<u64>,
    bits: u64,
    hasher: RandomState,
}

impl Filter {
    /// Makes an empty set of so many bits, a multiple of 64.
    pub(super) fn new(bits: u64) -> Self {
        Self { words: Vec::new(), bits, hasher: RandomState::new() }
    }

    /// Adds a thing.
    pub(super) fn add(&mut self, thing: &impl Hash) {
        if self.words.is_empty() {
            self.words = vec![0; usize::try_from(self.bits / 64).expect("a filter fits into memory")];
        }
        for bit in self.positions(thing) {
            self.words[bit / 64] |= 1 << (bit % 64);
        }
    }

    /// Says whether a thing was added; it may say so of one that was not.
    pub(super) fn has(&self, thing: &impl Hash) -> bool {
        !self.words.is_empty()
            && self.positions(thing).into_iter().all(|bit| self.words[bit / 64] & (1 << (bit % 64)) != 0)
    }

    fn positions(&self, thing: &impl Hash) -> [usize; BITS_PER_THING] {
        let number = self.hasher.hash_one(thing);
        // Two halves make as many hashes as are wanted; the second is odd, so that they differ.
        let step = (number >> 32) | 1;
        std::array::from_fn(|at| {
            let bit = number.wrapping_add(step.wrapping_mul(at as u64)) % self.bits;
            usize::try_from(bit).expect("a filter fits into memory")
        })
    }
}

#[cfg(test)]
mod tests {
    //! Goal: nothing that was added is denied, and nearly all that was not is.

    use super::*;

    #[test]
    fn a_filter_says_no_of_nearly_all_that_it_has_not_seen() {
        let mut filter = Filter::new(1 << 22);
        assert!(!filter.has(&0_u64));
        (0..100_000_u64).for_each(|number| filter.add(&number));
        assert!((0..100_000_u64).all(|number| filter.has(&number)));
        let wrong = (100_000..200_000_u64).filter(|number| filter.has(number)).count();
        assert!(wrong < 1_000, "{wrong} of 100,000");
    }
}
