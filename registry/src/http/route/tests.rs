//! Goal: every path is read as the spec means it, and none panics or reaches elsewhere.
//! Method: tables, and the property that what is rendered parses to itself.

use proptest::prelude::*;

use super::*;
use crate::oci::{Algorithm, Hasher, Tag};

fn hex() -> String {
    "0123456789abcdef".repeat(4)
}

fn check(method: &str, path: &str, expect: &str) {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let found = match parse(&method, path) {
        Ok(route) => {
            format!("{} {}", route.target.label(), route.target.name().map_or("-", RepositoryName::as_str))
        }
        Err(error) => match error {
            RouteError::Path => "path".to_owned(),
            RouteError::Encoding => "encoding".to_owned(),
            RouteError::Method { allowed } => format!("allow {}", Verb::list(allowed)),
            RouteError::Name(_) => "bad name".to_owned(),
            RouteError::Reference(ReferenceError::Tag(_)) => "bad tag".to_owned(),
            RouteError::Reference(ReferenceError::Digest(_)) | RouteError::Digest(_) => {
                "bad digest".to_owned()
            }
            RouteError::Upload => "bad upload".to_owned(),
        },
    };
    assert_eq!(found, expect, "{method} {path}");
}

#[test]
fn paths_are_read_from_the_right() {
    let blob = format!("/v2/a/b/blobs/sha256:{}", hex());
    for (method, path, expect) in [
        ("GET", "/v2/", "base -"),
        ("GET", "/v2", "base -"),
        ("GET", "/v2/_catalog", "catalog -"),
        ("POST", "/auth/token", "token -"),
        ("GET", "/zot/auth/token", "token -"),
        ("DELETE", "/auth/apikey", "apikeys -"),
        ("POST", "/zot/auth/apikey", "apikeys -"),
        ("PUT", "/zot/auth/apikey", "allow GET, POST, DELETE"),
        ("GET", "/auth/apikey/", "path"),
        ("GET", "/zot/zot/auth/token", "path"),
        ("GET", "/zot/v2/", "path"),
        ("GET", "/v2/a/manifests/t", "manifest a"),
        ("PUT", "/v2/a/manifests/b/manifests/t", "manifest a/manifests/b"),
        ("GET", "/v2/tags/list/tags/list", "tags tags/list"),
        ("GET", "/v2/manifests/manifests/manifests", "manifest manifests"),
        ("GET", "/v2/blobs/manifests/t", "manifest blobs"),
        ("GET", "/v2/a/blobs/uploads/manifests/t", "manifest a/blobs/uploads"),
        ("GET", "/v2/a/blobs/uploads/tags/list", "tags a/blobs/uploads"),
        ("POST", "/v2/uploads/blobs/uploads/", "uploads uploads"),
        ("POST", "/v2/a/blobs/uploads", "uploads a"),
        ("PATCH", "/v2/a/manifests/blobs/uploads/3d2f7b0e-6c1e-4d5a-9b1e-0a1b2c3d4e5f", "upload a/manifests"),
        ("GET", &blob, "blob a/b"),
        ("GET", &blob.replace("sha256:", "sha256%3A"), "blob a/b"),
        ("GET", &blob.replace("blobs", "referrers"), "referrers a/b"),
    ] {
        check(method, path, expect);
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (method, path, expect) in [
        ("GET", "/", "path"),
        ("GET", "/v2x", "path"),
        ("GET", "/v2/a", "path"),
        ("GET", "/v2/a/unknown/x", "path"),
        ("GET", "/v2/tags/list", "path"),
        ("GET", "/v2/a/uploads/x", "path"),
        ("FOO", "/v2/a/manifests/x", "allow GET, HEAD, PUT, DELETE"),
        ("PUT", "/v2/a/tags/list", "allow GET, HEAD"),
        ("GET", "/v2/a/blobs/uploads/", "allow POST"),
        ("GET", "/v2/A/manifests/x", "bad name"),
        ("GET", "/v2//manifests/x", "bad name"),
        ("GET", "/v2/a//manifests/x", "bad name"),
        ("GET", "/v2/../../etc/passwd/manifests/x", "bad name"),
        ("GET", "/v2/%2e%2e/manifests/x", "bad name"),
        ("GET", "/v2/a%2fb/manifests/x", "encoding"),
        ("GET", "/v2/..%5c/manifests/x", "bad name"),
        ("GET", "/v2/a%00/manifests/x", "bad name"),
        ("GET", "/v2/a/manifests/%ff", "encoding"),
        ("GET", "/v2/a/manifests/", "bad tag"),
        ("GET", "/v2/a/manifests/a b", "bad tag"),
        ("GET", "/v2/a/manifests/sha256:x", "bad digest"),
        ("GET", "/v2/a/blobs/latest", "bad digest"),
        ("GET", "/v2/a/referrers/latest", "bad digest"),
        ("PATCH", "/v2/a/blobs/uploads/not-a-uuid", "bad upload"),
        ("PATCH", "/v2/a/blobs/uploads/%2e%2e%2fx", "encoding"),
    ] {
        check(method, path, expect);
    }
}

fn targets() -> impl Strategy<Value = Target> {
    let word =
        prop::sample::select(vec!["a", "tags", "list", "manifests", "blobs", "uploads", "referrers", "0-x"]);
    let name =
        prop::collection::vec(word, 1..5).prop_map(|words| RepositoryName::parse(&words.join("/")).unwrap());
    let digest = any::<u8>().prop_map(|byte| Hasher::digest(Algorithm::Sha256, &[byte]));
    let tag = "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,8}".prop_map(|text| Tag::parse(&text).unwrap());
    (name, digest, tag, 0..11_u8).prop_map(|(name, digest, tag, which)| match which {
        0 => Target::Base,
        1 => Target::Catalog,
        2 => Target::Manifest(name, Reference::Tag(tag)),
        3 => Target::Manifest(name, Reference::Digest(digest)),
        4 => Target::Blob(name, digest),
        5 => Target::Uploads(name),
        6 => Target::Upload(name, UploadId::parse("3d2f7b0e-6c1e-4d5a-9b1e-0a1b2c3d4e5f").unwrap()),
        7 => Target::Tags(name),
        8 => Target::Token,
        9 => Target::ApiKeys,
        _ => Target::Referrers(name, digest),
    })
}

proptest! {
    #[test]
    fn what_is_rendered_parses_to_itself(target in targets()) {
        let Err(RouteError::Method { allowed }) = parse(&Method::TRACE, &target.to_string()) else { panic!("TRACE") };
        for verb in allowed {
            let method = Method::from_bytes(verb.as_str().as_bytes()).unwrap();
            let route = parse(&method, &target.to_string());
            prop_assert_eq!(route, Ok(Route { verb: *verb, target: target.clone() }));
        }
    }

    #[test]
    fn any_path_is_answered(path in "(/v2)?[/a-z%:._-]{0,60}", rest in "\\PC{0,20}") {
        let _ = parse(&Method::GET, &format!("{path}{rest}"));
    }
}
