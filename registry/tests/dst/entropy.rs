//! Randomness that is the same in every trial: of hash maps, of tokio's choices between what is ready.
//!
//! Both are seeded from the system's `getrandom`, which this binary replaces: each thread that is started for a
//! trial sees the same bytes. Nothing in a trial needs a secret.
#![expect(unsafe_code, reason = "A symbol of the C library is replaced, in this test binary alone.")]

use std::cell::Cell;

use sim::rng::Rng;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Fills a buffer, as `getrandom(2)` does.
///
/// # Safety
///
/// The caller owns `length` bytes at `buffer`, as the C library demands.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    let call = CALLS.with(|calls| {
        calls.set(calls.get() + 1);
        calls.get()
    });
    let bytes = Rng::labelled(call, "getrandom").bytes(length);
    // SAFETY: the caller gives a buffer of that many bytes, and `bytes` has as many.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer, length) };
    isize::try_from(length).unwrap_or(isize::MAX)
}
