//! Scenarios: readable experiments, built in or read from a file, and the plans that a run makes of them.
//!
//! | module | says |
//! |---|---|
//! | `file` | what a scenario's file holds ([`Scenario`], [`Image`]), and its [`Plan`] |
//! | `access` | whom its origin asks who he is ([`Guarded`]) |
//! | `step` | what happens in it ([`Step`], [`Expect`]) |
//! | `built_in` | the files that the binary carries |
//! | `matrix` | the family that is made: every fault, cold and warm, for every question |

mod access;
mod built_in;
mod file;
mod matrix;
mod step;

pub use self::{
    access::{By, Guarded},
    file::{Image, Plan, Scenario, ScenarioError},
    step::{Expect, Step},
};
