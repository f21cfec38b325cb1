//! Goal: what cannot work is refused at the start, with words that say what to do.

use bytes::Bytes;
use serde_json::json;
use wharfinger::backend::object::bucket::{Bucket, Put};
use wharfinger::backend::object::probe::{Conditions, probe};

use crate::servers::azurite::Azurite;
use crate::servers::lens::{Bend, Lens};
use crate::servers::moto::Moto;
use crate::servers::strict::{ACCOUNT, Strict};
use crate::servers::{BUCKET, Place};
use crate::support::program::Berth;

/// Starts the program, which must end, and returns what it said.
async fn refused(place: &Place) -> String {
    Berth::new().try_start(place.storage(), &json!({})).await.expect_err("it is not to start")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_told_at_the_start() {
    let strict = Strict::start().await;
    for (account, secret) in [(ACCOUNT.0, "guessed-secret"), ("nobody", ACCOUNT.1)] {
        let place = strict.place().with("access_key_id", account).with("secret_access_key", secret);
        let said = refused(&place).await;
        assert!(said.contains(&format!("the bucket s3://{BUCKET} cannot be used")), "{said}");
        assert!(said.contains("no permission"), "{said}");
        assert!(
            !said.contains("guessed-secret") && !said.contains(ACCOUNT.1),
            "a secret is not told: {said}"
        );
    }
    // A link that a wrong secret has signed leads nowhere, one of the right secret does.
    let right = strict.place().client();
    right.put("a", Bytes::from_static(b"a"), Put::Any).await.unwrap();
    let wrong = strict.place().with("secret_access_key", "guessed-secret").client();
    for (client, status) in [(right, 200), (wrong, 403)] {
        let link = client.link("a", std::time::Duration::from_secs(60)).await.unwrap().unwrap();
        assert_eq!(reqwest::Client::new().get(link).send().await.unwrap().status(), status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn azures_wrong_secret_is_told_at_the_start() {
    let Some(azurite) = Azurite::start("azures_wrong_secret_is_told_at_the_start").await else { return };
    let said = refused(&azurite.place().with("account_key", "bm90IHRoZSBzZWNyZXQ=")).await;
    assert!(said.contains(&format!("the bucket az://{BUCKET} cannot be used")), "{said}");
    assert!(said.contains("no permission"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_not_there_is_told_at_the_start() {
    let test = "a_bucket_that_is_not_there_is_told_at_the_start";
    let (Some(moto), Some(azurite)) = (Moto::start(test).await, Azurite::start(test).await) else { return };
    for place in [moto.place().at("s3://nowhere"), azurite.place().at("az://nowhere")] {
        let said = refused(&place).await;
        assert!(said.contains(&format!("the bucket {} cannot be used: does it exist", place.url)), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_told_at_the_start() {
    let mut strict = Strict::start().await;
    strict.stop().await;
    let said = refused(&strict.place()).await;
    assert!(said.contains("is it reachable"), "{said}");
}

/// Several processes would lose each other's writes there; one alone would not.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ignores_conditions_is_for_one_process() {
    let Some(moto) = Moto::start("a_server_that_ignores_conditions_is_for_one_process").await else { return };
    let lens = Lens::before(&moto.url).await;
    lens.bend(|_, _| Bend::NoConditions);
    let place = moto.place().with("endpoint", &lens.url);
    assert_eq!(probe(&place.client()).await.unwrap(), Conditions::OverwritesNew);
    let said = refused(&place).await;
    for words in
        ["writes over an object that it was told must not be there", "If-None-Match", "storage.shared"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    let mut storage = place.storage();
    storage["shared"] = json!(false);
    let (berth, wire) = (Berth::new(), reqwest::Client::new());
    let program = berth.start(storage, &json!({})).await;
    let digest = crate::support::layout::sha256(b"layer");
    let push = format!("{}/v2/app/blobs/uploads/?digest={digest}", program.url);
    for _ in 0..2 {
        assert_eq!(wire.post(&push).body("layer").send().await.unwrap().status(), 201);
    }
    let pulled = wire.get(format!("{}/v2/app/blobs/{digest}", program.url)).send().await.unwrap();
    assert_eq!(pulled.bytes().await.unwrap(), "layer");
}
