//! Configurations: none panics; every fault has its place and its message; reading is repeatable.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfinger::config;

fuzz_target!(|text: &str| {
    let env = |name: &str| (name == "NAME").then(|| "value".to_owned());
    let read = config::parse(text, &env);
    assert_eq!(read, config::parse(text, &env));
    if let Err(faults) = read {
        assert!(!faults.faults.is_empty());
        assert!(faults.faults.iter().all(|fault| !fault.path.is_empty() && !fault.message.is_empty()));
    }
});
