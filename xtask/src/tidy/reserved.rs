//! What one file alone may do: mint a system grant, read the environment, read the wall clock, say how an error is logged.

use std::sync::LazyLock;

use regex::Regex;

use super::Fault;
use super::source::regex;
use super::tree::Tree;

/// Where the rules hold.
const ROOT: &str = "registry/src/";

/// One rule.
struct Rule {
    pattern: Regex,
    /// Files, or folders that end in `/`, below [`ROOT`].
    homes: &'static [&'static str],
    advice: &'static str,
}

static RULES: LazyLock<[Rule; 4]> = LazyLock::new(|| {
    [
        Rule {
            pattern: regex(r"\bGrant\s*(?:::\s*<[^>]*>\s*)?::\s*system\b"),
            homes: &["server.rs"],
            advice: "only server.rs mints a system grant; take the grant as an argument",
        },
        Rule {
            pattern: regex(r"\benv\s*::\s*(?:\{[^}]*\b)?(?:vars?(?:_os)?|set_var|remove_var)\b"),
            // The second is built for the harness alone.
            homes: &["config/env.rs", "mutants.rs"],
            advice: "only config/env.rs reads the environment; take the value as an argument",
        },
        Rule {
            pattern: regex(r"\bSystemTime\s*::\s*now\b"),
            homes: &["clock.rs", "clock/"],
            advice: "only clock reads the wall clock; take a `Clock` as an argument",
        },
        Rule {
            pattern: regex(r"\berror\s*=\s*(?:%\s*error\b|[^;]*?\bas\s+&dyn\s+(?:std::error::)?Error\b)"),
            homes: &["telemetry.rs"],
            advice: "an error is logged with its causes: `error = %WithCauses(&error)`",
        },
    ]
});

/// Finds uses away from home, tests apart.
pub(super) fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, source) in tree.sources() {
        let Some(inside) = path.strip_prefix(ROOT) else { continue };
        if tree.is_test(path) {
            continue;
        }
        for rule in RULES.iter().filter(|rule| !is_home(rule, inside)) {
            for found in rule.pattern.find_iter(source.code()).filter(|found| !source.is_test(found.start()))
            {
                faults.push(Fault::new(path, source.line(found.start()), rule.advice));
            }
        }
    }
    faults
}

fn is_home(rule: &Rule, inside: &str) -> bool {
    rule.homes.iter().any(|home| if home.ends_with('/') { inside.starts_with(home) } else { inside == *home })
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::check;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&Tree::of(&[("registry/Cargo.toml", ""), (path, text)]))
            .iter()
            .map(|fault| fault.line)
            .collect()
    }

    #[test]
    fn a_system_grant_is_minted_in_one_place() {
        let text = "fn f() {\n    Grant::<Pull>::system(reason);\n    Grant::system(reason);\n}";
        assert_eq!(lines("registry/src/repository/evict.rs", text), [2, 3]);
        assert_eq!(lines("registry/src/server.rs", text), [0; 0]);
        assert_eq!(lines("registry/tests/it/main.rs", text), [0; 0]);
        assert_eq!(lines("registry/src/auth/grant.rs", "fn system(reason: Reason) -> Self {}"), [0; 0]);
    }

    #[test]
    fn the_environment_is_read_in_one_place() {
        for text in ["std::env::var(\"A\");", "use std::env::{args, var_os};", "env::vars();"] {
            assert_eq!(lines("registry/src/config/resolve.rs", text), [1], "{text}");
            assert_eq!(lines("registry/src/config/env.rs", text), [0; 0]);
        }
        assert_eq!(lines("registry/src/main.rs", "std::env::args(); env!(\"CARGO_PKG_VERSION\");"), [0; 0]);
    }

    #[test]
    fn the_wall_clock_is_read_in_one_place() {
        assert_eq!(lines("registry/src/store/gc.rs", "\nlet now = SystemTime::now();"), [2]);
        assert_eq!(lines("registry/src/clock.rs", "std::time::SystemTime::now()"), [0; 0]);
        let test = "#[cfg(test)]\nmod tests { fn f() { SystemTime::now(); } }";
        assert_eq!(lines("registry/src/store/gc.rs", test), [0; 0]);
    }

    #[test]
    fn an_error_is_logged_with_its_causes() {
        for text in [
            "warn!(error = %error, \"it failed\");",
            "warn!(a = %b, error = &error as &dyn std::error::Error, \"it failed\");",
            "let error = error as &dyn std::error::Error;",
        ] {
            assert_eq!(lines("registry/src/store/gc/run.rs", text), [1], "{text}");
        }
        let right = "let error = f().unwrap_err();\nwarn!(error = %WithCauses(&error), \"it failed\");";
        assert_eq!(lines("registry/src/store/gc/run.rs", right), [0; 0]);
    }
}
