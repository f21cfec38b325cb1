//! Planted mistakes, one of which a test run may switch on to see that the tests notice.
//!
//! They exist under the feature `mutants` alone, which no release enables; without it every switch is `false`
//! at compile time. With it, [`VARIABLE`] names the mistake of this process, and none is made without it.
//! `cargo xtask mutants` runs them all, and says what each breaks.

#[cfg(feature = "mutants")]
pub(crate) use planted::{Leash, is, leash};
#[cfg(not(feature = "mutants"))]
pub(crate) use unplanted::{Leash, is, leash};

#[cfg(all(feature = "mutants", not(debug_assertions)))]
compile_error!("a release has no mutants: the feature is for test builds");

#[cfg(feature = "mutants")]
mod planted {
    use std::sync::OnceLock;

    use tokio::task::{AbortHandle, JoinHandle};

    /// The variable that names the mistake, such as `MU36-the-first-attempt-counts-as-a-retry`.
    const VARIABLE: &str = "WHARFINGER_MUTANT";

    /// Says whether this process makes a mistake.
    pub(crate) fn is(name: &str) -> bool {
        static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
        CHOSEN.get_or_init(|| std::env::var(VARIABLE).ok()).as_deref() == Some(name)
    }

    /// Ends a task when it is dropped.
    #[derive(Debug)]
    pub(crate) struct Leash(AbortHandle);

    /// Ties a task to whoever asked for it, if that is the mistake.
    pub(crate) fn leash<T>(name: &str, task: &JoinHandle<T>) -> Option<Leash> {
        is(name).then(|| Leash(task.abort_handle()))
    }

    impl Drop for Leash {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
}

#[cfg(not(feature = "mutants"))]
mod unplanted {
    use tokio::task::JoinHandle;

    /// Never made.
    #[derive(Debug)]
    pub(crate) enum Leash {}

    /// Says no.
    pub(crate) const fn is(_name: &str) -> bool {
        false
    }

    /// Ties nothing.
    pub(crate) const fn leash<T>(_name: &str, _task: &JoinHandle<T>) -> Option<Leash> {
        None
    }
}

#[cfg(test)]
mod tests {
    //! Goal: nothing is planted where nobody asked for it.

    #[test]
    fn no_mistake_is_made_unasked() {
        assert!(std::env::var_os("WHARFINGER_MUTANT").is_some() || !super::is("MU36-attempts-are-retries"));
    }
}
