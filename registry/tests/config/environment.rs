//! Goal: `${env:NAME}` stands for a variable wherever a string may stand, and what a variable holds
//! is never shown (P11).
//! Method: parse with an environment of our own.

use wharfinger::config::parse;

use crate::lines;

const SECRET: &str = "hunter2-hunter2";

fn env(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("5002".to_owned()),
        "HOST" => Some("hub.example".to_owned()),
        "ON" => Some("true".to_owned()),
        "LIMIT" => Some("8MiB".to_owned()),
        "SECRET" => Some(SECRET.to_owned()),
        _ => None,
    }
}

#[test]
fn variables_stand_for_values_of_every_type() {
    let text = r#"
http: { port: "${env:PORT}", limits: { maxManifestBytes: "${env:LIMIT}" } }
extensions: { sync: { registries: [{ urls: ["https://${env:HOST}:443"], onDemand: "${env:ON}" }] } }
"#;
    let config = parse(text, &env).expect("the file has no fault").config;
    assert_eq!(config.http.port, 5002);
    assert_eq!(config.http.manifest_bytes_max, 8 << 20);
    assert_eq!(config.upstreams[0].urls, ["https://hub.example:443"]);
    assert!(config.upstreams[0].on_demand);
}

#[test]
fn p11_faults_never_show_what_a_variable_holds() {
    let text = r#"
http:
  address: "${env:SECRET}"
  port: "${env:SECRET}"
  realm: "${env:SECRET}\""
  readTimeout: "${env:SECRET}"
  accessControl: { repositories: { "**": { anonymousPolicy: ["${env:SECRET}"] } } }
log: { level: "${env:SECRET}", output: "${env:SECRET}" }
storage: { commit: "${env:SECRET}", maxUploads: "${env:SECRET}" }
extensions:
  metrics: { prometheus: { path: "${env:SECRET}" } }
  sync:
    registries:
      - urls: ["https://user:${env:SECRET}@hub.example", "https://user:hunter2-hunter2@hub.example"]
        name: "/${env:SECRET}"
        content: [{ prefix: "[${env:SECRET}" }]
      - { urls: ["https://a"], name: "${env:SECRET}" }
      - { urls: ["https://b"], name: "${env:SECRET}" }
      - { urls: ["https://c"], name: "${env:NONE}" }
      - { urls: ["https://d"], name: "${env:" }
"#;
    let faults = parse(text, &env).expect_err("the file has faults");
    assert_eq!(faults.faults.len(), 16, "{faults}");
    assert!(!format!("{faults:?}{faults}{}", lines(&faults.warnings)).contains("hunter2"), "{faults}");
}

/// Why a pattern is none may quote it.
#[test]
fn p11_no_cause_is_told_of_what_a_variable_completes() {
    let prefix = |prefix: &str| {
        let text = format!(
            "extensions: {{ sync: {{ registries: [{{ urls: ['https://a'], content: [{{ prefix: '{prefix}' }}] }}] }} }}"
        );
        let env = |name: &str| (name == "RANGE").then(|| "z-a".to_owned());
        parse(&text, &env).expect_err("the range runs backwards").to_string()
    };
    assert!(
        prefix("[z-a]").ends_with("of at most 1024 bytes: invalid range; 'z' > 'a'"),
        "{}",
        prefix("[z-a]")
    );
    assert!(prefix("[${env:RANGE}]").ends_with("of at most 1024 bytes"), "{}", prefix("[${env:RANGE}]"));
}
