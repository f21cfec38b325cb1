//! The section `http.accessControl`.

use super::{ACTIONS, SECTIONS, WORDS};
use crate::config::key::{Key, honoured};
use crate::config::kind::{Kind, Names};

pub(super) const KEYS: &[Key] = &[
    honoured(
        "http.accessControl.repositories",
        Kind::Map(Names::Globs, &Kind::Section),
        "",
        "Policies by glob over repository names: `*` is within one component, `**` across them, and the longest glob that matches decides alone.",
    ),
    honoured(
        "http.accessControl.repositories.*.policies",
        SECTIONS,
        "",
        "What named users and groups may do.",
    ),
    honoured("http.accessControl.repositories.*.policies[].users", WORDS, "", "Names of users."),
    honoured("http.accessControl.repositories.*.policies[].groups", WORDS, "", "Names of groups."),
    honoured(
        "http.accessControl.repositories.*.policies[].actions",
        ACTIONS,
        "",
        "What they may do: read, create, update, delete, fetch; detectManifestCollision makes careful.",
    ),
    honoured(
        "http.accessControl.repositories.*.policies[].conditions",
        SECTIONS,
        "",
        "What has to hold as well, all of it.",
    ),
    honoured(
        "http.accessControl.repositories.*.policies[].conditions[].expression",
        Kind::Word,
        "",
        "An expression over `req`, such as `req.repository.startsWith(req.user.username + '/')`.",
    )
    .required(),
    honoured(
        "http.accessControl.repositories.*.policies[].conditions[].message",
        Kind::Text,
        "",
        "What to answer somebody whom it alone keeps out.",
    ),
    honoured("http.accessControl.repositories.*.defaultPolicy", ACTIONS, "", "What every account may do."),
    honoured(
        "http.accessControl.repositories.*.anonymousPolicy",
        ACTIONS,
        "",
        "What everybody may do, without an account.",
    ),
    honoured("http.accessControl.adminPolicy", Kind::Section, "", "Who may act on every repository."),
    honoured("http.accessControl.adminPolicy.users", WORDS, "", "Names of users."),
    honoured("http.accessControl.adminPolicy.groups", WORDS, "", "Names of groups."),
    honoured("http.accessControl.adminPolicy.actions", ACTIONS, "", "What they may do."),
    honoured(
        "http.accessControl.adminPolicy.conditions",
        SECTIONS,
        "",
        "What has to hold as well, all of it.",
    ),
    honoured(
        "http.accessControl.adminPolicy.conditions[].expression",
        Kind::Word,
        "",
        "An expression over `req`, such as `req.tls.enabled`.",
    )
    .required(),
    honoured(
        "http.accessControl.adminPolicy.conditions[].message",
        Kind::Text,
        "",
        "What to answer somebody whom it alone keeps out.",
    ),
    honoured(
        "http.accessControl.groups",
        Kind::Map(Names::Any, &Kind::Section),
        "",
        "Groups by name; case counts in the name.",
    ),
    honoured("http.accessControl.groups.*.users", WORDS, "", "The members."),
    honoured("http.accessControl.metrics", Kind::Section, "", "Who may read the metrics."),
    honoured(
        "http.accessControl.metrics.users",
        WORDS,
        "",
        "Names of the users who may; without any, every account may.",
    ),
    honoured(
        "http.accessControl.metrics.anonymousPolicy",
        ACTIONS,
        "",
        "With `read`, everybody may, without an account.",
    ),
];
