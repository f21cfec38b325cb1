//! The proof that somebody may do something to one repository.
//!
//! Every method of a repository takes a [`Grant`] and the repository's name from it, so that
//! neither forgetting to authorise nor authorising another name compiles. A grant must therefore
//! never be made of anything but a decision of the policy.

use std::fmt;

use crate::oci::{Reference, RepositoryName, Tag};

use super::error::Refusal;
use super::identity::Identity;
use super::options::Action;
use super::policy::{Decision, Policy};

/// A right to one repository, held by somebody.
///
/// Only the policy mints one, except for [`Grant::system`]. It does not compile to make one up:
///
/// ```compile_fail,E0451
/// use wharfinger::auth::{Grant, Pull};
///
/// fn forge(grant: Grant<Pull>) -> Grant<Pull> {
///     Grant { ..grant }
/// }
/// ```
///
/// nor to use a right as another:
///
/// ```compile_fail,E0308
/// use wharfinger::auth::{Delete, Grant, Pull};
///
/// fn escalate(grant: Grant<Pull>) -> Grant<Delete> {
///     grant
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant<R: Right> {
    name: RepositoryName,
    holder: Holder,
    /// What decided; nothing did about the registry itself.
    policy: Option<Policy>,
    extent: R::Extent,
}

/// A kind of right: [`Pull`], [`Push`] or [`Delete`], and no other.
pub trait Right: sealed::Right {}

/// The right to read content, tags and referrers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {}

/// The right to add content and tags.
///
/// It takes the action `create`. Whether tags that are there may be moved is its
/// [`overwrite`](Grant::overwrite), and takes `update` as well. `update` alone gives no right to
/// push: nothing could be uploaded with it, and a grant of it would let its holder make new tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push {}

/// The right to delete content and tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delete {}

/// Whether a push may move a tag that is there to another manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// It may.
    Allowed,
    /// It may not: the tags of the repository are immutable to the holder.
    Refused,
}

/// Who holds a grant.
///
/// It is shown as the account's name, as `anonymous`, or as `system (<reason>)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// Whoever sent a request.
    Client(Identity),
    /// The registry itself, for the reason named.
    System(&'static str),
}

impl<R: Right> Grant<R> {
    /// Makes the grant that a decision of the policy has allowed.
    pub(super) fn mint(name: RepositoryName, identity: Identity, extent: R::Extent, policy: Policy) -> Self {
        Self { name, holder: Holder::Client(identity), policy: Some(policy), extent }
    }

    /// Makes a grant to the registry itself, for work in the background.
    ///
    /// It asks no policy, so only `server.rs`, which wires such work, and tests may call it; the
    /// tidy task fails on any other caller.
    pub fn system(name: RepositoryName, reason: &'static str) -> Self {
        Self { name, holder: Holder::System(reason), policy: None, extent: R::FULL }
    }

    /// Returns the holder's same right to this repository by another name, which a token need not name.
    pub fn also(&self, name: &RepositoryName) -> Option<Self> {
        match (&self.policy, &self.holder) {
            (Some(policy), Holder::Client(identity)) => policy.grant(&identity.unrestricted(), name),
            _ => Some(Self { name: name.clone(), ..self.clone() }),
        }
    }

    /// Returns the holder's right to read this repository by another name, which a token need not name.
    pub fn reading(&self, name: &RepositoryName) -> Option<Grant<Pull>> {
        match (&self.policy, &self.holder) {
            (Some(policy), Holder::Client(identity)) => policy.grant(&identity.unrestricted(), name),
            (_, holder) => {
                let (name, holder) = (name.clone(), holder.clone());
                Some(Grant { name, holder, policy: None, extent: () })
            }
        }
    }

    /// Returns the repository's name.
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }

    /// Returns how the holder is refused to have an upstream asked.
    pub fn fetch_refusal(&self) -> Refusal {
        match (&self.policy, &self.holder) {
            (Some(policy), Holder::Client(identity)) => {
                policy.refuse_action(identity, &self.name, Action::Fetch)
            }
            _ => Refusal::Denied,
        }
    }

    /// Returns who holds the grant, for logs.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }
}

impl Grant<Pull> {
    /// Says whether the holder may push to the repository as well.
    pub fn may_push(&self) -> bool {
        match (&self.policy, &self.holder) {
            (Some(policy), Holder::Client(identity)) => {
                policy.decide(identity, &self.name, Action::Create) == Decision::Allowed
            }
            _ => true,
        }
    }

    /// Says whether the holder may have an upstream asked for the repository, where that takes a right of its
    /// own.
    pub fn may_fetch(&self) -> bool {
        match (&self.policy, &self.holder) {
            (Some(policy), Holder::Client(identity)) => {
                policy.decide(identity, &self.name, Action::Fetch) == Decision::Allowed
            }
            _ => true,
        }
    }
}

impl Grant<Delete> {
    /// Says whether the holder is not to delete by digest what several tags name.
    pub fn detects_collisions(&self) -> bool {
        let (Some(policy), Holder::Client(identity)) = (&self.policy, &self.holder) else { return false };
        policy.is_to_detect_collisions(identity, &self.name)
    }

    /// Says whether the right depends on which tags are deleted.
    pub fn depends_on_tags(&self) -> bool {
        self.policy.as_ref().is_some_and(Policy::has_conditions)
    }

    /// Tells how the holder is refused to delete a tag, as what goes with a manifest does; `None` when he may.
    pub fn refusal_of(&self, tag: &Tag) -> Option<Refusal> {
        let (Some(policy), Holder::Client(identity)) = (&self.policy, &self.holder) else { return None };
        let circumstances = identity.circumstances()?.about(Reference::Tag(tag.clone()));
        let identity = identity.clone().under(circumstances);
        let may = policy.decide(&identity, &self.name, Action::Delete) == Decision::Allowed;
        (!may).then(|| policy.refuse_action(&identity, &self.name, Action::Delete))
    }
}

impl Grant<Push> {
    /// Tells whether tags that are there may be moved.
    pub fn overwrite(&self) -> Overwrite {
        self.extent
    }
}

impl Holder {
    /// Returns a text that no other holder has, for what belongs to one of them.
    ///
    /// An account may be called anything, also `anonymous`, so the kinds are told apart first.
    pub fn key(&self) -> String {
        match self {
            Self::Client(identity) => match identity.account() {
                Some(user) => format!("account {user}"),
                None => "anonymous".to_owned(),
            },
            Self::System(reason) => format!("system {reason}"),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(identity) => identity.fmt(f),
            Self::System(reason) => write!(f, "system ({reason})"),
        }
    }
}

impl Right for Pull {}

impl sealed::Right for Pull {
    type Extent = ();
    const FULL: Self::Extent = ();

    fn extent(may: impl Fn(Action) -> bool) -> Option<Self::Extent> {
        may(Action::Read).then_some(())
    }
}

impl Right for Push {}

impl sealed::Right for Push {
    type Extent = Overwrite;
    const FULL: Self::Extent = Overwrite::Allowed;

    fn extent(may: impl Fn(Action) -> bool) -> Option<Self::Extent> {
        may(Action::Create).then(|| if may(Action::Update) { Overwrite::Allowed } else { Overwrite::Refused })
    }
}

impl Right for Delete {}

impl sealed::Right for Delete {
    type Extent = ();
    const FULL: Self::Extent = ();

    fn extent(may: impl Fn(Action) -> bool) -> Option<Self::Extent> {
        may(Action::Delete).then_some(())
    }
}

/// What no other crate may implement, and no other layer call.
mod sealed {
    use std::fmt::Debug;

    use super::Action;

    /// A right, as the policy sees it.
    pub trait Right: Debug + Clone + PartialEq + Send + Sync + 'static {
        /// How far a grant of it goes.
        type Extent: Debug + Clone + PartialEq + Eq + Send + Sync + 'static;

        /// The extent without any restriction.
        const FULL: Self::Extent;

        /// Tells how far a grant goes to somebody who may do these actions; `None` refuses it.
        fn extent(may: impl Fn(Action) -> bool) -> Option<Self::Extent>;
    }
}

#[cfg(test)]
mod tests {
    //! Goal: each right takes exactly its actions. Method: every set of actions against a table
    //! written by hand.

    use super::*;
    use crate::auth::Account;

    const ACTIONS: [Action; 4] = [Action::Read, Action::Create, Action::Update, Action::Delete];

    #[test]
    fn each_right_takes_its_actions() {
        for bits in 0..16_u8 {
            let may = |action: Action| ACTIONS.iter().position(|each| *each == action).unwrap();
            let may = |action: Action| bits & (1 << may(action)) != 0;
            let [read, create, update, delete] = ACTIONS.map(may);
            assert_eq!(<Pull as sealed::Right>::extent(may).is_some(), read);
            assert_eq!(<Delete as sealed::Right>::extent(may).is_some(), delete);
            let push = match (create, update) {
                (false, _) => None,
                (true, false) => Some(Overwrite::Refused),
                (true, true) => Some(Overwrite::Allowed),
            };
            assert_eq!(<Push as sealed::Right>::extent(may), push);
        }
    }

    #[test]
    fn holders_have_keys_of_their_own() {
        let account = |name: &str| Holder::Client(Identity::of(Account::new(name, Vec::new())));
        let holders = [
            Holder::Client(Identity::ANONYMOUS),
            account("anonymous"),
            account("system x"),
            account("account x"),
            account("x"),
            Holder::System("x"),
        ];
        let keys: std::collections::BTreeSet<String> = holders.iter().map(Holder::key).collect();
        assert_eq!(keys.len(), holders.len(), "{keys:?}");
    }

    #[test]
    fn a_system_grant_is_whole_and_names_its_reason() {
        let name = RepositoryName::parse("team/app").unwrap();
        let grant = Grant::<Push>::system(name.clone(), "mirror");
        assert_eq!((grant.name(), grant.overwrite()), (&name, Overwrite::Allowed));
        assert_eq!(grant.holder().to_string(), "system (mirror)");
    }
}
