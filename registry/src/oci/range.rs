//! Ranges of bytes: what a client asks of a blob, and what it says of a chunk.
//!
//! *Spec:* RFC 9110 §14 for `Range`; `spec.md#pushing-a-blob-in-chunks` for `Content-Range`, which
//! has neither a unit nor a total.

/// One range of a `Range` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeSpec {
    /// From an offset to the end.
    From(u64),
    /// From an offset to another, both included.
    FromTo(u64, u64),
    /// The last bytes, this many.
    Last(u64),
}

/// A range of bytes that are there: `start <= last < size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// The offset of the first byte.
    pub start: u64,
    /// The offset of the last byte.
    pub last: u64,
}

impl ByteRange {
    /// Returns the number of bytes.
    #[expect(clippy::len_without_is_empty, reason = "A range that is there has at least one byte.")]
    pub const fn len(self) -> u64 {
        self.last - self.start + 1
    }
}

/// The ranges that a client asks for, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeHeader(Vec<RangeSpec>);

impl RangeHeader {
    /// Parses the value of a `Range` header, or returns `None` for what is to be ignored: another
    /// unit, or a malformed value.
    ///
    /// *Spec:* RFC 9110 §14.2: "an invalid ranges-specifier may be ignored".
    pub fn parse(value: &str) -> Option<Self> {
        let (unit, set) = value.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let specs: Option<Vec<RangeSpec>> = set.split(',').map(|spec| parse_spec(spec.trim())).collect();
        Some(Self(specs?))
    }

    /// Returns how many ranges are asked for.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the range, when it is one alone.
    pub fn only(&self) -> Option<RangeSpec> {
        if let [only] = self.0.as_slice() { Some(*only) } else { None }
    }

    /// Returns those of the ranges that exist in content of `size` bytes, in the client's order;
    /// none means that the answer is 416.
    pub fn resolve(&self, size: u64) -> Vec<ByteRange> {
        self.0.iter().filter_map(|spec| resolve(*spec, size)).collect()
    }
}

fn parse_spec(spec: &str) -> Option<RangeSpec> {
    let (start, last) = spec.split_once('-')?;
    match (start, last) {
        ("", last) => Some(RangeSpec::Last(decimal(last)?)),
        (start, "") => Some(RangeSpec::From(decimal(start)?)),
        (start, last) => {
            let (start, last) = (decimal(start)?, decimal(last)?);
            (start <= last).then_some(RangeSpec::FromTo(start, last))
        }
    }
}

fn resolve(spec: RangeSpec, size: u64) -> Option<ByteRange> {
    let end = size.checked_sub(1)?;
    let (start, last) = match spec {
        RangeSpec::From(start) => (start, end),
        RangeSpec::FromTo(start, last) => (start, last.min(end)),
        RangeSpec::Last(0) => return None,
        RangeSpec::Last(count) => (size.saturating_sub(count), end),
    };
    (start <= end).then_some(ByteRange { start, last })
}

/// The `Content-Range` of a chunk: the offsets of its first and last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// The offset of the first byte.
    pub start: u64,
    /// The offset of the last byte.
    pub last: u64,
}

impl ContentRange {
    /// Parses `<start>-<last>`, or returns `None`.
    pub fn parse(value: &str) -> Option<Self> {
        let (start, last) = value.split_once('-')?;
        let (start, last) = (decimal(start)?, decimal(last)?);
        // The chunk's length, last - start + 1, has to fit as well.
        (start <= last && last < u64::MAX).then_some(Self { start, last })
    }

    /// Returns the number of bytes.
    #[expect(clippy::len_without_is_empty, reason = "A chunk that has a range has at least one byte.")]
    pub const fn len(self) -> u64 {
        self.last - self.start + 1
    }
}

/// Digits only: `u64::from_str` would take a plus sign.
fn decimal(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    //! Goal: the algebra of RFC 9110. Method: tables, and a property against slicing.

    use proptest::prelude::*;

    use super::*;

    fn check(value: &str, size: u64, expect: Option<&[(u64, u64)]>) {
        let resolved = RangeHeader::parse(value).map(|header| header.resolve(size));
        let resolved =
            resolved.map(|ranges| ranges.iter().map(|range| (range.start, range.last)).collect::<Vec<_>>());
        assert_eq!(resolved.as_deref(), expect, "{value} of {size}");
    }

    #[test]
    fn ranges() {
        check("bytes=0-0", 10, Some(&[(0, 0)]));
        check("bytes=3-", 10, Some(&[(3, 9)]));
        check("bytes=-1", 10, Some(&[(9, 9)]));
        check("bytes=-99999", 10, Some(&[(0, 9)]));
        check("bytes=5-99", 10, Some(&[(5, 9)]));
        check("Bytes=0-1, 8-", 10, Some(&[(0, 1), (8, 9)]));
        check("bytes=10-", 10, Some(&[]));
        check("bytes=10-,0-1", 10, Some(&[(0, 1)]));
        check("bytes=-0", 10, Some(&[]));
        check("bytes=0-", 0, Some(&[]));
        check("bytes=-5", 0, Some(&[]));
        for malformed in
            ["bytes=a-b", "items=0-1", "bytes=", "bytes", "bytes=5-3", "bytes=+1-2", "bytes=1-2,", "bytes=-"]
        {
            check(malformed, 10, None);
        }
    }

    #[test]
    fn content_ranges() {
        assert_eq!(ContentRange::parse("0-99"), Some(ContentRange { start: 0, last: 99 }));
        for malformed in
            ["bytes 0-9/10", "abc", "9-0", "-5", "5-", "", "0-18446744073709551615", "0-99999999999999999999"]
        {
            assert_eq!(ContentRange::parse(malformed), None, "{malformed}");
        }
    }

    proptest! {
        #[test]
        fn a_resolved_range_is_inside(start in 0_u64..50, last in 0_u64..50, size in 0_u64..50) {
            for spec in [RangeSpec::From(start), RangeSpec::FromTo(start.min(last), last.max(start)), RangeSpec::Last(last)] {
                if let Some(range) = resolve(spec, size) {
                    prop_assert!(range.start <= range.last && range.last < size);
                    prop_assert!(range.len() <= size);
                }
            }
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,60}", size in any::<u64>()) {
            if let Some(header) = RangeHeader::parse(&text) {
                prop_assert!(header.resolve(size).len() <= header.count());
            }
            let _ = ContentRange::parse(&text).map(ContentRange::len);
        }
    }
}
