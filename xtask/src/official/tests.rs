//! Goal: the suite is started so that both generations understand it, and what it leaves is judged; what it
//! does not leave is explained. Method: shell scripts in its place, which write what it would write.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::junit::Outcome;
use super::{Generation, Run, address, environment};
use crate::server::Scratch;

const TARGET: &str = "http://127.0.0.1:5000";
const PATIENCE: Duration = Duration::from_secs(60);

const CURRENT: &str = r#"echo 'config: {}' > "$OCI_RESULTS_DIR/results.yaml"
cat > "$OCI_RESULTS_DIR/junit.xml" <<EOF
<testsuites><testsuite name="OCI Conformance Test">
<testcase name="OCI Conformance Test/ping" status="passed"><system-err>$OCI_REGISTRY</system-err></testcase>
<testcase name="OCI Conformance Test/empty/tag list" status="failure">
<system-out>$OCI_REGISTRY $OCI_TLS $OCI_REPO1 $OCI_REPO2 ${OCI_VERSION:+version}</system-out></testcase>
</testsuite></testsuites>
EOF
exit 1"#;

const FORMER: &str = r#"cat > junit.xml <<EOF
<testsuites><testsuite name="conformance tests">
<testcase name="OCI Distribution Conformance Tests Pull Setup Third" status="skipped">
<skipped message="$OCI_ROOT_URL $OCI_NAMESPACE $OCI_CROSSMOUNT_NAMESPACE $OCI_TEST_PUSH"></skipped></testcase>
<testcase name="html custom reporter" status="passed"></testcase>
</testsuite></testsuites>
EOF"#;

/// A program in the suite's place, and the folder for its reports.
struct Stand {
    scratch: Scratch,
    program: PathBuf,
}

impl Stand {
    fn new(name: &str, script: &str) -> Self {
        let scratch = Scratch::new(&std::env::temp_dir(), &format!("xtask-official-{name}")).unwrap();
        let program = scratch.path().join("suite");
        // A shell writes the file, so that this process never has it open for writing: a child that another
        // test forks meanwhile would hold it open too, and then it cannot be started (ETXTBSY).
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$0" && chmod +x "$0""#;
        let status = Command::new("sh").args(["-c", write]).arg(&program).arg(script).status().unwrap();
        assert!(status.success());
        Self { scratch, program }
    }

    fn folder(&self) -> PathBuf {
        self.scratch.path().join("reports")
    }

    fn run(&self) -> anyhow::Result<Run> {
        Run::start(&self.program, TARGET, &self.folder(), PATIENCE)
    }

    fn error(&self) -> String {
        format!("{:#}", self.run().unwrap_err())
    }
}

#[test]
fn the_current_suite_is_started_and_known_by_its_files() {
    let run = Stand::new("current", CURRENT).run().unwrap();
    assert_eq!((run.generation, run.success), (Generation::Current, false));
    assert_eq!(run.cases[0].name, "ping");
    assert_eq!((run.cases[1].name.as_str(), run.cases[1].outcome), ("empty/tag list", Outcome::Failed));
    assert_eq!(run.cases[1].said, "127.0.0.1:5000 disabled official/one official/two version");
}

#[test]
fn the_former_suite_is_started_and_known_by_its_files() {
    let run = Stand::new("former", FORMER).run().unwrap();
    assert_eq!((run.generation, run.success), (Generation::Former, true));
    assert_eq!(run.cases[0].name, "Pull Setup Third");
    assert_eq!(run.cases[0].said, "http://127.0.0.1:5000 official/one official/two 1");
    assert_eq!(run.cases[1].name, "html custom reporter");
}

#[test]
fn a_suite_that_is_not_there_is_an_error_that_helps() {
    let scratch = Scratch::new(&std::env::temp_dir(), "xtask-official-missing").unwrap();
    let missing = scratch.path().join("suite");
    let error = Run::start(&missing, TARGET, scratch.path(), PATIENCE).unwrap_err().to_string();
    assert!(error.contains("there is no official suite at") && error.contains("go build"), "{error}");
}

#[test]
fn a_run_without_results_is_no_success() {
    let stand = Stand::new("silent", "echo failed to load config: no such version >&2");
    fs::create_dir(stand.folder()).unwrap();
    fs::write(stand.folder().join("results.yaml"), "config: {}").unwrap();
    let error = stand.error();
    assert!(error.contains("exit status: 0 and left neither results.yaml nor junit.xml"), "{error}");
    assert!(error.ends_with("it said:\nfailed to load config: no such version"), "{error}");
}

#[test]
fn a_report_that_holds_nothing_is_an_error() {
    let error = Stand::new("empty", "echo hello; echo '<testsuites/>' > junit.xml").error();
    assert!(error.contains("holds no test") && error.ends_with("hello"), "{error}");
    let error = Stand::new("broken", "echo '<testcase name=\"a\">' > junit.xml").error();
    assert!(error.contains("it ends inside of a test case"), "{error}");
    let error = Stand::new("torn", "echo 'config: {}' > results.yaml").error();
    assert!(error.contains("reading") && error.contains("junit.xml"), "{error}");
}

#[test]
fn a_suite_that_hangs_is_stopped() {
    let stand = Stand::new("hang", "echo waiting; exec tail -f /dev/null");
    let error = Run::start(&stand.program, TARGET, &stand.folder(), Duration::ZERO).unwrap_err().to_string();
    assert!(error.contains("did not end within 0ns"), "{error}");
}

#[test]
fn a_target_becomes_an_address() {
    assert_eq!(address("http://127.0.0.1:5000/"), ("127.0.0.1:5000", "disabled"));
    assert_eq!(address("https://registry.example"), ("registry.example", "enabled"));
    assert_eq!(address("registry.example"), ("registry.example", "enabled"));
    let url = |target: &str| {
        let variables = environment(target, Path::new("reports"));
        let (_, value) = variables.into_iter().find(|(name, _)| *name == "OCI_ROOT_URL").unwrap();
        value.into_string().unwrap()
    };
    assert_eq!(url("registry.example/"), "https://registry.example");
    assert_eq!(url("http://127.0.0.1:5000/"), "http://127.0.0.1:5000");
}
