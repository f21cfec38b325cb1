//! Goal: every event is one line, in order, and one that cannot be written is counted and nobody waits for it for
//! ever. Method: a folder, a device that is full, a channel that nobody reads.

use std::path::Path;

use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;
use crate::clock::Timestamp;

fn event(number: usize) -> Event {
    Event { event: "blob.delete", outcome: "done", request_id: number.to_string(), ..Event::default() }
}

fn start(path: &Path) -> (Audit, JoinHandle<()>) {
    let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
    Audit::start(&Target::File(path.to_owned()), clock).unwrap()
}

#[tokio::test]
async fn a_line_says_what_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let (audit, writing) = start(&path);
    let whole = Event {
        event: "manifest.push",
        outcome: "failed",
        request_id: "a-1".to_owned(),
        user: Some("ada \"\n\u{1b}".to_owned()),
        auth: "password",
        client_address: Some("192.0.2.1".to_owned()),
        method: "PUT".to_owned(),
        repository: Some("team/app".to_owned()),
        from: None,
        owner: None,
        reference: Some("v1".to_owned()),
        digest: Some("sha256:0".to_owned()),
        tags: vec!["v1".to_owned()],
        status: Some(400),
        code: Some("MANIFEST_INVALID"),
    };
    audit.record(&whole).await;
    audit.record(&event(2)).await;
    audit.end().await;
    writing.await.unwrap();
    let expect = concat!(
        r#"{"time":"2023-11-14T22:13:20.000Z","event":"manifest.push","outcome":"failed","request.id":"a-1","#,
        r#""user":"ada \"\n\u001b","auth":"password","client.address":"192.0.2.1","method":"PUT","#,
        r#""repository":"team/app","reference":"v1","digest":"sha256:0","tags":["v1"],"status":400,"#,
        r#""code":"MANIFEST_INVALID"}"#,
        "\n",
        r#"{"time":"2023-11-14T22:13:20.000Z","event":"blob.delete","outcome":"done","request.id":"2","#,
        r#""user":null,"auth":"","method":""}"#,
        "\n",
    );
    assert_eq!(std::fs::read_to_string(path).unwrap(), expect);
}

#[tokio::test]
async fn all_lines_are_written_before_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let (audit, writing) = start(&path);
    let many = 5 * LINES_MAX;
    for number in 0..many {
        audit.record(&event(number)).await;
    }
    audit.end().await;
    writing.await.unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let ids: Vec<usize> = lines.map(|line| line["request.id"].as_str().unwrap().parse().unwrap()).collect();
    assert!(ids.iter().copied().eq(0..many));
}

#[tokio::test]
async fn a_full_disk_is_counted_and_holds_nobody() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let complaints = Complaints::default();
    let mut sink = Sink::open(&Target::File("/dev/full".into())).unwrap();
    for _ in 0..3 {
        let lost = sink.write(&["{}\n".to_owned(), "{}\n".to_owned()]).unwrap_err();
        complaints.lost(lost.lines, &lost.source);
    }
    assert!(handle.render().contains("wharfinger_audit_lines_lost_total 6"), "{}", handle.render());
}

/// Nobody takes what is recorded.
#[tokio::test]
async fn who_waits_for_the_log_waits_for_so_long() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let (sender, _receiver) = mpsc::channel(2);
    let audit = Audit { sender, clock: Clock::system(), complaints: Complaints::default() };
    tokio::time::pause();
    for number in 0..2 {
        audit.record(&event(number)).await;
    }
    let begun = tokio::time::Instant::now();
    audit.record(&event(2)).await;
    let waited = begun.elapsed();
    assert!(waited >= TAKE_WAIT_MAX && waited < 2 * TAKE_WAIT_MAX, "{waited:?}");
    assert!(handle.render().contains("wharfinger_audit_lines_lost_total 1"), "{}", handle.render());
}
