//! The directory as the server asks it.
//!
//! | module | what it holds |
//! |---|---|
//! | `answers` | who is right, wrong and unknown, and in which groups |
//! | `hostile` | a directory that means harm |
//! | `outages` | a directory that is down, slow, restarted, overrun, or refuses the account that searches |
//! | `program` | the server: statuses, groups, the htpasswd file beside it, refresh tokens |
//! | `tls` | whom it is taken for |

mod answers;
mod hostile;
mod outages;
mod program;
mod tls;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use wharfinger::auth::ldap::{Directory, Person, Unreachable, Verdict};
use wharfinger::auth::options::ldap::LdapOptions;
use wharfinger::auth::{Credentials, Password};

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a step of a directory that does not answer is waited for.
const TIMEOUT: Duration = Duration::from_secs(2);

fn secret(bytes: impl AsRef<[u8]>) -> Password {
    let header = format!("Basic {}", BASE64_STANDARD.encode([b"u:", bytes.as_ref()].concat()));
    Credentials::parse(header.as_bytes()).unwrap().password().clone()
}

fn directory(options: LdapOptions) -> Directory {
    Directory::new(options).unwrap()
}

/// Logs in; what the user is called then is left out.
async fn login(directory: &Directory, user: &str, password: &str) -> Result<Verdict, Unreachable> {
    let verdict = directory.login(user, &secret(password)).await?;
    Ok(match verdict {
        Verdict::Right(person) => Verdict::Right(Person { name: String::new(), ..person }),
        verdict => verdict,
    })
}

/// Logs in again and again until the verdict is the expected one.
async fn until(directory: &Directory, (user, password): (&str, &str), expect: &Verdict) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let verdict = login(directory, user, password).await;
        if verdict.as_ref() == Ok(expect) {
            return;
        }
        assert!(Instant::now() < deadline, "{user}: {verdict:?} and not {expect:?}");
        // Neither a cache nor a breaker tells anybody that its time is over.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn right(groups: &[&str]) -> Verdict {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Verdict::Right(Person { name: String::new(), groups })
}
