//! Lists: tags, referrers, the catalog.
//!
//! A hosted name is answered from what is here. Else the upstream is asked for its list, whole, once for all
//! who want it, as often as for a cached tag (`freshness`); when it has no answer, the list that it gave
//! before is served, or what is cached of it. The catalog asks nobody.

use std::sync::Arc;

use super::freshness::{self, Decision};
use super::service::{Said, Sides, cached, check_asking};
use super::{Error, Repositories};
use crate::auth::{Grant, Pull};
use crate::clock::Timestamp;
use crate::oci::{Descriptor, Digest, RepositoryName};
use crate::store::Space;
use crate::store::referrers::{Referrers, ReferrersQuery};
use crate::telemetry::WithCauses;
use crate::upstream::error::Phase;
use crate::upstream::options::FallThrough;
use crate::upstream::{self, Asking, Candidate, Id, Upstream};

/// All that upstreams' lists may weigh in memory, in bytes, about; the least used are forgotten first.
const LISTS_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Question {
    /// The tags of a repository.
    Tags(Id, RepositoryName),
    /// The referrers of a manifest.
    Referrers(Id, RepositoryName, Digest),
}

/// What an upstream answered.
#[derive(Debug, Clone)]
pub(super) enum List {
    Tags(Arc<Vec<String>>),
    Referrers(Arc<Vec<Descriptor>>),
}

/// A list, and when it was fetched.
type Dated = (List, Timestamp);

/// The lists that upstreams gave. Derived: losing one costs a question.
#[derive(Debug)]
pub(super) struct Lists(moka::sync::Cache<Question, Dated>);

impl Default for Lists {
    fn default() -> Self {
        let weigh = |_: &Question, (list, _): &Dated| u32::try_from(list.weight()).unwrap_or(u32::MAX);
        Self(moka::sync::Cache::builder().max_capacity(LISTS_BYTES_MAX).weigher(weigh).build())
    }
}

impl Lists {
    /// Forgets what an upstream gave of a repository.
    pub(super) fn forget(&self, upstream: Id, name: &RepositoryName) {
        let of_it: Vec<_> = self.0.iter().map(|(question, _)| question).collect();
        for question in of_it {
            let (Question::Tags(whose, what) | Question::Referrers(whose, what, _)) = question.as_ref();
            if *whose == upstream && what == name {
                self.0.invalidate(question.as_ref());
            }
        }
    }
}

impl List {
    fn weight(&self) -> usize {
        // A key, an entry and an allocation for each item, beside its text.
        match self {
            Self::Tags(tags) => 256 + tags.iter().map(|tag| tag.len() + 48).sum::<usize>(),
            Self::Referrers(all) => {
                let texts = |it: &Descriptor| {
                    let annotations = it.annotations.iter().flatten();
                    annotations.map(|(key, value)| key.len() + value.len() + 96).sum::<usize>()
                };
                256 + all.iter().map(|it| 512 + texts(it)).sum::<usize>()
            }
        }
    }
}

/// A list that is no hosted one.
struct Listed {
    list: Option<List>,
    stale: Option<Arc<str>>,
}

/// The tags of a repository.
#[derive(Debug, Clone, Default)]
pub struct TagList {
    /// Sorted bytewise.
    pub tags: Arc<Vec<String>>,
    /// What the upstream is called that could not be asked.
    pub stale: Option<Arc<str>>,
}

/// The manifests about a manifest, or a page of them.
#[derive(Debug, Clone, Default)]
pub struct ReferrersList {
    /// Sorted by digest.
    pub page: Referrers,
    /// What the upstream is called that could not be asked.
    pub stale: Option<Arc<str>>,
}

impl Repositories {
    /// Returns all tags of a repository: of the hosted one, else of the first upstream that has it.
    ///
    /// *Errors:* [`Error::NameUnknown`] when all that were asked said so; else what an upstream said of
    /// which nothing is cached.
    ///
    /// *Spec:* `[end-8a]`.
    pub async fn tags(&self, grant: &Grant<Pull>, namespace: Option<&str>) -> Result<TagList, Error> {
        let sides = self.sides(grant, namespace).await?;
        if let Some(hosted) = &sides.hosted
            && self.at(hosted).repository_exists(hosted).await?
        {
            if sides.is_overlaid {
                return self.merged_tags(grant, hosted, &sides).await;
            }
            return Ok(TagList { tags: self.at(hosted).tags(hosted).await?, stale: None });
        }
        self.tags_of_upstreams(grant, &sides).await
    }

    /// Returns the tags that the first upstream has which has the repository.
    pub(super) async fn tags_of_upstreams(
        &self,
        grant: &Grant<Pull>,
        sides: &Sides,
    ) -> Result<TagList, Error> {
        let mut said = Said::default();
        for candidate in &sides.upstreams {
            let Candidate { upstream, name, .. } = candidate;
            let question = Question::Tags(upstream.id(), name.clone());
            let copy = cached(upstream, name);
            let is_cached = self.at(&copy).repository_exists(&copy).await?;
            match self.list_of(grant, candidate, &question, is_cached).await {
                Ok(Listed { list: Some(List::Tags(tags)), stale }) => return Ok(TagList { tags, stale }),
                Ok(Listed { stale, .. }) => {
                    return Ok(TagList { tags: self.at(&copy).tags(&copy).await?, stale });
                }
                Err(error) => {
                    if !said.add(candidate, error)? {
                        break;
                    }
                }
            }
        }
        said.verdict()?;
        Err(Error::NameUnknown { repository: grant.name().clone() })
    }

    /// Returns the descriptors of the manifests about a subject; none for a repository that is not there.
    ///
    /// *Errors:* what an upstream said of which nothing is cached, but not that it has none.
    ///
    /// *Spec:* `[end-12a]`.
    pub async fn referrers(
        &self,
        grant: &Grant<Pull>,
        namespace: Option<&str>,
        subject: &Digest,
        query: ReferrersQuery<'_>,
    ) -> Result<ReferrersList, Error> {
        let sides = self.sides(grant, namespace).await?;
        if let Some(hosted) = &sides.hosted
            && self.at(hosted).repository_exists(hosted).await?
        {
            if sides.is_overlaid {
                return self.merged_referrers(grant, hosted, &sides, subject, query).await;
            }
            let page = self.at(hosted).referrers(hosted, subject, query).await?;
            return Ok(ReferrersList { page, stale: None });
        }
        self.referrers_of_upstreams(grant, &sides, subject, query).await
    }

    /// Returns the referrers that the first upstream has which has the repository.
    pub(super) async fn referrers_of_upstreams(
        &self,
        grant: &Grant<Pull>,
        sides: &Sides,
        subject: &Digest,
        query: ReferrersQuery<'_>,
    ) -> Result<ReferrersList, Error> {
        let mut said = Said::default();
        for candidate in &sides.upstreams {
            let Candidate { upstream, name, .. } = candidate;
            let question = Question::Referrers(upstream.id(), name.clone(), *subject);
            let copy = cached(upstream, name);
            let is_cached = self.at(&copy).repository_exists(&copy).await?;
            let listed = self.list_of(grant, candidate, &question, is_cached).await;
            let (page, has_any, stale) = match listed {
                Ok(Listed { list: Some(List::Referrers(all)), stale }) => {
                    (query.cut(&all), !all.is_empty(), stale)
                }
                Ok(Listed { stale, .. }) => {
                    let page = self.at(&copy).referrers(&copy, subject, query).await?;
                    let has_any = !page.descriptors.is_empty();
                    (page, has_any, stale)
                }
                Err(error) => {
                    if said.add(candidate, error)? {
                        continue;
                    }
                    break;
                }
            };
            // Whether an upstream has the repository cannot be told from an empty list, but from what is cached
            // of it, and where nobody else may answer it need not be told.
            let is_last = upstream.options().fall_through == FallThrough::Never;
            if has_any || is_cached || stale.is_some() || is_last {
                return Ok(ReferrersList { page, stale });
            }
        }
        said.verdict()?;
        Ok(ReferrersList::default())
    }

    /// Returns the list of an upstream: the one it gave before, as long as that is fresh, or a new one. When
    /// it has no answer, the old one, or none where something else is cached that can be listed.
    async fn list_of(
        &self,
        grant: &Grant<Pull>,
        candidate: &Candidate,
        question: &Question,
        is_cached: bool,
    ) -> Result<Listed, Error> {
        let upstream = &candidate.upstream;
        let old = self.0.lists.0.get(question);
        let options = upstream.options();
        let (now, fetched_at) = (self.0.clock.now(), old.as_ref().map(|(_, at)| *at));
        let old = old.map(|(list, _)| list);
        if freshness::decide(freshness::age(now, fetched_at), options) == Decision::Serve {
            return Ok(Listed { list: old, stale: None });
        }
        if candidate.asking != Asking::Allowed && (is_cached || old.is_some()) {
            return Ok(Listed { list: old, stale: None });
        }
        check_asking(grant, candidate)?;
        let asked = self.ask_for_list(upstream, question);
        let answer = if is_cached || old.is_some() {
            let late =
                upstream::Error::Timeout { upstream: Arc::clone(upstream.label()), phase: Phase::Check };
            let timely = tokio::time::timeout(options.check_timeout, asked).await;
            timely.unwrap_or_else(|_| Err(late.into()))
        } else {
            asked.await
        };
        match answer {
            Ok(list) => Ok(Listed { list: Some(list), stale: None }),
            // What is cached is served whatever the upstream does (P7).
            Err(Error::Upstream(error)) if is_cached || old.is_some() => {
                tracing::info!(upstream.name = %upstream.name(), error = %WithCauses(&error), "a list is served without a check");
                let stale = (!error.is_not_found()).then(|| Arc::clone(upstream.label()));
                Ok(Listed { list: old, stale })
            }
            Err(error) => Err(error),
        }
    }

    /// Asks an upstream for a list, once for all who want it.
    async fn ask_for_list(&self, upstream: &Arc<Upstream>, question: &Question) -> Result<List, Error> {
        let (this, upstream, asked) = (self.clone(), Arc::clone(upstream), question.clone());
        let asking = async move {
            let now = this.0.clock.now();
            let list = match &asked {
                Question::Tags(_, name) => List::Tags(Arc::new(upstream.tags(name).await?)),
                Question::Referrers(_, name, subject) => {
                    List::Referrers(Arc::new(upstream.referrers(name, subject).await?))
                }
            };
            this.0.lists.0.insert(asked, (list.clone(), now));
            Ok::<_, upstream::Error>(list)
        };
        let answer = self.0.list_flights.ask(question.clone(), asking).await;
        Ok(answer.ok_or(crate::store::Error::Abandoned)??)
    }

    /// Returns the first names, at most `names_max`, strictly after `after` of the repositories, hosted and
    /// cached (by their canonical names), that `visible` lets through; sorted bytewise, each once.
    pub async fn catalog(
        &self,
        after: Option<&str>,
        names_max: usize,
        visible: impl Fn(&RepositoryName) -> bool + Send,
    ) -> Result<Vec<RepositoryName>, Error> {
        let hosted: Vec<_> = self.0.stores.hosted().map(|store| (store, Space::Hosted, None)).collect();
        let routes = self.routes();
        let upstreams = routes.all().map(|upstream| {
            let store = self.0.stores.of_upstream(upstream.name());
            (store, Space::Upstream(Arc::clone(upstream.name())), Some(upstream))
        });
        let spaces: Vec<_> = hosted.into_iter().chain(upstreams).collect();
        let mut names = Vec::new();
        for (store, space, upstream) in &spaces {
            let all = store.repositories(space).await?;
            match upstream {
                // Sorted as the answer is, so that a page costs what it shows, however many names there are.
                None => {
                    let begin = after.map_or(0, |after| all.partition_point(|name| name.as_str() <= after));
                    let shown = all[begin..].iter().filter(|name| visible(name));
                    names.extend(shown.take(names_max).cloned());
                }
                // Their canonical names may stand in another order.
                Some(upstream) => {
                    let canonical = all.iter().map(|name| upstream.canonical_name(name));
                    let later = canonical.filter(|name| after.is_none_or(|after| name.as_str() > after));
                    names.extend(later.filter(|name| visible(name)));
                }
            }
        }
        if spaces.len() > 1 {
            names.sort_unstable();
            names.dedup();
            names.truncate(names_max);
        }
        Ok(names)
    }
}
