//! What is logged, for tests that are about it.

use std::io::Write;
use std::sync::{Arc, Mutex};

/// What is logged on this thread.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

/// Listens until it is dropped.
pub(crate) struct Listening {
    _default: tracing::subscriber::DefaultGuard,
    /// With a single subscriber in the process, whether a line is written at all would be decided by whichever
    /// thread comes to it first, and that may be another test's, which listens to nothing.
    _other: tracing::Dispatch,
}

impl Log {
    /// Begins to listen.
    pub(crate) fn listen() -> (Self, Listening) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let _other = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
        (log, Listening { _default: tracing::subscriber::set_default(subscriber), _other })
    }

    /// Returns what was logged, and forgets it.
    pub(crate) fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
