//! Bodies too large to keep: made block by block while they are sent, hashed while they are received.

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::content::{Rng, hex};
use crate::wire::{Framing, Response, WireError};

/// Bytes made, sent or hashed at a time.
const BLOCK_BYTES: usize = 1024 * 1024;

/// A seeded body of any size, of which one block is in memory at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bulk {
    block: Vec<u8>,
    length: u64,
}

impl Bulk {
    /// Makes a body of that many bytes out of what the generator gives.
    pub fn new(rng: &mut Rng, length: u64) -> Self {
        Self { block: rng.bytes(BLOCK_BYTES), length }
    }

    /// Returns its size in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns its `sha256:…` digest, for which all of it is made once.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let mut block = self.block.clone();
        for (number, size) in self.blocks() {
            hash.update(numbered(&mut block, number, size));
        }
        format!("sha256:{}", hex(&hash.finalize()))
    }

    /// Writes all of it.
    pub(super) async fn write(&self, writer: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
        let mut block = self.block.clone();
        for (number, size) in self.blocks() {
            writer.write_all(numbered(&mut block, number, size)).await?;
        }
        writer.flush().await
    }

    /// Returns number and size of every block.
    fn blocks(&self) -> impl Iterator<Item = (u64, usize)> {
        let step = BLOCK_BYTES as u64;
        (0..self.length.div_ceil(step)).map(move |number| {
            let rest = self.length - number * step;
            (number, usize::try_from(rest).map_or(BLOCK_BYTES, |rest| rest.min(BLOCK_BYTES)))
        })
    }
}

/// Writes the block's number into it, so that no two blocks are the same and order matters.
fn numbered(block: &mut [u8], number: u64, size: usize) -> &[u8] {
    block[..8].copy_from_slice(&number.to_le_bytes());
    &block[..size]
}

/// Reads the body that a head announced and returns its size and its digest.
///
/// *Errors*: [`WireError::Cut`]; [`WireError::Malformed`] for a body without a Content-Length.
pub(super) async fn hash_body(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    head: &Response,
) -> Result<(u64, String), WireError> {
    let Framing::Length(length) = head.framing else {
        return Err(WireError::Malformed("a body without Content-Length".to_owned()));
    };
    let mut hash = Sha256::new();
    let mut got = buffer.len() as u64;
    hash.update(std::mem::take(buffer));
    let mut block = vec![0; BLOCK_BYTES];
    while got < length {
        let room = usize::try_from(length - got).map_or(BLOCK_BYTES, |rest| rest.min(BLOCK_BYTES));
        match reader.read(&mut block[..room]).await {
            Ok(count) if count > 0 => {
                hash.update(&block[..count]);
                got += count as u64;
            }
            _ => {
                let got = usize::try_from(got).unwrap_or(usize::MAX);
                return Err(WireError::Cut { status: head.status, got, wanted: length.to_string() });
            }
        }
    }
    Ok((got, format!("sha256:{}", hex(&hash.finalize()))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::sha256;

    #[tokio::test]
    async fn what_is_written_has_the_digest_and_every_block_differs() {
        for length in [0, 1, BLOCK_BYTES as u64, 2 * BLOCK_BYTES as u64 + 5] {
            let bulk = Bulk::new(&mut Rng::new(1, "bulk"), length);
            let mut bytes = Vec::new();
            bulk.write(&mut bytes).await.unwrap();
            assert_eq!((bytes.len() as u64, sha256(&bytes)), (length, bulk.digest()));
            assert_eq!(bulk.length(), length);
        }
        let bulk = Bulk::new(&mut Rng::new(1, "bulk"), 2 * BLOCK_BYTES as u64);
        let mut bytes = Vec::new();
        bulk.write(&mut bytes).await.unwrap();
        assert_ne!(bytes[..BLOCK_BYTES], bytes[BLOCK_BYTES..]);
    }

    #[tokio::test]
    async fn a_body_is_hashed_to_its_end_and_not_beyond_it() {
        let head = |length| Response {
            label: "GET /".into(),
            status: 200,
            headers: vec![],
            body: vec![],
            framing: Framing::Length(length),
            interim: vec![],
            excess: 0,
        };
        let mut rest = &b"cdef"[..];
        let hashed = hash_body(&mut rest, &mut b"ab".to_vec(), &head(5)).await.unwrap();
        assert_eq!((hashed, rest), ((5, sha256(b"abcde")), &b"f"[..]));
        let large = vec![7; 2 * BLOCK_BYTES + 3];
        let hashed =
            hash_body(&mut &large[..], &mut Vec::new(), &head(large.len() as u64 - 1)).await.unwrap();
        assert_eq!(hashed, (large.len() as u64 - 1, sha256(&large[1..])));
        let error = hash_body(&mut &b"c"[..], &mut b"ab".to_vec(), &head(5)).await.unwrap_err();
        assert!(matches!(error, WireError::Cut { got: 3, .. }), "{error}");
    }
}
