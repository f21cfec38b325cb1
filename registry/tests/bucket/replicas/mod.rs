//! Goal: processes that share a store are one registry to their clients (P13): whatever one of them has
//! accepted is there through all of them, and stays, whatever they do at the same time, and when one is killed.
//!
//! *Method*: two or three of the program, over one folder and over one bucket of moto. Clients go from one to
//! another with each request; what they were answered is written down with when it was asked and answered, and
//! everything that any of them sees later is held against that. A seed decides what clients do, and not how
//! the machine schedules them, so a failure may need some runs of its command to come back.
//!
//! | module | what it holds |
//! |---|---|
//! | `trial` | seeds, and a test for each place |
//! | `fleet` | the processes, and how they are asked |
//! | `image` | what is pushed |
//! | `client` | a client that goes from one process to another |
//! | `history` | what was answered, and what follows from it |
//! | `audit` | all that each process says in the end |
//! | `pushes` | pushes and deletes, at once |
//! | `duels` | a push, and the delete of what it needs |
//! | `garbage` | garbage collection in each process, beside pushes |
//! | `fills` | pulls through all of them from one upstream |
//! | `uploads` | one upload in several processes |
//! | `killed` | a process that is killed in the middle |

mod audit;
mod client;
mod duels;
mod fills;
mod fleet;
mod garbage;
mod history;
mod image;
mod killed;
mod pushes;
mod trial;
mod uploads;
