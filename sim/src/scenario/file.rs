//! Scenarios: what the origin holds, what goes wrong, what clients do, and what must be true afterwards.
//!
//! A scenario is a readable JSON file. Those of `fixtures/scenarios/` are built in, so that the binary works
//! alone; a path to any other file works as well. A [`Plan`] is a scenario with its seed and every random
//! position decided, and runs the same way again.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Guarded, Step, built_in::BUILT_IN, matrix};
use crate::{
    digest::Algorithm,
    fault::Rule,
    origin::{ImageSpec, Origin, SeededImage},
    rng::Rng,
    stand::Needs,
    traffic::{Login, Question},
    validate::Validator,
};

/// A named experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name: lowercase words with hyphens.
    pub name: String,
    /// What it shows, in a sentence.
    pub about: String,
    /// What a target must be configured with to be judged at all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub needs: Needs,
    /// Whom the origin asks who he is; without it, nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Guarded>,
    /// Whether clients show the target who they are.
    #[serde(default, skip_serializing_if = "is_default")]
    pub login: Login,
    /// What the origin holds.
    pub images: Vec<Image>,
    /// What goes wrong: from a `break` step, or else from the first, until a `heal` step.
    #[serde(default)]
    pub faults: Vec<Rule>,
    /// What happens, one step after the other.
    pub traffic: Vec<Step>,
    /// Who judges it.
    pub validators: Vec<Validator>,
}

/// An image of a scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Its repository. A run adds a suffix of its own, so that the target cannot have it cached.
    pub repository: String,
    /// Its tag.
    pub tag: String,
    /// The sizes of its layers, in bytes.
    pub layers: Vec<usize>,
    /// The algorithm of its digests.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// What a `questions` step asks about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Question>,
}

/// A scenario that is ready to run: no position is random any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What everything else was made from: layer bytes, positions, probabilities.
    pub seed: u64,
    /// The scenario.
    pub scenario: Scenario,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Says why there is no such scenario or plan.
#[derive(Debug, Error)]
pub enum ScenarioError {
    /// No built-in scenario has this name, and it is no path.
    #[error("no scenario is named {0}; `sim list` shows them, a path to a .json file works too")]
    Unknown(String),
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{path} is not valid")]
    Parse {
        /// The file.
        path: String,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
}

impl Scenario {
    /// Returns the built-in scenarios: those of the files, and those of the matrix.
    #[must_use]
    pub fn built_in() -> Vec<Self> {
        let parse = |text: &&str| serde_json::from_str(text).expect("a test reads every built-in scenario");
        BUILT_IN.iter().map(parse).chain(matrix::scenarios()).collect()
    }

    /// Returns the built-in scenarios of this name or family, or reads the file if it is a path to a `.json`
    /// file.
    ///
    /// *Errors*: [`ScenarioError::Unknown`]; [`ScenarioError::Read`] and [`ScenarioError::Parse`] for a path.
    pub fn all_named(name: &str) -> Result<Vec<Self>, ScenarioError> {
        if Self::is_path(name) {
            return Ok(vec![read(name)?]);
        }
        let found: Vec<_> =
            Self::built_in().into_iter().filter(|it| it.name == name || it.family() == Some(name)).collect();
        if found.is_empty() { Err(ScenarioError::Unknown(name.to_owned())) } else { Ok(found) }
    }

    /// Returns the one scenario of this name, or the first of this family.
    ///
    /// *Errors*: as [`Scenario::all_named`].
    pub fn named(name: &str) -> Result<Self, ScenarioError> {
        Ok(Self::all_named(name)?.swap_remove(0))
    }

    /// Returns the name of the family that this scenario was made with: what stands before a slash.
    #[must_use]
    pub fn family(&self) -> Option<&str> {
        self.name.split_once('/').map(|(family, _)| family)
    }

    /// Returns what a step asks about each image, by the repository that a run has given it.
    #[must_use]
    pub fn questions(&self, seeded: &[SeededImage]) -> Vec<(String, Question)> {
        let asked = self.images.iter().zip(seeded);
        asked.filter_map(|(image, seeded)| Some((seeded.repository.clone(), image.question?))).collect()
    }

    /// Says whether a name is taken as a path to a file.
    #[must_use]
    pub fn is_path(name: &str) -> bool {
        Path::new(name).extension().is_some_and(|it| it == "json")
    }

    /// Puts the images into an origin. `suffix` is appended to each repository's name, and together with
    /// the seed decides the layers' bytes.
    #[must_use]
    pub fn seed(&self, origin: &Origin, seed: u64, suffix: &str) -> Vec<SeededImage> {
        let bytes_seed = self.bytes_seed(seed, suffix);
        let put = |image: &Image| {
            let spec = ImageSpec {
                layers: image.layers.clone(),
                seed: bytes_seed,
                algorithm: image.algorithm,
                ..ImageSpec::default()
            };
            origin.seed_image(&format!("{}{suffix}", image.repository), &image.tag, &spec)
        };
        self.images.iter().map(put).collect()
    }

    /// Returns what the bytes of a run's layers are made from.
    #[must_use]
    pub fn bytes_seed(&self, seed: u64, suffix: &str) -> u64 {
        Rng::labelled(seed, &format!("{} {suffix}", self.name)).next_u64()
    }
}

impl Plan {
    /// Decides every random position of a scenario.
    #[must_use]
    pub fn new(scenario: Scenario, seed: u64) -> Self {
        let mut rng = Rng::labelled(seed, &scenario.name);
        let decide = |rule: Rule| Rule { on: rule.on, fault: rule.fault.resolved(&mut rng) };
        let faults = scenario.faults.into_iter().map(decide).collect();
        Self { seed, scenario: Scenario { faults, ..scenario } }
    }

    /// Reads a plan that a run has written.
    ///
    /// *Errors*: [`ScenarioError::Read`], [`ScenarioError::Parse`].
    pub fn read(path: &str) -> Result<Self, ScenarioError> {
        read(path)
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &str) -> Result<T, ScenarioError> {
    let text =
        fs::read_to_string(path).map_err(|source| ScenarioError::Read { path: path.to_owned(), source })?;
    serde_json::from_str(&text).map_err(|source| ScenarioError::Parse { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::fault::{At, Fault};

    #[test]
    fn built_in_scenarios_read_and_differ() {
        let scenarios = Scenario::built_in();
        let names: HashSet<&str> = scenarios.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names.len(), scenarios.len(), "two have one name");
        for scenario in &scenarios {
            assert!(!scenario.images.is_empty() && !scenario.validators.is_empty(), "{}", scenario.name);
            assert!(!scenario.traffic.is_empty() && !scenario.about.is_empty(), "{}", scenario.name);
        }
    }

    #[test]
    fn every_file_is_built_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/scenarios");
        let scenarios = Scenario::built_in().into_iter().filter(|it| it.family().is_none());
        let names: HashSet<String> = scenarios.map(|it| format!("{}.json", it.name)).collect();
        let files = fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
        for file in files.filter(|it| Scenario::is_path(it)) {
            assert!(names.contains(&file), "{file} is not built in, or its name inside differs");
        }
    }

    #[test]
    fn a_plan_has_nothing_left_to_chance_and_survives_writing() {
        for scenario in Scenario::built_in() {
            let plan = Plan::new(scenario.clone(), 5);
            assert_eq!(plan, Plan::new(scenario, 5));
            let text = serde_json::to_string(&plan).unwrap();
            assert!(!text.contains("\"random\""), "{text}");
            assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
        }
        let truncated = Scenario::named("truncated-blob").unwrap();
        let positions: HashSet<String> =
            (0..20).map(|seed| format!("{:?}", Plan::new(truncated.clone(), seed).scenario.faults)).collect();
        assert!(positions.len() > 5, "seeds choose different positions: {positions:?}");
        assert!(truncated.faults.iter().any(|it| it.fault == Fault::Truncate { at: At::Random }));
    }

    #[test]
    fn unknown_names_say_so() {
        assert!(matches!(Scenario::named("nothing"), Err(ScenarioError::Unknown(_))));
        assert!(matches!(Scenario::named("nothing.json"), Err(ScenarioError::Read { .. })));
    }
}
