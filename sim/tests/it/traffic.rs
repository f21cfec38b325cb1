//! Goal: every kind of traffic gets from an honest registry what it asks for, and says so. Method: an origin
//! that listens is its own target.

use sim::{
    origin::{ImageSpec, Origin},
    traffic::{Ask, Client, Exchange, Question, Scene, Traffic},
};

async fn carry<F>(act: F) -> (Vec<Exchange>, Origin)
where
    F: AsyncFnOnce(&mut Traffic<'_>, &Origin),
{
    let origin = Origin::new();
    let image = |name: &str, size| {
        origin.seed_image(name, "v1", &ImageSpec { layers: vec![size], seed: 3, ..ImageSpec::default() })
    };
    let images = [image("traffic/one", 200_000), image("traffic/two", 70_000)];
    let running = origin.serve("127.0.0.1:0").await.unwrap();
    let client = Client::new(&running.url(), &origin).unwrap();
    let mut traffic = Traffic::new(&client, &images);
    act(&mut traffic, &origin).await;
    (traffic.exchanges, origin)
}

fn all_succeed(exchanges: &[Exchange]) {
    for exchange in exchanges {
        assert!(exchange.succeeded(), "{exchange}");
    }
}

#[tokio::test]
async fn heads_transfer_nothing() {
    let (exchanges, origin) = carry(async |traffic, _| traffic.heads(Scene::default(), 2).await).await;
    all_succeed(&exchanges);
    assert_eq!(exchanges.len(), 16);
    assert!(origin.journal().entries().iter().all(|it| it.method == "HEAD" && it.bytes_sent == 0));
}

#[tokio::test]
async fn open_ended_ranges_stop_when_they_have_enough() {
    let (exchanges, _) = carry(async |traffic, _| traffic.ranges(Scene::default(), 1, 4).await).await;
    all_succeed(&exchanges);
    let open: Vec<_> = exchanges.iter().filter(|it| it.wanted.ask.takes().is_some()).collect();
    assert_eq!(open.len(), 8);
    assert!(open.iter().all(|it| it.bytes >= it.wanted.ask.takes().unwrap()));
    assert!(exchanges.iter().all(|it| it.status == Some(206)));
}

#[tokio::test]
async fn each_image_is_asked_its_question() {
    let questions: Vec<_> = [("traffic/one", Question::Range), ("traffic/two", Question::HeadTag)]
        .map(|(name, question)| (name.to_owned(), question))
        .into();
    let (exchanges, _) =
        carry(async |traffic, _| traffic.questions(Scene::default(), &questions).await).await;
    all_succeed(&exchanges);
    let asked: Vec<_> = exchanges.iter().map(|it| it.wanted.ask).collect();
    assert_eq!(asked, [Ask::Range { first: 66_666, last: Some(133_331), takes: None }, Ask::Head]);
}

#[tokio::test]
async fn late_joiners_begin_when_a_share_has_come() {
    let (exchanges, _) = carry(async |traffic, _| traffic.join(Scene::default(), 50, 3).await).await;
    all_succeed(&exchanges);
    assert_eq!(exchanges.len(), 1 + 3 * 8);
}

#[tokio::test]
async fn a_moved_tag_is_told_from_what_it_was() {
    let spec = ImageSpec { layers: vec![1000], seed: 9, ..ImageSpec::default() };
    let (exchanges, _) = carry(async |traffic, origin| {
        traffic.move_tag(origin, &spec);
        traffic.pull(Scene::default(), 1).await;
    })
    .await;
    all_succeed(&exchanges);
    let moved = exchanges.iter().filter(|it| !it.wanted.former.is_empty());
    assert!(moved.clone().count() == 1 && moved.clone().all(|it| !it.wanted.former.contains(&it.digest)));
}

#[tokio::test]
async fn a_push_is_pulled_back_and_stays_apart() {
    let (exchanges, _) = carry(async |traffic, origin| {
        let spec = ImageSpec { layers: vec![5000], seed: 11, ..ImageSpec::default() };
        let kept = origin.seed_image("kept", "v1", &spec);
        let pushed = sim::origin::SeededImage { repository: "hosted/app".to_owned(), ..kept };
        traffic.push(Scene::default(), 1, &pushed).await;
        traffic.trespass(Scene::default()).await;
    })
    .await;
    let (foreign, own): (Vec<_>, Vec<_>) = exchanges.into_iter().partition(|it| it.wanted.trespass);
    all_succeed(&own);
    assert_eq!(own.iter().filter(|it| it.wanted.ask == Ask::Push).count(), 3);
    assert!(!foreign.is_empty() && foreign.iter().all(|it| it.status == Some(404)), "{foreign:#?}");
}
