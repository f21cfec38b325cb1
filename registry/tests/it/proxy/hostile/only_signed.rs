//! Goal (onlySigned): an image is not taken unsigned because it says that it is about something.

use sim::origin::ImageSpec;

use super::bench::{Bench, REPO, manifest_path};

#[tokio::test]
async fn an_image_with_a_subject_is_as_unsigned_as_another() {
    let bench = Bench::with(|options| options.only_signed = true).await;
    let nobody = sim::digest::Digest::of(sim::digest::Algorithm::Sha256, b"nothing that anybody signed");
    let spec = ImageSpec { layers: vec![1000], seed: 1, ..ImageSpec::default() };
    bench.origin.seed_image(REPO, "plain", &spec);
    bench.origin.seed_image(REPO, "about", &ImageSpec { subject: Some(nobody), ..spec });
    let status = async |tag: &str| bench.client.get(&manifest_path(tag)).await.status.as_u16();
    assert_eq!((status("plain").await, status("about").await), (403, 403));
}
