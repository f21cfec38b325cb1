//! Goal: who logs in at the server is who the directory says, with its groups, and the htpasswd file decides where
//! the directory says nothing. Method: the real program, a real directory, and the statuses of requests.

use std::fs;
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::support::program::{Berth, Program};
use crate::support::slapd::{PEOPLE, READER, READER_PASSWORD, Slapd, password};

/// A server with a directory and a file of accounts. Builders push, and `keeper` pulls.
struct Registry {
    program: Program,
    client: Client,
    berth: Berth,
}

/// Far above what it takes until the directory is asked again.
const PATIENCE: Duration = Duration::from_secs(60);

const FILE: [(&str, &str); 2] = [("keeper", "keys"), ("alice", "old-pass")];

impl Registry {
    async fn before(slapd: &Slapd) -> Self {
        let berth = Berth::new();
        let (account, file) = (berth.path("ldap.json"), berth.path("htpasswd"));
        fs::write(&account, json!({"bindDN": READER, "bindPassword": READER_PASSWORD}).to_string()).unwrap();
        let lines = FILE.map(|(user, password)| format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap()));
        fs::write(&file, lines.concat()).unwrap();
        let config = json!({"http": {
            "auth": {
                "htpasswd": {"path": file},
                "cacheTtl": "0s",
                "apikey": true,
                "ldap": {
                    "address": "127.0.0.1", "port": slapd.port, "startTLS": true, "caCert": slapd.authority(),
                    "credentialsFile": account, "baseDN": PEOPLE, "userAttribute": "uid",
                    "userGroupAttribute": "memberOf",
                },
            },
            "accessControl": {"repositories": {"**": {"policies": [
                {"groups": ["builders"], "actions": ["read", "create"]},
                {"users": ["keeper"], "actions": ["read"]},
            ]}}},
        }});
        let program = berth.start(json!({}), &config).await;
        Self { program, client: Client::new(), berth }
    }

    /// Begins to push, and returns the status.
    async fn push(&self, user: &str, password: &str) -> StatusCode {
        let url = format!("{}/v2/team/app/blobs/uploads/", self.program.url);
        self.client.post(url).basic_auth(user, Some(password)).send().await.unwrap().status()
    }

    /// Pulls what is not there, and returns the status.
    async fn pull(&self, user: &str, password: &str) -> StatusCode {
        let url = format!("{}/v2/team/app/tags/list", self.program.url);
        self.client.get(url).basic_auth(user, Some(password)).send().await.unwrap().status()
    }

    /// Asks for tokens with a password.
    async fn tokens(&self, user: &str, password: &str) -> Value {
        let url = format!("{}/auth/token?offline_token=true&service=x", self.program.url);
        let answer = self.client.get(url).basic_auth(user, Some(password)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// Makes a key.
    async fn key(&self, user: &str, password: &str) -> String {
        let url = format!("{}/auth/apikey", self.program.url);
        let answer = self.client.post(url).basic_auth(user, Some(password)).body("{}").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        let page: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        page["apiKey"].as_str().unwrap().to_owned()
    }

    /// Pushes with a key until that is answered so: what the directory said of its user is used for ten seconds.
    async fn pushes_with(&self, user: &str, key: &str, expect: StatusCode, why: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.push(user, key).await;
            if status == expect {
                return;
            }
            assert!(Instant::now() < deadline, "{why}: {status}, not {expect}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Asks for a token with a refresh token, and pulls with it.
    async fn pull_again(&self, tokens: &Value) -> StatusCode {
        let refresh = tokens["refresh_token"].as_str().unwrap();
        let scope = "repository:team/app:pull,push";
        let form = format!("grant_type=refresh_token&service=x&scope={scope}&refresh_token={refresh}");
        let request = self.client.post(format!("{}/auth/token", self.program.url));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        let answer = request.send().await.unwrap();
        if answer.status() != StatusCode::OK {
            return answer.status();
        }
        let token: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        let url = format!("{}/v2/team/app/blobs/uploads/", self.program.url);
        let token = token["access_token"].as_str().unwrap();
        self.client.post(url).bearer_auth(token).send().await.unwrap().status()
    }
}

#[tokio::test]
async fn the_directory_decides_and_then_the_file() {
    let Some(mut slapd) = Slapd::start("the_directory_decides_and_then_the_file").await else { return };
    let registry = Registry::before(&slapd).await;
    let alice = password("alice");
    assert_eq!(registry.push("alice", &alice).await, StatusCode::ACCEPTED, "a builder");
    assert_eq!(registry.push("bob", &password("bob")).await, StatusCode::FORBIDDEN, "no builder");
    assert_eq!(
        registry.push("alice", "old-pass").await,
        StatusCode::UNAUTHORIZED,
        "the directory's word is final"
    );
    assert_eq!(registry.push("alice", "").await, StatusCode::UNAUTHORIZED);
    assert_eq!(registry.push("*", &alice).await, StatusCode::UNAUTHORIZED);
    assert_eq!(registry.pull("keeper", "keys").await, StatusCode::NOT_FOUND, "the file knows him");
    assert_eq!(registry.pull("keeper", "wrong").await, StatusCode::UNAUTHORIZED);
    slapd.stop();
    assert_eq!(
        registry.pull("keeper", "keys").await,
        StatusCode::NOT_FOUND,
        "the way in by the file is open"
    );
    assert_eq!(registry.push("bob", &password("bob")).await, StatusCode::UNAUTHORIZED, "the file answers");
    assert_eq!(registry.push("alice", "old-pass").await, StatusCode::FORBIDDEN, "in, and in no group");
    let log = fs::read_to_string(registry.berth.path("wharfinger-0.log")).unwrap();
    let told = log.matches("the directory cannot be asked").count();
    assert_eq!(told, 1, "{log}");
    for secret in [&*alice, "old-pass", READER_PASSWORD, "pass-bob"] {
        assert!(!log.contains(secret), "p11: {secret} stands in {log}");
    }
}

#[tokio::test]
async fn a_refresh_token_has_the_groups_of_now_and_ends_with_its_account() {
    let test = "a_refresh_token_has_the_groups_of_now_and_ends_with_its_account";
    let Some(mut slapd) = Slapd::start(test).await else { return };
    let registry = Registry::before(&slapd).await;
    let alice = registry.tokens("alice", &password("alice")).await;
    let bob = registry.tokens("bob", &password("bob")).await;
    let keeper = registry.tokens("keeper", "keys").await;
    assert_eq!(registry.pull_again(&alice).await, StatusCode::ACCEPTED);
    assert_ne!(registry.pull_again(&bob).await, StatusCode::ACCEPTED);
    slapd
        .modify(&format!(
            "dn: cn=builders,ou=groups,dc=example,dc=org\nchangetype: modify\nadd: member\nmember: uid=bob,{PEOPLE}\n\n\
             dn: uid=alice,{PEOPLE}\nchangetype: delete\n\n\
             dn: uid=keeper,{PEOPLE}\nchangetype: add\nobjectClass: inetOrgPerson\ncn: x\nsn: x\nuid: keeper\n"
        ))
        .await;
    assert_eq!(registry.pull_again(&bob).await, StatusCode::ACCEPTED, "he is a builder now");
    assert_eq!(registry.pull_again(&alice).await, StatusCode::UNAUTHORIZED, "she is gone");
    assert_eq!(
        registry.pull_again(&keeper).await,
        StatusCode::UNAUTHORIZED,
        "the directory has one of that name"
    );
    slapd.stop();
    assert_eq!(registry.pull_again(&bob).await, StatusCode::SERVICE_UNAVAILABLE);
}

/// A key is worth what its user is now: his groups are those that he has, and it ends where his account is.
#[tokio::test]
async fn a_key_has_the_groups_of_now_and_ends_with_its_account() {
    let test = "a_key_has_the_groups_of_now_and_ends_with_its_account";
    let Some(mut slapd) = Slapd::start(test).await else { return };
    let registry = Registry::before(&slapd).await;
    let alice = registry.key("alice", &password("alice")).await;
    let bob = registry.key("bob", &password("bob")).await;
    let keeper = registry.key("keeper", "keys").await;
    registry.pushes_with("alice", &alice, StatusCode::ACCEPTED, "a builder").await;
    registry.pushes_with("bob", &bob, StatusCode::FORBIDDEN, "no builder").await;
    assert_eq!(registry.pull("keeper", &keeper).await, StatusCode::NOT_FOUND, "the file knows him");
    let group = "dn: cn=builders,ou=groups,dc=example,dc=org\nchangetype: modify\n";
    slapd
        .modify(&format!(
            "{group}add: member\nmember: uid=bob,{PEOPLE}\n\n{group}delete: member\nmember: uid=alice,{PEOPLE}\n\n\
             dn: uid=keeper,{PEOPLE}\nchangetype: add\nobjectClass: inetOrgPerson\ncn: x\nsn: x\nuid: keeper\n"
        ))
        .await;
    registry.pushes_with("bob", &bob, StatusCode::ACCEPTED, "he is a builder now").await;
    registry.pushes_with("alice", &alice, StatusCode::FORBIDDEN, "she is none any more").await;
    let why = "the directory has one of that name, who is another";
    registry.pushes_with("keeper", &keeper, StatusCode::UNAUTHORIZED, why).await;
    slapd.modify(&format!("dn: uid=alice,{PEOPLE}\nchangetype: delete\n")).await;
    registry.pushes_with("alice", &alice, StatusCode::UNAUTHORIZED, "she is gone").await;
    slapd.stop();
    // Whom the directory did not have when it last was asked has nothing of its being away.
    assert_eq!(registry.push("alice", &alice).await, StatusCode::UNAUTHORIZED);
    assert_eq!(registry.push("bob", &bob).await, StatusCode::ACCEPTED, "it had him a moment ago");
}

/// Nobody can tell whether the account is still there; a server that has not asked lately does not guess.
#[tokio::test]
async fn a_key_waits_for_a_directory_that_was_not_asked_lately() {
    let test = "a_key_waits_for_a_directory_that_was_not_asked_lately";
    let Some(mut slapd) = Slapd::start(test).await else { return };
    let registry = Registry::before(&slapd).await;
    let alice = registry.key("alice", &password("alice")).await;
    slapd.stop();
    assert_eq!(registry.push("alice", &alice).await, StatusCode::SERVICE_UNAVAILABLE);
    slapd.resume().await;
    registry.pushes_with("alice", &alice, StatusCode::ACCEPTED, "the directory is back").await;
}
