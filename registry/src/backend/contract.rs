//! The behaviour that every backend and every decorator has.
//!
//! A function of assertions, not a test: each implementation calls it from a test of its own with
//! an empty backend. What a crash leaves is not here but in `registry/tests/it/crash`.

use bytes::Bytes;
use futures_util::TryStreamExt;

use super::{Backend, Key, Outcome, When};

/// Runs the whole suite on an empty backend.
///
/// # Panics
///
/// When the backend breaks the contract of [`Backend`]; the message names the clause.
pub async fn run(backend: &dyn Backend) {
    records(backend).await;
    conditions(backend).await;
    listings(backend).await;
    staging(backend).await;
    resuming(backend).await;
    publishing_twice(backend).await;
    reading_while_deleted(backend).await;
    condemning(backend).await;
    sweeping(backend).await;
}

const CLAUSE: &str = "the contract of a backend";

fn key(path: &str) -> Key {
    if path.is_empty() { Key::new("contract") } else { Key::new("contract").child(path) }
}

async fn put(backend: &dyn Backend, path: &str, record: &'static str, when: When) -> Outcome {
    backend.write(&key(path), Bytes::from_static(record.as_bytes()), when).await.expect(CLAUSE)
}

async fn get(backend: &dyn Backend, path: &str) -> Option<Bytes> {
    backend.read(&key(path)).await.expect(CLAUSE)
}

async fn records(backend: &dyn Backend) {
    assert_eq!(get(backend, "a/b/record").await, None, "a free key reads as none");
    assert_eq!(backend.size(&key("a/b/record")).await.expect(CLAUSE), None, "a free key has no size");
    assert_eq!(put(backend, "a/b/record", "one", When::Always).await, Outcome::Done);
    assert_eq!(get(backend, "a/b/record").await.as_deref(), Some(&b"one"[..]), "a record reads as written");
    assert_eq!(put(backend, "a/b/record", "", When::Always).await, Outcome::Done);
    assert_eq!(
        get(backend, "a/b/record").await.as_deref(),
        Some(&b""[..]),
        "a record may be empty, and is replaced"
    );
    assert_eq!(backend.size(&key("a/b/record")).await.expect(CLAUSE), Some(0));
    assert_eq!(backend.size(&key("a/b")).await.expect(CLAUSE), None, "what is only a prefix has no size");
    backend.write_unsynced(&key("a/b/record"), Bytes::from_static(b"two")).await.expect(CLAUSE);
    assert_eq!(
        get(backend, "a/b/record").await.as_deref(),
        Some(&b"two"[..]),
        "an unsynced record reads as written"
    );
    backend.settle(&[key("a/b/record"), key("a/b/other")]).await.expect("settling needs no record");
    backend.settle(&[key("no/such/record")]).await.expect("settling needs no folder");
    assert_eq!(backend.delete(&key("a/b/record"), When::Always).await.expect(CLAUSE), Outcome::Done);
    assert_eq!(get(backend, "a/b/record").await, None, "a deleted key is free");
    let again = backend.delete(&key("a/b/record"), When::Always).await.expect(CLAUSE);
    assert_eq!(again, Outcome::Refused, "a free key cannot be deleted");
}

async fn conditions(backend: &dyn Backend) {
    let is = |text: &'static str| When::Is(Bytes::from_static(text.as_bytes()));
    assert_eq!(put(backend, "cas", "x", is("y")).await, Outcome::Refused, "a free key is no record");
    assert_eq!(put(backend, "cas", "one", When::Absent).await, Outcome::Done);
    assert_eq!(put(backend, "cas", "two", When::Absent).await, Outcome::Refused, "absent means absent");
    assert_eq!(
        put(backend, "cas", "two", is("zero")).await,
        Outcome::Refused,
        "the condition is on every byte"
    );
    assert_eq!(get(backend, "cas").await.as_deref(), Some(&b"one"[..]), "a refused write changes nothing");
    assert_eq!(put(backend, "cas", "two", is("one")).await, Outcome::Done);
    assert_eq!(backend.delete(&key("cas"), is("one")).await.expect(CLAUSE), Outcome::Refused);
    assert_eq!(backend.delete(&key("cas"), is("two")).await.expect(CLAUSE), Outcome::Done);
    let racers = (0..16).map(|n: u8| {
        let record = Bytes::from(vec![n]);
        async move { backend.write(&key("race"), record, When::Absent).await.expect(CLAUSE) }
    });
    let winners = futures_util::future::join_all(racers).await;
    let winners = winners.into_iter().filter(|outcome| *outcome == Outcome::Done).count();
    assert_eq!(winners, 1, "of many writers of an absent key exactly one wins");
}

async fn listings(backend: &dyn Backend) {
    assert_eq!(
        backend.list(&key("list")).await.expect(CLAUSE),
        Vec::<String>::new(),
        "a free prefix lists none"
    );
    for path in ["list/b", "list/a", "list/a-b", "list/c/d", "list/C", "list/_"] {
        put(backend, path, "", When::Always).await;
    }
    let names = backend.list(&key("list")).await.expect(CLAUSE);
    assert_eq!(names, ["C", "_", "a", "a-b", "b", "c"], "children are sorted bytewise, once each");
}

async fn content(backend: &dyn Backend, path: &str) -> Option<Vec<u8>> {
    let content = backend.open(&key(path)).await.expect(CLAUSE)?;
    let chunks: Vec<Bytes> = content.stream(0, content.size()).try_collect().await.expect(CLAUSE);
    Some(chunks.concat())
}

async fn staging(backend: &dyn Backend) {
    let big: Vec<u8> = (0..900_000_u32).map(|n| u8::try_from(n % 251).expect("below 251")).collect();
    let mut stage = backend.stage(&key("staged/1/data")).await.expect(CLAUSE);
    assert!(stage.is_empty());
    stage
        .append(vec![Bytes::copy_from_slice(&big[..100]), Bytes::copy_from_slice(&big[100..70_000])])
        .await
        .expect(CLAUSE);
    let early = stage.reader().read_at(99, 3).await.expect(CLAUSE);
    assert_eq!(early.as_ref(), &big[99..102], "what was appended is readable before it is published");
    stage.append(vec![Bytes::copy_from_slice(&big[70_000..])]).await.expect(CLAUSE);
    assert_eq!(stage.len(), 900_000);
    assert_eq!(content(backend, "content/big").await, None, "what is staged is not visible");
    assert_eq!(stage.publish(&key("content/big")).await.expect(CLAUSE), Outcome::Done);
    assert_eq!(content(backend, "content/big").await.as_deref(), Some(&big[..]), "content reads as staged");
    let opened = backend.open(&key("content/big")).await.expect(CLAUSE).expect("it was published");
    assert_eq!(opened.size(), 900_000);
    let part: Vec<Bytes> = opened.stream(300_001, 600_002).try_collect().await.expect(CLAUSE);
    assert_eq!(part.concat(), &big[300_001..600_002], "a stream has exactly the bytes asked for");
    assert!(backend.stage(&key("content/big")).await.is_err(), "a taken key cannot be staged");
}

async fn resuming(backend: &dyn Backend) {
    let at = key("staged/2/data");
    assert!(backend.resume(&at, 0).await.expect(CLAUSE).is_none(), "what was never staged cannot go on");
    let mut stage = backend.stage(&at).await.expect(CLAUSE);
    stage.append(vec![Bytes::from_static(b"hello, wharf")]).await.expect(CLAUSE);
    stage.sync().await.expect(CLAUSE);
    drop(stage);
    assert!(backend.resume(&at, 13).await.expect(CLAUSE).is_none(), "what is shorter cannot go on");
    let mut stage = backend.resume(&at, 5).await.expect(CLAUSE).expect("five bytes are there");
    assert_eq!(stage.len(), 5, "going on cuts to the length asked for");
    stage.append(vec![Bytes::from_static(b"!")]).await.expect(CLAUSE);
    stage.publish(&key("content/resumed")).await.expect(CLAUSE);
    assert_eq!(content(backend, "content/resumed").await.as_deref(), Some(&b"hello!"[..]));
}

async fn publishing_twice(backend: &dyn Backend) {
    for (number, bytes, expect) in [("3", "same", Outcome::Done), ("4", "same", Outcome::Refused)] {
        let mut stage = backend.stage(&key(&format!("staged/{number}/data"))).await.expect(CLAUSE);
        stage.append(vec![Bytes::from_static(bytes.as_bytes())]).await.expect(CLAUSE);
        assert_eq!(
            stage.publish(&key("content/twice")).await.expect(CLAUSE),
            expect,
            "content is published once"
        );
    }
    let mut stage = backend.stage(&key("staged/5/data")).await.expect(CLAUSE);
    stage.append(vec![Bytes::from_static(b"longer")]).await.expect(CLAUSE);
    assert_eq!(
        stage.publish(&key("content/twice")).await.expect(CLAUSE),
        Outcome::Done,
        "a broken size is healed"
    );
    assert_eq!(content(backend, "content/twice").await.as_deref(), Some(&b"longer"[..]));
    for number in ["3", "4", "5"] {
        let left = backend.size(&key(&format!("staged/{number}/data"))).await.expect(CLAUSE);
        assert_eq!(left, None, "publishing leaves nothing staged");
    }
}

async fn reading_while_deleted(backend: &dyn Backend) {
    let opened = backend.open(&key("content/big")).await.expect(CLAUSE).expect("it was published");
    assert_eq!(backend.delete(&key("content/big"), When::Always).await.expect(CLAUSE), Outcome::Done);
    let chunks: Vec<Bytes> = opened.stream(0, opened.size()).try_collect().await.expect(CLAUSE);
    assert_eq!(chunks.concat().len(), 900_000, "a read that has begun is finished");
}

async fn condemning(backend: &dyn Backend) {
    let at = key("content/twice");
    let free = key("content/free");
    assert_eq!(backend.condemn(&free).await.expect(CLAUSE), None, "a free key has nothing to condemn");
    assert!(!backend.spare(&free).await.expect(CLAUSE), "nor to spare");
    let first = backend.condemn(&at).await.expect(CLAUSE).expect("it is there");
    assert_eq!(
        content(backend, "content/twice").await.as_deref(),
        Some(&b"longer"[..]),
        "readers see nothing of it"
    );
    assert!(backend.spare(&at).await.expect(CLAUSE), "what is spared is there");
    assert_eq!(backend.execute(&at, &first).await.expect(CLAUSE), Outcome::Refused, "what was spared stays");
    let second = backend.condemn(&at).await.expect(CLAUSE).expect("it is there");
    let third = backend.condemn(&at).await.expect(CLAUSE).expect("it is there");
    assert_ne!(second, first, "what is condemned anew is told from before");
    assert_eq!(second, third, "until it is spared there is one sentence, whoever condemns");
    assert_eq!(backend.execute(&at, &third).await.expect(CLAUSE), Outcome::Done);
    assert_eq!(content(backend, "content/twice").await, None, "what was executed is gone");
    assert_eq!(backend.execute(&at, &third).await.expect(CLAUSE), Outcome::Refused, "and cannot go twice");
}

async fn sweeping(backend: &dyn Backend) {
    let stage = backend.stage(&key("staged/6/data")).await.expect(CLAUSE);
    stage.discard().await.expect(CLAUSE);
    backend.sweep(&key("staged")).await.expect(CLAUSE);
    backend.sweep(&key("staged")).await.expect("sweeping a free key is no error");
    assert!(
        !backend.list(&key("")).await.expect(CLAUSE).contains(&"staged".to_owned()),
        "what is swept is gone"
    );
}
