//! Goal: what is legal is read, what is ambiguous or malformed is refused, nothing panics.
//! Method: tables over bodies written here, and properties over arbitrary bytes.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::oci::media_type::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

fn digest() -> String {
    format!("sha256:{}", "ab".repeat(32))
}

fn descriptor(media_type: &str) -> Value {
    json!({"mediaType": media_type, "digest": digest(), "size": 7})
}

fn image() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json"),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar")],
    })
}

fn index() -> Value {
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(OCI_MANIFEST)]})
}

fn parse(body: &Value, content_type: Option<&str>) -> Result<Manifest, ManifestError> {
    Manifest::parse(
        body.to_string().as_bytes(),
        content_type.map(|text| MediaType::parse(text).unwrap()).as_ref(),
    )
}

fn with(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

fn without(mut body: Value, key: &str) -> Value {
    body.as_object_mut().unwrap().remove(key);
    body
}

#[test]
fn what_is_legal_is_read() {
    let manifest = parse(&image(), Some(OCI_MANIFEST)).unwrap();
    assert_eq!((manifest.kind, manifest.references.len()), (Kind::Image, 2));
    assert_eq!(manifest.artifact_type.as_deref(), Some("application/vnd.oci.image.config.v1+json"));
    assert_eq!(parse(&index(), None).unwrap().kind, Kind::Index);
    let docker = with(image(), "mediaType", json!(DOCKER_MANIFEST));
    assert!(parse(&docker, Some(DOCKER_MANIFEST)).is_ok());
    let list = with(index(), "mediaType", json!(DOCKER_LIST));
    assert!(
        parse(&list, Some("application/vnd.docker.distribution.manifest.list.v2+json; charset=utf-8"))
            .is_ok()
    );
    assert!(parse(&without(image(), "mediaType"), Some(OCI_MANIFEST)).is_ok());
    assert!(parse(&with(image(), "layers", json!([])), Some(OCI_MANIFEST)).is_ok());
    assert!(parse(&with(image(), "somethingNew", json!({"a": [1.5, null, true]})), None).is_ok());
    assert!(parse(&with(image(), "subject", Value::Null), None).unwrap().subject.is_none());
}

#[test]
fn artifact_types_follow_the_spec() {
    let typed = |body: Value| parse(&body, None).unwrap().artifact_type;
    assert_eq!(typed(with(image(), "artifactType", json!("a/b"))).as_deref(), Some("a/b"));
    let config = Some("application/vnd.oci.image.config.v1+json");
    assert_eq!(typed(with(image(), "artifactType", json!(""))).as_deref(), config);
    assert_eq!(typed(index()), None);
    assert_eq!(typed(with(index(), "artifactType", json!("a/b"))).as_deref(), Some("a/b"));
}

#[test]
fn a_subject_counts_in_oci_manifests_only() {
    assert!(parse(&with(image(), "subject", descriptor(OCI_MANIFEST)), None).unwrap().subject.is_some());
    let docker =
        with(with(image(), "mediaType", json!(DOCKER_MANIFEST)), "subject", json!({"digest": "nonsense"}));
    assert!(parse(&docker, None).unwrap().subject.is_none());
    let bad = with(image(), "subject", json!({"mediaType": OCI_MANIFEST, "digest": "sha256:bad", "size": 1}));
    assert!(matches!(parse(&bad, None), Err(ManifestError::Json { .. })));
}

#[test]
fn what_is_malformed_is_refused() {
    for body in [
        json!(null),
        json!([]),
        json!({}),
        with(image(), "schemaVersion", json!(1)),
        without(image(), "config"),
        without(image(), "layers"),
        with(image(), "manifests", json!([])),
        without(index(), "manifests"),
        with(index(), "layers", json!([])),
        with(index(), "config", descriptor("a/b")),
        with(image(), "annotations", json!({"a": 1})),
        with(image(), "config", json!({"mediaType": "a/b", "digest": digest(), "size": -1})),
        with(image(), "config", json!({"mediaType": "a/b", "digest": digest(), "size": u64::MAX})),
        with(image(), "config", json!({"mediaType": "a/b", "size": 1})),
        with(image(), "config", json!({"mediaType": "a/b", "digest": "sha256:00", "size": 1})),
        with(image(), "mediaType", json!("application/json")),
        without(image(), "mediaType"),
    ] {
        assert!(parse(&body, None).is_err(), "{body}");
    }
    assert!(matches!(parse(&image(), Some(OCI_INDEX)), Err(ManifestError::Contradiction { .. })));
    assert!(matches!(parse(&image(), Some("text/html")), Err(ManifestError::Type { .. })));
}

#[test]
fn ambiguous_or_hostile_bytes_are_refused() {
    let twice = image().to_string().replacen("\"schemaVersion\"", "\"schemaVersion\":2,\"schemaVersion\"", 1);
    let unknown_twice = image().to_string().replacen('{', r#"{"x":1,"x":2,"#, 1);
    let deep = format!(r#"{{"x":{}"#, "[".repeat(10_000));
    let bom = format!("\u{feff}{}", image());
    let trailing = format!("{} x", image());
    for bytes in [twice, unknown_twice, deep, bom, trailing, String::new(), "{".to_owned()] {
        assert!(matches!(Manifest::parse(bytes.as_bytes(), None), Err(ManifestError::Json { .. })));
    }
}

#[test]
fn the_fixtures_are_read_or_refused() {
    for (name, body) in fixtures::VALID_MANIFESTS {
        let content_type =
            (*name == "oci-image-without-media-type").then(|| MediaType::parse(OCI_MANIFEST).unwrap());
        assert!(Manifest::parse(body.as_bytes(), content_type.as_ref()).is_ok(), "{name}");
    }
    for (name, body) in fixtures::INVALID_MANIFESTS {
        assert!(Manifest::parse(body.as_bytes(), None).is_err(), "{name}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Manifest::parse(&bytes, None);
    }

    #[test]
    fn any_cut_of_a_manifest_is_refused(cut in 0_usize..200) {
        let bytes = image().to_string();
        prop_assume!(cut < bytes.len());
        prop_assert!(Manifest::parse(&bytes.as_bytes()[..cut], None).is_err());
    }
}
