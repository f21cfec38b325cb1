//! Sizes in bytes: `4194304`, `8MiB`, `10 GB`. Pure.

const UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// Returns the bytes that `text` says, or none if it is no size.
///
/// *Shape*: a whole number and, in any case and after an optional space, a unit: `KiB` and its like
/// are powers of 1024, `KB` and its like of 1000.
pub(super) fn parse(text: &str) -> Option<u64> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let (_, bytes) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.parse::<u64>().ok()?.checked_mul(*bytes)
}

/// Returns `bytes` as [`parse`] reads them, in the largest binary unit that divides them.
pub(super) fn render(bytes: u64) -> String {
    for (unit, size) in UNITS[2..6].iter().rev() {
        if bytes >= *size && bytes.is_multiple_of(*size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::{parse, render};

    #[test]
    fn reads_numbers_and_units() {
        let check = |text: &str, expect: Option<u64>| assert_eq!(parse(text), expect, "{text:?}");
        check("0", Some(0));
        check("4194304", Some(4 << 20));
        check("8MiB", Some(8 << 20));
        check("8mib", Some(8 << 20));
        check("8 MiB", Some(8 << 20));
        check("64B", Some(64));
        check("1KB", Some(1_000));
        check("2TiB", Some(2 << 40));
        check("18446744073709551615", Some(u64::MAX));
        check("18446744073709551616", None);
        check("16777216TiB", None);
        check("", None);
        check("MiB", None);
        check("-1", None);
        check("1.5MiB", None);
        check("8  MiB", None);
        check("8MiB ", None);
        check("8M", None);
        check("٣MiB", None);
    }

    #[test]
    fn renders_what_it_reads() {
        let check = |bytes: u64, expect: &str| {
            assert_eq!(render(bytes), expect);
            assert_eq!(parse(expect), Some(bytes));
        };
        check(0, "0");
        check(1_000, "1000");
        check(64 << 10, "64KiB");
        check(4 << 20, "4MiB");
        check(3 << 40, "3TiB");
    }
}
