//! htpasswd files: whatever is in one, the access layer opens, and lets nobody in without a login.
//!
//! The parser is private to that layer, so this goes through a file as a server does.

#![no_main]

use std::cell::RefCell;
use std::io::{Seek as _, Write as _};

use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;
use wharfinger::auth::options::Options;
use wharfinger::auth::{Access, Delete, Identity, Pull, Push};
use wharfinger::oci::RepositoryName;

thread_local! {
    static FILE: RefCell<NamedTempFile> = RefCell::new(NamedTempFile::new().expect("the temporary folder is writable"));
}

fuzz_target!(|bytes: &[u8]| {
    FILE.with_borrow_mut(|file| {
        file.as_file().set_len(0).expect("the file is open");
        file.rewind().expect("the file is open");
        file.write_all(bytes).expect("the file is open");
        let options = Options { htpasswd: Some(file.path().to_owned()), ..Options::default() };
        let access = Access::new(&options).expect("no content of the file is an error");
        let name = RepositoryName::parse("app").expect("the text is a name");
        assert!(access.base(&Identity::ANONYMOUS).is_err());
        assert!(access.grant::<Pull>(&Identity::ANONYMOUS, &name).is_err());
        assert!(access.grant::<Push>(&Identity::ANONYMOUS, &name).is_err());
        assert!(access.grant::<Delete>(&Identity::ANONYMOUS, &name).is_err());
    });
});
