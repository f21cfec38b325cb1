//! Goal: an honest proxy passes every scenario, and each planted lie is caught by the validator that is
//! there for it. Method: the tiny proxy in front of a listening origin, and the runner itself.

use std::{collections::BTreeSet, time::Duration};

use sim::{
    fleet,
    origin::Origin,
    report::{Choice, Report, Total},
    run::{RunError, Runner, ScenarioResult},
    scenario::{Plan, Scenario, Step},
    stand::{Needs, Stand},
    validate::Ruling,
};

use crate::proxy::{Lie, Proxy};

/// Scenarios that ask for more than the tiny proxy can: heads, ranges, tokens, time limits, repositories that
/// are kept apart.
const BEYOND: [&str; 8] = [
    "heads",
    "heads-of-what-is-cached",
    "heads-right-after-a-pull",
    "ranges",
    "anonymous-token",
    "stall-before-headers",
    "stall-mid-blob",
    "isolation",
];

/// Runs scenarios with a short patience through a proxy.
async fn run(lie: Lie, names: &[&str]) -> Vec<ScenarioResult> {
    let running = Origin::new().serve("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(running.addr(), lie).await;
    let stand = Stand::plain(proxy.url(), running.addr().to_string());
    let runner = Runner::start(stand, running, Duration::ZERO).await.unwrap();
    let mut plans = Vec::new();
    for name in names {
        let mut scenario = Scenario::named(name).unwrap();
        for step in &mut scenario.traffic {
            if let Step::Pull { patience_ms, .. } = step {
                *patience_ms = (*patience_ms).min(2000);
            }
        }
        plans.push(Plan::new(scenario, 3));
    }
    fleet::run(vec![runner], plans, |_| {}).await
}

/// Returns the validators that failed, in any of the results.
fn failed(results: &[ScenarioResult]) -> BTreeSet<String> {
    let verdicts = results.iter().flat_map(|it| &it.verdicts);
    verdicts.filter(|it| it.ruling == Ruling::Fail).map(|it| it.validator.to_string()).collect()
}

async fn check(lie: Lie, scenario: &str, expect: &[&str]) {
    let results = run(lie, &[scenario]).await;
    let expect: BTreeSet<String> = expect.iter().map(|it| (*it).to_owned()).collect();
    assert_eq!(failed(&results), expect, "{lie:?} in {scenario}: {:#?}", results[0].verdicts);
    assert_eq!(results[0].silent_faults(), [""; 0], "{lie:?} in {scenario}");
}

#[tokio::test]
async fn an_honest_proxy_passes_every_scenario() {
    let able = |it: &Scenario| it.family().is_none() && !BEYOND.contains(&it.name.as_str());
    let names: Vec<String> = Scenario::built_in().into_iter().filter(able).map(|it| it.name).collect();
    let results = run(Lie::None, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let report = Report { target: "http://t".to_owned(), choice: Choice::BuiltIn, again: None, results };
    let text: String = report.results.iter().map(|it| report.text(it)).collect();
    assert_eq!(report.total(), Total::Passed, "{text}");
    for result in &report.results {
        let needs_nothing = result.plan.scenario.needs == Needs::default();
        assert_eq!(result.moot.is_none(), needs_nothing, "{}", result.plan.scenario.name);
    }
}

#[tokio::test]
async fn p1_wrong_bytes_are_caught() {
    check(Lie::CompletesWrongBytes, "corrupt-blob", &["completes", "content"]).await;
    check(Lie::CompletesWrongBytes, "html-instead-of-manifest", &["completes", "content"]).await;
    check(Lie::SplicesErrors, "truncated-blob", &["content"]).await;
    check(Lie::EchoesDigest, "wrong-digest-header", &["content"]).await;
}

#[tokio::test]
async fn p4_fetching_twice_is_caught() {
    check(Lie::FetchesTwice, "storm", &["one_fetch"]).await;
    check(Lie::FetchesTwice, "leaver", &["one_fetch"]).await;
}

#[tokio::test]
async fn p5_waiting_for_the_whole_blob_is_caught() {
    check(Lie::BuffersWhole, "slow-upstream", &["first_byte"]).await;
}

#[tokio::test]
async fn p7_a_forgotten_cache_is_caught() {
    check(Lie::ForgetsCache, "outage", &["outage"]).await;
}

#[tokio::test]
async fn p8_dishonest_errors_are_caught() {
    check(Lie::SaysNotFound, "upstream-500", &["statuses"]).await;
    check(Lie::SaysNotFound, "upstream-429", &["statuses"]).await;
    check(Lie::NamesUpstream, "upstream-500", &["statuses"]).await;
    check(Lie::SpeaksHtml, "upstream-500", &["statuses"]).await;
}

#[tokio::test]
async fn p10_another_repositorys_content_is_caught() {
    // The tiny proxy keeps blobs by digest alone, which makes it a liar here without more ado.
    check(Lie::None, "isolation", &["isolation"]).await;
}

#[tokio::test]
async fn l1_never_healing_is_caught() {
    check(Lie::NeverHeals, "reset-mid-blob", &["completes"]).await;
}

#[tokio::test]
async fn a_target_that_is_none_is_told_apart() {
    let running = Origin::new().serve("127.0.0.1:0").await.unwrap();
    running.stop().await;
    let nobody = running.url();
    let other = Origin::new().serve("127.0.0.1:0").await.unwrap();
    let stand = |target: String| Stand::plain(target, "127.0.0.1:0");
    let error = Runner::start(stand(nobody), other, Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, RunError::NoTarget { .. }), "{error}");

    let elsewhere = Origin::new().serve("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(elsewhere.addr(), Lie::None).await;
    let origin = Origin::new().serve("127.0.0.1:0").await.unwrap();
    let error = Runner::start(stand(proxy.url()), origin, Duration::ZERO).await.unwrap_err();
    assert!(matches!(&error, RunError::NotItsUpstream { answer, .. } if answer == "404"), "{error}");
}
