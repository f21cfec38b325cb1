//! The clients of the upstreams, made of what a configuration says, and made anew where it says something else.

use std::path::PathBuf;
use std::sync::Arc;

use super::StartError;
use crate::clock::Clock;
use crate::http::watched::Watched;
use crate::upstream::options::{CA_FILE, CERTIFICATE_FILE, KEY_FILE, Options};
use crate::upstream::reqwest_transport::ReqwestTransport;
use crate::upstream::{Routes, Upstream};

/// The clients, in the order of the configuration.
#[derive(Debug, Clone)]
pub(super) struct Upstreams {
    made: Vec<Made>,
    clock: Clock,
}

/// A client, and what it was made of.
#[derive(Debug, Clone)]
struct Made {
    upstream: Arc<Upstream>,
    /// What its files looked like before they were read.
    files: Watched,
}

impl Upstreams {
    /// Has none yet.
    pub(super) const fn new(clock: Clock) -> Self {
        Self { made: Vec::new(), clock }
    }

    /// Makes the clients of a configuration. One of which neither the options nor the files have changed is
    /// the same as before, with its connections, its tokens and what is known of its health.
    ///
    /// It blocks, and asks no upstream anything.
    ///
    /// *Errors:* those of a start; `self` stays as it was.
    pub(super) fn renewed(&self, all: &[Options]) -> Result<Self, StartError> {
        let made = all.iter().map(|options| self.renewed_one(options)).collect::<Result<_, _>>()?;
        Ok(Self { made, clock: self.clock.clone() })
    }

    fn renewed_one(&self, options: &Options) -> Result<Made, StartError> {
        if let Some(made) = self.made.iter().find(|it| it.upstream.options() == options)
            && !made.files.clone().changed()
        {
            return Ok(made.clone());
        }
        let files = Watched::new(files(options));
        let transport = Arc::new(ReqwestTransport::new(options)?);
        let mut upstream = Upstream::new(options.clone(), transport, self.clock.clone());
        if let Some(old) = self.made.iter().find(|it| **it.upstream.name() == *options.name) {
            upstream = upstream.going_on_from(&old.upstream);
        }
        Ok(Made { upstream: Arc::new(upstream), files })
    }

    /// Returns what one was made of.
    pub(super) fn find(&self, name: &str) -> Option<&Options> {
        self.made.iter().map(|it| it.upstream.options()).find(|options| options.name == name)
    }

    /// Says whether these are the same clients, in the same order.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let same = |(ours, theirs): (&Made, &Made)| Arc::ptr_eq(&ours.upstream, &theirs.upstream);
        self.made.len() == other.made.len() && self.made.iter().zip(&other.made).all(same)
    }

    /// Returns what each answers for.
    ///
    /// *Errors:* the content of one cannot be read.
    pub(super) fn routes(&self) -> Result<Routes, StartError> {
        let mut routes = Routes::default();
        for Made { upstream, .. } in &self.made {
            let (options, name) = (upstream.options(), upstream.name().to_string());
            let added = routes.add(Arc::clone(upstream), options);
            added.map_err(|source| StartError::Content { upstream: name, source })?;
        }
        Ok(routes)
    }

    /// Returns the files that clients were made of. That of accounts is not among them: it is looked at whenever
    /// one is needed.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.made.iter().flat_map(|it| files(it.upstream.options()))
    }
}

/// Returns the files of certificates, also those that may come.
fn files(options: &Options) -> Vec<PathBuf> {
    let folder = options.certificate_folder.iter();
    folder.flat_map(|folder| [CA_FILE, CERTIFICATE_FILE, KEY_FILE].map(|name| folder.join(name))).collect()
}

#[cfg(test)]
mod tests {
    //! Goal: a client is made anew when its options or its files are others, and only then. Method: a folder of
    //! certificates that is written to.

    use std::fs;
    use std::path::Path;

    use super::*;

    fn options(name: &str, folder: Option<&Path>) -> Options {
        Options {
            name: name.to_owned(),
            urls: vec!["https://registry.test".to_owned()],
            certificate_folder: folder.map(Path::to_owned),
            ca_file: folder.map(|folder| folder.join(CA_FILE)).filter(|file| file.exists()),
            ..Options::default()
        }
    }

    fn authority() -> String {
        rcgen::generate_simple_self_signed(vec!["registry.test".to_owned()]).unwrap().cert.pem()
    }

    /// Says of each whether it is the same as before.
    fn same(new: &Upstreams, old: &Upstreams) -> Vec<bool> {
        let is_old = |made: &Made| old.made.iter().any(|it| Arc::ptr_eq(&it.upstream, &made.upstream));
        new.made.iter().map(is_old).collect()
    }

    #[test]
    fn what_stays_the_same_is_not_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.crt");
        fs::write(&file, authority()).unwrap();
        let (plain, careful) = (options("a", None), options("b", Some(folder.path())));
        let first = Upstreams::new(Clock::system()).renewed(&[plain.clone(), careful.clone()]).unwrap();
        assert!(first.files().any(|it| it == file));
        let again = first.renewed(&[careful.clone(), plain.clone()]).unwrap();
        assert_eq!((same(&again, &first), again.is_same(&first)), (vec![true; 2], false), "the order counts");
        assert!(again.renewed(&[careful.clone(), plain.clone()]).unwrap().is_same(&again));
        let other = Options { retries_max: 7, ..plain.clone() };
        let changed = first.renewed(&[other, careful.clone()]).unwrap();
        assert_eq!(same(&changed, &first), [false, true]);
        fs::write(&file, authority() + "\n").unwrap();
        let rotated = first.renewed(&[plain.clone(), careful.clone()]).unwrap();
        assert_eq!(same(&rotated, &first), [true, false]);
        assert!(rotated.renewed(&[plain.clone(), careful.clone()]).unwrap().is_same(&rotated));
        fs::remove_file(&file).unwrap();
        let error = rotated.renewed(&[plain.clone(), careful]).unwrap_err();
        assert!(error.to_string().contains("ca.crt"), "{error}");
        // The configuration leaves out what is not there; it is seen when it comes.
        let without = rotated.renewed(&[plain.clone(), options("b", Some(folder.path()))]).unwrap();
        fs::write(&file, authority()).unwrap();
        assert!(without.files().any(|it| it == file));
        let come = without.renewed(&[plain, options("b", Some(folder.path()))]).unwrap();
        assert_eq!(same(&come, &without), [true, false]);
    }
}
