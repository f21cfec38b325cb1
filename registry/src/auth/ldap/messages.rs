//! The messages of a directory, cut out of what comes over a connection, before a parser that trusts them sees any.
//!
//! The client library's parser goes one call deeper for each element in an element, and waits for as many bytes as
//! a length says. Whoever is at the other end, or on the way to it before there is TLS, could end the process with
//! the first and fill its memory with the second. So nothing comes to it but whole messages, within bounds, and of
//! the form that LDAP writes them in.
//!
//! *Shape:* BER as RFC 4511 section 5.1 restricts it: definite lengths, and tags of one byte. A message is a sequence
//! of its number, the operation, and perhaps controls (section 4.1.1). What the operation is made of is not looked at,
//! but for how deep and how many its elements are.

use bytes::{Bytes, BytesMut};

/// The longest message, in bytes.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// How many elements stand in each other, at most; the deepest that LDAP has are six.
const DEPTH_MAX: usize = 32;

/// How many elements a message has, at most.
const ELEMENTS_MAX: usize = 32 * 1024;

/// The bit of a tag that says that there are elements in the element.
const CONSTRUCTED: u8 = 0x20;
/// A tag that goes on in the next byte has these bits.
const LONG_TAG: u8 = 0x1f;
/// The bits of a tag that say whose it is, and those of the ones that LDAP gives to operations.
const CLASS: u8 = 0xc0;
const APPLICATION: u8 = 0x40;

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
/// Controls; and the name of a notice, which Active Directory writes beside it instead of into it.
const AFTER_OPERATION: [u8; 2] = [0xa0, 0x8a];

/// Bytes that came, and are not a whole message yet.
#[derive(Debug, Default)]
pub struct Messages(BytesMut);

/// Why bytes are not read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is longer than a message may be.
    #[error("a message of more than {MESSAGE_BYTES_MAX} bytes")]
    Long,
    /// Its elements stand deeper in each other than they may.
    #[error("a message of more than {DEPTH_MAX} elements in each other")]
    Deep,
    /// It has more elements than a message may have.
    #[error("a message of more than {ELEMENTS_MAX} elements")]
    Many,
    /// It is nothing that LDAP writes.
    #[error("no message")]
    Form,
}

impl Messages {
    /// Takes bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Returns the next message, as it came; `None` until it is whole.
    ///
    /// A length that is too much is refused when it is seen, and not when so many bytes have come.
    ///
    /// *Errors:* [`Unfit`], whatever comes later: what follows cannot be told from it.
    pub fn take(&mut self) -> Result<Option<Bytes>, Unfit> {
        let Some(header) = Header::read(&self.0)? else { return Ok(None) };
        if header.tag != SEQUENCE {
            return Err(Unfit::Form);
        }
        let Some(message) = self.0.get(..header.end()) else { return Ok(None) };
        look_through(message)?;
        look_at_parts(message).ok_or(Unfit::Form)?;
        Ok(Some(self.0.split_to(header.end()).freeze()))
    }

    /// Says whether nothing has come but what was returned.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The first bytes of an element.
#[derive(Debug, Clone, Copy)]
struct Header {
    tag: u8,
    /// How many bytes it has itself.
    own: usize,
    /// How many bytes follow it, at most [`MESSAGE_BYTES_MAX`] with them.
    content: usize,
}

impl Header {
    /// Reads the header at the beginning of bytes; `None` when it is not whole.
    fn read(bytes: &[u8]) -> Result<Option<Self>, Unfit> {
        let [tag, first, rest @ ..] = bytes else { return Ok(None) };
        // LDAP has no such tags, and the client's parser takes the byte that follows for the length.
        if tag & LONG_TAG == LONG_TAG {
            return Err(Unfit::Form);
        }
        let (own, content) = match first {
            0..=0x7f => (2, u64::from(*first)),
            // Indefinite: the client's parser takes it for nothing.
            0x80 => return Err(Unfit::Form),
            0x81..=0x88 => {
                let count = usize::from(first - 0x80);
                let Some(length) = rest.get(..count) else { return Ok(None) };
                (2 + count, length.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
            }
            0x89.. => return Err(Unfit::Long),
        };
        let content = usize::try_from(content).map_err(|_| Unfit::Long)?;
        if content > MESSAGE_BYTES_MAX - own {
            return Err(Unfit::Long);
        }
        Ok(Some(Self { tag: *tag, own, content }))
    }

    /// Returns how many bytes the whole element has.
    const fn end(self) -> usize {
        self.own + self.content
    }
}

/// Looks at each element of a message, whose length is right.
fn look_through(message: &[u8]) -> Result<(), Unfit> {
    // Where those end that stand around the next one.
    let mut around: Vec<usize> = Vec::with_capacity(DEPTH_MAX);
    let (mut at, mut count) = (0, 0);
    while at < message.len() {
        while around.last() == Some(&at) {
            around.pop();
        }
        let header = Header::read(&message[at..])?.ok_or(Unfit::Form)?;
        let end = at + header.end();
        count += 1;
        if end > around.last().copied().unwrap_or(message.len()) {
            return Err(Unfit::Form);
        }
        if around.len() >= DEPTH_MAX {
            return Err(Unfit::Deep);
        }
        if count > ELEMENTS_MAX {
            return Err(Unfit::Many);
        }
        if header.tag & CONSTRUCTED == 0 {
            at = end;
        } else {
            around.push(end);
            at += header.own;
        }
    }
    Ok(())
}

/// Looks at the parts of a message: the client library takes their number and order for granted.
fn look_at_parts(message: &[u8]) -> Option<()> {
    let (_, parts, _) = element(message)?;
    let (number, digits, rest) = element(parts)?;
    let (operation, _, rest) = element(rest)?;
    if number != INTEGER || !(1..=4).contains(&digits.len()) || operation & CLASS != APPLICATION {
        return None;
    }
    if rest.is_empty() {
        return Some(());
    }
    let (after, _, rest) = element(rest)?;
    (AFTER_OPERATION.contains(&after) && rest.is_empty()).then_some(())
}

/// Returns the tag and the content of the first element, and what follows it; `None` when it is not whole.
pub(super) fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let header = Header::read(bytes).ok()??;
    let (element, rest) = bytes.split_at_checked(header.end())?;
    Some((header.tag, &element[header.own..], rest))
}

#[cfg(test)]
mod tests;
