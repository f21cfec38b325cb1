//! Paths: none panics, and what is read is rendered to a path that reads the same.

#![no_main]

use http::Method;
use libfuzzer_sys::fuzz_target;
use wharfinger::http::route;

fuzz_target!(|input: (u8, &str)| {
    let (which, rest) = input;
    let methods =
        [Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::PUT, Method::DELETE, Method::TRACE];
    let method = &methods[usize::from(which) % methods.len()];
    for path in [rest.to_owned(), format!("/v2/{rest}")] {
        let Ok(read) = route::parse(method, &path) else { continue };
        let rendered = read.target.to_string();
        assert!(!rendered.contains("/../") && !rendered.contains("//") && !rendered.contains('%'));
        assert_eq!(route::parse(method, &rendered), Ok(read), "{path}");
    }
});
