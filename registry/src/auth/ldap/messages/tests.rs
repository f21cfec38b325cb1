//! Goal: every message that LDAP has is passed as it came, and nothing else is, however the bytes are cut. Method: a
//! table; messages that are made, and messages that are spoiled; the client library's own parser reads what is
//! passed, for which it must be exactly one element.

use ldap3::asn1::{PL, StructureTag, parse_tag};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What came of bytes: the messages, and how it ended.
type Outcome = (Vec<Vec<u8>>, Result<(), Unfit>);

/// Pushes bytes in chunks of these lengths, again and again.
fn passed(bytes: &[u8], chunks: &[usize]) -> Outcome {
    let (mut messages, mut all, mut rest) = (Messages::default(), Vec::new(), bytes);
    for chunk in chunks.iter().cycle() {
        let (now, later) = rest.split_at((*chunk).min(rest.len()));
        messages.push(now);
        rest = later;
        loop {
            match messages.take() {
                Ok(Some(message)) => all.push(message.to_vec()),
                Ok(None) => break,
                Err(unfit) => return (all, Err(unfit)),
            }
        }
        if rest.is_empty() {
            break;
        }
    }
    (all, Ok(()))
}

fn element_of(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let header = match u8::try_from(length) {
        Ok(short @ 0..=0x7f) => vec![tag, short],
        _ => [&[tag, 0x84], &u32::try_from(length).unwrap().to_be_bytes()[..]].concat(),
    };
    [&header[..], content].concat()
}

fn message(operation: &[u8]) -> Vec<u8> {
    element_of(SEQUENCE, &[&[INTEGER, 1, 1], operation].concat())
}

/// A message with so many elements in each other.
fn deep(depth: usize) -> Vec<u8> {
    // The message and its operation are two.
    let inner = (2..depth).fold(Vec::new(), |inner, _| element_of(SEQUENCE, &inner));
    message(&element_of(0x64, &inner))
}

/// Says how deep an element is, and how many there are in it, by the client library's parser.
fn measure(tag: &StructureTag) -> (usize, usize) {
    match &tag.payload {
        PL::P(_) => (1, 1),
        PL::C(inner) => inner.iter().map(measure).fold((1, 1), |(depth, count), (its_depth, its_count)| {
            (depth.max(its_depth + 1), count + its_count)
        }),
    }
}

fn fits(message: &[u8]) {
    assert!(message.len() <= MESSAGE_BYTES_MAX);
    let (rest, tag) = parse_tag(message).expect("the client's parser reads it");
    assert!(rest.is_empty());
    let (depth, count) = measure(&tag);
    assert!(depth <= DEPTH_MAX && count <= ELEMENTS_MAX, "{depth} {count}");
}

#[test]
fn messages_are_told_from_what_is_none() {
    let bind = message(&[0x61, 7, 0x0a, 1, 0, 4, 0, 4, 0]);
    let long = |length: usize| message(&element_of(0x64, &vec![0; length]));
    // The header of the message, its number, and the header of the operation.
    let beside = 6 + 3 + 6;
    let table: Vec<(&str, Vec<u8>, Result<usize, Unfit>)> = vec![
        ("an answer", bind.clone(), Ok(1)),
        ("two", [bind.clone(), bind.clone()].concat(), Ok(2)),
        ("one and a part", [&bind[..], &bind[..5]].concat(), Ok(1)),
        ("nothing", Vec::new(), Ok(0)),
        ("a large number", element_of(SEQUENCE, &[INTEGER, 4, 0x7f, 0xff, 0xff, 0xff, 0x65, 0]), Ok(1)),
        ("controls", message(&[0x65, 0, 0xa0, 0]), Ok(1)),
        ("a notice of Active Directory", message(&[0x78, 0, 0x8a, 1, 0x31]), Ok(1)),
        ("a length in eight bytes", [0x30, 0x88, 0, 0, 0, 0, 0, 0, 0, 5, 2, 1, 1, 0x65, 0].to_vec(), Ok(1)),
        ("as deep as can be", deep(DEPTH_MAX), Ok(1)),
        ("deeper", deep(DEPTH_MAX + 1), Err(Unfit::Deep)),
        ("as long as can be", element_of(SEQUENCE, &[INTEGER, 1, 1, 0x42, 0]), Ok(1)),
        ("a length that is too much", vec![0x30, 0x83, 0x10, 0, 0], Err(Unfit::Long)),
        ("a length of nine bytes", vec![0x30, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 1], Err(Unfit::Long)),
        ("a length that overflows", [&[0x30, 0x88], &[0xff; 8][..]].concat(), Err(Unfit::Long)),
        ("no length", vec![0x30, 0x80], Err(Unfit::Form)),
        ("no length within", message(&[0x64, 0x80, 0, 0]), Err(Unfit::Form)),
        ("a part within", message(&[0x64, 3, 4, 5, 0]), Err(Unfit::Form)),
        ("half a header within", message(&[0x64, 1, 4]), Err(Unfit::Form)),
        ("a long tag", message(&[0x7f, 0x21, 0]), Err(Unfit::Form)),
        ("no sequence", vec![0x31, 3, 2, 1, 1], Err(Unfit::Form)),
        ("a sequence of nothing", vec![0x30, 0], Err(Unfit::Form)),
        ("a number alone", vec![0x30, 3, 2, 1, 1], Err(Unfit::Form)),
        ("no number", element_of(SEQUENCE, &[0x65, 0]), Err(Unfit::Form)),
        ("an empty number", element_of(SEQUENCE, &[2, 0, 0x65, 0]), Err(Unfit::Form)),
        ("a number of five bytes", element_of(SEQUENCE, &[2, 5, 0, 0, 0, 0, 1, 0x65, 0]), Err(Unfit::Form)),
        ("no operation", message(&[4, 0]), Err(Unfit::Form)),
        ("something after it", message(&[0x65, 0, 4, 0]), Err(Unfit::Form)),
        ("something after controls", message(&[0x65, 0, 0xa0, 0, 4, 0]), Err(Unfit::Form)),
        ("as many as can be", message(&element_of(0x64, &[5, 0].repeat(ELEMENTS_MAX - 3))), Ok(1)),
        ("more", message(&element_of(0x64, &[5, 0].repeat(ELEMENTS_MAX - 2))), Err(Unfit::Many)),
        ("long", long(0), Ok(1)),
        ("in the clear", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Err(Unfit::Form)),
    ];
    for (what, bytes, expect) in table {
        for chunks in [&[usize::MAX][..], &[1], &[3, 1, 7]] {
            let (all, end) = passed(&bytes, chunks);
            assert_eq!(end.map(|()| all.len()), expect, "{what} {chunks:?}");
            assert!(bytes.starts_with(&all.concat()), "{what}");
            all.iter().for_each(|message| fits(message));
        }
    }
    // In one long value.
    let value = |length: usize| message(&element_of(0x64, &element_of(4, &vec![0; length])));
    let whole = value(MESSAGE_BYTES_MAX - beside - 6);
    assert_eq!(whole.len(), MESSAGE_BYTES_MAX);
    assert_eq!(passed(&whole, &[8192]), (vec![whole.clone()], Ok(())));
    assert_eq!(passed(&value(MESSAGE_BYTES_MAX - beside - 5), &[8192]), (Vec::new(), Err(Unfit::Long)));
}

/// Elements of any kind in each other.
fn elements() -> impl Strategy<Value = Vec<u8>> {
    let tag = (any::<u8>(), 0..LONG_TAG).prop_map(|(class, number)| class & (CLASS | CONSTRUCTED) | number);
    let leaf = (tag.clone(), vec(any::<u8>(), 0..300))
        .prop_map(|(tag, content)| element_of(tag & !CONSTRUCTED, &content));
    leaf.prop_recursive(8, 64, 8, move |inner| {
        (tag.clone(), vec(inner, 0..8))
            .prop_map(|(tag, parts)| element_of(tag | CONSTRUCTED, &parts.concat()))
    })
}

fn good() -> impl Strategy<Value = Vec<u8>> {
    (0..LONG_TAG, vec(elements(), 0..4))
        .prop_map(|(number, parts)| message(&element_of(APPLICATION | CONSTRUCTED | number, &parts.concat())))
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(1_usize..64, 1..8)
}

proptest! {
    #[test]
    fn every_message_is_passed_as_it_came(messages in vec(good(), 0..6), chunks in cuts()) {
        prop_assert_eq!(passed(&messages.concat(), &chunks), (messages, Ok(())));
    }

    #[test]
    fn of_any_bytes_nothing_unfit_is_passed(bytes in vec(any::<u8>(), 0..200), chunks in cuts()) {
        let whole = passed(&bytes, &[usize::MAX]);
        prop_assert_eq!(&whole, &passed(&bytes, &chunks));
        whole.0.iter().for_each(|message| fits(message));
    }

    #[test]
    fn of_spoiled_messages_nothing_unfit_is_passed(
        messages in vec(good(), 1..4),
        spoil in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        chunks in cuts(),
    ) {
        let mut bytes = messages.concat();
        for (at, byte) in spoil {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let whole = passed(&bytes, &[usize::MAX]);
        prop_assert_eq!(&whole, &passed(&bytes, &chunks));
        prop_assert!(bytes.starts_with(&whole.0.concat()));
        whole.0.iter().for_each(|message| fits(message));
    }
}
