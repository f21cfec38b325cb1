//! `/v2/<name>/tags/list`, and what pages of names have in common.
//!
//! *Spec:* `[end-8a]`, `[end-8b]`.

use axum::body::Body;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue, LINK};
use serde_json::json;

use super::dispatch::Call;
use super::error::Error;
use super::route::Target;
use super::{headers, query};
use crate::oci::RepositoryName;

pub(super) async fn list(call: &Call<'_>, name: &RepositoryName) -> Result<Response<Body>, Error> {
    let grant = call.grant(name)?;
    let page = Page::of(call)?;
    let namespace = call.namespace()?;
    let listed = call.repositories.tags(&grant, namespace).await?;
    let (tags, more) = page.cut(&listed.tags, String::as_str);
    let next = more.map(|last| page.link(&Target::Tags(name.clone()), last, namespace));
    let mut response = json_page(&json!({"name": name.as_str(), "tags": tags}), next);
    headers::warn_of_stale(&mut response, listed.stale.as_deref());
    call.name_namespace(&mut response)?;
    Ok(response)
}

/// Which page of a sorted list is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page<'a> {
    n: usize,
    last: Option<&'a str>,
}

impl<'a> Page<'a> {
    /// Reads `n` and `last`; a larger `n` than allowed, or none, is the largest allowed.
    pub(super) fn of(call: &'a Call<'_>) -> Result<Self, Error> {
        let max = call.app.0.options.page_items_max;
        let n = call.query.number("n")?.map_or(max, |n| n.min(max));
        Ok(Self { n, last: call.query.one("last")? })
    }

    /// Returns how many items are wanted.
    pub(super) const fn n(&self) -> usize {
        self.n
    }

    /// Returns what the page comes after.
    pub(super) const fn last(&self) -> Option<&'a str> {
        self.last
    }

    /// Cuts the page out of a sorted list; the second part is its last item when more follow.
    pub(super) fn cut<'b, T>(&self, items: &'b [T], text: impl Fn(&T) -> &str) -> (&'b [T], Option<&'b T>) {
        // Strictly after `last`, whether it is there or not, so pages neither skip nor repeat.
        let begin = self.last.map_or(0, |last| items.partition_point(|item| text(item) <= last));
        let end = begin.saturating_add(self.n).min(items.len());
        let page = &items[begin..end];
        (page, page.last().filter(|_| end < items.len()))
    }

    /// Renders the link to the page after this one, of the same namespace.
    pub(super) fn link(&self, path: &Target, last: impl AsRef<str>, namespace: Option<&str>) -> HeaderValue {
        let (last, namespace) = (query::encode(last.as_ref()), query::namespace(namespace));
        headers::next_page(format_args!("{path}?n={}&last={last}{namespace}", self.n))
    }
}

/// Makes the response of a page.
pub(super) fn json_page(page: &serde_json::Value, next: Option<HeaderValue>) -> Response<Body> {
    let mut response = Response::new(Body::from(page.to_string()));
    let map = response.headers_mut();
    map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(next) = next {
        map.insert(LINK, next);
    }
    response
}

#[cfg(test)]
mod tests {
    //! Goal: walking the pages gives the list, whatever the page's size. Method: a property.

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pages_neither_skip_nor_repeat(tags in prop::collection::btree_set("[a-c]{1,3}", 0..12), n in 1_usize..5) {
            let tags: Vec<String> = tags.into_iter().collect();
            let (mut seen, mut last) = (Vec::new(), None);
            loop {
                let page = Page { n, last: last.as_deref() };
                let (items, more) = page.cut(&tags, String::as_str);
                seen.extend_from_slice(items);
                match more {
                    Some(more) => last = Some(more.clone()),
                    None => break,
                }
            }
            prop_assert_eq!(seen, tags);
        }

        #[test]
        fn a_page_is_after_last(tags in prop::collection::btree_set("[a-c]{1,3}", 0..12), last in "[a-c]{0,3}", n in 0_usize..5) {
            let tags: Vec<String> = tags.into_iter().collect();
            let (items, _) = Page { n, last: Some(&last) }.cut(&tags, String::as_str);
            let expect: Vec<&String> = tags.iter().filter(|tag| **tag > last).take(n).collect();
            prop_assert_eq!(items.iter().collect::<Vec<_>>(), expect);
        }
    }

    #[test]
    fn none_wanted_is_none_and_no_more() {
        let tags = ["a".to_owned()];
        assert_eq!(Page { n: 0, last: None }.cut(&tags, String::as_str), (&[][..], None));
    }
}
