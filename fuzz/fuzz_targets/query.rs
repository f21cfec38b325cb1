//! Query strings: none panics, and what is encoded is read as it was.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfinger::http::query::{self, PAIRS_MAX, Query};

fuzz_target!(|text: &str| {
    if let Ok(read) = Query::parse(text) {
        for key in ["n", "last", "digest", "ns"] {
            let first = read.all(key).next();
            assert!(read.all(key).count() <= PAIRS_MAX);
            assert!(read.one(key).is_err() || read.one(key) == Ok(first));
            let _ = read.number(key);
        }
    }
    let encoded = format!("key={}", query::encode(text));
    let read = Query::parse(&encoded).expect("what is encoded can be read");
    assert_eq!(read.one("key"), Ok(Some(text)));
});
