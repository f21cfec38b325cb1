//! Goal: the suite takes no liberty of the specification for a fault. Method: each variant of `sim`'s origin,
//! and the origin with accounts, is run against the whole suite. Only what a variant gives up knowingly,
//! quality that nothing demands or a SHOULD, may fail, and exactly that does; what it does not offer is
//! skipped with the reason.

#![expect(clippy::unwrap_used, reason = "Helpers of tests may unwrap as tests do.")]

use std::time::Duration;

use conformance::check::{Level, Outcome};
use conformance::login;
use conformance::report::Report;
use conformance::{Options, run};
use sim::origin::{Access, Action, BlobHost, Nature, Origin, Right, Running, Scheme, TokenOptions, Variant};
use tokio::task::JoinSet;

/// Runs of the suite that go on at the same time; each of them makes requests side by side already.
const RUNS_MAX: usize = 3;
/// The least number of checks that pass against the barest of variants.
const PASSES_MIN: usize = 150;

/// Returns the checks that a variant fails knowingly: each is quality that nothing demands, or a SHOULD.
fn given_up(variant: Variant) -> &'static [&'static str] {
    match variant {
        Variant::UnfilteredReferrers => &["T-130"],
        Variant::NoUploadCancel => &["T-092"],
        Variant::OneErrorCode => &["T-018", "T-021a", "T-030a", "T-045a", "T-149b"],
        Variant::NoRanges => &["T-031", "T-034"],
        Variant::NoEtags => &["T-031", "T-050"],
        Variant::NoDockerHeaders => &["T-001a", "T-081"],
        Variant::StrictAccept => &["T-049a"],
        Variant::UnsizedBodies => &["T-051a", "T-122"],
        Variant::FailedCloseEnds => &["T-018a"],
        _ => &[],
    }
}

/// Returns checks that must be skipped, because they are about what the variant does not offer.
fn left_out(variant: Variant) -> &'static [&'static str] {
    match variant {
        Variant::DeletesNotAllowed | Variant::DeletesBadRequest => &["T-140", "T-141", "R-123"],
        Variant::NoTagDelete => &["T-141"],
        Variant::NoManifestDelete => &["T-140"],
        Variant::NoBlobDelete => &["R-123"],
        Variant::NoReferrers => &["R-104"],
        Variant::NoSha512 => &["T-024", "T-027"],
        Variant::NoTagParameter => &["T-076"],
        Variant::NoCatalog => &["T-125"],
        Variant::NoEtags => &["T-032", "T-039"],
        Variant::OpaqueLocations => &["T-090"],
        _ => &[],
    }
}

fn with(report: &Report, outcomes: &[Outcome]) -> Vec<String> {
    let chosen = report.checks.iter().filter(|check| outcomes.contains(&check.outcome));
    chosen.map(|check| check.id.clone()).collect()
}

/// Returns what the suite said otherwise than it should have, in sentences.
async fn wrong(variant: Variant) -> Vec<String> {
    let running = Origin::varied(variant).serve("127.0.0.1:0").await.unwrap();
    let report = run(Options::new(running.url())).await.unwrap();
    running.close().await;
    let mut wrong = Vec::new();
    let name = variant.name();
    for check in report.failures() {
        if !given_up(variant).contains(&check.id.as_str()) {
            wrong.push(format!("{name}: {} ({}) fails: {}", check.id, check.level, check.message));
        } else if check.level == Level::Must {
            wrong.push(format!("{name}: {} is a must, and no variant may give it up", check.id));
        }
    }
    let (failed, skipped) =
        (with(&report, &[Outcome::Fail, Outcome::Error]), with(&report, &[Outcome::Skip]));
    let passes = given_up(variant).iter().filter(|id| !failed.iter().any(|it| it == *id));
    wrong.extend(passes.map(|id| format!("{name}: {id} is given up, but does not fail")));
    let runs = left_out(variant).iter().filter(|id| !skipped.iter().any(|it| it == *id));
    wrong.extend(runs.map(|id| format!("{name}: {id} is left out, but not skipped")));
    let moot = report.checks.iter().filter(|it| it.level == Level::Must && it.outcome == Outcome::Moot);
    wrong.extend(moot.map(|check| format!("{name}: {} is moot", check.id)));
    let passed = with(&report, &[Outcome::Pass]).len();
    if passed < PASSES_MIN {
        wrong.push(format!("{name}: only {passed} checks pass"));
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_liberty_of_the_specification_is_a_fault() {
    let (mut wrongs, mut running) = (Vec::new(), JoinSet::new());
    for variant in Variant::ALL {
        if running.len() == RUNS_MAX {
            wrongs.extend(running.join_next().await.unwrap().unwrap());
        }
        running.spawn(wrong(*variant));
    }
    wrongs.extend(running.join_all().await.into_iter().flatten());
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
}

/// Returns an origin where alice may do everything, bob may pull and carol nothing but in the place of outsiders.
async fn guarded(scheme: Scheme, anonymous: Vec<Right>) -> Running {
    let access = Access { anonymous, ..Access::of_three(scheme, "conf-outside/") };
    Origin::guarded(access).serve("127.0.0.1:0").await.unwrap()
}

async fn logged_in(running: &Running) -> Report {
    let known = |name: &str| login::Account::new(name, format!("of {name}"));
    let options = Options {
        credentials: Some(("alice".to_owned(), "of alice".to_owned())),
        reader: Some(known("bob")),
        outsider: Some(known("carol")),
        ..Options::new(running.url())
    };
    run(options).await.unwrap()
}

/// Passes when nothing fails, and everything about logging in but these has been judged.
async fn check_login(scheme: Scheme, anonymous: Vec<Right>, skipped: &[&str]) {
    let running = guarded(scheme, anonymous).await;
    let report = logged_in(&running).await;
    let failures: Vec<String> =
        report.failures().iter().map(|check| format!("{}: {}", check.id, check.message)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let about_logins =
        ["T-112", "T-113", "T-151", "T-152", "T-153", "T-154", "T-155", "T-156", "T-157", "T-158"];
    let not_judged: Vec<String> = with(&report, &[Outcome::Skip, Outcome::Moot])
        .into_iter()
        .filter(|id| about_logins.contains(&&id[..5]))
        .collect();
    assert_eq!(not_judged, skipped);
    running.close().await;
}

#[tokio::test]
async fn an_origin_that_asks_for_passwords_passes() {
    let about_tokens = [
        "T-152a", "T-153", "T-154a", "T-157", "T-158", "T-154b", "T-154c", "T-154d", "T-153a", "T-153b",
        "T-153c", "T-153d",
    ];
    check_login(Scheme::Basic, Vec::new(), &about_tokens).await;
}

#[tokio::test]
async fn an_origin_that_asks_for_tokens_passes() {
    let options = TokenOptions {
        realm_query: Some("tenant=a%2Fb".to_owned()),
        lifetime: Duration::from_secs(120),
        ..TokenOptions::default()
    };
    check_login(Scheme::Bearer(options), Vec::new(), &["T-156"]).await;
}

#[tokio::test]
async fn an_origin_that_anybody_may_read_passes() {
    let pull = vec![Right::of("*", [Action::Pull])];
    let report = logged_in(&guarded(Scheme::Bearer(TokenOptions::default()), pull).await).await;
    let failures: Vec<String> = report.failures().iter().map(|check| check.id.clone()).collect();
    assert_eq!(failures, Vec::<String>::new());
}

#[tokio::test]
async fn an_origin_with_a_blob_host_of_its_own_passes() {
    let origin = Origin::of(Nature::default());
    let (registry, host) =
        (origin.serve("127.0.0.1:0").await.unwrap(), origin.serve("127.0.0.1:0").await.unwrap());
    origin.redirect_blobs(Some(BlobHost::Address(host.url())));
    let report = run(Options::new(registry.url())).await.unwrap();
    let failures: Vec<String> =
        report.failures().iter().map(|check| format!("{}: {}", check.id, check.message)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let skipped = with(&report, &[Outcome::Skip]);
    assert!(["T-043", "T-044"].iter().all(|id| skipped.iter().any(|it| it == id)), "{skipped:?}");
}
