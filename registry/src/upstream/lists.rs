//! The lists of an upstream: the tags of a repository, and the manifests about one.
//!
//! A list is fetched whole, page after page from one url: pages of different mirrors do not fit together.
//! It is a claim like any other of an upstream; what is pulled by it is hashed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::header::{ACCEPT, HeaderMap, HeaderValue, LINK};
use http::{Method, StatusCode};
use serde::Deserialize;

use super::client::{Url, Worst};
use super::error::Wrong;
use super::exchange::Ask;
use super::transport::Response;
use super::{Error, Upstream};
use crate::oci::media_type::OCI_INDEX;
use crate::oci::{Descriptor, Digest, RepositoryName, Tag};

/// Tags taken of one repository.
pub const TAGS_MAX: usize = 100_000;
/// Repositories taken of one catalog.
const REPOSITORIES_MAX: usize = 100_000;
/// Referrers taken of one manifest.
const REFERRERS_MAX: usize = 10_000;
/// Pages asked for one list.
const PAGES_MAX: usize = 1_000;
/// The largest page, in bytes.
const PAGE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// How many tags a page is asked to have: what most registries give at most.
const PAGE_TAGS: usize = 1_000;
/// The longest parts of a referrers tag (`spec.md#referrers-tag-schema`).
const ALGORITHM_CHARS_MAX: usize = 32;
const ENCODED_CHARS_MAX: usize = 64;

#[derive(Debug, Deserialize)]
struct TagPage {
    // Go's registries write null for none.
    #[serde(default)]
    tags: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct CatalogPage {
    #[serde(default)]
    repositories: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct ReferrersPage {
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
}

impl Upstream {
    /// Fetches the tags of a repository, sorted bytewise, each once; what is no tag is left out.
    ///
    /// *Units and limits:* at most [`TAGS_MAX`] tags; of more the first that came.
    ///
    /// *Errors:* [`Error`]; [`Wrong::List`] for pages that go in a circle or are no list.
    ///
    /// *Spec:* `[end-8b]`.
    pub async fn tags(self: &Arc<Self>, name: &RepositoryName) -> Result<Vec<String>, Error> {
        let mut worst = Worst::default();
        for url in self.urls() {
            match self.tags_of(url, name).await {
                Ok(tags) => return Ok(tags),
                Err(error) => worst.add(self, error),
            }
        }
        Err(worst.into_error(self))
    }

    async fn tags_of(self: &Arc<Self>, url: &Url, name: &RepositoryName) -> Result<Vec<String>, Error> {
        let first = format!("/v2/{name}/tags/list?n={PAGE_TAGS}");
        let (mut tags, mut pages) = (BTreeSet::new(), Pages::new(self, url, name, first, HeaderMap::new()));
        while let Some(page) = pages.next::<TagPage>().await? {
            let names = page.tags.unwrap_or_default().into_iter();
            tags.extend(names.filter(|tag| Tag::parse(tag).is_ok()).take(TAGS_MAX - tags.len()));
            if tags.len() >= TAGS_MAX {
                break;
            }
        }
        Ok(tags.into_iter().collect())
    }

    /// Fetches the names of all repositories, sorted bytewise, each once; what is no name is left out.
    ///
    /// *Units and limits:* at most [`REPOSITORIES_MAX`] names; of more the first that came.
    ///
    /// *Errors:* [`Error`]; [`Wrong::List`] as above. Docker Hub has no catalog.
    pub async fn catalog(self: &Arc<Self>) -> Result<Vec<RepositoryName>, Error> {
        let mut worst = Worst::default();
        for url in self.urls() {
            match self.catalog_of(url).await {
                Ok(names) => return Ok(names),
                Err(error) => worst.add(self, error),
            }
        }
        Err(worst.into_error(self))
    }

    async fn catalog_of(self: &Arc<Self>, url: &Url) -> Result<Vec<RepositoryName>, Error> {
        // The challenge says what is to be asked for; a token is kept under a name all the same.
        let name = RepositoryName::parse("catalog").expect("it is a name");
        let first = format!("/v2/_catalog?n={PAGE_TAGS}");
        let mut pages = Pages::new(self, url, &name, first, HeaderMap::new());
        let mut names = BTreeSet::new();
        while let Some(page) = pages.next::<CatalogPage>().await? {
            let listed = page.repositories.unwrap_or_default();
            let listed = listed.iter().filter_map(|name| RepositoryName::parse(name).ok());
            names.extend(listed.take(REPOSITORIES_MAX - names.len()));
            if names.len() >= REPOSITORIES_MAX {
                break;
            }
        }
        Ok(names.into_iter().collect())
    }

    /// Fetches the descriptors of the manifests about a subject, sorted by the text of their digest; where
    /// the API is not there, those in the index under the tag that stands for it.
    ///
    /// *Units and limits:* at most [`REFERRERS_MAX`]; of more the first that came.
    ///
    /// *Errors:* [`Error`], but not that there are none; [`Wrong::List`] as above.
    ///
    /// *Spec:* `[end-12a]`, `spec.md#unavailable-referrers-api`.
    pub async fn referrers(
        self: &Arc<Self>,
        name: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, Error> {
        let mut worst = Worst::default();
        for url in self.urls() {
            match self.referrers_of(url, name, subject).await {
                Ok(descriptors) => return Ok(descriptors),
                Err(error) => worst.add(self, error),
            }
        }
        Err(worst.into_error(self))
    }

    async fn referrers_of(
        self: &Arc<Self>,
        url: &Url,
        name: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, Error> {
        match self.descriptors(url, name, format!("/v2/{name}/referrers/{subject}")).await {
            Err(error) if error.is_not_found() => {}
            other => return other,
        }
        let tag = format!("/v2/{name}/manifests/{}", referrers_tag(subject));
        match self.descriptors(url, name, tag).await {
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            other => other,
        }
    }

    async fn descriptors(
        self: &Arc<Self>,
        url: &Url,
        name: &RepositoryName,
        first: String,
    ) -> Result<Vec<Descriptor>, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(OCI_INDEX));
        let mut pages = Pages::new(self, url, name, first, headers);
        let mut all = BTreeMap::new();
        while let Some(page) = pages.next::<ReferrersPage>().await? {
            let listed = page.manifests.unwrap_or_default().into_iter();
            all.extend(listed.take(REFERRERS_MAX - all.len()).map(|it| (it.digest.to_string(), it)));
            if all.len() >= REFERRERS_MAX {
                break;
            }
        }
        Ok(all.into_values().collect())
    }
}

/// The pages of one list at one url.
struct Pages<'u> {
    upstream: &'u Arc<Upstream>,
    url: &'u Url,
    name: &'u RepositoryName,
    headers: HeaderMap,
    next: Option<String>,
    /// Every page asked for: a list that leads back would never end.
    asked: BTreeSet<String>,
}

impl<'u> Pages<'u> {
    fn new(
        upstream: &'u Arc<Upstream>,
        url: &'u Url,
        name: &'u RepositoryName,
        first: String,
        headers: HeaderMap,
    ) -> Self {
        Self { upstream, url, name, headers, next: Some(first), asked: BTreeSet::new() }
    }

    async fn next<P: for<'de> Deserialize<'de>>(&mut self) -> Result<Option<P>, Error> {
        let Some(path) = self.next.take() else { return Ok(None) };
        let wrong = || Error::wrong(self.upstream.label(), Wrong::List);
        if self.asked.len() >= PAGES_MAX || !self.asked.insert(path.clone()) {
            return Err(wrong());
        }
        let _lane = self.upstream.manifest_turn().await?;
        let ask = self.upstream.ask_for(Method::GET, self.name, path.clone());
        let ask = Ask { headers: self.headers.clone(), ..ask };
        let response = self.upstream.ask_url(self.url, &ask).await?;
        debug_assert_eq!(response.status, StatusCode::OK, "every other status is an error");
        self.next = next_page(&response, &self.url.base, &path).map_err(|()| wrong())?;
        let bytes = self.upstream.read_whole(response, PAGE_BYTES_MAX).await?;
        serde_json::from_slice(&bytes).map(Some).map_err(|_| wrong())
    }
}

/// Returns path and query of the page that a `Link` leads to, if there is one.
///
/// *Errors:* it leads to another host (P10).
fn next_page(response: &Response, url: &str, path: &str) -> Result<Option<String>, ()> {
    let Some(link) = response.header(LINK) else { return Ok(None) };
    let is_next = |part: &&str| {
        let relation = part.split(';').skip(1).find_map(|it| it.trim().strip_prefix("rel="));
        relation.is_some_and(|it| it.trim_matches('"').eq_ignore_ascii_case("next"))
    };
    let Some(link) = link.split(", <").find(is_next) else { return Ok(None) };
    let target = link.trim_start_matches('<').split('>').next().unwrap_or_default();
    let base = reqwest::Url::parse(&format!("{}{path}", url.trim_end_matches('/'))).map_err(|_| ())?;
    let next = base.join(target).map_err(|_| ())?;
    if next.origin() != base.origin() {
        return Err(());
    }
    Ok(Some(next.query().map_or_else(|| next.path().to_owned(), |query| format!("{}?{query}", next.path()))))
}

/// Returns the tag that stands for the referrers of a manifest.
///
/// *Spec:* `spec.md#referrers-tag-schema`.
fn referrers_tag(subject: &Digest) -> String {
    let cut = |text: &str, max: usize| -> String { text.chars().take(max).collect() };
    let algorithm = subject.algorithm().to_string();
    format!("{}-{}", cut(&algorithm, ALGORITHM_CHARS_MAX), cut(&subject.hex(), ENCODED_CHARS_MAX))
}

#[cfg(test)]
mod tests {
    //! Goal: links are read as registries write them, and lead nowhere else. Method: a table.

    use futures_util::StreamExt as _;

    use super::*;

    fn link(value: &str) -> Result<Option<String>, ()> {
        let mut headers = HeaderMap::new();
        headers.insert(LINK, HeaderValue::from_str(value).unwrap());
        let body = futures_util::stream::empty().boxed();
        next_page(&Response { status: StatusCode::OK, headers, body }, "http://h:1", "/v2/a/tags/list?n=2")
    }

    #[test]
    fn links() {
        for (value, expect) in [
            ("</v2/a/tags/list?n=2&last=b>; rel=\"next\"", Ok(Some("/v2/a/tags/list?n=2&last=b"))),
            ("<?n=2&last=b>; rel=next", Ok(Some("/v2/a/tags/list?n=2&last=b"))),
            ("<http://h:1/v2/a/tags/list?last=b>; rel=\"next\"", Ok(Some("/v2/a/tags/list?last=b"))),
            ("</first>; rel=\"prev\", </v2/x>; rel=\"next\"", Ok(Some("/v2/x"))),
            ("</v2/x>; rel=\"prev\"", Ok(None)),
            ("<http://elsewhere/v2/x>; rel=\"next\"", Err(())),
            ("<http://h:2/v2/x>; rel=\"next\"", Err(())),
        ] {
            assert_eq!(link(value), expect.map(|it| it.map(str::to_owned)), "{value}");
        }
    }

    #[test]
    fn the_tag_of_a_digest() {
        let digest = |algorithm, bytes: &[u8]| crate::oci::Hasher::digest(algorithm, bytes);
        let short = referrers_tag(&digest(crate::oci::Algorithm::Sha256, b""));
        assert_eq!(short, "sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let long = referrers_tag(&digest(crate::oci::Algorithm::Sha512, b""));
        assert_eq!(long.len(), "sha512-".len() + 64);
    }
}
