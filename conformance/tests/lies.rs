//! Goal: the suite finds what a registry does wrong, and finds nothing else. Method: `sim`'s origin tells
//! one lie at a time; the checks that fail have to be exactly those declared here. The outcome is
//! published as `docs/kill-matrix.md`, which `UPDATE_DOCS=1` writes anew.

#![expect(clippy::unwrap_used, reason = "Helpers of tests may unwrap as tests do.")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use conformance::check::{Check, Level, Need};
use conformance::report::Report;
use conformance::{Options, run};
use conformance::{checks, login};
use sim::origin::{Access, Lie, Nature, Origin, Scheme, TokenOptions};
use tokio::task::JoinSet;

/// The published matrix.
const MATRIX: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/kill-matrix.md");
/// Lies that are told side by side: each run waits now and then for its own origin.
const SIDE_BY_SIDE: usize = 4;
/// The check that sends 128 MiB of manifests. It costs as much as all others together, so it runs only
/// against the lies about pushing manifests.
const EXPENSIVE: &str = "T-066";
const ABOUT_PUSHES: &str = "push-";

/// Ids of checks.
type Ids = BTreeSet<String>;

/// What catches each lie.
const DECLARED: &[(&str, &str)] = &[
    ("base-absent", "T-001"),
    ("base-head-refused", "T-003"),
    ("base-version-missing", "T-001a"),
    ("base-slash-needed", "T-002"),
    ("allow-missing", "T-004"),
    ("unknown-path-serves", "T-005"),
    ("closing-cuts", "R-034 T-006"),
    ("long-header-breaks", "T-009 T-036"),
    ("name-case-folded", "T-010"),
    ("name-cleaned", "T-012"),
    ("name-separators-refused", "T-011"),
    ("name-read-from-the-left", "T-014"),
    ("name-of-255-breaks", "T-015"),
    ("path-serves-files", "T-013"),
    ("path-nul-breaks", "T-017"),
    ("tag-grammar-loose", "T-016"),
    ("tag-of-65-refused", "T-016 T-060 T-136 T-137"),
    ("tag-case-folded", "T-115"),
    ("digest-may-be-missing", "T-018"),
    ("digest-missing-ends-the-session", "T-018a"),
    ("digest-case-ignored", "T-019"),
    ("digest-algorithm-ignored", "T-019"),
    ("digest-last-wins", "T-020"),
    ("digest-unchecked", "T-020 T-021 T-023 T-026"),
    ("digest-unchecked-in-post", "T-021"),
    ("digest-prefix-compared", "T-021"),
    ("digest-mismatch-is-409", "T-020 T-021a"),
    ("digest-mismatch-is-kept", "T-020 T-021 T-023 T-026"),
    ("digest-mismatch-is-corrected", "T-021a"),
    ("sha512-kept-as-sha256", "T-024 T-027"),
    ("sha512-hint-refused", "T-024 T-026"),
    ("hint-unread", "T-025"),
    ("hint-trusted", "T-026"),
    ("other-algorithm-guessed", "T-028"),
    ("manifest-digest-unchecked", "T-022 T-138"),
    ("manifest-mismatch-is-kept", "T-022"),
    ("close-location-missing", "R-047"),
    ("single-post-goes-nowhere", "R-051 T-114"),
    ("session-id-short", "T-080"),
    ("session-id-unsaid", "T-081"),
    ("session-for-any-repository", "T-090"),
    ("session-outlives-its-close", "T-007 T-089 T-091 T-093"),
    ("session-unknown-is-500", "T-007 T-013 T-089 T-090 T-091 T-092 T-093"),
    ("cancel-does-nothing", "T-092"),
    ("cancelled-closes", "T-092"),
    ("status-is-200", "R-066 T-085 T-086 T-087 T-088 T-093"),
    ("status-without-range", "R-066 T-085 T-086 T-087 T-088 T-093"),
    ("status-counts-one-too-many", "T-094"),
    ("empty-blob-refused", "T-038 T-101"),
    ("empty-blob-refused-in-post", "T-102"),
    ("existing-blob-is-409", "T-099 T-127 T-128 T-130 T-135 T-136 T-139"),
    ("json-post-refused", "T-108"),
    ("chunk-minimum-malformed", "T-106"),
    ("chunk-out-of-order-taken", "T-085 T-086 T-087 T-088 T-097"),
    ("chunk-appended-then-refused", "T-087 T-088 T-097"),
    ("chunk-range-says-the-length", "T-082 T-083 T-084"),
    ("chunk-range-of-the-last-one", "T-082 T-083"),
    ("chunk-range-missing", "T-082 T-083 T-084"),
    (
        "chunk-location-missing",
        "R-066 T-018 T-021 T-024 T-082 T-083 T-084 T-085 T-086 T-087 T-088 T-090 T-092 T-093 T-096 T-097 T-098 T-100 T-106 T-149 T-160",
    ),
    ("chunk-is-204", "T-024 T-082 T-083 T-093 T-096 T-097"),
    ("chunk-twice-is-202", "T-087 T-097"),
    ("chunk-anywhere-first", "T-088"),
    ("chunk-range-malformed-taken", "T-085"),
    ("chunk-length-unchecked", "T-086"),
    ("chunks-forgotten", "T-024 T-083 T-084 T-093 T-096"),
    ("streams-refused", "T-083 T-084 T-089"),
    ("close-range-unread", "R-066"),
    ("close-body-dropped", "R-066 T-093 T-100 T-106"),
    ("mount-makes-nothing", "R-072"),
    ("mount-of-the-missing", "R-074 T-013 T-109 T-111 T-111a"),
    ("mount-location-missing", "R-072 T-109"),
    ("mount-missing-is-404", "R-074 T-109 T-111 T-111a"),
    ("mount-breaks-on-bad-names", "T-109"),
    ("mount-dies-with-its-source", "T-111"),
    ("mount-of-the-deleted", "T-111a"),
    ("mount-of-its-own-is-409", "T-110"),
    ("mount-without-source-is-400", "R-074"),
    ("mount-with-digest-breaks", "T-114"),
    ("blob-bit-flipped", "R-028 T-044 T-094 T-097 T-099"),
    ("blob-cut-short", "R-028 T-044 T-094 T-097 T-099"),
    ("blob-with-more", "R-028 T-044 T-094 T-097 T-099"),
    ("blob-digest-unsaid", "R-028 R-034 T-027"),
    ("blob-head-wrong-size", "R-034 T-040 T-101"),
    ("blob-head-absent", "R-034 T-040 T-101"),
    (
        "blob-head-always",
        "R-123 T-019 T-021 T-026 T-029 T-030 T-052 T-069 T-090 T-091 T-092 T-098 T-103 T-104 T-111 T-111a T-144 T-150",
    ),
    ("blob-of-any-repository", "T-029 T-069 T-111"),
    (
        "blob-missing-is-empty",
        "R-123 T-019 T-020 T-021 T-026 T-029 T-030 T-052 T-069 T-090 T-091 T-092 T-098 T-103 T-104 T-109 T-111 T-111a T-144",
    ),
    (
        "blob-missing-is-500",
        "R-123 T-019 T-020 T-021 T-026 T-029 T-030 T-052 T-069 T-090 T-091 T-092 T-098 T-103 T-104 T-111 T-111a T-144",
    ),
    ("blob-unknown-miscalled", "T-030a"),
    ("blob-said-gzipped", "T-031a"),
    ("blob-etag-unsaid", "T-031"),
    ("blob-etag-unheard", "T-032"),
    ("blob-never-changed", "T-032"),
    ("blob-if-match-is-304", "T-033"),
    ("blob-said-to-be-text", "T-031 T-149a"),
    ("blob-served-as-manifest", "T-052"),
    ("range-one-too-many", "T-034"),
    ("range-said-and-not-cut", "T-034"),
    ("range-suffix-from-the-start", "T-034"),
    ("range-unsaid", "T-034"),
    ("range-first-of-several", "T-035"),
    ("range-malformed-breaks", "T-037"),
    ("range-of-nothing-breaks", "T-038"),
    ("range-beyond-is-empty", "T-038 T-041"),
    ("range-beyond-without-size", "T-038 T-041"),
    ("range-condition-unheard", "T-039"),
    ("range-condition-never-met", "T-039"),
    ("range-resumes-late", "T-043"),
    ("range-of-head-shortens", "T-040"),
    ("range-of-a-manifest-is-wrong", "T-042"),
    ("manifest-bit-flipped", "T-067"),
    ("manifest-digest-unsaid", "R-021 T-048 T-073"),
    ("manifest-digest-echoed", "R-021 T-048 T-073"),
    ("manifest-of-any-repository", "T-047"),
    ("manifest-missing-is-another", "T-045 T-047 T-061 T-070 T-140 T-141 T-150 T-162"),
    (
        "manifest-head-always",
        "T-022 T-045 T-046 T-047 T-052 T-061 T-062 T-068 T-070 T-140 T-141 T-143 T-150 T-162",
    ),
    (
        "manifest-missing-is-403",
        "T-022 T-028 T-045 T-046 T-047 T-052 T-061 T-062 T-068 T-070 T-140 T-141 T-143 T-162",
    ),
    ("manifest-unknown-miscalled", "T-045a"),
    ("repository-unknown-is-500", "T-046 T-047 T-163"),
    ("manifest-type-forgotten", "R-019 T-049 T-049a T-053 T-055 T-059 T-060"),
    ("manifest-head-untyped", "T-048"),
    ("manifest-type-with-charset", "R-019 T-057 T-059"),
    ("manifest-converted", "T-049 T-049a"),
    ("manifest-accept-demanded", "T-049a"),
    ("manifest-never-changed", "T-050"),
    ("manifest-said-gzipped", "T-051"),
    ("manifest-children-hidden", "T-054 T-057"),
    ("docker-type-renamed", "T-055 T-060"),
    ("namespace-unknown-is-404", "T-162"),
    ("push-location-missing", "R-081"),
    ("push-digest-unsaid", "T-075 T-077"),
    ("push-by-digest-tags", "T-072 T-074 T-076a T-122"),
    ("push-leaves-the-tag", "T-050 T-073 T-078"),
    ("push-leaves-the-tag-of-the-known", "T-073"),
    ("push-twice-is-409", "T-074"),
    ("push-trimmed", "T-077"),
    ("push-printed-again", "T-077"),
    ("push-tags-unmade", "T-076 T-076a"),
    ("push-tags-half-listed", "T-076a"),
    ("push-tags-half-made", "T-076a"),
    ("push-tags-silently-cut", "T-076b"),
    ("push-gaps-miscalled", "T-068 T-070"),
    ("push-gaps-are-kept", "T-068 T-070"),
    ("push-gaps-filled-from-elsewhere", "T-069"),
    ("push-without-limit", "T-066"),
    ("push-limit-of-a-mebibyte", "T-067"),
    ("push-type-parameters-kept", "T-053"),
    ("push-subject-unsaid", "T-138"),
    ("push-subject-always-said", "T-138"),
    ("push-subject-demanded", "R-038"),
    ("malformed-breaks", "T-061"),
    ("malformed-is-taken", "T-061"),
    ("type-mismatch-is-taken", "T-062"),
    ("untyped-breaks", "T-063"),
    ("descriptors-unchecked", "T-064"),
    ("ambiguous-is-taken", "T-065"),
    ("subject-unchecked", "T-079"),
    ("foreign-layers-demanded", "T-071"),
    ("docker-refused", "T-055 T-060"),
    ("docker-list-refused", "T-056"),
    ("schema1-breaks", "T-058"),
    ("mixed-index-refused", "T-057"),
    ("index-of-blobs-refused", "T-059"),
    ("artifacts-refused", "T-060"),
    ("referrers-tag-refused", "T-136 T-137"),
    ("tags-n-unheard", "T-116 T-117"),
    ("tags-last-unheard", "T-115 T-116 T-120"),
    ("tags-last-included", "T-115 T-116 T-120"),
    ("tags-backwards", "T-076a T-115 T-120 T-121"),
    ("tags-doubled", "T-115 T-116 T-118 T-120"),
    ("tags-zero-is-all", "T-117"),
    ("tags-link-missing", "T-115 T-116 T-120"),
    ("tags-link-elsewhere", "T-115 T-116 T-120"),
    ("tags-link-without-n", "T-116"),
    ("tags-link-for-ever", "T-115 T-116 T-118 T-120"),
    ("tags-null", "T-115 T-122"),
    ("tags-of-nobody", "R-094"),
    ("tags-of-the-unknown-break", "T-123"),
    ("tags-n-malformed-breaks", "T-119"),
    ("tags-pages-by-number", "T-121"),
    ("catalog-backwards", "T-125"),
    ("catalog-link-missing", "T-125a"),
    ("referrers-malformed-is-empty", "T-126"),
    ("referrers-of-other-repositories", "T-127"),
    ("referrers-doubled", "R-038 T-127 T-136"),
    ("referrers-outlive-deletion", "T-128"),
    ("referrers-die-with-their-subject", "R-038 T-128"),
    ("referrers-type-of-config-unread", "T-129"),
    ("referrers-type-invented", "T-129"),
    ("referrers-annotations-dropped", "R-104"),
    ("referrers-filter-claimed", "T-130"),
    ("referrers-filter-unsaid", "T-130"),
    ("referrers-filter-always-claimed", "T-130 T-131"),
    ("referrers-unknown-filter-claimed", "T-131"),
    ("referrers-cut-off", "T-132 T-139"),
    ("referrers-pages-lose-one", "T-132 T-139"),
    ("referrers-type-with-charset", "R-104"),
    ("referrers-body-untyped", "T-133"),
    ("referrers-of-sha512-unseen", "T-134"),
    ("referrers-of-referrers", "T-135"),
    ("referrers-absent-for-new-repositories", "R-102"),
    ("delete-tag-takes-the-manifest", "T-121 T-141"),
    ("delete-tag-keeps-it", "T-141"),
    ("delete-manifest-keeps-it", "T-128 T-140 T-143 T-147"),
    ("delete-manifest-leaves-its-tags", "T-140"),
    ("delete-blob-keeps-it", "R-123 T-111 T-111a T-144 T-147"),
    ("delete-blob-of-any-repository", "T-142a"),
    ("delete-blob-in-both-algorithms", "T-027"),
    ("delete-blob-in-use-breaks-its-manifest", "T-144"),
    ("delete-child-breaks-its-index", "T-143"),
    ("delete-missing-manifest-is-202", "T-142 T-147"),
    ("delete-missing-tag-is-202", "T-142b"),
    ("delete-missing-blob-is-202", "T-142a T-147"),
    ("delete-is-for-ever", "T-146"),
    ("delete-tag-is-200", "T-121 T-141 T-148"),
    ("delete-off-is-403", "T-128 T-140 T-142 T-143 T-146 T-147 T-148"),
    ("delete-off-miscalled", "T-148a"),
    (
        "error-without-list",
        "T-005 T-010 T-018 T-019 T-021a T-022 T-030a T-045a T-046 T-058 T-061 T-068 T-070 T-089 T-093 T-123 T-149",
    ),
    ("error-code-unlisted", "T-123 T-149"),
    ("error-code-in-lower-case", "T-018 T-019 T-021a T-022 T-149"),
    ("session-unknown-miscalled", "T-149b"),
    ("error-said-to-be-text", "T-149a"),
    ("warning-of-its-own-form", "T-160"),
    ("warning-without-end", "T-160"),
    ("request-of-two-lengths-goes-on", "T-017a"),
    ("request-of-two-hosts-is-read", "T-017b"),
    ("challenge-without-scope", "T-151 T-155c"),
    ("password-unread", "T-152"),
    ("token-under-one-name", "T-152a"),
    ("grant-is-all-or-nothing", "T-153"),
    ("token-read-at-its-ends", "T-154"),
    ("token-to-push-opens-all", "T-153c T-154a"),
    ("whoever-pulls-pushes", "T-153 T-153a T-153d T-155"),
    ("refusal-is-404-for-what-is-missing", "T-155a"),
    ("upload-belongs-to-its-token", "T-155c T-158"),
    ("mount-reads-what-one-may-not", "T-112 T-153c"),
    ("mount-without-source-finds-all", "T-113"),
    ("token-without-algorithm", "T-154b"),
    ("token-signature-unread", "T-154b T-154d"),
    ("token-claims-unsigned", "T-154c"),
    ("token-brings-its-key", "T-154d"),
    ("token-key-is-a-path", "T-154d"),
    ("token-to-pull-pushes", "T-153a"),
    ("token-for-nothing-opens-all", "T-153b"),
    ("token-mounts-from-anywhere", "T-153c"),
    ("scope-with-a-star-is-everything", "T-153d"),
    ("scopes-without-end-break", "T-153d"),
    ("login-unreadable-breaks", "T-152b"),
    ("login-scheme-spelt-one-way", "T-156a"),
    ("logins-first-wins", "T-152c"),
    ("logins-last-wins", "T-152c"),
    ("user-name-is-a-pattern", "T-152d"),
    ("user-name-ends-at-a-nul", "T-152d"),
    ("user-unknown-told", "T-152e"),
    ("token-told-again", "T-152f"),
    ("password-logged-to-the-caller", "T-152f"),
    ("challenge-names-what-was-asked", "T-151a"),
    ("refusal-tells-what-is-there", "T-155b"),
    ("refusal-is-longer-for-what-is-there", "T-155b"),
    ("session-shows-itself-to-all", "T-155c"),
    ("session-can-be-cancelled-by-all", "T-153a T-155c"),
    ("session-can-be-filled-by-all", "T-153a T-155c T-158"),
    ("session-refusal-tells-it", "T-155c"),
    ("session-is-known-anywhere", "T-155c"),
    ("blob-had-by-its-digest", "T-155g"),
    ("catalog-cursor-tells", "T-155d"),
    ("mount-refused-tells", "T-112a"),
    ("push-takes-what-one-may-not-read", "T-155e"),
    ("header-names-the-user", "T-155f"),
    ("header-names-the-address", "T-155f"),
    ("header-names-the-method", "T-155f"),
];

/// Checks that need a lie and have none, with the reason.
const UNTRIED: &[(&str, &str)] = &[
    ("T-107", "It needs a registry that can be configured to expire sessions soon, which the origin is not."),
    ("T-159", "It needs a registry that can be configured to limit requests, which the origin is not."),
    ("T-156", "It needs a registry that takes Basic, and the origin with accounts takes tokens alone."),
    ("T-157", "Where the realm cannot be asked nobody can log in, and there is nothing to judge."),
    ("T-161", "It needs a proxy, which the origin is not."),
];

/// Runs the whole suite against an origin and returns its report.
async fn report(origin: Origin, filter: Option<String>) -> Report {
    let running = origin.serve("127.0.0.1:0").await.unwrap();
    let report = run(Options { filter, ..Options::new(running.url()) }).await.unwrap();
    running.close().await;
    report
}

/// Runs what is about accounts against an origin that has some and returns the report.
async fn guarded(lie: Option<Lie>) -> Report {
    let access = Access::of_three(Scheme::Bearer(TokenOptions::default()), "conf-outside/");
    let origin = Origin::of(Nature { lie, access: Some(access), ..Nature::default() });
    let running = origin.serve("127.0.0.1:0").await.unwrap();
    let known = |name: &str| Some(login::Account::new(name, format!("of {name}")));
    let about = checks::all().iter().filter(|check| check.needs.contains(&Need::Credentials));
    let options = Options {
        credentials: Some(("alice".to_owned(), "of alice".to_owned())),
        reader: known("bob"),
        outsider: known("carol"),
        filter: Some(about.map(|check| check.id).collect::<Vec<_>>().join(",")),
        ..Options::new(running.url())
    };
    let report = run(options).await.unwrap();
    running.close().await;
    report
}

/// Tells a lie and returns what failed.
async fn told(lie: Lie) -> Ids {
    let report = if lie.is_about_access() {
        guarded(Some(lie)).await
    } else {
        report(Origin::lying(lie), filter(lie)).await
    };
    red(&report)
}

/// Returns what failed, or could not even be prepared.
fn red(report: &Report) -> Ids {
    report.failures().iter().map(|check| check.id.clone()).collect()
}

/// Returns the filter that leaves out the expensive check, where the lie is about something else.
fn filter(lie: Lie) -> Option<String> {
    let others = checks::all().iter().map(|check| check.id).filter(|id| *id != EXPENSIVE);
    (!lie.name().starts_with(ABOUT_PUSHES)).then(|| others.collect::<Vec<_>>().join(","))
}

/// Tells every lie and returns which checks caught it, apart from those that fail without it.
async fn caught() -> BTreeMap<&'static str, Ids> {
    let honest = red(&report(Origin::new(), None).await);
    assert_eq!(red(&guarded(None).await), Ids::new(), "an honest origin with accounts");
    let mut lies = Lie::all();
    let mut running = JoinSet::new();
    let mut caught = BTreeMap::new();
    loop {
        while running.len() < SIDE_BY_SIDE
            && let Some(lie) = lies.next()
        {
            running.spawn(async move { (lie.name(), told(lie).await) });
        }
        let Some(ended) = running.join_next().await else { return caught };
        let (name, red) = ended.unwrap();
        caught.insert(name, red.difference(&honest).cloned().collect());
    }
}

/// Says in which way what caught a lie differs from what was declared.
fn difference(name: &str, caught: &Ids) -> Option<String> {
    let declared = DECLARED.iter().find(|(lie, _)| *lie == name).map_or("", |(_, ids)| ids);
    let declared: Ids = declared.split_whitespace().map(str::to_owned).collect();
    let list = |ids: BTreeSet<&String>| ids.into_iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let missing = list(declared.difference(caught).collect());
    let surplus = list(caught.difference(&declared).collect());
    (!missing.is_empty() || !surplus.is_empty())
        .then(|| format!("{name}: did not fail [{missing}], failed undeclared [{surplus}]"))
}

/// Returns the checks that have to be put to the test here: those at a level that demands something, and those of
/// logging in.
fn demanding() -> impl Iterator<Item = &'static str> {
    let logs_in = |check: &Check| check.needs.contains(&Need::Credentials);
    let demanding = checks::all().iter().filter(move |check| check.level <= Level::Should || logs_in(check));
    demanding.map(|check| check.id)
}

fn matrix(caught: &BTreeMap<&'static str, Ids>) -> String {
    let mut text = format!(
        "# The kill matrix\n\n\
         The conformance suite proves itself here. The origin registry of `sim` is honest, and passes. It can \
         tell any one of {} lies, each a departure from the specification or from what clients need, and then \
         exactly the checks in the last column fail, and no other. `sim serve honest --lie NAME` serves one, \
         for a look at it.\n\n\
         MU is the number of the mutant of a registry that the lie plays, where it is one of the list that \
         registries have really suffered from. A check whose preparation the lie breaks counts as failed. One \
         that waits for a failed check does not run: what breaks pushing leaves nothing to be judged. `{EXPENSIVE}` \
         runs only against the lies about pushes. Lies about who asks are told by an origin that has accounts, to \
         the checks that log in.\n\n\
         This page is written by `UPDATE_DOCS=1 cargo test -p conformance --test lies`, and that test fails \
         when it is no longer true.\n\n\
         | lie | what it does | MU | caught by |\n|---|---|---|---|\n",
        Lie::all().count()
    );
    for lie in Lie::all() {
        let mutant = lie.mutant().map_or(String::new(), |number| number.to_string());
        let ids = caught[lie.name()].iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "| {} | {} | {mutant} | {ids} |", lie.name(), lie.says());
    }
    let killers: BTreeSet<&str> = caught.values().flatten().map(String::as_str).collect();
    let idle = demanding().filter(|id| !killers.contains(id));
    text.push_str(
        "\n## Checks that no lie has tried\n\nOf those that demand something, and those of logging in:\n\n",
    );
    for id in idle {
        let reason = UNTRIED.iter().find(|(untried, _)| *untried == id).map_or("", |(_, reason)| reason);
        let _ = writeln!(text, "- {id}: {reason}");
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn every_lie_is_caught_by_its_checks_and_by_no_other() {
    let caught = caught().await;
    let differences: Vec<String> =
        caught.iter().filter_map(|(name, caught)| difference(name, caught)).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let matrix = matrix(&caught);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(MATRIX, &matrix).unwrap();
    }
    let published = std::fs::read_to_string(MATRIX).unwrap();
    assert!(published == matrix, "docs/kill-matrix.md is out of date: run this test with UPDATE_DOCS=1");
}

#[test]
fn declarations_are_complete() {
    let lies: BTreeSet<&str> = Lie::all().map(Lie::name).collect();
    let declared: BTreeSet<&str> = DECLARED.iter().map(|(lie, _)| *lie).collect();
    assert_eq!(lies, declared);
    assert_eq!(declared.len(), DECLARED.len(), "a lie is declared twice");
    let all: BTreeSet<&str> = checks::all().iter().map(|check| check.id).collect();
    let mut killers = BTreeSet::new();
    for (lie, ids) in DECLARED {
        assert!(!ids.trim().is_empty(), "nothing catches {lie}");
        for id in ids.split_whitespace() {
            assert!(all.contains(id), "{lie}: {id} is no check");
            killers.insert(id);
        }
    }
    let idle: Vec<&str> = demanding().filter(|id| !killers.contains(id)).collect();
    let untried: Vec<&str> = UNTRIED.iter().map(|(id, _)| *id).collect();
    assert_eq!(idle, untried, "checks that need a lie and have none, and the list of them");
}
