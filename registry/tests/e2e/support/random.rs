//! Bytes that do not compress, the same in every run.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Returns `len` bytes that `seed` decides; xorshift64*.
pub(crate) fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut words = words(seed);
    let mut bytes: Vec<u8> = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&words.next().expect("it never ends").to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Writes a file of `len` bytes, a multiple of 8.
pub(crate) fn write(file: &Path, seed: u64, len: usize) {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(file).unwrap());
    for word in words(seed).take(len / 8) {
        file.write_all(&word.to_le_bytes()).unwrap();
    }
    file.flush().unwrap();
}

fn words(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::repeat_with(move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    })
}
