//! Goal: who logs in at the server is who the directory says, with its groups, and the htpasswd file decides where
//! the directory says nothing. Method: the real program, a real directory, and the statuses of requests.

use std::fs;

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
