//! Goal: pull-through keeps its promises in front of an upstream that is slow, wrong or away.
//!
//! Method: a registry in this process, `sim`'s origin or a scripted one over real sockets, and
//! where a body is cut or streamed, the real listener. Everything of a test is in one
//! current-thread runtime, so that a paused clock is exact.
//!
//! | module | what it holds |
//! |---|---|
//! | `adopt` | pushes that build on what an upstream has |
//! | `bench` | an origin, the registry in front of it, its listener |
//! | `scripted` | an origin that says what a test wants, byte for byte |
//! | `pull` | cold and warm pulls: what is asked of the upstream, and what is not |
//! | `stream` | one fetch for many, first bytes, leavers, ranges |
//! | `wrong_blobs` | wrong bytes of a blob |
//! | `wrong_manifests` | wrong manifests and wrong words about them |
//! | `outage` | an upstream that is away or stands still |
//! | `replaced` | other upstreams in the place of those that were |
//! | `retries` | how often and when an upstream that fails is asked again |
//! | `resume` | bodies that break off, and go on |
//! | `policies` | what is remembered, kept and followed of an upstream's answers |
//! | `lists` | tags and referrers |
//! | `statuses` | what the client is told of each upstream failure |
//! | `routing` | which upstream, if any, is asked |
//! | `accounts` | upstreams that ask who is there |
//! | `cold` | ranges of blobs that are not here |
//! | `parked` | fetches that go on after a restart |
//! | `full` | disks that have no room |
//! | `locked` | disks that cannot be written for a while |
//! | `bounds` | what is cached goes when there is too much |
//! | `purge` | what is cached goes when somebody wants it |
//! | `stores` | stores of their own |
//! | `mirror` | what is fetched before anybody asks, and only what is signed |
//! | `names` | canonical names, and the right to have an upstream asked |
//! | `tokens` | accounts that are temporary tokens |
//! | `redirects` | upstreams that send us elsewhere |
//! | `overlay` | names that are hosted, and an upstream's as well |
//! | `hostile` | what a hostile reading has proven wrong |
//! | `sharing` | one blob in several repositories of an upstream |
//! | `secrets` | what an upstream gets to see |

mod accounts;
mod adopt;
pub(crate) mod bench;
mod bounds;
mod cold;
mod full;
mod hostile;
mod lists;
mod locked;
mod mirror;
mod names;
mod outage;
mod overlay;
mod parked;
mod policies;
mod pull;
mod purge;
mod redirects;
mod replaced;
mod resume;
mod retries;
mod routing;
mod scripted;
mod secrets;
mod sharing;
mod statuses;
mod stores;
mod stream;
mod tokens;
mod wrong_blobs;
mod wrong_manifests;
