//! What was answered, when it was asked and answered, and what follows from it.
//!
//! Of two acts one came later if it was asked after the other was answered; else either may have been first.
//! What nobody was answered may have happened at any time since it was asked, or not at all.

use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

/// All that clients did and saw in one repository.
#[derive(Debug)]
pub(super) struct History {
    pub(super) repository: String,
    started: Instant,
    events: Mutex<Vec<Event>>,
}

/// What a client did or saw. What was refused is not written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    Push {
        digest: String,
        tag: Option<String>,
    },
    DeleteTag(String),
    /// The tags that point at it go with it.
    DeleteManifest(String),
    /// What a tag was seen to point at.
    SawTag {
        tag: String,
        digest: Option<String>,
    },
    /// Whether a list had a tag.
    SawList {
        tag: String,
        is_listed: bool,
    },
    /// Whether a manifest was there, asked for by its digest.
    SawManifest {
        digest: String,
        is_there: bool,
    },
}

#[derive(Clone)]
struct Event {
    act: Act,
    /// Which process was asked.
    replica: usize,
    begun: Instant,
    /// `None` when nobody was answered.
    ended: Option<Instant>,
    started: Instant,
}

impl History {
    /// Makes one of nothing.
    pub(super) fn new(repository: &str) -> Self {
        Self { repository: repository.to_owned(), started: Instant::now(), events: Mutex::default() }
    }

    /// Writes down what was asked of a process, and answered just now.
    pub(super) fn answered(&self, act: Act, replica: usize, begun: Instant) {
        self.note(act, replica, begun, Some(Instant::now()));
    }

    /// Writes down what was asked of a process and not answered.
    pub(super) fn unanswered(&self, act: Act, replica: usize, begun: Instant) {
        self.note(act, replica, begun, None);
    }

    fn note(&self, act: Act, replica: usize, begun: Instant, ended: Option<Instant>) {
        self.events().push(Event { act, replica, begun, ended, started: self.started });
    }

    /// Returns how many changes were accepted.
    pub(super) fn accepted(&self) -> usize {
        self.events().iter().filter(|event| event.is_change() && event.ended.is_some()).count()
    }

    /// Returns every tag that anybody pushed.
    pub(super) fn tags(&self) -> Vec<String> {
        let pushed = |event: &Event| match &event.act {
            Act::Push { tag, .. } => tag.clone(),
            _ => None,
        };
        let mut tags: Vec<String> = self.events().iter().filter_map(pushed).collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    }

    /// Fails if anything that was seen contradicts what was accepted.
    pub(super) fn judge(&self) {
        if let Some(contradiction) = self.contradiction() {
            panic!("{}: P13 is broken: {contradiction}", self.repository);
        }
    }

    fn contradiction(&self) -> Option<String> {
        let events = self.events().clone();
        for seen in &events {
            let right = match &seen.act {
                Act::SawTag { tag, digest: Some(digest) } => events.may_be(tag, digest, seen),
                Act::SawTag { tag, digest: None } => {
                    // Between the tag and its manifest the manifest may have gone.
                    events.may_be_absent(tag, seen) || events.iter().any(|other| other.deletes_beside(seen))
                }
                Act::SawList { tag, is_listed: true } => {
                    events.digests_of(tag).any(|digest| events.may_be(tag, digest, seen))
                }
                Act::SawList { tag, is_listed: false } => events.may_be_absent(tag, seen),
                Act::SawManifest { digest, is_there } => events.may_hold(digest, *is_there, seen),
                Act::Push { .. } | Act::DeleteTag(_) | Act::DeleteManifest(_) => true,
            };
            if !right {
                let mut about: Vec<Event> =
                    events.iter().filter(|other| other.begun <= seen.until()).cloned().collect();
                about.retain(|other| other.is_about(&seen.act));
                about.sort_by_key(|event| event.begun);
                return Some(format!("{seen:?} contradicts\n{about:#?}"));
            }
        }
        None
    }

    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap()
    }
}

/// What may have been the case when something was seen.
trait Record {
    fn digests_of<'a>(&'a self, tag: &'a str) -> impl Iterator<Item = &'a str>;
    fn may_be(&self, tag: &str, digest: &str, seen: &Event) -> bool;
    fn may_be_absent(&self, tag: &str, seen: &Event) -> bool;
    fn may_hold(&self, digest: &str, is_there: bool, seen: &Event) -> bool;
    fn is_overtaken(&self, change: &Event, seen: &Event, by: impl Fn(&Act) -> bool) -> bool;
}

impl Record for [Event] {
    /// Returns what was pushed with a tag.
    fn digests_of<'a>(&'a self, tag: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter_map(move |event| match &event.act {
            Act::Push { digest, tag: Some(pushed) } if pushed == tag => Some(digest.as_str()),
            _ => None,
        })
    }

    /// Says whether a tag may have pointed at a digest.
    fn may_be(&self, tag: &str, digest: &str, seen: &Event) -> bool {
        let takes = |act: &Act| match act {
            Act::Push { tag: Some(pushed), digest: other } => pushed == tag && other != digest,
            Act::DeleteTag(deleted) => deleted == tag,
            Act::DeleteManifest(deleted) => deleted == digest,
            _ => false,
        };
        let brings = |act: &Act| matches!(act, Act::Push { tag: Some(pushed), digest: it } if pushed == tag && it == digest);
        self.iter().any(|event| {
            brings(&event.act) && event.begun < seen.until() && !self.is_overtaken(event, seen, takes)
        })
    }

    /// Says whether there may have been no such tag.
    fn may_be_absent(&self, tag: &str, seen: &Event) -> bool {
        let brings = |act: &Act| matches!(act, Act::Push { tag: Some(pushed), .. } if pushed == tag);
        let never = !self.iter().any(|event| brings(&event.act) && event.is_before(seen));
        let mut deletes = self.iter().filter(|event| {
            event.begun < seen.until()
                && match &event.act {
                    Act::DeleteTag(deleted) => deleted == tag,
                    Act::DeleteManifest(deleted) => self.may_be(tag, deleted, event),
                    _ => false,
                }
        });
        never || deletes.any(|delete| !self.is_overtaken(delete, seen, brings))
    }

    /// Says whether a manifest may have been there, or absent.
    fn may_hold(&self, digest: &str, is_there: bool, seen: &Event) -> bool {
        let brings = |act: &Act| matches!(act, Act::Push { digest: pushed, .. } if pushed == digest);
        let takes = |act: &Act| matches!(act, Act::DeleteManifest(deleted) if deleted == digest);
        let may_follow = |what: &dyn Fn(&Act) -> bool, then: &dyn Fn(&Act) -> bool| {
            self.iter().any(|event| {
                what(&event.act) && event.begun < seen.until() && !self.is_overtaken(event, seen, then)
            })
        };
        if is_there {
            return may_follow(&brings, &takes);
        }
        let never = !self.iter().any(|event| brings(&event.act) && event.is_before(seen));
        never || may_follow(&takes, &brings)
    }

    /// Says whether a change was surely followed by one of these, before something was seen.
    fn is_overtaken(&self, change: &Event, seen: &Event, by: impl Fn(&Act) -> bool) -> bool {
        self.iter().any(|other| by(&other.act) && change.is_before(other) && other.is_before(seen))
    }
}

impl Event {
    /// Says whether this was over when the other one began.
    fn is_before(&self, other: &Self) -> bool {
        self.ended.is_some_and(|ended| ended < other.begun)
    }

    /// Returns until when it may have happened.
    fn until(&self) -> Instant {
        self.ended.unwrap_or_else(Instant::now)
    }

    fn deletes_beside(&self, seen: &Self) -> bool {
        matches!(self.act, Act::DeleteManifest(_)) && self.begun < seen.until() && !self.is_before(seen)
    }

    fn is_change(&self) -> bool {
        matches!(self.act, Act::Push { .. } | Act::DeleteTag(_) | Act::DeleteManifest(_))
    }

    fn is_about(&self, seen: &Act) -> bool {
        let of_tag = |tag: &str| match &self.act {
            Act::Push { tag: pushed, .. } => pushed.as_deref() == Some(tag),
            Act::SawTag { tag: other, .. } | Act::SawList { tag: other, .. } | Act::DeleteTag(other) => {
                other == tag
            }
            Act::DeleteManifest(_) => true,
            Act::SawManifest { .. } => false,
        };
        match seen {
            Act::SawTag { tag, .. } | Act::SawList { tag, .. } => of_tag(tag),
            Act::SawManifest { digest, .. } => format!("{:?}", self.act).contains(digest),
            _ => false,
        }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |when: Instant| when.duration_since(self.started).as_secs_f64();
        let ended = self.ended.map_or("?".to_owned(), |ended| format!("{:.4}", at(ended)));
        write!(f, "{:.4}..{ended} replica {}: {:?}", at(self.begun), self.replica, self.act)
    }
}

#[test]
fn a_history_tells_right_from_wrong() {
    let check = |changes: &[(Act, u64, Option<u64>)], seen: Act, is_right: bool| {
        let (history, start) = (History::new("a"), Instant::now());
        let at = |millis: u64| start + std::time::Duration::from_millis(millis);
        for (act, begun, ended) in changes {
            history.note(act.clone(), 0, at(*begun), ended.map(at));
        }
        history.note(seen.clone(), 1, at(100), Some(at(110)));
        assert_eq!(history.contradiction().is_none(), is_right, "{seen:?} after {changes:?}");
    };
    let push = |digest: &str| Act::Push { digest: digest.to_owned(), tag: Some("t".to_owned()) };
    let delete = Act::DeleteTag("t".to_owned());
    let purge = |digest: &str| Act::DeleteManifest(digest.to_owned());
    let saw = |digest: Option<&str>| Act::SawTag { tag: "t".to_owned(), digest: digest.map(str::to_owned) };
    let listed = |is_listed| Act::SawList { tag: "t".to_owned(), is_listed };
    let held = |is_there| Act::SawManifest { digest: "x".to_owned(), is_there };
    // A later push wins; of two at once either.
    check(&[(push("x"), 1, Some(2)), (push("y"), 3, Some(4))], saw(Some("x")), false);
    check(&[(push("x"), 1, Some(3)), (push("y"), 2, Some(4))], saw(Some("x")), true);
    check(&[(push("x"), 1, None), (push("y"), 3, Some(4))], saw(Some("x")), true);
    check(&[(push("x"), 1, Some(2))], saw(Some("y")), false);
    check(&[(push("x"), 1, Some(2)), (push("y"), 105, Some(120))], saw(Some("y")), true);
    // A push that nobody deleted is there, and a delete that no push followed holds.
    check(&[(push("x"), 1, Some(2))], saw(None), false);
    check(&[(push("x"), 1, None)], saw(None), true);
    check(&[(push("x"), 1, Some(2))], listed(false), false);
    check(&[(push("x"), 1, Some(2)), (delete.clone(), 3, Some(4))], saw(Some("x")), false);
    check(&[(push("x"), 1, Some(2)), (delete.clone(), 3, Some(4))], listed(true), false);
    check(&[(push("x"), 1, Some(3)), (delete.clone(), 2, Some(4))], listed(true), true);
    check(&[(delete.clone(), 1, Some(2)), (push("x"), 3, Some(4))], saw(None), false);
    check(&[(delete, 1, None), (push("x"), 3, Some(4))], saw(None), true);
    // A tag goes with its manifest, and with no other.
    check(&[(push("x"), 1, Some(2)), (purge("x"), 3, Some(4))], listed(false), true);
    check(&[(push("x"), 1, Some(2)), (purge("x"), 3, Some(4))], listed(true), false);
    check(
        &[(push("x"), 1, Some(2)), (push("y"), 3, Some(4)), (purge("x"), 5, Some(6))],
        listed(false),
        false,
    );
    check(&[(push("x"), 1, Some(2)), (purge("x"), 3, Some(4))], held(true), false);
    check(&[(purge("x"), 1, Some(2)), (push("x"), 3, Some(4))], held(false), false);
    check(&[(push("x"), 1, Some(3)), (purge("x"), 2, Some(4))], held(false), true);
}
