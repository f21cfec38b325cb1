//! Goal: what refers to a manifest is listed with it, filtered and in pages, and never a 404
//! (R-038, R-089, R-101 to, T-126 to T-139). Method: the real dispatch over memory, a
//! transcript, tables.

use serde_json::{Value, json};

use super::exchange::{Transcript, assert_error, plain, sha512};
use super::manifests::{IMAGE, INDEX, push_parts, small};
use super::tags::next;
use crate::support::{Client, Registry, image, index, sha256};

/// Makes an artifact about a subject.
fn about(subject: &str, artifact_type: Option<&str>, note: &str) -> Value {
    let mut manifest = small();
    manifest["subject"] = json!({"mediaType": IMAGE, "digest": subject, "size": 7});
    manifest["annotations"] = json!({"note": note});
    if let Some(artifact_type) = artifact_type {
        manifest["artifactType"] = json!(artifact_type);
    }
    manifest
}

fn digest_of(manifest: &Value) -> String {
    sha256(manifest.to_string().as_bytes())
}

async fn ready() -> Client {
    let client = Registry::default().open().await;
    push_parts(&client, "app").await;
    client
}

/// Returns the digests listed for a path, each page an index.
async fn listed(client: &Client, path: &str) -> Vec<String> {
    let (mut digests, mut path) = (Vec::new(), Some(path.to_owned()));
    while let Some(at) = path {
        let answer = plain(client, "GET", &at).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, INDEX), "{at}");
        let body = answer.json();
        assert_eq!((&body["schemaVersion"], &body["mediaType"]), (&json!(2), &json!(INDEX)), "{at}");
        let page = body["manifests"].as_array().unwrap();
        digests.extend(page.iter().map(|descriptor| descriptor["digest"].as_str().unwrap().to_owned()));
        path = next(answer.header("link"));
    }
    digests
}

#[tokio::test]
async fn referrers_answers() {
    let client = ready().await;
    let subject = sha256(b"subject");
    let path = format!("/v2/app/referrers/{subject}");
    let mut transcript = Transcript::new(&client);
    transcript.plain("GET", &path).await;
    let manifest = about(&subject, Some("application/vnd.example.sbom+json"), "an sbom").to_string();
    transcript.ask("PUT", "/v2/app/manifests/sbom", &[("content-type", IMAGE)], manifest).await;
    let manifest = about(&subject, None, "no type").to_string();
    transcript.ask("PUT", "/v2/app/manifests/other", &[("content-type", IMAGE)], manifest).await;
    transcript.plain("GET", &path).await;
    transcript.plain("GET", &format!("{path}?artifactType=application/vnd.example.sbom%2Bjson")).await;
    transcript.plain("GET", &format!("{path}?artifactType=none")).await;
    transcript.plain("GET", "/v2/app/referrers/latest").await;
    transcript.plain("GET", &format!("/v2/never/referrers/{subject}")).await;
    insta::assert_snapshot!(transcript.text());
}

#[tokio::test]
async fn descriptors_say_what_the_manifest_says() {
    let client = ready().await;
    let subject = sha256(b"subject");
    let mut list = index(&[]);
    list["subject"] = json!({"mediaType": IMAGE, "digest": subject, "size": 7});
    let mut typed_list = list.clone();
    typed_list["artifactType"] = json!("application/vnd.example.list");
    let config = "application/vnd.oci.image.config.v1+json";
    for (manifest, expect) in [
        (about(&subject, Some("application/vnd.example"), "a"), Some("application/vnd.example")),
        (about(&subject, None, "b"), Some(config)),
        (about(&subject, Some(""), "c"), Some(config)),
        (list, None),
        (typed_list, Some("application/vnd.example.list")),
    ] {
        let put = client.push_manifest("app", &digest_of(&manifest), &manifest).await;
        assert_eq!((put.status.as_u16(), put.header("oci-subject")), (201, subject.as_str()), "{manifest}");
        let answer = plain(&client, "GET", &format!("/v2/app/referrers/{subject}")).await.json();
        let entries = answer["manifests"].as_array().unwrap().clone();
        let own = entries.iter().find(|entry| entry["digest"] == digest_of(&manifest)).unwrap();
        assert_eq!(own.get("artifactType").map(|value| value.as_str().unwrap()), expect, "{manifest}");
        assert_eq!(own["mediaType"], manifest["mediaType"]);
        assert_eq!(own["size"], manifest.to_string().len());
        assert_eq!(own.get("annotations"), manifest.get("annotations"));
    }
}

#[tokio::test]
async fn only_what_refers_to_the_subject_here_is_listed() {
    let client = ready().await;
    push_parts(&client, "other").await;
    let (subject, long) = (sha256(b"subject"), sha512(b"subject"));
    let (one, two) =
        (about(&subject, None, "one"), about(&digest_of(&about(&subject, None, "one")), None, "two"));
    let three = about(&long, None, "three");
    for (name, manifest) in
        [("app", &one), ("app", &two), ("app", &three), ("other", &about(&subject, None, "elsewhere"))]
    {
        assert_eq!(client.push_manifest(name, &digest_of(manifest), manifest).await.status, 201);
    }
    // Once more by tag: still one entry.
    client.push_manifest("app", "one", &one).await;
    client.push_manifest("app", "plain", &small()).await;
    assert_eq!(listed(&client, &format!("/v2/app/referrers/{subject}")).await, [digest_of(&one)]);
    assert_eq!(listed(&client, &format!("/v2/app/referrers/{}", digest_of(&one))).await, [digest_of(&two)]);
    assert_eq!(listed(&client, &format!("/v2/app/referrers/{long}")).await, [digest_of(&three)]);
    assert_eq!(listed(&client, &format!("/v2/app/referrers/{}", digest_of(&small()))).await, [""; 0]);
}

#[tokio::test]
async fn a_filter_is_any_of_its_types() {
    let client = ready().await;
    let subject = sha256(b"subject");
    let mut digests = Vec::new();
    for artifact_type in ["application/a+json", "application/b", "application/c"] {
        let manifest = about(&subject, Some(artifact_type), "x");
        client.push_manifest("app", &digest_of(&manifest), &manifest).await;
        digests.push(digest_of(&manifest));
    }
    let all: [usize; 3] = [0, 1, 2];
    for (query, expect, applied) in [
        ("artifactType=application/a+json", &all[..1], true),
        ("artifactType=application%2Fa%2Bjson", &all[..1], true),
        ("artifactType=application/a%2Bjson&artifactType=application/b", &all[..2], true),
        ("artifactType=none", &[], true),
        ("artifactType=", &all[..], false),
        ("unknown=application/b", &all[..], false),
    ] {
        let path = format!("/v2/app/referrers/{subject}?{query}");
        let mut expect: Vec<&str> = expect.iter().map(|at| digests[*at].as_str()).collect();
        expect.sort_unstable();
        assert_eq!(listed(&client, &path).await, expect, "{query}");
        let header = plain(&client, "GET", &path).await.header("oci-filters-applied").to_owned();
        assert_eq!(header, if applied { "artifactType" } else { "" }, "{query}");
    }
}

#[tokio::test]
async fn p6_pages_have_a_largest_size_and_lose_nothing() {
    let mut registry = Registry::default();
    registry.http.referrers_page_bytes_max = 1000;
    let client = registry.open().await;
    push_parts(&client, "app").await;
    let subject = sha256(b"subject");
    let (mut wanted, mut all) = (Vec::new(), Vec::new());
    for number in 0..20 {
        let artifact_type = if number % 2 == 0 { "application/even+json" } else { "application/odd" };
        let manifest = about(&subject, Some(artifact_type), &"x".repeat(number * 40));
        client.push_manifest("app", &digest_of(&manifest), &manifest).await;
        all.push(digest_of(&manifest));
        if number % 2 == 0 {
            wanted.push(digest_of(&manifest));
        }
    }
    wanted.sort_unstable();
    all.sort_unstable();
    let path = format!("/v2/app/referrers/{subject}");
    assert_eq!(listed(&client, &path).await, all);
    let first = plain(&client, "GET", &path).await;
    assert!(first.body.len() < 1200 && !first.header("link").is_empty(), "{}", first.body.len());
    let filtered = format!("{path}?artifactType=application/even%2Bjson");
    assert_eq!(listed(&client, &filtered).await, wanted);
    let link = next(plain(&client, "GET", &filtered).await.header("link")).unwrap();
    assert_eq!(plain(&client, "GET", &link).await.header("oci-filters-applied"), "artifactType");
    assert_error(&plain(&client, "GET", &format!("{path}?last=x")).await, 400, "DIGEST_INVALID");
}

#[tokio::test]
async fn referrers_come_and_go_with_their_manifests() {
    let client = ready().await;
    let (manifest, subject) = client.push_image("app", "v1", b"layer").await;
    let referrer = about(&subject, Some("application/vnd.example"), "sig");
    client.push_manifest("app", "sig", &referrer).await;
    let path = format!("/v2/app/referrers/{subject}");
    // The subject goes and comes back; what refers to it stays.
    assert_eq!(plain(&client, "DELETE", &format!("/v2/app/manifests/{subject}")).await.status, 202);
    assert_eq!(listed(&client, &path).await, [digest_of(&referrer)]);
    client.push_manifest("app", "v1", &manifest).await;
    assert_eq!(listed(&client, &path).await, [digest_of(&referrer)]);
    // A tag of it is not it.
    assert_eq!(plain(&client, "DELETE", "/v2/app/manifests/sig").await.status, 202);
    assert_eq!(listed(&client, &path).await, [digest_of(&referrer)]);
    let by_digest = format!("/v2/app/manifests/{}", digest_of(&referrer));
    assert_eq!(plain(&client, "DELETE", &by_digest).await.status, 202);
    assert_eq!(listed(&client, &path).await, [""; 0]);
    let again = client.push_manifest("app", "sig", &referrer).await;
    assert_eq!(again.header("oci-subject"), subject);
    assert_eq!(listed(&client, &path).await, [digest_of(&referrer)]);
}

#[tokio::test]
async fn a_docker_manifest_is_about_nothing() {
    let client = ready().await;
    let subject = sha256(b"subject");
    let docker_type = "application/vnd.docker.distribution.manifest.v2+json";
    for value in [json!({"mediaType": IMAGE, "digest": subject, "size": 7}), json!("anything")] {
        let mut manifest = image(&[(&sha256(b"{}"), 2)], &[]);
        manifest["mediaType"] = json!(docker_type);
        manifest["subject"] = value;
        let put = client.push_manifest("app", "docker", &manifest).await;
        assert_eq!((put.status.as_u16(), put.header("oci-subject")), (201, ""));
    }
    assert_eq!(listed(&client, &format!("/v2/app/referrers/{subject}")).await, [""; 0]);
}

/// Clients that know no referrers API keep an index under a tag; that is a tag like any other.
#[tokio::test]
async fn the_tag_of_older_clients_is_a_tag() {
    let client = ready().await;
    let tag = sha256(b"subject").replace(':', "-");
    assert_eq!(client.push_manifest("app", &tag, &index(&[])).await.status, 201);
    assert_eq!(
        plain(&client, "GET", &format!("/v2/app/manifests/{tag}")).await.header("content-type"),
        INDEX
    );
}

#[tokio::test]
async fn referrers_pushed_at_once_are_all_listed() {
    let client = ready().await;
    let subject = sha256(b"subject");
    let manifests: Vec<Value> = (0..50).map(|number| about(&subject, None, &number.to_string())).collect();
    let pushes = manifests.iter().map(|manifest| {
        let (client, manifest) = (client.clone(), manifest.clone());
        tokio::spawn(
            async move { client.push_manifest("app", &digest_of(&manifest), &manifest).await.status },
        )
    });
    for push in pushes.collect::<Vec<_>>() {
        assert_eq!(push.await.unwrap(), 201);
    }
    assert_eq!(listed(&client, &format!("/v2/app/referrers/{subject}")).await.len(), 50);
}
