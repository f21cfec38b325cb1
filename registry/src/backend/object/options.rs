//! Which bucket, and how to reach it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;

use crate::backend::Key;

/// A bucket, and how to reach it.
#[derive(Clone, PartialEq, Eq)]
pub struct BucketOptions {
    /// Whose protocol it speaks.
    pub provider: Provider,
    /// Its name; for Azure, the container's.
    pub name: String,
    /// What all names of objects begin with, or the root.
    pub prefix: Key,
    /// The settings of the provider's client by their names, such as `region`; some are secrets.
    pub settings: BTreeMap<String, String>,
}

/// Whose protocol a bucket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Amazon S3, and what is compatible.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

/// Why options are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// The address is none of a bucket.
    #[error(
        "{url:?} is not the address of a bucket: write s3://NAME/PREFIX, gs://NAME/PREFIX or az://CONTAINER/PREFIX"
    )]
    Url {
        /// What was given.
        url: String,
    },
    /// A setting is not known.
    #[error("{key:?} is no setting of {provider}; see docs/buckets.md for those that are")]
    Setting {
        /// What was given.
        key: String,
        /// Whose.
        provider: Provider,
    },
}

impl Provider {
    fn of_scheme(scheme: &str) -> Option<Self> {
        match scheme {
            "s3" => Some(Self::S3),
            "gs" => Some(Self::Google),
            "az" => Some(Self::Azure),
            _ => None,
        }
    }

    /// Returns the scheme of its buckets' addresses.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }

    fn has_setting(self, key: &str) -> bool {
        match self {
            Self::S3 => AmazonS3ConfigKey::from_str(key).is_ok(),
            Self::Google => GoogleConfigKey::from_str(key).is_ok(),
            Self::Azure => AzureConfigKey::from_str(key).is_ok(),
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::S3 => "S3",
            Self::Google => "Google Cloud Storage",
            Self::Azure => "Azure Blob Storage",
        })
    }
}

impl BucketOptions {
    /// Takes an address `s3://NAME/PREFIX`, `gs://NAME/PREFIX` or `az://CONTAINER/PREFIX`, and settings.
    ///
    /// *Errors:* an address of another shape, or a setting that the provider's client does not know.
    pub fn new(url: &str, settings: BTreeMap<String, String>) -> Result<Self, OptionsError> {
        let wrong = || OptionsError::Url { url: url.to_owned() };
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let provider = Provider::of_scheme(scheme).ok_or_else(wrong)?;
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        let is_prefix = prefix.is_empty() || prefix.split('/').all(Key::is_component);
        if !Key::is_component(name) || name.contains(['?', '#', '@', ':']) || !is_prefix {
            return Err(wrong());
        }
        if let Some(key) = settings.keys().find(|key| !provider.has_setting(key)) {
            return Err(OptionsError::Setting { key: key.clone(), provider });
        }
        Ok(Self { provider, name: name.to_owned(), prefix: Key::new(prefix), settings })
    }

    /// Returns the address, which has no secret.
    pub fn url(&self) -> String {
        let slash = if self.prefix.as_str().is_empty() { "" } else { "/" };
        format!("{}://{}{slash}{}", self.provider.scheme(), self.name, self.prefix.as_str())
    }

    /// Returns the same bucket with a longer prefix.
    #[must_use]
    pub fn below(&self, component: &str) -> Self {
        Self { prefix: self.prefix.child(component), ..self.clone() }
    }
}

impl fmt::Debug for BucketOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings: Vec<&String> = self.settings.keys().collect();
        f.debug_struct("BucketOptions").field("url", &self.url()).field("settings", &settings).finish()
    }
}

#[cfg(test)]
mod tests {
    //! Goal: an address is taken apart and put together, and no secret is shown.

    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for url in ["s3://images", "gs://images/a/b", "az://images/a"] {
            assert_eq!(BucketOptions::new(url, BTreeMap::new()).expect("an address").url(), url);
        }
        let options = BucketOptions::new("s3://images/a/", BTreeMap::new()).expect("an address");
        assert_eq!(options.url(), "s3://images/a");
        assert_eq!(options.below("b").url(), "s3://images/a/b");
        for wrong in
            ["", "images", "http://images", "s3://", "s3:///a", "s3://a:b@images", "s3://images/../a"]
        {
            assert!(BucketOptions::new(wrong, BTreeMap::new()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn unknown_settings_are_told_and_secrets_are_not() {
        let settings = |key: &str| BTreeMap::from([(key.to_owned(), "planted".to_owned())]);
        let options = BucketOptions::new("s3://images", settings("secret_access_key")).expect("it is known");
        assert!(!format!("{options:?}").contains("planted"));
        let error = BucketOptions::new("gs://images", settings("secret_access_key")).expect_err("it is not");
        assert!(error.to_string().contains("Google"), "{error}");
    }
}
