//! Lies about lists: of tags, and of repositories.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::{Value, json};

use super::{
    Plan, plan,
    tools::{Kind, bent, misread, name, restatus, rewrite, without},
};
use crate::origin::{
    dispatch::{Call, honest, set},
    query::Query,
    store::Store,
};

pub(super) const LIES: &[Plan] = &[
    plan("tags-n-unheard", "Ignores `n` in a list of tags.", |store, call| {
        misread(store, call, Kind::Tags, |call| call.query.remove("n"))
    }),
    plan("tags-last-unheard", "Ignores `last` in a list of tags.", |store, call| {
        misread(store, call, Kind::Tags, |call| call.query.remove("last"))
    }),
    plan("tags-last-included", "Begins a list of tags with `last` itself.", |store, call| {
        let repository = name(call).and_then(|name| store.repository(&name).ok());
        let before = repository.zip(call.query.first("last")).map(|(repository, last)| {
            let earlier = repository.tags.keys().take_while(|tag| tag.as_str() < last);
            earlier.last().cloned().unwrap_or_default()
        });
        misread(store, call, Kind::Tags, |call| {
            if let Some(last) = before {
                call.query.set("last", &last);
            }
        })
    }),
    plan("tags-backwards", "Lists tags from the last to the first.", |store, call| {
        listed(store, call, |tags| tags.reverse())
    })
    .mutant(29),
    plan("tags-doubled", "Lists the first tag of a page twice.", |store, call| {
        listed(store, call, |tags| {
            if let Some(first) = tags.first().cloned().filter(|_| tags.len() > 2) {
                tags.insert(0, first);
            }
        })
    })
    .mutant(29),
    plan("tags-zero-is-all", "Lists all tags for `n=0`.", |store, call| {
        misread(store, call, Kind::Tags, |call| {
            if call.query.first("n") == Some("0") {
                call.query.remove("n");
            }
        })
    })
    .mutant(29),
    plan("tags-link-missing", "Leaves out the Link to the last page of tags.", |store, call| {
        bent(store, call, Kind::Tags, |call, response| {
            let is_first = call.query.first("last").is_none();
            let is_single = call.query.first("n") == Some("1");
            if !is_first || !is_single {
                without(response, &header::LINK);
            }
        })
    })
    .mutant(30),
    plan("tags-link-elsewhere", "Links the next page of tags on another host.", |store, call| {
        linked(store, call, Kind::Tags, |link| link.replacen("</", "<http://elsewhere.example/", 1))
    }),
    plan("tags-link-without-n", "Forgets `n` in the Link to the next page of tags.", |store, call| {
        linked(store, call, Kind::Tags, |link| {
            let (address, rest) = link.split_once('?').unwrap_or((link, ""));
            let last = rest.find("last=").map_or("", |at| &rest[at..]);
            format!("{address}?{last}")
        })
    }),
    plan("tags-link-for-ever", "Links the last page of tags to itself.", |store, call| {
        bent(store, call, Kind::Tags, |call, response| {
            if call.query.first("n").is_some_and(|n| n != "0")
                && !response.headers().contains_key(header::LINK)
            {
                let n = call.query.first("n").unwrap_or_default();
                let last = call.query.first("last").unwrap_or_default();
                set(response, header::LINK, &format!("<{}?n={n}&last={last}>; rel=\"next\"", call.path));
            }
        })
    }),
    plan("tags-null", "Says null for no tags.", |store, call| {
        bent(store, call, Kind::Tags, |_, response| {
            rewrite(response, |body| {
                if body["tags"].as_array().is_some_and(Vec::is_empty) {
                    body["tags"] = Value::Null;
                }
            });
        })
    }),
    plan("tags-of-nobody", "Lists tags without the name of their repository.", |store, call| {
        bent(store, call, Kind::Tags, |_, response| {
            rewrite(response, |body| body["name"] = json!(""));
        })
    }),
    plan(
        "tags-of-the-unknown-break",
        "Breaks with 500 on the tags of a repository that nobody made.",
        |store, call| {
            bent(store, call, Kind::Tags, |_, response| {
                restatus(response, StatusCode::NOT_FOUND, StatusCode::INTERNAL_SERVER_ERROR);
            })
        },
    ),
    plan("tags-n-malformed-breaks", "Breaks with 500 on an `n` that is no number.", |store, call| {
        bent(store, call, Kind::Tags, |_, response| {
            restatus(response, StatusCode::BAD_REQUEST, StatusCode::INTERNAL_SERVER_ERROR);
        })
    }),
    plan(
        "tags-pages-by-number",
        "Counts pages of tags by number, so that new tags shift them.",
        numbered_pages,
    ),
    plan("catalog-backwards", "Lists repositories from the last to the first.", |store, call| {
        bent(store, call, Kind::Catalog, |_, response| {
            rewrite(response, |body| {
                if let Some(names) = body["repositories"].as_array_mut() {
                    names.reverse();
                }
            });
        })
    }),
    plan("catalog-link-missing", "Leaves out the Link to the next page of repositories.", |store, call| {
        bent(store, call, Kind::Catalog, |_, response| without(response, &header::LINK))
    }),
];

/// Changes the tags of an answer.
fn listed(store: &mut Store, call: &Call, change: fn(&mut Vec<Value>)) -> Response<Bytes> {
    bent(store, call, Kind::Tags, |_, response| {
        rewrite(response, |body| {
            if let Some(tags) = body["tags"].as_array_mut() {
                change(tags);
            }
        });
    })
}

/// Changes the Link of an answer.
fn linked(
    store: &mut Store,
    call: &Call,
    kind: Kind,
    change: impl FnOnce(&str) -> String,
) -> Response<Bytes> {
    bent(store, call, kind, |_, response| {
        let link = response.headers().get(header::LINK).and_then(|it| it.to_str().ok()).map(change);
        if let Some(link) = link {
            set(response, header::LINK, &link);
        }
    })
}

/// Answers pages that are counted from the beginning of the list at the time of the request.
fn numbered_pages(store: &mut Store, call: &mut Call) -> Response<Bytes> {
    let limit = call.query.first("n").and_then(|n| n.parse::<usize>().ok()).filter(|n| *n > 0);
    let (Some(limit), true) = (limit, Kind::of(call) == Kind::Tags && call.query.first("last").is_none())
    else {
        return honest(store, call);
    };
    let page = call.query.first("page").and_then(|page| page.parse::<usize>().ok()).unwrap_or_default();
    call.query = Query::default();
    let mut response = honest(store, call);
    let mut has_next = false;
    rewrite(&mut response, |body| {
        let tags = body["tags"].as_array().cloned().unwrap_or_default();
        has_next = tags.len() > (page + 1) * limit;
        body["tags"] = tags.into_iter().skip(page * limit).take(limit).collect();
    });
    if has_next {
        let link = format!("<{}?n={limit}&page={}>; rel=\"next\"", call.path, page + 1);
        set(&mut response, header::LINK, &link);
    }
    response
}
