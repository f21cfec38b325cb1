//! Content on its way out: condemned, and then removed by who condemned it, or spared by who relies on it.
//!
//! Each is a write on the version that was read, so of two that meet one is told.

use bytes::Bytes;

use super::bucket::{Object, Put};
use super::envelope::{self, Condemned, GLANCE_BYTES, HEAD_BYTES};
use super::records::{ATTEMPTS_MAX, Inner, wait};
use crate::backend::{Error, Key, Outcome, Sentence};

impl Inner {
    /// Returns what is under a key, as it stands; `None` when the key is free.
    async fn raw(&self, key: &Key, bytes_max: Option<u64>) -> Result<Option<Object>, Error> {
        let Some(object) = self.bucket.get(key.as_str(), bytes_max).await? else { return Ok(None) };
        let held = envelope::unwrap(&object.bytes).map_err(|what| Error::foreign(key, what))?;
        Ok(held.map(|_| object))
    }

    pub(super) async fn condemn(&self, key: &Key) -> Result<Option<Sentence>, Error> {
        for tries in 0..ATTEMPTS_MAX {
            wait(tries).await;
            let Some(object) = self.raw(key, None).await? else { return Ok(None) };
            if envelope::is_condemned(&object.bytes) {
                return Ok(Some(Sentence(object.bytes.slice(..HEAD_BYTES))));
            }
            let condemned = envelope::again(&object.bytes, Condemned::Yes);
            let sentence = Sentence(condemned.slice(..HEAD_BYTES));
            if self.bucket.put(key.as_str(), condemned, Put::Over(object.version)).await?.is_some() {
                return Ok(Some(sentence));
            }
        }
        Err(Error::Contended { key: key.clone() })
    }

    pub(super) async fn execute(&self, key: &Key, sentence: &Sentence) -> Result<Outcome, Error> {
        let free: Bytes = envelope::free();
        for tries in 0..ATTEMPTS_MAX {
            wait(tries).await;
            let Some(object) = self.bucket.get(key.as_str(), Some(GLANCE_BYTES)).await? else {
                return Ok(Outcome::Refused);
            };
            if object.bytes == free {
                // An answer was lost: this is what an earlier try has written.
                return Ok(Outcome::Done);
            }
            if !object.bytes.starts_with(&sentence.0) {
                return Ok(Outcome::Refused);
            }
            if self.bucket.put(key.as_str(), free.clone(), Put::Over(object.version)).await?.is_some() {
                return Ok(Outcome::Done);
            }
        }
        Err(Error::Contended { key: key.clone() })
    }

    pub(super) async fn spare(&self, key: &Key) -> Result<bool, Error> {
        for tries in 0..ATTEMPTS_MAX {
            wait(tries).await;
            let Some(glance) = self.raw(key, Some(GLANCE_BYTES)).await? else { return Ok(false) };
            if !envelope::is_condemned(&glance.bytes) {
                return Ok(true);
            }
            let Some(object) = self.raw(key, None).await? else { return Ok(false) };
            let spared = envelope::again(&object.bytes, Condemned::No);
            if self.bucket.put(key.as_str(), spared, Put::Over(object.version)).await?.is_some() {
                return Ok(true);
            }
        }
        Err(Error::Contended { key: key.clone() })
    }
}
