//! Goal: files that users bring along start as they are, and mean what they say.
//! Method: parse each and compare the options with what its author meant.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use wharfinger::auth::options::Action;
use wharfinger::config::{Config, load};
use wharfinger::extensions::options::ScrubOptions;
use wharfinger::store::options::Place;

use crate::{fixture, lines, parsed, path};

#[test]
fn nothing_is_a_configuration() {
    let config = Config::default();
    assert_eq!((config.http.address.as_str(), config.http.port), ("127.0.0.1", 5000));
    assert_eq!(config.store.place, Place::Folder(PathBuf::from("wharfinger-data")));
    assert_eq!((config.metrics.enable, config.metrics.path.as_str()), (true, "/metrics"));
    for text in ["", "{}", "---\n", "# nothing\n", "http:\nstorage:\nextensions:\n  metrics:\n"] {
        let loaded = parsed(text).expect(text);
        assert_eq!(loaded.config, config, "{text:?}");
        assert_eq!(loaded.warnings, [], "{text:?}");
    }
}

#[test]
fn two_upstreams() {
    let loaded = parsed(&fixture("sync-two-upstreams.json")).expect("the file has no fault");
    let [first, second] = loaded.config.upstreams.as_slice() else {
        panic!("there are two upstreams: {:?}", loaded.config.upstreams);
    };
    assert_eq!(first.name, "gcr.lank8s.cn");
    assert_eq!(first.urls, ["https://gcr.lank8s.cn"]);
    assert!(first.on_demand && first.tls_verify);
    assert_eq!(first.content.len(), 1);
    assert_eq!(first.content[0].prefix, "google-containers/*");
    assert_eq!(second.name, "registry.lank8s.cn");
    assert_eq!(second.content, []);
    let scrub = loaded.config.scrub;
    assert_eq!((scrub.enable, scrub.interval), (true, Duration::from_secs(3 * 3600)));
    assert_eq!(loaded.warnings, []);
}

#[test]
fn empty_extensions() {
    let loaded = parsed(&fixture("extensions-empty.json")).expect("the file has no fault");
    let scrub = ScrubOptions { enable: true, ..ScrubOptions::default() };
    assert_eq!(loaded.config, Config { scrub, ..Config::default() });
    insta::assert_snapshot!(lines(&loaded.warnings), @r#"
    extensions.search: not supported yet: extensions.search
    extensions.lint: not supported yet: extensions.lint
    "#);
}

#[test]
fn anonymous_reads_and_one_admin() {
    let loaded = parsed(&fixture("htpasswd-anonymous-read.json")).expect("the file has no fault");
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config.http.address.parse::<IpAddr>(), Ok(IpAddr::from([0, 0, 0, 0])));
    let auth = loaded.config.auth;
    assert_eq!(auth.htpasswd, Some(PathBuf::from("/tmp/htpasswd")));
    let access = auth.access.expect("the file controls access");
    let [(glob, policy)] = access.repositories.as_slice() else {
        panic!("there is one glob: {:?}", access.repositories);
    };
    assert_eq!(glob, "**");
    assert_eq!(policy.anonymous_policy, [Action::Read]);
    assert_eq!(policy.default_policy, [Action::Read]);
    assert_eq!(access.admin.users, ["admin"]);
    assert_eq!(access.admin.actions, [Action::Read, Action::Create, Action::Update, Action::Delete]);
}

#[test]
fn the_least_that_zot_starts_with() {
    let loaded = parsed(&fixture("minimal.json")).expect("the file has no fault");
    assert_eq!(loaded.config.store.place, Place::Folder(PathBuf::from("/var/lib/zot")));
    assert_eq!(loaded.config.http.port, 8080);
}

#[test]
fn what_has_no_effect_is_warned_of() {
    let loaded = parsed(&fixture("inert.json")).expect("the file has no fault");
    insta::assert_snapshot!(lines(&loaded.warnings), @"
    distSpecVersion: has no effect: the server speaks the version that it was built for
    scheduler: has no effect: background work has its own limits
    storage.dedupe: has no effect: the layout stores every blob once
    storage.remoteCache: has no effect: there is no cache database; the stored objects are the only truth
    storage.cacheDriver: has no effect: there is no cache database; the stored objects are the only truth
    storage.fastRestart: has no effect: a start never walks over the store
    http.compat: has no effect: Docker's manifests are stored byte for byte as pushed, without a switch
    extensions.search: not supported yet: extensions.search
    extensions.ui: not supported yet: extensions.ui
    extensions.mgmt: not supported yet: extensions.mgmt
    extensions.userprefs: not supported yet: extensions.userprefs
    extensions.trust: not supported yet: extensions.trust
    extensions.events: not supported yet: extensions.events
    extensions.sync.registries[0].preserveDigest: has no effect: every manifest is stored byte for byte as it comes, so a digest never changes
    storage.retention: does not say deleteUntagged: manifests without a tag stay; zot deletes them by default
    ");
}

#[test]
fn keys_are_found_in_any_case_and_names_are_not() {
    let text = r#"{"HTTP": {"Port": 5001, "ACCESSCONTROL": {"GROUPS": {"Team": {"Users": ["Ann"]}}}}}"#;
    let config = parsed(text).expect("the file has no fault").config;
    assert_eq!(config.http.port, 5001);
    let groups = config.auth.access.expect("the file controls access").groups;
    assert_eq!(groups.into_iter().collect::<Vec<_>>(), [("Team".to_owned(), vec!["Ann".to_owned()])]);
}

#[test]
fn a_rate_limit_without_a_rate_is_warned_of() {
    for section in ["", "{}", "null", "{ methods: [] }"] {
        let loaded = parsed(&format!("http:\n  ratelimit: {section}\n")).expect(section);
        assert_eq!(loaded.config, Config::default(), "{section}");
        assert_eq!(
            lines(&loaded.warnings),
            "http.ratelimit: names no rate, so it limits nothing",
            "{section}"
        );
    }
}

#[test]
fn an_empty_access_control_lets_nobody_in() {
    for text in ["http:\n  accessControl:\n", "http: { accessControl: {} }", "http: { accessControl: null }"]
    {
        let config = parsed(text).expect(text).config;
        assert_eq!(config.auth.access, Some(wharfinger::auth::options::AccessControl::default()), "{text}");
    }
}

#[test]
fn files_that_are_not_there_yet_are_warned_of() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("config.yaml");
    let certificates = folder.path().join("certificates");
    std::fs::create_dir(&certificates).expect("a folder can be made");
    let text = format!(
        "http: {{ auth: {{ htpasswd: {{ path: {0}/none }} }} }}\n\
         extensions: {{ sync: {{ registries: [{{ urls: [http://a], onDemand: true, certDir: {0}/certificates }}] }} }}\n",
        folder.path().display()
    );
    std::fs::write(&file, text).expect("a file can be written");
    let loaded = load(&file).expect("absent files are no faults");
    assert_eq!(loaded.config.upstreams[0].ca_file, None);
    assert_eq!(loaded.config.upstreams[0].client_certificate, None);
    insta::assert_snapshot!(lines(&loaded.warnings), @"
    http.auth.htpasswd.path: there is no such file yet, so no login succeeds
    extensions.sync.registries[0].certDir: there is no ca.crt, so only the system's authorities are trusted
    ");
}

#[test]
fn a_file_that_cannot_be_read_is_one_fault() {
    let check = |file: &std::path::Path, message: &str| {
        let faults = load(file).expect_err("the file cannot be read").faults;
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].path, "(file)");
        assert!(faults[0].message.starts_with(message), "{faults:?}");
    };
    let folder = tempfile::tempdir().expect("a folder can be made");
    check(&path("none.json"), "cannot be read: No such file");
    check(folder.path(), "cannot be read: ");
    let latin = folder.path().join("latin");
    std::fs::write(&latin, b"http: { realm: \"gr\xfc\xdf\" }").expect("a file can be written");
    check(&latin, "is not UTF-8");
    let large = folder.path().join("large");
    std::fs::write(&large, " ".repeat((4 << 20) + 1)).expect("a file can be written");
    check(&large, "has more than 4194304 bytes");
}
