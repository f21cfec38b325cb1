//! The comparison as a Markdown table: medians, their ratio, and the aim beside it.

use std::fmt::Write as _;

/// What a rate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Requests a second.
    Requests,
    /// Bytes a second.
    Bytes,
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) rate: f64,
    /// Seconds of processor that a gigabyte cost the server, where that was measured.
    pub(super) processor_s_per_gb: Option<f64>,
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Row {
    work: String,
    beside: String,
    unit: Unit,
    /// The ratio to reach, where one is set.
    aim: Option<f64>,
    pub(super) ours: Vec<Sample>,
    pub(super) theirs: Vec<Sample>,
}

impl Row {
    /// Makes a row without samples.
    pub(super) fn new(work: &str, beside: &str, unit: Unit, aim: impl Into<Option<f64>>) -> Self {
        Self {
            work: work.to_owned(),
            beside: beside.to_owned(),
            unit,
            aim: aim.into(),
            ours: Vec::new(),
            theirs: Vec::new(),
        }
    }

    /// Returns what is measured.
    pub(super) fn work(&self) -> &str {
        &self.work
    }

    /// Returns what its rates count.
    pub(super) fn unit(&self) -> Unit {
        self.unit
    }
}

/// Writes the table.
pub(super) fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| work | beside | wharfinger | beside | ratio | aim | | processor s/GB |\n\
         |---|---|---:|---:|---:|---:|---|---|\n",
    );
    for row in rows {
        let (ours, theirs) =
            (median(row.ours.iter().map(|s| s.rate)), median(row.theirs.iter().map(|s| s.rate)));
        let ratio = ours / theirs;
        let (aim, verdict) = match row.aim {
            None => ("–".to_owned(), "–"),
            Some(aim) => (format!("≥ {aim:.1}"), if ratio >= aim { "met" } else { "missed" }),
        };
        let processor =
            |samples: &[Sample]| median(samples.iter().filter_map(|sample| sample.processor_s_per_gb));
        let (our_processor, their_processor) = (processor(&row.ours), processor(&row.theirs));
        let processor = if our_processor.is_nan() || row.unit == Unit::Requests {
            "–".to_owned()
        } else {
            format!("{our_processor:.2} beside {their_processor:.2}")
        };
        writeln!(
            text,
            "| {} | {} | {} | {} | {ratio:.2} | {aim} | {verdict} | {processor} |",
            row.work,
            row.beside,
            rate(ours, row.unit),
            rate(theirs, row.unit),
        )
        .expect("writing to a string cannot fail");
    }
    text
}

fn rate(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Requests => format!("{value:.0} requests/s"),
        Unit::Bytes => format!("{:.0} MB/s", value / 1e6),
    }
}

/// Returns the middle value, the mean of the two middle ones, or NaN of none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => f64::NAN,
        (length, middle) if length % 2 == 1 => values[middle],
        (_, middle) => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::{Row, Sample, Unit, markdown, median};

    #[test]
    fn the_median_withstands_an_outlier() {
        assert!((median([1.0, 900.0, 3.0].into_iter()) - 3.0).abs() < f64::EPSILON);
        assert!((median([1.0, 2.0].into_iter()) - 1.5).abs() < f64::EPSILON);
        assert!(median(std::iter::empty()).is_nan());
    }

    #[test]
    fn a_row_says_whether_the_aim_is_met() {
        let sample = |rate, processor_s_per_gb| Sample { rate, processor_s_per_gb };
        let mut pull = Row::new("pull", "nginx", Unit::Requests, 0.8);
        pull.ours.push(sample(900.0, Some(1.0)));
        pull.theirs.push(sample(1000.0, Some(1.0)));
        let mut push = Row::new("push", "dd", Unit::Bytes, 0.7);
        push.ours.push(sample(1e8, None));
        push.theirs.push(sample(2e8, None));
        let mut large = Row::new("large", "nginx", Unit::Bytes, 1.2);
        large.ours.push(sample(3e8, Some(0.5)));
        large.theirs.push(sample(2e8, Some(0.25)));
        let text = markdown(&[pull, push, large]);
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| pull | nginx | 900 requests/s | 1000 requests/s | 0.90 | ≥ 0.8 | met | – |",
                "| push | dd | 100 MB/s | 200 MB/s | 0.50 | ≥ 0.7 | missed | – |",
                "| large | nginx | 300 MB/s | 200 MB/s | 1.50 | ≥ 1.2 | met | 0.50 beside 0.25 |",
            ]
        );
    }
}
