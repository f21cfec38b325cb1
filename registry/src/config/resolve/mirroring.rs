//! What the keys of periodic mirroring say together.

use std::time::Duration;

use crate::config::checked::View;
use crate::config::error::Fault;

/// The shortest interval: a shorter one would be a loop without a pause.
const INTERVAL_MIN: Duration = Duration::from_secs(10);

/// Reports an interval that is none.
pub(super) fn faults(registry: View<'_>, path: &str, faults: &mut Vec<Fault>) {
    let interval = registry.at("pollInterval").get::<Duration>().unwrap_or_default();
    if !interval.is_zero() && interval < INTERVAL_MIN {
        let message = "is shorter than 10s, which is a loop without a pause; 0 mirrors never";
        faults.push(Fault::new(format!("{path}.pollInterval"), message));
    }
}

/// Warns of keys of mirroring in a registry whose place is `path` that cannot have an effect.
pub(super) fn warn(registry: View<'_>, path: &str, warnings: &mut Vec<Fault>) {
    let has_content = registry.at("content").items().next().is_some();
    let polls = registry.at("pollInterval").get::<Duration>().is_some_and(|interval| !interval.is_zero());
    if polls && !has_content {
        let message =
            "without content nothing is mirrored; name the repositories under content, with a prefix each";
        warnings.push(Fault::new(format!("{path}.pollInterval"), message));
    }
    if registry.at("syncTimeout").is_written() && !(polls && has_content) {
        let message =
            "bounds the mirroring of an image, and nothing is mirrored without pollInterval and content";
        warnings.push(Fault::new(format!("{path}.syncTimeout"), message));
    }
}

#[cfg(test)]
mod tests {
    //! Goal: mirroring that was asked for and cannot happen is told. Method: a table of checked sections.

    use super::*;
    use crate::config::checked::Checked;

    #[test]
    fn mirroring_needs_content() {
        let section = |keys: &[(&str, Checked)]| {
            Checked::Section(keys.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
        };
        let (hour, never) = (Checked::Duration(Duration::from_secs(3600)), Checked::Duration(Duration::ZERO));
        let (none, some) = (Checked::List(Vec::new()), Checked::List(vec![section(&[])]));
        for (keys, expect) in [
            (vec![], vec![]),
            (vec![("pollInterval", hour.clone())], vec!["r.pollInterval"]),
            (vec![("pollInterval", hour.clone()), ("content", none)], vec!["r.pollInterval"]),
            (vec![("pollInterval", hour.clone()), ("content", some.clone())], vec![]),
            (vec![("pollInterval", never.clone())], vec![]),
            (vec![("syncTimeout", hour.clone()), ("content", some.clone())], vec!["r.syncTimeout"]),
            (
                vec![("syncTimeout", hour.clone()), ("pollInterval", hour.clone())],
                vec!["r.pollInterval", "r.syncTimeout"],
            ),
            (vec![("syncTimeout", hour.clone()), ("pollInterval", hour), ("content", some)], vec![]),
        ] {
            let (tree, mut warnings) = (section(&keys), Vec::new());
            warn(View::new(&tree), "r", &mut warnings);
            let paths: Vec<&str> = warnings.iter().map(|warning| warning.path.as_str()).collect();
            assert_eq!(paths, expect, "{keys:?}");
        }
    }
}
