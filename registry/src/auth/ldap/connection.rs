//! One connection to a directory, and what is asked over it.

use std::time::Duration;

use ldap3::{
    DerefAliases, Ldap, LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, SearchOptions,
    StdStream,
};
use tokio::task::AbortHandle;

use super::error::{DirectoryError, Step, Trouble};
use super::groups;
use super::wire::{Passing, Wire};
use crate::auth::options::ldap::{AccountSource, BindAccount, Depth, LdapOptions};

/// The result of an operation that succeeded.
const SUCCESS: u32 = 0;
/// The result of a search that found more than it was to return.
const SIZE_LIMIT_EXCEEDED: u32 = 4;

/// What the client library is told of where it is connected: to one end of a pair of sockets.
const PAIR: &str = "ldapi://pair";

/// More entries than these are not taken from a directory: one is enough, and two are too many.
const ENTRIES_MAX: u8 = 2;

/// What makes connections.
pub(super) struct Connector {
    wire: Wire,
    account: Option<BindAccount>,
    base_dn: String,
    scope: Scope,
    user_attribute: String,
    group_attribute: Option<String>,
    timeout: Duration,
}

/// A connection. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Connection {
    ldap: Ldap,
    driver: AbortHandle,
    passing: Passing,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hits {
    None,
    One { dn: String, names: Vec<String>, groups: Vec<String> },
    Several,
}

impl Connector {
    /// Makes it of options; it reads files, for which it blocks.
    pub(super) fn new(options: &LdapOptions) -> Result<Self, DirectoryError> {
        Ok(Self {
            wire: Wire::new(options)?,
            account: match &options.account {
                AccountSource::Anonymous => None,
                AccountSource::File(path) => Some(BindAccount::read(path)?),
                AccountSource::Written(account) => Some(account.clone()),
            },
            base_dn: options.base_dn.clone(),
            scope: match options.depth {
                Depth::OneLevel => Scope::OneLevel,
                Depth::Subtree => Scope::Subtree,
            },
            user_attribute: options.user_attribute.clone(),
            group_attribute: options.group_attribute.clone(),
            timeout: options.timeout,
        })
    }

    /// Opens a connection on which nobody is logged in.
    pub(super) async fn connect(&self) -> Result<Connection, Trouble> {
        let (theirs, passing) = self.within(Step::Connection, self.wire.connect()).await??;
        let settings = LdapConnSettings::new().set_std_stream(StdStream::Unix(theirs));
        // Nothing is waited for: the other end of the pair is here.
        let made = LdapConnAsync::with_settings(settings, PAIR).await;
        let (driver, ldap) = made.map_err(lost(Step::Connection))?;
        // How it ends is seen by whoever asks over it.
        let driver = tokio::spawn(async move { drop(driver.drive().await) }).abort_handle();
        Ok(Connection { ldap, driver, passing })
    }

    /// Opens a connection on which the account that searches is logged in.
    pub(super) async fn connect_to_search(&self) -> Result<Connection, Trouble> {
        let mut connection = self.connect().await?;
        if let Some(account) = &self.account {
            let code = self.bind(&mut connection, &account.dn, &account.password).await?;
            if code != SUCCESS {
                return Err(Trouble::Account { code });
            }
        }
        Ok(connection)
    }

    /// Logs somebody in, and returns the result.
    ///
    /// The password must not be empty: the directory would let anybody in, as nobody (RFC 4513
    /// section 5.1.2).
    pub(super) async fn bind(
        &self,
        connection: &mut Connection,
        dn: &str,
        password: &str,
    ) -> Result<u32, Trouble> {
        debug_assert!(!password.is_empty() && !dn.is_empty());
        let bound = self.within(Step::Bind, connection.ldap.simple_bind(dn, password)).await?;
        Ok(bound.map_err(lost(Step::Bind))?.rc)
    }

    /// Searches below the base for the entries that pass a filter.
    pub(super) async fn search(&self, connection: &mut Connection, filter: &str) -> Result<Hits, Trouble> {
        let found = self.within(Step::Search, self.entries(connection, filter)).await?;
        let (hits, code) = found.map_err(lost(Step::Search))?;
        match code {
            SUCCESS => Ok(hits),
            SIZE_LIMIT_EXCEEDED if hits == Hits::Several => Ok(hits),
            code => Err(Trouble::Search { code }),
        }
    }

    async fn entries(&self, connection: &mut Connection, filter: &str) -> Result<(Hits, u32), LdapError> {
        let seconds = i32::try_from(self.timeout.as_secs()).unwrap_or(i32::MAX).max(1);
        let options =
            SearchOptions::new().deref(DerefAliases::Never).sizelimit(ENTRIES_MAX.into()).timelimit(seconds);
        let ldap = connection.ldap.with_search_options(options);
        let mut attributes = vec![self.user_attribute.as_str()];
        attributes.extend(self.group_attribute.as_deref().filter(|group| !attributes.contains(group)));
        let mut found = ldap.streaming_search(&self.base_dn, self.scope, filter, attributes).await?;
        let mut hits = Hits::None;
        // Bounded by the step's timeout, and nothing is kept of what is beyond the second entry.
        while let Some(entry) = found.next().await? {
            // What stands in another directory is none of this one's users.
            if entry.is_ref() || entry.is_intermediate() {
                continue;
            }
            hits = match hits {
                Hits::None => self.hit(SearchEntry::construct(entry)),
                Hits::One { .. } | Hits::Several => Hits::Several,
            };
        }
        Ok((hits, found.finish().await.rc))
    }

    /// Takes the names and the groups from an entry. One without a distinguished name can log nobody in: the
    /// directory would take the bind for an anonymous one.
    fn hit(&self, entry: SearchEntry) -> Hits {
        if entry.dn.is_empty() {
            return Hits::None;
        }
        // A directory writes an attribute's name as it likes.
        let values_of = |is_it: &dyn Fn(&str) -> bool| {
            let values = entry.attrs.iter().filter(|(name, _)| is_it(name));
            values.flat_map(|(_, values)| values.clone()).collect::<Vec<_>>()
        };
        let group =
            |name: &str| self.group_attribute.as_deref().is_some_and(|it| name.eq_ignore_ascii_case(it));
        // A search finds values with options too, such as those of a language.
        let kind = |name: &str| name.split(';').next().unwrap_or_default().to_ascii_lowercase();
        let names = values_of(&|name| kind(name) == kind(&self.user_attribute));
        Hits::One { names, groups: groups::of_values(values_of(&group)), dn: entry.dn }
    }

    async fn within<T>(&self, step: Step, work: impl Future<Output = T>) -> Result<T, Trouble> {
        let done = tokio::time::timeout(self.timeout, work).await;
        done.map_err(|_| Trouble::Timeout { step, after: self.timeout })
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("base_dn", &self.base_dn).finish_non_exhaustive()
    }
}

/// Says what an error of the client library's is in a step. Its own text is left out: it may quote the directory.
fn lost(step: Step) -> impl Fn(LdapError) -> Trouble {
    move |_| Trouble::Lost { step }
}

impl Connection {
    /// Tells whether it is known to be closed.
    pub(super) fn is_closed(&mut self) -> bool {
        self.ldap.is_closed()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The driver would wait for a directory that does not read.
        self.driver.abort();
        self.passing.abort();
    }
}
