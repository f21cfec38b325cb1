//! What a check is: its identity, what it rests on, what it needs, and the function that judges.
//!
//! A check is data plus one async function; adding one is adding an entry to the table of the file
//! under `checks/` that bears the name of its spec section.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use serde::Serialize;
use thiserror::Error;

use crate::context::Context;

/// How strongly the thing checked is demanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The specification says MUST.
    Must,
    /// The specification says SHOULD.
    Should,
    /// The specification says MAY: what is offered has to work.
    May,
    /// Not in the specification: what real clients need, and quality.
    Observe,
}

impl Level {
    /// All levels, the strongest first.
    pub const ALL: [Self; 4] = [Self::Must, Self::Should, Self::May, Self::Observe];

    /// Returns the level's name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Should => "should",
            Self::May => "may",
            Self::Observe => "observe",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The target did what is demanded.
    Pass,
    /// The target did something else; also a known failure that passed.
    Fail,
    /// The check could not apply: a feature, a control or an option is missing.
    Skip,
    /// A prerequisite failed, so that this check could say nothing.
    Moot,
    /// The check failed, as the list of known failures says; or it is listed as one that fails sometimes.
    Known,
    /// The check itself could not be carried out.
    Error,
}

impl Outcome {
    /// All outcomes, in the order of the summary.
    pub const ALL: [Self; 6] = [Self::Pass, Self::Fail, Self::Skip, Self::Moot, Self::Known, Self::Error];

    /// Returns the outcome's name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
            Self::Moot => "moot",
            Self::Known => "known",
            Self::Error => "error",
        }
    }

    /// Says whether a run with such an outcome is red.
    pub fn is_red(self) -> bool {
        matches!(self, Self::Fail | Self::Error)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A part of a registry that the specification leaves optional; the run begins by looking for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// Tags can be deleted.
    TagDelete,
    /// Manifests can be deleted.
    ManifestDelete,
    /// Blobs can be deleted.
    BlobDelete,
    /// The referrers API answers.
    Referrers,
    /// Content can be addressed by sha512.
    Sha512,
    /// A manifest pushed by digest can be tagged with `?tag=`.
    TagParameter,
    /// `/v2/_catalog` answers.
    Catalog,
}

impl Feature {
    /// Returns what reports call the feature.
    pub fn name(self) -> &'static str {
        match self {
            Self::TagDelete => "tag deletion",
            Self::ManifestDelete => "manifest deletion",
            Self::BlobDelete => "blob deletion",
            Self::Referrers => "the referrers API",
            Self::Sha512 => "sha512",
            Self::TagParameter => "the tag parameter",
            Self::Catalog => "the catalog",
        }
    }
}

/// Something done to the target that HTTP cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Stop the registry and start it again on the same data.
    Restart,
    /// Run its garbage collection to the end.
    Gc,
    /// List the files of its store, or of the registry with this configuration.
    Files(Option<&'static str>),
    /// Give a registry with another configuration: the name says which.
    Configuration(&'static str),
}

/// Shows the words that the control command gets.
impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restart => f.write_str("restart"),
            Self::Gc => f.write_str("gc"),
            Self::Files(None) => f.write_str("files"),
            Self::Files(Some(name)) => write!(f, "files {name}"),
            Self::Configuration(name) => write!(f, "configuration {name}"),
        }
    }
}

/// What a check needs before it can run; without it, it is skipped with the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// An optional part of the registry.
    Feature(Feature),
    /// A control over it.
    Control(Control),
    /// A user name and a password.
    Credentials,
    /// Tokens: the registry's challenge asks for Bearer.
    Tokens,
    /// An account that may pull and not push.
    Reader,
    /// An account that may read nothing of what the suite pushes.
    Outsider,
    /// A second origin behind the proxy, under another name.
    SecondOrigin,
    /// `--heavy`.
    Heavy,
}

/// Shows what is missing and how it is given.
impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Feature(feature) => f.write_str(feature.name()),
            Self::Control(control) => write!(f, "control: {control}"),
            Self::Credentials => f.write_str("credentials: --username and --password"),
            Self::Tokens => f.write_str("a registry that asks for tokens"),
            Self::Reader => f.write_str("an account that may only pull: --reader"),
            Self::Outsider => f.write_str("an account that may not pull: --outsider"),
            Self::SecondOrigin => f.write_str("a second origin with a name: --origin ADDR=NS"),
            Self::Heavy => f.write_str("--heavy"),
        }
    }
}

/// Where the content that a check looks at may come from; the kind of run decides what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The check pushes, or must: only registries that take pushes can be judged.
    Pushed,
    /// The check pulls content of its own making, wherever that was put.
    Seeded,
    /// The check pulls any content, also that which a read-only run was told of.
    Any,
    /// The check needs an origin behind the target that it can spoil.
    Origin,
}

/// Why a check's function stopped without passing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Stop {
    /// The target did not do what is demanded.
    #[error("{0}")]
    Fail(String),
    /// The check does not apply to this target.
    #[error("{0}")]
    Skip(String),
    /// The preparation failed, so that nothing was judged.
    #[error("{0}")]
    Error(String),
}

/// What a check's function returns.
pub type Verdict = Result<(), Stop>;

/// The future of one running check.
pub type Running<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// A check's function.
pub type Run = for<'a> fn(&'a Context) -> Running<'a>;

/// Turns an `async fn(&Context) -> Verdict` into a [`Run`].
macro_rules! run {
    ($name:path) => {
        |ctx| Box::pin($name(ctx))
    };
}
pub(crate) use run;

/// One check.
#[derive(Clone, Copy)]
pub struct Check {
    /// `T-nnn` of the catalogue, or `R-nnn` where a requirement has no test there.
    pub id: &'static str,
    /// How strongly it is demanded.
    pub level: Level,
    /// Where it is demanded.
    pub anchor: &'static str,
    /// What is demanded, in our words.
    pub says: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// Which clients break without it.
    pub breaks: &'static str,
    /// The requirements that it covers.
    pub covers: &'static [&'static str],
    /// What it needs.
    pub needs: &'static [Need],
    /// The checks without which it can say nothing.
    pub after: &'static [&'static str],
    /// Where its content may come from.
    pub content: Content,
    /// Runs with nothing beside it.
    pub alone: bool,
    /// The function.
    pub run: Run,
}

impl Check {
    /// Makes a check that pushes what it looks at; the builder methods add the rest.
    pub const fn new(
        id: &'static str,
        level: Level,
        anchor: &'static str,
        says: &'static str,
        run: Run,
    ) -> Self {
        Self {
            id,
            level,
            anchor,
            says,
            why: "",
            breaks: "No client is known to depend on it.",
            covers: &[],
            needs: &[],
            after: &[],
            content: Content::Pushed,
            alone: false,
            run,
        }
    }

    /// Lets its content come from elsewhere than pushes to the target.
    pub const fn content(self, content: Content) -> Self {
        Self { content, ..self }
    }

    /// Sets why it matters.
    pub const fn why(self, why: &'static str) -> Self {
        Self { why, ..self }
    }

    /// Sets which clients break.
    pub const fn breaks(self, breaks: &'static str) -> Self {
        Self { breaks, ..self }
    }

    /// Sets the requirements covered.
    pub const fn covers(self, covers: &'static [&'static str]) -> Self {
        Self { covers, ..self }
    }

    /// Sets what it needs.
    pub const fn needs(self, needs: &'static [Need]) -> Self {
        Self { needs, ..self }
    }

    /// Sets the prerequisites.
    pub const fn after(self, after: &'static [&'static str]) -> Self {
        Self { after, ..self }
    }

    /// Lets nothing run beside it.
    pub const fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    /// Returns anchor and sentence, as reports show them.
    pub fn clause(&self) -> String {
        format!("{}: {}", self.anchor, self.says)
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("id", &self.id).field("level", &self.level).finish_non_exhaustive()
    }
}
