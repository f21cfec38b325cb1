//! Times as texts: RFC 3339 in UTC with milliseconds.

use std::time::UNIX_EPOCH;

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// The first day of all that are counted was a Thursday; weeks begin on Sunday.
const FIRST_WEEKDAY: u64 = 4;

/// The methods that take a time apart, for those who look for one.
pub(super) const NAMES: &str =
    "getFullYear, getMonth, getDate, getDayOfMonth, getDayOfWeek, getHours, getMinutes, getSeconds";

/// What can be taken out of a time, counted as CEL counts it: months, days of the month and of the week from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::auth) enum Part {
    /// `getFullYear`.
    Year,
    /// `getMonth`, from 0.
    Month,
    /// `getDate`: the day of the month from 1.
    Date,
    /// `getDayOfMonth`, from 0.
    DayOfMonth,
    /// `getDayOfWeek`: Sunday is 0.
    DayOfWeek,
    /// `getHours`.
    Hours,
    /// `getMinutes`.
    Minutes,
    /// `getSeconds`.
    Seconds,
}

/// Returns a written time with milliseconds, as a [`Timestamp`](crate::clock::Timestamp) is shown; `None` when it is
/// none, or not in UTC.
pub(super) fn normal(written: &str) -> Option<String> {
    let time = humantime::parse_rfc3339(written).ok()?;
    Some(humantime::format_rfc3339_millis(time).to_string())
}

impl Part {
    pub(super) fn named(method: &str) -> Option<Self> {
        Some(match method {
            "getFullYear" => Self::Year,
            "getMonth" => Self::Month,
            "getDate" => Self::Date,
            "getDayOfMonth" => Self::DayOfMonth,
            "getDayOfWeek" => Self::DayOfWeek,
            "getHours" => Self::Hours,
            "getMinutes" => Self::Minutes,
            "getSeconds" => Self::Seconds,
            _ => return None,
        })
    }

    /// Takes it out of a time; `None` when the text is none.
    pub(super) fn of(self, written: &str) -> Option<i64> {
        let (time, text) = (humantime::parse_rfc3339(written).ok()?, normal(written)?);
        let digits = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
        match self {
            Self::Year => digits(0..4),
            Self::Month => digits(5..7).map(|month| month - 1),
            Self::Date => digits(8..10),
            Self::DayOfMonth => digits(8..10).map(|day| day - 1),
            Self::DayOfWeek => {
                let days = time.duration_since(UNIX_EPOCH).ok()?.as_secs() / DAY_SECONDS;
                i64::try_from((days + FIRST_WEEKDAY) % 7).ok()
            }
            Self::Hours => digits(11..13),
            Self::Minutes => digits(14..16),
            Self::Seconds => digits(17..19),
        }
    }
}
