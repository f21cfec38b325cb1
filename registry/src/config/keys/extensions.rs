//! The section `extensions`, but for `metrics` and `sync`.

use super::{ANY_DURATION, HOUR, KIB, SECTIONS, TEXTS, TIB, YEAR};
use crate::config::key::{Key, honoured, later, refused};
use crate::config::kind::{Kind, Names};

const NO_SCANNER: &str =
    "finding vulnerabilities is a scanner's work; run one such as Trivy or Grype against this registry";

pub(super) const KEYS: &[Key] = &[
    section("extensions.search", "Queries over what is stored, by GraphQL."),
    switch("extensions.search.enable"),
    scanner("extensions.search.cve", Kind::Section, "A scanner for vulnerabilities."),
    scanner("extensions.search.cve.updateInterval", ANY_DURATION, "How often its database is renewed."),
    scanner("extensions.search.cve.trivy", Kind::Section, "The scanner Trivy."),
    scanner("extensions.search.cve.trivy.dbRepository", Kind::Text, "Where its database is."),
    scanner("extensions.search.cve.trivy.javaDBRepository", Kind::Text, "Where its database of Java is."),
    scanner("extensions.search.cve.trivy.vulnSeveritySources", TEXTS, "Whose severities it takes."),
    scanner("extensions.search.cve.trivy.sbom", Kind::Section, "Bills of materials."),
    scanner("extensions.search.cve.trivy.sbom.enable", Kind::Bool, "Whether it makes them."),
    scanner(
        "extensions.search.cve.trivy.sbom.format",
        Kind::Choice(&["spdx-json", "cyclonedx"]),
        "The format it makes them in.",
    ),
    honoured(
        "extensions.scrub",
        Kind::Section,
        "",
        "A regular look at every stored byte and record, which acts on what it finds: docs/scrub.md.",
    ),
    honoured(
        "extensions.scrub.enable",
        Kind::Bool,
        "true",
        "Whether there is one; without the section there is none.",
    ),
    honoured(
        "extensions.scrub.interval",
        Kind::Duration(HOUR.saturating_mul(2), YEAR),
        "24h",
        "How long after the start of one the next begins; one that takes longer is followed by the next.",
    ),
    honoured(
        "extensions.scrub.bytesPerSecond",
        Kind::Size(64 * KIB, TIB),
        "64MiB",
        "How much it reads in a second, so that clients have the rest of the disk.",
    )
    .limit("it waits"),
    section("extensions.lint", "Demands on what is pushed."),
    switch("extensions.lint.enable"),
    later("extensions.lint.mandatoryAnnotations", TEXTS, "", "Annotations that a manifest must have."),
    section("extensions.ui", "A web page."),
    switch("extensions.ui.enable"),
    section("extensions.mgmt", "What the web page asks about the server."),
    switch("extensions.mgmt.enable"),
    section("extensions.userprefs", "What users of the web page marked."),
    switch("extensions.userprefs.enable"),
    section("extensions.trust", "Whose signatures are trusted."),
    switch("extensions.trust.enable"),
    later("extensions.trust.cosign", Kind::Bool, "false", "Whether cosign's are."),
    later("extensions.trust.notation", Kind::Bool, "false", "Whether notation's are."),
    section("extensions.events", "Messages about what changed."),
    switch("extensions.events.enable"),
    later("extensions.events.sinks", SECTIONS, "", "Who is sent them."),
    later("extensions.events.sinks[].type", Kind::Choice(&["http", "nats"]), "", "By which protocol."),
    sink("extensions.events.sinks[].address", "Where it is."),
    sink("extensions.events.sinks[].channel", "The channel."),
    later("extensions.events.sinks[].timeout", ANY_DURATION, "", "How long it may take."),
    sink("extensions.events.sinks[].proxy", "A proxy before it."),
    later(
        "extensions.events.sinks[].headers",
        Kind::Map(Names::Any, &Kind::Text),
        "",
        "Headers that it is sent.",
    ),
    section("extensions.events.sinks[].credentials", "How to log in there."),
    sink("extensions.events.sinks[].credentials.username", "The user."),
    sink("extensions.events.sinks[].credentials.password", "The password."),
    sink("extensions.events.sinks[].credentials.token", "A token."),
    later("extensions.events.sinks[].credentials.file", Kind::Path, "", "A file with them."),
    section("extensions.events.sinks[].tls", "TLS to it."),
    later("extensions.events.sinks[].tls.cacertfile", Kind::Path, "", "The authority of its certificate."),
    later("extensions.events.sinks[].tls.certfile", Kind::Path, "", "The client's certificate."),
    later("extensions.events.sinks[].tls.keyfile", Kind::Path, "", "The client's key."),
    section("extensions.apikey", "An old place of `http.auth.apikey`."),
    switch("extensions.apikey.enable"),
];

const fn section(path: &'static str, meaning: &'static str) -> Key {
    later(path, Kind::Section, "", meaning)
}

const fn switch(path: &'static str) -> Key {
    later(
        path,
        Kind::Bool,
        "false",
        "Whether it is on; with a section, it is asked for unless this is false.",
    )
}

const fn sink(path: &'static str, meaning: &'static str) -> Key {
    later(path, Kind::Text, "", meaning)
}

const fn scanner(path: &'static str, kind: Kind, meaning: &'static str) -> Key {
    refused(path, kind, meaning, NO_SCANNER)
}
