//! What stands in an object under a key of the store.
//!
//! *Shape:* a line `w1 <kind> <16 hex digits>`, and then the bytes; a capital letter for a kind says that it is
//! condemned. The digits are random, so that no two
//! writes of the same record have the same entity tag: a condition on a tag is then a condition on one
//! write, and a request that is carried out late meets a tag that is gone. A key that is free again has an
//! object too, `w0 <16 hex digits>`, which is shorter than all others: a key that may be written again is
//! never removed from the bucket, since a removal cannot be made to depend on what it removes.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

/// What stands under a key, condemned or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Held {
    /// A record, or small content.
    Record(Bytes),
    /// Content that stands under a name of its own.
    Pointer(Pointer),
    /// What is known of content on its way in.
    Staged(Bytes),
}

/// Where content is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pointer {
    /// The last component of its name.
    pub(super) content: String,
    /// Its size, in bytes.
    pub(super) size: u64,
}

/// How many bytes the first line has.
pub(super) const HEAD_BYTES: usize = 22;
const KIND_AT: usize = 3;

/// Bytes that are enough to know a pointer, or how large a record is.
pub(super) const GLANCE_BYTES: u64 = 512;

/// Puts what is held into an object, which no other write makes.
pub(super) fn wrap(held: &Held) -> Bytes {
    let (kind, body) = match held {
        Held::Record(bytes) => ('r', bytes.clone()),
        Held::Staged(bytes) => ('s', bytes.clone()),
        Held::Pointer(pointer) => {
            let json = serde_json::to_vec(pointer).expect("a pointer is two plain values");
            ('c', json.into())
        }
    };
    let nonce = nonce();
    let mut object = BytesMut::with_capacity(HEAD_BYTES + body.len());
    object.extend_from_slice(format!("w1 {kind} {nonce:016x}\n").as_bytes());
    object.extend_from_slice(&body);
    object.freeze()
}

/// Says whether an object, or its first bytes, is condemned.
pub(super) fn is_condemned(object: &[u8]) -> bool {
    object.get(KIND_AT).is_some_and(u8::is_ascii_uppercase)
}

/// Makes an object that holds the same, condemned or not, as another write.
pub(super) fn again(object: &Bytes, condemned: Condemned) -> Bytes {
    let kind = char::from(match condemned {
        Condemned::Yes => object[KIND_AT].to_ascii_uppercase(),
        Condemned::No => object[KIND_AT].to_ascii_lowercase(),
    });
    let mut again = BytesMut::with_capacity(object.len());
    again.extend_from_slice(format!("w1 {kind} {:016x}\n", nonce()).as_bytes());
    again.extend_from_slice(&object[HEAD_BYTES..]);
    again.freeze()
}

/// Whether something is about to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condemned {
    Yes,
    No,
}

/// Makes the object of a key that is free again, which no other write makes.
pub(super) fn free() -> Bytes {
    format!("w0 {:016x}\n", nonce()).into()
}

/// Says whether an object of this size is that of a key that is free again.
pub(super) const fn is_free(size: u64) -> bool {
    size < HEAD_BYTES as u64
}

fn nonce() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}

/// Takes what is held out of an object; `Ok(None)` is a key that is free.
///
/// *Errors:* what the object is not, when it was not written by [`wrap`].
pub(super) fn unwrap(object: &Bytes) -> Result<Option<Held>, &'static str> {
    if is_free(object.len() as u64) && object.starts_with(b"w0 ") {
        return Ok(None);
    }
    if object.len() < HEAD_BYTES || !object.starts_with(b"w1 ") || object[HEAD_BYTES - 1] != b'\n' {
        return Err("not an object of this store: it has no first line that says what it is");
    }
    let body = object.slice(HEAD_BYTES..);
    match object[KIND_AT].to_ascii_lowercase() {
        b'r' => Ok(Some(Held::Record(body))),
        b's' => Ok(Some(Held::Staged(body))),
        b'c' => serde_json::from_slice(&body)
            .ok()
            .filter(|pointer: &Pointer| super::keys::is_content(&pointer.content))
            .map(|pointer| Some(Held::Pointer(pointer)))
            .ok_or("a pointer to content that cannot be read"),
        _ => Err("an object of a newer version of this program"),
    }
}

#[cfg(test)]
mod tests {
    //! Goal: what was put in comes out, nothing foreign does, and no two writes are alike.

    use super::*;

    #[test]
    fn what_was_put_in_comes_out() {
        let content = uuid::Uuid::new_v4().hyphenated().to_string();
        for held in [
            Held::Record(Bytes::new()),
            Held::Record(Bytes::from_static(b"{}")),
            Held::Staged(Bytes::from_static(b"x")),
            Held::Pointer(Pointer { content, size: u64::MAX }),
        ] {
            let object = wrap(&held);
            assert_ne!(object, wrap(&held), "two writes differ");
            assert!(object.len() as u64 <= GLANCE_BYTES);
            assert_eq!(unwrap(&object), Ok(Some(held)));
        }
        assert_eq!(unwrap(&free()), Ok(None));
        assert!(is_free(free().len() as u64));
        assert_ne!(free(), free());
    }

    #[test]
    fn foreign_objects_are_told() {
        for foreign in ["", "x", "{\"layout\":1}", "w1 r 0123456789abcdef ", "w1 q 0123456789abcdef\n"] {
            assert!(unwrap(&Bytes::from_static(foreign.as_bytes())).is_err(), "{foreign}");
        }
        let elsewhere = b"w1 c 0123456789abcdef\n{\"content\":\"../x\",\"size\":1}";
        assert!(unwrap(&Bytes::from_static(elsewhere)).is_err(), "a pointer leads to content only");
    }
}
