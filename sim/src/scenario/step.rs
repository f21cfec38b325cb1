//! The steps of a scenario.

use serde::{Deserialize, Serialize};

/// A step of a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Some clients pull every image, all at the same time.
    Pull {
        /// How many.
        clients: usize,
        /// What must come of it.
        #[serde(default)]
        expect: Expect,
        /// For how many milliseconds a client asks again for what it did not get.
        #[serde(default)]
        patience_ms: u64,
        /// Only images whose repository begins so.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        only: String,
    },
    /// One client begins with the largest layer of the first image and leaves; others pull meanwhile.
    Leave {
        /// After which share of the layer it leaves.
        percent: u8,
        /// How many others begin when the leaving one has its first byte.
        clients: usize,
    },
    /// One client begins with the largest layer of the first image; others pull everything from later on.
    Join {
        /// Which share of the layer it has when the others begin.
        percent: u8,
        /// How many others.
        clients: usize,
    },
    /// Some clients ask for the heads of everything.
    Heads {
        /// How many.
        clients: usize,
        /// What must come of it.
        #[serde(default)]
        expect: Expect,
    },
    /// Some clients ask for the largest layer of every image in open-ended parts side by side.
    Ranges {
        /// How many.
        clients: usize,
        /// In how many parts.
        parts: u64,
        /// What must come of it.
        #[serde(default)]
        expect: Expect,
    },
    /// One client asks, side by side, what each image is there for.
    Questions {
        /// What must come of it.
        #[serde(default)]
        expect: Expect,
        /// For how many milliseconds the client asks again for what it did not get.
        #[serde(default)]
        patience_ms: u64,
    },
    /// One client pushes an image under a name of its own while others pull; all of them pull that image
    /// then. The origin has another image under that name.
    Push {
        /// How many others.
        clients: usize,
    },
    /// A client asks for everything of the first image in the repository of the last one.
    Trespass,
    /// The tag of the first image is given to another one.
    MoveTag,
    /// Nobody asks for anything until the origin has been left alone for a moment: what the target still
    /// stores is stored.
    Rest,
    /// The origin refuses connections and cuts the open ones.
    StopOrigin,
    /// The origin accepts connections again.
    StartOrigin,
    /// The faults begin.
    Break,
    /// Every fault ends, and tokens are good for long.
    Heal,
}

/// What a step's pulls must come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// Success or an honest failure.
    #[default]
    Any,
    /// Success.
    Complete,
}

impl Step {
    /// Says whether what this client asks for in this step must come.
    #[must_use]
    pub fn must_succeed(&self, client: usize) -> bool {
        match self {
            Self::Pull { expect, .. }
            | Self::Heads { expect, .. }
            | Self::Ranges { expect, .. }
            | Self::Questions { expect, .. } => *expect == Expect::Complete,
            // All but the one that leaves, who is numbered last.
            Self::Leave { clients, .. } => client < *clients,
            Self::Join { .. } | Self::Push { .. } => true,
            _ => false,
        }
    }
}
