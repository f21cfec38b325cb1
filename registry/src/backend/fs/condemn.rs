//! Content on its way out: what condemns it is a small file beside, which is lost without harm.

use bytes::Bytes;

use super::{Fs, found};
use crate::backend::{Error, Key, Outcome, Sentence};

/// Where it says what is condemned.
const CONDEMNED: &str = "condemned";

/// Returns where it says so of one key.
fn beside(key: &Key) -> Key {
    Key::new(CONDEMNED).child(&key.as_str().replace('/', ","))
}

impl Fs {
    pub(super) fn condemn(&self, key: &Key) -> Result<Option<Sentence>, Error> {
        let _guard = self.lock(key)?;
        if self.stat_file(key)?.is_none() {
            return Ok(None);
        }
        if let Some(sentence) = self.read(&beside(key))? {
            return Ok(Some(Sentence(sentence)));
        }
        let sentence = Bytes::from(uuid::Uuid::new_v4().simple().to_string());
        self.write_unsynced(&beside(key), &sentence)?;
        Ok(Some(Sentence(sentence)))
    }

    pub(super) fn execute(&self, key: &Key, sentence: &Sentence) -> Result<Outcome, Error> {
        {
            let _guard = self.lock(key)?;
            if self.read(&beside(key))?.as_ref() != Some(&sentence.0) {
                return Ok(Outcome::Refused);
            }
            let removed = found(self.disk.remove(key.as_str()));
            removed.map_err(|error| Error::new("unlink", key, error))?;
            self.pardon(key)?;
        }
        self.sync_parent(key.as_str()).map_err(|error| Error::new("fsync", key, error))?;
        Ok(Outcome::Done)
    }

    pub(super) fn spare(&self, key: &Key) -> Result<bool, Error> {
        let _guard = self.lock(key)?;
        self.pardon(key)?;
        Ok(self.stat_file(key)?.is_some())
    }

    fn pardon(&self, key: &Key) -> Result<(), Error> {
        let beside = beside(key);
        let removed = found(self.disk.remove(beside.as_str()));
        removed.map(drop).map_err(|error| Error::new("unlink", &beside, error))
    }
}
