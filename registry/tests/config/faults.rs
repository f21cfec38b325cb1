//! Goal: everything that is wrong with a file is said at once, each with its key, in the file's
//! order, on a line of its own; and no key that restricts something is accepted without effect.
//! Method: snapshots of the lines that `wharfinger verify` prints.

use crate::{fixture, lines, parsed};

fn faults(name: &str) -> String {
    let faults = parsed(&fixture(name)).expect_err("the file has faults");
    assert_eq!(faults.to_string(), lines(&faults.faults));
    assert_eq!(faults.to_string().lines().count(), faults.faults.len(), "one line a fault");
    faults.to_string()
}

#[test]
fn all_faults_are_reported_together() {
    insta::assert_snapshot!(faults("broken.yaml"), @r#"
    storge: unknown key; the nearest known key is storage
    storage.rootDirectory: an empty string is not a path
    storage.commit: "perhaps" is not true or false
    storage.dedupe: 7 is not true or false
    storage.uploadExpiry: "1ms" is not a duration such as "300ms" or "1h30m", from 1s to 8760h
    storage.maxUploads: 0 is not a whole number from 1 to 10000000
    storage.memoryCacheBytes: "8 mebibytes" is not a size such as 65536 or "8MiB", from 0 to 1TiB
    storage.gcDelay: "soon" is not a duration such as "300ms" or "1h30m", from 1s to 8760h
    storage.subPaths["/hub"].commit: an empty list is not true or false
    storage.subPaths["/hub"].comit: unknown key; the nearest known key is storage.commit
    http.address: "localhost" is not an IP address
    http.port: 70000 is not a port from 0 to 65535
    http.port: is written twice
    http.realm: "quo\"te" is not printable ASCII without " and \
    http.readTimeout: 60 is not a duration such as "300ms" or "1h30m", from 0s to 8760h; give it a unit
    http.writeTimeout: "-5s" is not a duration such as "300ms" or "1h30m", from 0s to 8760h
    http.auth.htpasswd.path: is missing
    http.auth.failDelay: "1d" is not a number of seconds or a duration such as "300ms", up to 1h
    http.auth.htpaswd: unknown key; the nearest known key is http.auth.htpasswd
    http.tls: "on" is not a section
    http.accessControl."**": unknown key; globs stand below http.accessControl.repositories
    http.accessControl.repositories["team/["]: is not a glob over repository names of at most 1024 bytes: unclosed character class; missing ']'
    http.accessControl.repositories["team/["].defaultPolicy[1]: "write" is not one of read, create, update, delete, fetch, detectManifestCollision
    http.accessControl.repositories["**"].anonymousPolicy: "read" is not a list
    http.accessControl.repositories["**"].policies[0].users[0]: this number is not a non-empty string; put it in quotes
    http.accessControl.repositories["**"].policies[0].users[1]: an empty string is not a non-empty string
    http.accessControl.repositories["**"].policies[0].actions[0]: "push" is not one of read, create, update, delete, fetch, detectManifestCollision
    http.accessControl.repositories["**"].policies[0].condition: unknown key; the nearest known key is http.accessControl.repositories.*.policies[].conditions
    http.missingReferences.image: "maybe" is not one of refuse, accept
    http.limits.maxManifestBytes: "1GiB" is not a size such as 65536 or "8MiB", from 1KiB to 8MiB
    http.limits.maxHeaderBytes: 100 is not a size such as 65536 or "8MiB", from 8KiB to 16MiB
    http.limits.maxRanges: this number is not a whole number from 0 to 1024
    http.limits.headerTimeout: "0s" is not a duration such as "300ms" or "1h30m", from 1ms to 1h
    http.ratelimit.rate: 0 is not a whole number of requests a second from 1 to 1000000; leave the limit out where there is to be none
    http.ratelimit.methods[0].method: "OPTIONS" is not one of GET, HEAD, POST, PATCH, PUT, DELETE
    http.ratelimit.methods[0].rate: this number is not a whole number of requests a second from 1 to 1000000; leave the limit out where there is to be none
    http.ratelimit.methods[1].rate: this number is not a whole number of requests a second from 1 to 1000000; leave the limit out where there is to be none
    http.ratelimit.methods[2].rate: is missing
    log.level: "loud" is not one of trace, debug, info, warn, error
    log.format: the environment variable UNSET_FORMAT is not set, or is not UTF-8
    log.output: nothing is not a path
    extensions.metrics.prometheus.path: "/v2/metrics" is not a path such as "/metrics" of letters, digits and . _ - /, not of the API or the probes
    extensions.scrub.interval: "1h" is not a duration such as "300ms" or "1h30m", from 2h to 8760h
    extensions.serch: unknown key; the nearest known key is extensions.search
    extensions.sync.registries[0].urls: is missing
    extensions.sync.registries[1].urls: an empty list is not a list with at least one item
    extensions.sync.registries[2].urls[0]: what is written is not http(s)://host[:port]
    extensions.sync.registries[2].urls[1]: what is written is not http(s)://host[:port]
    extensions.sync.registries[2].name: ".hidden" is not a name of letters, digits and . _ : - that starts with neither . nor _ and has at most 128 bytes
    extensions.sync.registries[2].content[0].prefix: is missing
    extensions.sync.registries[2].content[1].prefix: "/" is not a glob over repository names of at most 1024 bytes: it matches nothing
    extensions.sync.registries[2].content[2].prefix: "{a" is not a glob over repository names of at most 1024 bytes: unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)
    extensions.sync.registries[2].reqConcurrent: "many" is not a whole number from 1 to 10000
    extensions.sync.registries[2].checkTimeout: "2h" is not a duration such as "300ms" or "1h30m", from 1ms to 1h
    extensions.sync.registries[3]: "gcr.io" is not a section
    extensions: is written twice
    "two\nlines": unknown key; the nearest known key is storage
    storage.subPaths["/hub"].rootDirectory: is missing: a store of its own has its own folder or bucket
    "#);
}

#[test]
fn what_restricts_and_is_not_built_stops_the_server() {
    let text = faults("unsupported.json");
    assert!(!text.contains("hunter2"), "P11: {text}");
    insta::assert_snapshot!(text, @r#"
    cluster: is refused: replicas do not forward requests to each other; they are to share one bucket instead (`storage.bucket`)
    storage.storageDriver.objectacl: is refused: set the bucket's policy instead; `redirectBlobURL` needs no public objects
    storage.maxRepos: not supported yet: storage.maxRepos
    http.allowOrigin: not supported yet: http.allowOrigin
    http.auth.bearer.awsSecretsManager: is refused: have the keys in a file that is replaced, or at a url: `jwks` reads them again by itself
    http.auth.openid: is refused: there are no pages to log in to; `http.auth.bearer.oidc` takes identity tokens as they are, and `http.auth.apikey` lets users make keys
    http.auth.sessionDriver: not supported yet: http.auth.sessionDriver
    http.auth.secureSession: not supported yet: http.auth.secureSession
    extensions.search.cve: is refused: finding vulnerabilities is a scanner's work; run one such as Trivy or Grype against this registry
    "#);
}

#[test]
fn keys_are_looked_at_together() {
    let faults = parsed(&fixture("together.yaml")).expect_err("the file has faults");
    insta::assert_snapshot!(lines(&faults.faults), @r#"
    http.ratelimit.methods[2].method: is the method of http.ratelimit.methods[0] too; give it one rate
    extensions.sync.registries[1].name: is the name of extensions.sync.registries[0] too, by default from the first url; give this one a name
    extensions.sync.registries[2].name: is the name of extensions.sync.registries[0] too
    extensions.sync.registries[3].name: the host of the first url cannot name a folder; give this one a name
    "#);
    insta::assert_snapshot!(lines(&faults.warnings), @r#"
    http.accessControl: there are no accounts (http.auth.htpasswd), so only an anonymousPolicy grants anything
    http.accessControl.repositories["**"].policies[0].groups[0]: there is no such group below http.accessControl.groups
    http.accessControl.adminPolicy.groups[0]: there is no such group below http.accessControl.groups
    "#);
}

#[test]
fn accounts_of_upstreams_and_patterns() {
    let faults = parsed(&fixture("credentials.yaml")).expect_err("the file has faults");
    assert!(!format!("{faults:?}").contains("hunter2"), "P11: {faults}");
    insta::assert_snapshot!(lines(&faults.faults), @r#"
    extensions.sync.registries[3].oauth2CredentialHelper.grantType: "password" is not one of client_credentials, urn:ietf:params:oauth:grant-type:jwt-bearer, urn:ietf:params:oauth:grant-type:token-exchange
    extensions.sync.registries[3].oauth2CredentialHelper.tokenURL: is missing
    extensions.sync.registries[4].oauth2CredentialHelper.tokenURL: what is written is not http(s)://host[:port]/path, without an account or a fragment
    extensions.sync.registries[4].oauth2CredentialHelper.assertionFile: an empty string is not a path
    extensions.sync.registries[7].credentialHelper: "../pass" is not oauth2, or the name of a program docker-credential-NAME: a-z, 0-9 and -
    extensions.sync.registries[8].credentialHelper: "Pass" is not oauth2, or the name of a program docker-credential-NAME: a-z, 0-9 and -
    extensions.sync.registries[9].content[0].prefix: "team/[" is not a glob over repository names of at most 1024 bytes: unclosed character class; missing ']'
    extensions.sync.registries[9].content[1].tags.regex: "(v1" is not a regular expression over tags of at most 1024 bytes: unclosed group
    extensions.sync.registries[9].content[1].tags.excludeRegex: "(?!rc)" is not a regular expression over tags of at most 1024 bytes: look-around, including look-ahead and look-behind, is not supported
    extensions.sync.registries[9].content[1].tags.semver: "maybe" is not true or false
    extensions.sync.registries[9].content[2].prefix: "{a,b" is not a glob over repository names of at most 1024 bytes: unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)
    extensions.sync.registries[9].content[2].tags.regex: "(?:a{1000}){1000}" is not a regular expression over tags of at most 1024 bytes: it becomes too large
    extensions.sync.registries[0].oauth2CredentialHelper: is missing: the credential helper oauth2 needs its tokenURL, and one of assertionFile and signingFile
    extensions.sync.registries[1].oauth2CredentialHelper: names neither assertionFile nor signingFile, and one of them has to prove who asks
    extensions.sync.registries[2].oauth2CredentialHelper.signingFile: stands beside assertionFile; an assertion comes from one of them, remove the other
    "#);
    insta::assert_snapshot!(lines(&faults.warnings), @"
    extensions.sync.registries[5].oauth2CredentialHelper.tokenURL: is http: whoever is on the way can read the assertion, the secret and the token
    extensions.sync.registries[5].oauth2CredentialHelper.subjectTokenType: is not sent: grantType is not urn:ietf:params:oauth:grant-type:token-exchange
    extensions.sync.registries[6].oauth2CredentialHelper: is not used: credentialHelper is not oauth2
    extensions.sync.registries[9].fallThrough: is any: while this upstream is down, another one may answer for its names; notFound moves on only where it has none
    ");
}

/// A condition that is mistyped never holds, or always, so that it is a fault when it is read.
#[test]
fn conditions_of_policies() {
    let check = |rule: &str, expect: &str| {
        let found = parsed(&format!("http: {{ accessControl: {rule} }}")).err().unwrap_or_default().faults;
        let paths: Vec<&str> = found.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(paths, [expect], "{rule}");
    };
    let conditions =
        |text: &str| format!("conditions: [{{ expression: \"true\" }}, {{ expression: {text} }}]");
    for text in [
        "req.usr.username == 'a'",
        "req.claims.sub == 'a'",
        "req.tag.matches('(')",
        "1 +",
        "claims.sub == 'a'",
    ] {
        let text = serde_json::Value::from(text).to_string();
        let rule = format!(
            "{{ repositories: {{ '**': {{ policies: [{{ users: [a], {} }}] }} }} }}",
            conditions(&text)
        );
        let at = "http.accessControl.repositories[\"**\"].policies[0].conditions[1].expression";
        check(&rule, at);
        let rule = format!("{{ adminPolicy: {{ users: [a], {} }} }}", conditions(&text));
        check(&rule, "http.accessControl.adminPolicy.conditions[1].expression");
    }
}

#[test]
fn issuers_of_tokens() {
    let check = |bearer: &str, expect: &[&str]| {
        let found =
            parsed(&format!("http: {{ auth: {{ bearer: {bearer} }} }}")).err().unwrap_or_default().faults;
        let paths: Vec<&str> =
            found.iter().map(|fault| fault.path.trim_start_matches("http.auth.bearer")).collect();
        assert_eq!(paths, expect, "{bearer}");
    };
    let with =
        |rest: &str| format!("{{ oidc: [{{ issuer: 'https://a.example', audiences: [a], {rest} }}] }}");
    check("{ realm: r, service: s, cert: /a }", &[]);
    check("{ realm: r, service: s, jwks: 'http://localhost:1/keys' }", &[]);
    check("{}", &[""]);
    check("{ realm: r, service: s }", &[""]);
    check("{ cert: /a }", &[".service", ".realm"]);
    for url in ["http://a.example/keys", "https://u:p@a.example/keys", "ftp://a.example", "https://"] {
        check(&format!("{{ realm: r, service: s, jwks: '{url}' }}"), &[".jwks"]);
    }
    check(&with(""), &[]);
    check("{ oidc: [{ issuer: 'http://a.example', audiences: [a] }] }", &[".oidc[0].issuer"]);
    check("{ oidc: [{}] }", &[".oidc[0].issuer", ".oidc[0].audiences"]);
    check("{ oidc: [{ issuer: 'https://a.example', audiences: [] }] }", &[".oidc[0].audiences"]);
    check(
        &with("certificateAuthority: a, certificateAuthorityFile: /a"),
        &[".oidc[0].certificateAuthorityFile"],
    );
    for (mapping, expect) in [
        ("username: claims.sub.matches(claims.aud)", ".username"),
        ("groups: 'claims.groups.map(g, g)'", ".groups"),
        ("groups: vars.a, variables: [{ name: b, expression: claims.a }]", ".groups"),
        (
            "variables: [{ name: a, expression: vars.b }, { name: b, expression: claims.a }]",
            ".variables[0].expression",
        ),
        ("validations: [{ expression: 'claims.a = 1' }]", ".validations[0].expression"),
    ] {
        check(&with(&format!("claimMapping: {{ {mapping} }}")), &[&format!(".oidc[0].claimMapping{expect}")]);
    }
    let open = parsed(&format!("http: {{ auth: {{ bearer: {} }} }}", with(""))).expect("it has no fault");
    let paths: Vec<&str> = open.warnings.iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(paths, ["http.auth.bearer.oidc[0].claimMapping"]);
}

#[test]
fn a_syntax_error_has_a_place() {
    let expect = "line 4, column 5: while parsing a flow mapping, did not find expected ',' or '}'";
    assert_eq!(faults("syntax.json"), expect);
}

#[test]
fn a_file_is_a_section() {
    insta::assert_snapshot!(lines(&parsed("[]").expect_err("a list is no section").faults), @r#"(file): an empty list is not a section"#);
    insta::assert_snapshot!(lines(&parsed("http").expect_err("a word is no section").faults), @r#"(file): what is written is not a section"#);
}

#[test]
fn a_section_that_only_warns_does_not_hide_what_is_refused() {
    let check = |text: &str, expect: &[&str]| {
        let found = parsed(text).err().unwrap_or_default().faults;
        let paths: Vec<&str> = found.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(paths, expect, "{text}");
    };
    check("extensions: { search: { cve: {} } }", &["extensions.search.cve"]);
    check("extensions: { search: { enable: false, cve: {} } }", &[]);
    check("extensions: { search: { enable: 'false', cve: {} } }", &[]);
    // Only where the table has such a key does `enable: false` ask for nothing.
}
