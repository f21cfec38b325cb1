//! Byte ranges: what a client may ask of a blob, and how it says which chunk it uploads.
//!
//! Spec: RFC 9110 section 14; `spec.md#pushing-a-blob-in-chunks`.

/// What a `Range` header means for content of a known size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Requested {
    /// Everything: no range, one that is malformed, or several.
    Whole,
    /// The bytes `first..=last`.
    Slice { first: u64, last: u64 },
    /// Nothing of it exists: 416.
    Unsatisfiable,
}

/// Reads a `Range` header for content of `size` bytes.
pub(super) fn requested(header: Option<&str>, size: u64) -> Requested {
    let Some((first, last)) = header
        .and_then(|value| value.trim().strip_prefix("bytes="))
        .filter(|spec| !spec.contains(','))
        .and_then(|spec| spec.trim().split_once('-'))
    else {
        return Requested::Whole;
    };
    match (number(first), number(last)) {
        (Some(first), _) if (last.is_empty() || number(last).is_some_and(|last| last >= first)) => {
            if first >= size {
                return Requested::Unsatisfiable;
            }
            Requested::Slice { first, last: number(last).unwrap_or(u64::MAX).min(size - 1) }
        }
        (None, Some(suffix)) if first.is_empty() => {
            if suffix == 0 || size == 0 {
                return Requested::Unsatisfiable;
            }
            Requested::Slice { first: size.saturating_sub(suffix), last: size - 1 }
        }
        _ => Requested::Whole,
    }
}

/// Reads the `Content-Range` of an upload's chunk: `<first>-<last>`, both included.
pub(super) fn chunk(header: &str) -> Option<(u64, u64)> {
    let (first, last) = header.split_once('-')?;
    Some((number(first)?, number(last)?)).filter(|(first, last)| first <= last)
}

/// Reads digits only: `parse` alone would take a plus sign too.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let check = |header: &str, expect: Requested| {
            assert_eq!(requested(Some(header), 100), expect, "{header}");
        };
        check("bytes=0-0", Requested::Slice { first: 0, last: 0 });
        check("bytes=10-", Requested::Slice { first: 10, last: 99 });
        check("bytes=10-1000", Requested::Slice { first: 10, last: 99 });
        check("bytes=-1", Requested::Slice { first: 99, last: 99 });
        check("bytes=-1000", Requested::Slice { first: 0, last: 99 });
        check("bytes=100-", Requested::Unsatisfiable);
        check("bytes=-0", Requested::Unsatisfiable);
        for whole in
            ["bytes=", "bytes=-", "bytes=a-b", "bytes=9-0", "bytes=+1-2", "items=0-1", "bytes=0-1,3-4"]
        {
            check(whole, Requested::Whole);
        }
        assert_eq!(requested(None, 100), Requested::Whole);
        assert_eq!(requested(Some("bytes=-5"), 0), Requested::Unsatisfiable);
    }

    #[test]
    fn chunks() {
        assert_eq!(chunk("0-99"), Some((0, 99)));
        for bad in ["bytes 0-9/10", "abc", "9-0", "-5", "5-", "0-99999999999999999999"] {
            assert_eq!(chunk(bad), None, "{bad}");
        }
    }
}
