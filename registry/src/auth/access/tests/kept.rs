//! Goal: what outlives the moment in which somebody proved who he is, is worth what it should be later. Method: a
//! file, certificates, and a directory of a few bytes that answers as it is told; real ones are in `tests/access`.

use std::sync::atomic::{AtomicBool, AtomicU8};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::auth::keep::InMemory;
use crate::auth::options::ldap::{LdapOptions, Security};

async fn open(options: &Options, keep: &Arc<InMemory>) -> Access {
    Access::open(&Options { api_keys: true, ..options.clone() }, keep.clone(), Clock::system()).await.unwrap()
}

async fn key_of(access: &Access, header: Option<&[u8]>, identity: &Identity) -> String {
    let owner = access.owner(header, None, identity).unwrap();
    access.create_key(owner, crate::auth::ApiKeyWish::default()).await.unwrap().1.reveal().to_owned()
}

/// What the certificate was good for ends with it.
#[tokio::test]
async fn without_client_certificates_a_key_of_one_is_none() {
    let (fixture, keep) = (Fixture::new(), Arc::new(InMemory::default()));
    let certified = Options { certificates: Some(Default::default()), ..fixture.options() };
    let access = open(&certified, &keep).await;
    let alice = Identity::of(crate::auth::Account::certified("alice"));
    let key = key_of(&access, None, &alice).await;
    assert!(access.identify(Some(&basic("alice", &key))).await.is_ok());
    let access = open(&fixture.options(), &keep).await;
    assert_eq!(access.identify(Some(&basic("alice", &key))).await, Err(LoginError::Refused));
}

/// A directory that says what it is told to.
#[derive(Default)]
struct Says {
    /// The result of each bind.
    bind: AtomicU8,
    knows_alice: AtomicBool,
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag, u8::try_from(content.len()).unwrap()];
    out.extend_from_slice(content);
    out
}

fn message(id: u8, operation: Vec<u8>) -> Vec<u8> {
    tlv(0x30, &[tlv(2, &[id]), operation].concat())
}

fn result(tag: u8, code: u8) -> Vec<u8> {
    tlv(tag, &[tlv(0x0a, &[code]), tlv(4, b""), tlv(4, b"")].concat())
}

async fn answer(mut stream: TcpStream, says: Arc<Says>) -> std::io::Result<()> {
    loop {
        // Messages of these tests are shorter than 128 bytes but for searches, which are shorter than 64 KiB.
        let (_sequence, mut len) = (stream.read_u8().await?, usize::from(stream.read_u8().await?));
        if len > 0x80 {
            let mut digits = vec![0; len & 0x7f];
            stream.read_exact(&mut digits).await?;
            len = digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit));
        }
        let mut body = vec![0; len];
        stream.read_exact(&mut body).await?;
        let (id, operation) = (body[2], body[3]);
        match operation {
            0x60 => {
                let code = says.bind.load(Ordering::SeqCst);
                stream.write_all(&message(id, result(0x61, code))).await?;
            }
            0x63 => {
                let is_hit =
                    says.knows_alice.load(Ordering::SeqCst) && body.windows(5).any(|part| part == b"alice");
                if is_hit {
                    let values = tlv(0x31, &tlv(4, b"admins"));
                    let attribute = tlv(0x30, &[tlv(4, b"memberOf"), values].concat());
                    let entry = [tlv(4, b"uid=alice,dc=x"), tlv(0x30, &attribute)].concat();
                    stream.write_all(&message(id, tlv(0x64, &entry))).await?;
                }
                stream.write_all(&message(id, result(0x65, 0))).await?;
            }
            _ => return Ok(()),
        }
    }
}

async fn directory() -> (LdapOptions, Arc<Says>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let says = Arc::new(Says::default());
    says.knows_alice.store(true, Ordering::SeqCst);
    let shared = Arc::clone(&says);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&shared)));
        }
    });
    let options = LdapOptions {
        host: "127.0.0.1".to_owned(),
        port,
        security: Security::Plain,
        base_dn: "dc=x".to_owned(),
        user_attribute: "uid".to_owned(),
        group_attribute: Some("memberOf".to_owned()),
        ..LdapOptions::default()
    };
    (options, says)
}

/// `admins` may delete; the file knows `alice` by an old password.
fn options(fixture: &Fixture, ldap: LdapOptions) -> Options {
    let line = format!("alice:{}\n", bcrypt::hash("old", 4).unwrap());
    std::fs::write(fixture.folder.path().join("htpasswd"), line).unwrap();
    let admin = Rule { groups: vec!["admins".to_owned()], actions: vec![Action::Delete], ..Rule::default() };
    let access = Some(AccessControl { admin, ..AccessControl::default() });
    Options { ldap: Some(ldap), access, ..fixture.options() }
}

fn credentials(user: &str, password: &str) -> Credentials {
    Credentials::parse(&basic(user, password)).unwrap()
}

/// The file has answered since the directory could not check a password, and a token of the file's has
/// nothing of the directory's.
#[tokio::test]
async fn a_password_of_the_file_gets_no_refresh_token_of_the_directory() {
    const BUSY: u8 = 51;
    let (fixture, keep) = (Fixture::new(), Arc::new(InMemory::default()));
    let (ldap, says) = directory().await;
    let access = open(&options(&fixture, ldap), &keep).await;
    says.bind.store(BUSY, Ordering::SeqCst);
    let asking =
        Asking::Password { from: Source::UNKNOWN, credentials: credentials("alice", "old"), offline: true };
    let granted = access.issue(asking, Vec::new()).await.unwrap();
    assert_eq!(granted.account.unwrap().groups(), &[] as &[String]);
    let Some(refresh) = granted.refresh else { return };
    says.bind.store(49, Ordering::SeqCst);
    let renewed = access.issue(Asking::Refresh(refresh), Vec::new()).await;
    let groups = renewed.map(|grants| grants.account.unwrap().groups().to_vec());
    assert!(!matches!(&groups, Ok(groups) if groups.contains(&"admins".to_owned())), "{groups:?}");
}

/// How long it takes must not tell whom the directory knows.
#[tokio::test]
async fn whom_the_directory_knows_costs_the_file_as_much_work() {
    let fixture = Fixture::new();
    let (ldap, says) = directory().await;
    says.bind.store(49, Ordering::SeqCst);
    let checks = Arc::new(AtomicUsize::new(0));
    let access = Access::with_check(&options(&fixture, ldap), Counting(Arc::clone(&checks))).unwrap();
    let work = async |user: &str| {
        let before = checks.load(Ordering::SeqCst);
        assert_eq!(access.identify(Some(&basic(user, "guess"))).await, Err(LoginError::Refused));
        checks.load(Ordering::SeqCst) - before
    };
    assert_eq!(work("alice").await, work("nobody").await);
}

/// A token that is issued is one that is taken.
#[tokio::test]
async fn a_token_of_somebody_in_many_groups_is_taken() {
    let (fixture, keep) = (Fixture::new(), Arc::new(InMemory::default()));
    let condition = crate::auth::options::ConditionOptions {
        expression: "req.method == 'GET'".to_owned(),
        message: String::new(),
    };
    let rule = Rule {
        users: vec!["eve".to_owned()],
        actions: vec![Action::Read],
        conditions: vec![condition],
        ..Rule::default()
    };
    let policy = RepositoryPolicy { policies: vec![rule], ..RepositoryPolicy::default() };
    let access = AccessControl { repositories: vec![("**".to_owned(), policy)], ..AccessControl::default() };
    let access = open(&Options { access: Some(access), ..fixture.options() }, &keep).await;
    let name = |number| format!("cn=group-{number:04},ou=groups,ou=a-division,dc=example,dc=org");
    let groups: Vec<String> = (0..300).map(name).collect();
    let eve = Identity::of(crate::auth::Account::of(Origin::Directory, "eve", groups));
    let groups = access.policy.named_groups(&eve);
    let issuer = access.issuer.as_ref().unwrap();
    let issued = issuer.issue(eve.who(), groups, Vec::new()).await.unwrap();
    let header = format!("Bearer {}", issued.token.reveal());
    assert!(access.identify(Some(header.as_bytes())).await.is_ok(), "{} bytes", header.len());
}
