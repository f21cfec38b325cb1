//! Goal: faults that lead elsewhere, or to no answer at all, do what their names say, and each address of an
//! origin suffers what is meant for it. Method: as in `faults`.

use sim::{
    fault::{Destination, Fault, Place, Realm, Selector},
    origin::Places,
};
use tokio::{io::AsyncReadExt, time::timeout};

use crate::{
    faults::{Bench, REPO},
    raw::{DEADLINE, End, get, open},
};

#[tokio::test]
async fn an_answer_that_never_comes_is_cut() {
    let bench = Bench::new().await;
    for (fault, expect) in [(Fault::ResetHeaders, End::Reset), (Fault::CloseHeaders, End::Closed)] {
        let guard = bench.origin.install(Selector::get("/v2/*/blobs/*").suffer(fault));
        let mut stream = open(bench.running.addr(), "GET", &bench.layer_path(), "", b"").await;
        let mut bytes = Vec::new();
        let end = match timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.unwrap() {
            Ok(_) => End::Closed,
            Err(_) => End::Reset,
        };
        assert_eq!((end, bytes.len(), guard.fired()), (expect, 0, 1));
        assert_eq!(bench.origin.journal().entries().pop().unwrap().status, None);
    }
}

#[tokio::test]
async fn redirects_lead_where_they_say() {
    let bench = Bench::new().await;
    let check = |to, expect: Option<String>| {
        let bench = &bench;
        async move {
            let raw = bench.suffer(Fault::Redirect { to, status: 302 }).await;
            assert_eq!((raw.status, raw.header("location")), (302, expect.as_deref()), "{to:?}");
        }
    };
    let stranger = "127.0.0.2:7".to_owned();
    bench.origin.reside(Places { mirror: None, stranger: Some(stranger.clone()) });
    let path = bench.layer_path();
    check(Destination::Itself, Some(path.clone())).await;
    check(Destination::Nowhere, None).await;
    check(Destination::Stranger, Some(format!("http://{stranger}{path}"))).await;
    check(Destination::OtherScheme, Some(format!("ftp://{stranger}{path}"))).await;
}

#[tokio::test]
async fn a_challenge_names_its_realm() {
    let bench = Bench::new().await;
    bench.origin.reside(Places { mirror: None, stranger: Some("127.0.0.2:7".to_owned()) });
    let own = bench.running.addr().to_string();
    for (realm, host) in [(Realm::Own, own.as_str()), (Realm::Stranger, "127.0.0.2:7")] {
        let raw = bench.suffer(Fault::Challenge { realm }).await;
        let expect = format!(
            "Bearer realm=\"http://{host}/token\",service=\"sim\",scope=\"repository:{REPO}:pull\",error=\"invalid_token\""
        );
        assert_eq!((raw.status, raw.header("www-authenticate")), (401, Some(expect.as_str())));
    }
    // Who was sent there gets something, or nobody would see what he shows.
    assert_eq!(get(bench.running.addr(), "/token").await.status, 200);
}

#[tokio::test]
async fn a_date_is_a_time_to_wait() {
    let bench = Bench::new().await;
    let raw = bench.suffer(Fault::StatusUntil { status: 429, seconds: 60 }).await;
    let until = httpdate::parse_http_date(raw.header("retry-after").unwrap()).unwrap();
    let wait = until.duration_since(std::time::SystemTime::now()).unwrap().as_secs();
    assert!((57..=60).contains(&wait), "{wait}");
}

#[tokio::test]
async fn another_address_suffers_what_is_meant_for_it() {
    let bench = Bench::new().await;
    let (mirror, stranger) =
        (bench.origin.serve("127.0.0.1:0").await.unwrap(), bench.origin.serve("127.0.0.2:0").await.unwrap());
    let [first, second, third] = [bench.running.addr(), mirror.addr(), stranger.addr()];
    bench.origin.reside(Places { mirror: Some(second.to_string()), stranger: Some(third.to_string()) });
    let status = Fault::Status { status: 503, retry_after: None };
    let _guard =
        bench.origin.install(Selector { at: Some(Place::Mirror), ..Selector::any("/v2/*") }.suffer(status));
    let path = bench.layer_path();
    for (addr, expect) in [(first, 200), (second, 503), (third, 200)] {
        assert_eq!(get(addr, &path).await.status, expect);
    }
    let places: Vec<Place> = bench.origin.journal().entries().iter().map(|it| it.place).collect();
    assert_eq!(places, [Place::First, Place::Mirror, Place::Stranger]);
}
