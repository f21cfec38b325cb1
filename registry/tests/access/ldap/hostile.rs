//! Goal: a directory that means harm, or whoever sits on the way to it, ends nothing but the connection. Method: a
//! server that answers the first thing it is asked with bytes of the test's, and says whether it was left then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use wharfinger::auth::ldap::{Step, Trouble, Unreachable};
use wharfinger::auth::options::ldap::{LdapOptions, Security, Verification};

use super::{TIMEOUT, directory, login};
use crate::support::log::Log;

/// More than any of these tests takes: what is found out at once is not found out by it.
const FAR: Duration = Duration::from_secs(50);

/// A server that answers with bytes. Dropping it cuts its connections.
struct Hostile {
    port: u16,
    /// Told when a connection ended from the other side.
    left: Arc<Notify>,
    _task: JoinSet<()>,
}

impl Hostile {
    async fn start(answer: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (left, mut task) = (Arc::new(Notify::new()), JoinSet::new());
        let told = Arc::clone(&left);
        task.spawn(async move {
            let mut asked = [0; 4096];
            while let Ok((mut client, _)) = listener.accept().await {
                if client.read(&mut asked).await.is_ok_and(|length| length > 0) {
                    // Whoever has left takes no more of it.
                    let _ = client.write_all(&answer).await;
                    while client.read(&mut asked).await.is_ok_and(|length| length > 0) {}
                }
                told.notify_one();
            }
        });
        Self { port, left, _task: task }
    }

    fn options(&self, security: Security, timeout: Duration) -> LdapOptions {
        LdapOptions {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            security,
            base_dn: "dc=example,dc=org".to_owned(),
            user_attribute: "uid".to_owned(),
            verification: Verification::Skipped,
            timeout,
            ..LdapOptions::default()
        }
    }
}

/// An element around others, with the longest form of length that is in use.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x84], &length[..], content].concat()
}

/// Elements in each other: enough of them for the stack of a parser that goes down with them.
fn nested(count: u32) -> Vec<u8> {
    let headers = (0..count).rev().map(|below| {
        let mut header = vec![0x30, 0x84];
        header.extend((below * 6).to_be_bytes());
        header
    });
    headers.flatten().collect()
}

/// A message of the protocol with the first number that is used.
fn message(operation: &[u8]) -> Vec<u8> {
    element(0x30, &[&[0x02, 0x01, 0x01], operation].concat())
}

/// What must not be passed on, by what it is.
fn unfit() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("nested", nested(100_000)),
        ("nested in a message", message(&element(0x64, &nested(20_000)))),
        ("a length of 2 GiB", vec![0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x02]),
        ("a length beyond all", [&[0x30, 0x88], &[0xff; 8][..]].concat()),
        ("no length", vec![0x30, 0x80, 0x02, 0x01, 0x01, 0x00, 0x00]),
        ("no length within", message(&[0x64, 0x80, 0x00, 0x00])),
        ("longer than what is around it", message(&[0x64, 0x82, 0x10, 0x00, 0x04])),
        ("many elements", message(&element(0x64, &[0x05, 0x00].repeat(200_000)))),
        ("no message", vec![0x04, 0x02, 0x01, 0x01]),
        ("nothing", element(0x30, &[])),
        ("a number alone", element(0x30, &[0x02, 0x01, 0x01])),
    ]
}

#[tokio::test]
async fn what_no_answer_is_ends_the_connection_and_no_more() {
    let (log, _listening) = Log::listen();
    for (what, answer) in unfit() {
        for security in [Security::Plain, Security::StartTls] {
            let server = Hostile::start(answer.clone()).await;
            let people = directory(server.options(security, FAR));
            let begun = Instant::now();
            let failed = login(&people, "alice", "a").await;
            let step = if security == Security::Plain { Step::Search } else { Step::Connection };
            assert_eq!(failed, Err(Unreachable::Failed(Trouble::Lost { step })), "{what} {security:?}");
            tokio::time::timeout(FAR, server.left.notified()).await.expect("it was left");
            assert!(begun.elapsed() < FAR, "{what} {security:?}");
            let said = log.take();
            assert!(said.contains("what the directory sends is not read further: "), "{what}: {said}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_to_its_end_is_waited_for_as_any_other() {
    let truncated = message(&[0x65, 0x07, 0x0a, 0x01, 0x00, 0x04, 0x00, 0x04, 0x00]);
    let mut asking = JoinSet::new();
    for length in [1, 5, truncated.len() - 1] {
        for (security, step) in [(Security::Plain, Step::Search), (Security::StartTls, Step::Connection)] {
            let part = truncated[..length].to_vec();
            asking.spawn(async move {
                let server = Hostile::start(part).await;
                let people = directory(server.options(security, TIMEOUT));
                let expect = Trouble::Timeout { step, after: TIMEOUT };
                (login(&people, "alice", "a").await, Err(Unreachable::Failed(expect)), length)
            });
        }
    }
    for (failed, expect, length) in asking.join_all().await {
        assert_eq!(failed, expect, "{length}");
    }
}

/// What is said before TLS is said by anybody, and must not be taken for what comes after.
#[tokio::test]
async fn nothing_that_comes_with_the_answer_to_start_tls_is_taken_into_the_session() {
    let result = |code| element(0x78, &[0x0a, 0x01, code, 0x04, 0x00, 0x04, 0x00]);
    let found = message(&[0x65, 0x07, 0x0a, 0x01, 0x00, 0x04, 0x00, 0x04, 0x00]);
    let failed = async |answer| {
        let server = Hostile::start(answer).await;
        let people = directory(server.options(Security::StartTls, FAR));
        match login(&people, "alice", "a").await {
            Err(Unreachable::Failed(trouble)) => trouble,
            other => panic!("{other:?}"),
        }
    };
    let Trouble::Tls { reason } = failed([message(&result(0)), found].concat()).await else { panic!() };
    assert!(reason.contains("more than its answer"), "{reason}");
    let refused = Trouble::Tls { reason: "StartTLS is refused with result 2".to_owned() };
    assert_eq!(failed(message(&result(2))).await, refused);
    let other = message(&element(0x61, &[0x0a, 0x01, 0x00, 0x04, 0x00, 0x04, 0x00]));
    assert_eq!(failed(other).await, Trouble::Lost { step: Step::Connection }, "the answer to a bind");
}
