//! Durations as Go writes them: `5m`, `1h30m`, `300ms`, `1.5h`, `0`. Pure.

use std::time::Duration;

const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Returns the duration that `text` says, or none if it is not one.
///
/// *Shape*: one or more of number and unit, the number with an optional fraction, after an optional
/// plus; or a bare `0`. A negative duration is none.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let number = leading(rest, |letter| letter.is_ascii_digit() || letter == '.');
        rest = &rest[number.len()..];
        let unit = leading(rest, |letter| !letter.is_ascii_digit() && letter != '.');
        rest = &rest[unit.len()..];
        let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(scaled(number, *nanos)?)?;
    }
    if text.is_empty() { None } else { u64::try_from(total).ok().map(Duration::from_nanos) }
}

/// Returns `duration` as [`parse`] reads it, in the largest unit that divides it.
pub(super) fn render(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    for (unit, size) in [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000)] {
        if nanos >= size && nanos.is_multiple_of(size) {
            return format!("{}{unit}", nanos / size);
        }
    }
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos.is_multiple_of(1_000_000) {
        return format!("{}ms", nanos / 1_000_000);
    }
    format!("{nanos}ns")
}

fn leading(text: &str, belongs: impl Fn(char) -> bool) -> &str {
    let end = text.find(|letter| !belongs(letter)).unwrap_or(text.len());
    &text[..end]
}

/// Returns `number` (digits, optionally with one point) times `nanos`, without floating point, so
/// that `0.1s` is exactly 100 ms. Digits below a nanosecond are dropped, as Go does.
fn scaled(number: &str, nanos: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let mut total = if whole.is_empty() { 0 } else { whole.parse::<u128>().ok()?.checked_mul(nanos)? };
    let mut unit = nanos;
    for digit in fraction.bytes() {
        // Exact down to a nanosecond: 60 and 3600 seconds have more than nine zeros in nanoseconds.
        unit /= 10;
        total = total.checked_add(unit.checked_mul(u128::from(digit - b'0'))?)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{parse, render};

    #[test]
    fn reads_what_go_writes() {
        let check = |text: &str, expect: u64| {
            assert_eq!(parse(text), Some(Duration::from_nanos(expect)), "{text}");
        };
        check("0", 0);
        check("0s", 0);
        check("+5s", 5_000_000_000);
        check("300ms", 300_000_000);
        check("5m", 300_000_000_000);
        check("1h30m", 5_400_000_000_000);
        check("1.5h", 5_400_000_000_000);
        check(".5s", 500_000_000);
        check("5.s", 5_000_000_000);
        check("0.1s", 100_000_000);
        check("1h2m3s4ms5us6ns", 3_723_004_005_006);
        check("7\u{b5}s", 7_000);
        check("7\u{3bc}s", 7_000);
        check("0.0000000001s", 0);
        check("1.000000001s", 1_000_000_001);
        check("720h", 2_592_000_000_000_000);
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            " ",
            "5",
            "s",
            ".s",
            "5 m",
            "5m ",
            "-5s",
            "5d",
            "1.2.3s",
            "h1",
            "5M",
            "1e3s",
            "5s4",
            "NaNs",
            "999999999999999999999999999999999999999999h",
            "99999999999h",
            "٣s",
            "+",
            "++5s",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn renders_what_it_reads() {
        for text in ["0s", "1ns", "300ms", "5s", "90s", "5m", "90m", "24h"] {
            let duration = parse(text).expect("the table holds durations");
            assert_eq!(parse(&render(duration)), Some(duration), "{text}");
        }
        assert_eq!(render(Duration::from_secs(24 * 3600)), "24h");
        assert_eq!(render(Duration::from_millis(1)), "1ms");
    }
}
