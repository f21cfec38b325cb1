//! The steps of a login: search the user, then bind as the entry that was found.

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::breaker::{Breaker, Change, Recovered, Turn};
use super::connection::{Connector, Hits};
use super::error::{DirectoryError, Trouble, Unreachable};
use super::filter::user_filter;
use super::pool::Pool;
use super::{Person, Verdict, names};
use crate::auth::credentials::Password;
use crate::auth::options::ldap::LdapOptions;

/// What asks a directory.
#[derive(Debug)]
pub(super) struct Lookup {
    options: LdapOptions,
    /// The further filter of the options, in its parentheses.
    further: Option<String>,
    connector: Connector,
    pool: Pool,
    breaker: Breaker,
    searches: Semaphore,
    binds: Semaphore,
}

/// A user of a directory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) dn: String,
    pub(super) person: Person,
}

/// What a bind says of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Right,
    Wrong,
}

impl Lookup {
    pub(super) fn new(options: LdapOptions) -> Result<Self, DirectoryError> {
        if let Some((key, fault)) = options.faults().into_iter().next() {
            return Err(DirectoryError::Word { key, fault });
        }
        if options.pool_size == 0 {
            return Err(DirectoryError::NoPool);
        }
        let at_once = options.pool_size.min(Semaphore::MAX_PERMITS);
        Ok(Self {
            further: options.enclosed_filter(),
            connector: Connector::new(&options)?,
            pool: Pool::default(),
            breaker: Breaker::default(),
            searches: Semaphore::new(at_once),
            binds: Semaphore::new(at_once),
            options,
        })
    }

    /// Tells whether a password, which is not empty, is a user's.
    ///
    /// For an unknown user there is a bind as well, as an entry that cannot be, so that the time that a
    /// login takes does not tell who exists. What the directory itself spends on a stored hash cannot
    /// be imitated.
    pub(super) async fn login(&self, user: &str, password: &Password) -> Result<Verdict, Unreachable> {
        let entry = self.find(user).await?;
        match (entry, std::str::from_utf8(password.reveal())) {
            (Some(entry), Ok(password)) => match self.try_password(&entry.dn, password).await? {
                Bound::Right => Ok(Verdict::Right(entry.person)),
                Bound::Wrong => Ok(Verdict::Wrong),
            },
            // Passwords are UTF-8 in a directory (RFC 4513 section 5.1.3), so this one is nobody's.
            (Some(_), Err(_)) => {
                self.pretend(password).await;
                Ok(Verdict::Wrong)
            }
            (None, _) => {
                self.pretend(password).await;
                Ok(Verdict::Unknown)
            }
        }
    }

    /// Searches a user. Of several entries none is taken: which one was meant is not known.
    pub(super) async fn find(&self, user: &str) -> Result<Option<Entry>, Unreachable> {
        let _place = self.place(&self.searches).await?;
        // Asked for behind the wait: it may have failed meanwhile for those before this one.
        let turn = self.admit()?;
        let filter = user_filter(&self.options.user_attribute, user.as_bytes(), self.further.as_deref());
        let hits = match self.pool.search(&self.connector, &filter).await {
            Ok(hits) => hits,
            Err(trouble) => return Err(self.failed(turn, trouble)),
        };
        self.answered(turn);
        match hits {
            Hits::One { dn, names, groups } => {
                let name = names::of_values(user, &names);
                Ok(Some(Entry { dn, person: Person { name, groups } }))
            }
            Hits::None => Ok(None),
            Hits::Several => {
                tracing::warn!(
                    ldap.host = %self.options.host,
                    auth.user = user,
                    "the directory has several entries for one user, and nobody logs in as such: http.auth.ldap.userFilter can tell them apart"
                );
                Ok(None)
            }
        }
    }

    /// Binds as an entry, over a connection of its own: on one that searches, the rights of whoever
    /// logged in would be those of the next search.
    async fn try_password(&self, dn: &str, password: &str) -> Result<Bound, Unreachable> {
        let _place = self.place(&self.binds).await?;
        let turn = self.admit()?;
        let mut connection = match self.connector.connect().await {
            Ok(connection) => connection,
            Err(trouble) => return Err(self.failed(turn, trouble)),
        };
        // From here on it may be about this entry alone, as with one whose password another server
        // keeps, and the logins of others must not suffer from it: the breaker hears of answers only.
        let bound = self.connector.bind(&mut connection, dn, password).await.and_then(judge);
        match bound {
            Ok(bound) => {
                self.answered(turn);
                Ok(bound)
            }
            Err(trouble) => {
                tracing::warn!(ldap.host = %self.options.host, "a password cannot be checked: {trouble}");
                Err(Unreachable::Failed(trouble))
            }
        }
    }

    /// Does the work of trying a password, for an entry that cannot be. The password is not shown to the
    /// directory: it may be that of an account elsewhere. What comes of it changes nothing.
    async fn pretend(&self, password: &Password) {
        let dn = format!("cn=nobody\\2c by no name,{}", self.options.base_dn);
        let filler = "x".repeat(password.reveal().len());
        let _ = self.try_password(&dn, &filler).await;
    }

    async fn place<'p>(&self, places: &'p Semaphore) -> Result<SemaphorePermit<'p>, Unreachable> {
        match tokio::time::timeout(self.options.timeout, places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            // Nobody closes the semaphore.
            Ok(Err(_)) | Err(_) => Err(Unreachable::Overloaded),
        }
    }

    fn admit(&self) -> Result<Turn<'_>, Unreachable> {
        self.breaker.admit(Instant::now()).map_err(|retry_after| Unreachable::Resting { retry_after })
    }

    fn answered(&self, turn: Turn<'_>) {
        let Some(change) = turn.answered() else { return };
        metrics::gauge!("wharfinger_ldap_up").set(1.0);
        if change == (Change::Up { recovered: Recovered::Yes }) {
            tracing::info!(ldap.host = %self.options.host, "the directory answers again");
        }
    }

    fn failed(&self, turn: Turn<'_>, trouble: Trouble) -> Unreachable {
        metrics::counter!("wharfinger_ldap_failures_total").increment(1);
        if turn.failed(&trouble, Instant::now()).is_some() {
            metrics::gauge!("wharfinger_ldap_up").set(0.0);
            tracing::warn!(
                ldap.host = %self.options.host,
                "the directory cannot be asked, and logins do without it until it answers: {trouble}"
            );
        }
        Unreachable::Failed(trouble)
    }
}

/// Says what the result of a bind means.
///
/// *Spec:* RFC 4511 appendix A; what is not about the user or the password says nothing of either.
fn judge(code: u32) -> Result<Bound, Trouble> {
    match code {
        0 => Ok(Bound::Right),
        // constraintViolation and unwillingToPerform are how some directories say that an account is
        // locked; noSuchObject and invalidDNSyntax, that the entry went away since it was found.
        19 | 32 | 34 | 48 | 49 | 50 | 53 => Ok(Bound::Wrong),
        code => Err(Trouble::Bind { code }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Bound, Trouble, judge};

    #[test]
    fn only_success_is_right_and_only_refusals_are_wrong() {
        for code in 0..=90 {
            let expect = match code {
                0 => Ok(Bound::Right),
                19 | 32 | 34 | 48 | 49 | 50 | 53 => Ok(Bound::Wrong),
                code => Err(Trouble::Bind { code }),
            };
            assert_eq!(judge(code), expect, "{code}");
        }
    }
}
