//! Fills: written to a folder, where their readers follow them, and uploaded beside.
//!
//! The bucket may be slower than the upstream; nobody waits for it but who publishes. What has arrived
//! survives a restart in the folder, and is uploaded anew.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::envelope::Held;
use super::records::Inner;
use super::upload::{INLINE_BYTES_MAX, Upload, part_bytes, parts_bytes};
use crate::backend::{Error, Key, Outcome, ReadAt, Stage};
use crate::telemetry::WithCauses;

/// Content that is fetched.
#[derive(Debug)]
pub(super) struct SpoolStage {
    key: Key,
    file: Box<dyn Stage>,
    inner: Arc<Inner>,
    uploader: Option<Uploader>,
}

/// A task that uploads what is in the file, as far as it is told that the file has it.
#[derive(Debug)]
struct Uploader {
    arrived: watch::Sender<Arrived>,
    task: JoinHandle<Result<Upload, Error>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrived {
    /// So many bytes; more may come.
    Some(u64),
    /// So many bytes, and no more will come.
    All(u64),
}

/// Bytes read from the file at once.
const READ_BYTES: usize = 1024 * 1024;

impl SpoolStage {
    pub(super) fn new(inner: &Arc<Inner>, key: &Key, file: Box<dyn Stage>) -> Self {
        Self { key: key.clone(), file, inner: Arc::clone(inner), uploader: None }
    }

    /// Tells the uploader what has arrived, and starts it when there is a first part.
    fn tell(&mut self, arrived: Arrived) {
        let (Arrived::Some(len) | Arrived::All(len)) = arrived;
        if self.uploader.is_none() && len >= part_bytes(0) {
            let (sender, receiver) = watch::channel(arrived);
            let upload = Upload::new(&self.inner.bucket);
            let task = tokio::spawn(upload_file(upload, self.file.reader(), self.key.clone(), receiver));
            self.uploader = Some(Uploader { arrived: sender, task });
        } else if let Some(uploader) = &self.uploader {
            uploader.arrived.send_replace(arrived);
        }
    }

    async fn upload(&mut self, to: &Key) -> Result<Outcome, Error> {
        let len = self.file.len();
        self.tell(Arrived::All(len));
        if let Some(uploader) = self.uploader.take() {
            let abandoned = |_| Error::Abandoned { key: to.clone() };
            let upload = uploader.task.await.map_err(abandoned)??;
            return self.inner.point(to, &upload, len).await;
        }
        let bytes = read(self.file.reader().as_ref(), &self.key, 0, len).await?;
        if len <= INLINE_BYTES_MAX {
            return self.inner.lead(to, &Held::Record(bytes), len).await;
        }
        let mut upload = Upload::new(&self.inner.bucket);
        upload.finish(bytes).await?;
        self.inner.point(to, &upload, len).await
    }
}

/// Uploads a file while it grows, and makes an object of it once it has ended. When nobody will say that it
/// has, gives the upload up.
async fn upload_file(
    mut upload: Upload,
    file: Arc<dyn ReadAt>,
    key: Key,
    mut arrived: watch::Receiver<Arrived>,
) -> Result<Upload, Error> {
    loop {
        let done = parts_bytes(upload.count());
        let wanted = part_bytes(upload.count());
        let now = *arrived.borrow_and_update();
        let uploaded = match now {
            // The last part is what `finish` takes, and may be as large as any.
            Arrived::All(len) if len - done <= wanted => {
                let last = read(file.as_ref(), &key, done, len).await?;
                upload.finish(last).await.map(|()| true)
            }
            Arrived::Some(len) | Arrived::All(len) if len >= done + wanted => {
                let part = read(file.as_ref(), &key, done, done + wanted).await?;
                upload.part(part).await.map(|()| false)
            }
            _ => match arrived.changed().await {
                Ok(()) => Ok(false),
                Err(_) => Err(Error::Abandoned { key: key.clone() }),
            },
        };
        match uploaded {
            Ok(true) => return Ok(upload),
            Ok(false) => {}
            Err(error) => {
                // What stays of it is reclaimed.
                if let Err(also) = upload.abort().await {
                    tracing::debug!(
                        error = %WithCauses(&also),
                        "an upload could not be given up"
                    );
                }
                return Err(error);
            }
        }
    }
}

async fn read(file: &dyn ReadAt, key: &Key, start: u64, end: u64) -> Result<Bytes, Error> {
    let mut all = BytesMut::with_capacity(usize::try_from(end - start).unwrap_or_default());
    let mut at = start;
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(READ_BYTES);
        let bytes = file.read_at(at, wanted).await?;
        if bytes.is_empty() {
            return Err(Error::foreign(key, "a staged file that is shorter than what was written"));
        }
        at += bytes.len() as u64;
        all.extend_from_slice(&bytes);
    }
    Ok(all.freeze())
}

#[async_trait::async_trait]
impl Stage for SpoolStage {
    fn len(&self) -> u64 {
        self.file.len()
    }

    async fn append(&mut self, bytes: Vec<Bytes>) -> Result<(), Error> {
        self.file.append(bytes).await?;
        self.tell(Arrived::Some(self.file.len()));
        Ok(())
    }

    async fn sync(&mut self) -> Result<(), Error> {
        self.file.sync().await
    }

    fn reader(&self) -> Arc<dyn ReadAt> {
        self.file.reader()
    }

    async fn publish(mut self: Box<Self>, to: &Key) -> Result<Outcome, Error> {
        let outcome = self.upload(to).await?;
        // Readers that have it open go on in it.
        self.file.discard().await?;
        Ok(outcome)
    }

    async fn discard(mut self: Box<Self>) -> Result<(), Error> {
        if let Some(uploader) = self.uploader.take() {
            // Nobody will tell it more, so it gives up.
            drop(uploader.arrived);
            let _ = uploader.task.await;
        }
        self.file.discard().await
    }
}
