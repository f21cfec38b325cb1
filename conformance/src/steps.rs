//! Steps that checks have in common: preparations, whose failure is an error and not a verdict, and
//! the requests that most checks make.

use crate::check::{Stop, Verdict};
use crate::content::{Blob, Image, Manifest};
use crate::context::Context;
use crate::expect::{header, setup, status};
use crate::wire::{Request, Response, Url};

impl Context {
    /// Resolves the Location of a response that has to have one.
    ///
    /// *Errors*: [`Stop::Fail`] without the header; [`Stop::Error`] when it cannot be spoken to.
    pub fn location(&self, response: &Response) -> Result<Url, Stop> {
        let location = header(response, "Location")?;
        self.request("GET", "/v2/")
            .url
            .join(location)
            .map_err(|error| Stop::Error(format!("{}: Location {error}", response.label)))
    }

    /// Returns the request that begins an upload.
    pub fn begin(&self, repo: &str) -> Request {
        self.request("POST", &format!("/v2/{repo}/blobs/uploads/"))
    }

    /// Prepares an open upload session and returns its address.
    ///
    /// *Errors*: [`Stop::Error`].
    pub async fn session(&self, repo: &str) -> Result<Url, Stop> {
        let response = setup(self.send(self.begin(repo)).await)?;
        setup(status(&response, &[202]))?;
        setup(self.location(&response))
    }

    /// Returns the request that adds bytes to a session, with its Content-Range.
    pub fn chunk(&self, session: &Url, from: usize, bytes: &[u8]) -> Request {
        let end = (from + bytes.len()).saturating_sub(1);
        self.request_to("PATCH", session.clone())
            .header("Content-Type", "application/octet-stream")
            .header("Content-Range", format!("{from}-{end}"))
            .body(bytes)
    }

    /// Returns the request that adds bytes to a session as docker does: a stream without a range.
    pub fn stream(&self, session: &Url, bytes: &[u8]) -> Request {
        self.request_to("PATCH", session.clone()).chunked(bytes)
    }

    /// Returns the request that closes a session.
    pub fn finish(&self, session: &Url, digest: &str, bytes: &[u8]) -> Request {
        let request = self.request_to("PUT", session.with_query("digest", digest));
        if bytes.is_empty() {
            return request;
        }
        request.header("Content-Type", "application/octet-stream").body(bytes)
    }

    /// Prepares a session that holds these bytes and returns its newest address.
    ///
    /// *Errors*: [`Stop::Error`].
    pub async fn session_with(&self, repo: &str, bytes: &[u8]) -> Result<Url, Stop> {
        let session = self.session(repo).await?;
        let response = setup(self.send(self.chunk(&session, 0, bytes)).await)?;
        setup(status(&response, &[202]))?;
        setup(self.location(&response))
    }

    /// Opens a session and closes it with one PUT; returns the answer.
    ///
    /// *Errors*: [`Stop::Error`] before the PUT, [`Stop::Fail`] when the PUT has no answer.
    pub async fn put_blob(&self, repo: &str, digest: &str, bytes: &[u8]) -> Result<Response, Stop> {
        let session = self.session(repo).await?;
        self.send(self.finish(&session, digest, bytes)).await
    }

    /// Prepares a blob in a repository.
    ///
    /// *Errors*: [`Stop::Error`]; [`Stop::Skip`] in a run that only reads.
    pub async fn have_blob(&self, repo: &str, blob: &Blob) -> Verdict {
        let response = setup(self.place()?.put_blob(repo, &blob.digest, &blob.bytes).await)?;
        setup(status(&response, &[201]))?;
        self.warm(&format!("/v2/{repo}/blobs/{}", blob.digest)).await
    }

    /// Returns the request that pushes a manifest.
    pub fn push(&self, repo: &str, reference: &str, manifest: &Manifest) -> Request {
        self.request("PUT", &format!("/v2/{repo}/manifests/{reference}"))
            .header("Content-Type", manifest.media_type.clone())
            .body(manifest.bytes.clone())
    }

    /// Prepares a manifest, whose content has to be there already.
    ///
    /// *Errors*: [`Stop::Error`]; [`Stop::Skip`] in a run that only reads.
    pub async fn have_manifest(&self, repo: &str, reference: &str, manifest: &Manifest) -> Verdict {
        let place = self.place()?;
        let response = setup(place.send(place.push(repo, reference, manifest)).await)?;
        setup(status(&response, &[201]))?;
        self.warm(&format!("/v2/{repo}/manifests/{reference}")).await
    }

    /// Prepares the blobs of an image.
    ///
    /// *Errors*: [`Stop::Error`].
    pub async fn have_content(&self, repo: &str, image: &Image) -> Verdict {
        self.have_blob(repo, &image.config).await?;
        self.have_blob(repo, &image.layer).await
    }

    /// Prepares an image under a tag or, with its digest as reference, without one.
    ///
    /// *Errors*: [`Stop::Error`].
    pub async fn have_image(&self, repo: &str, reference: &str, image: &Image) -> Verdict {
        self.have_content(repo, image).await?;
        self.have_manifest(repo, reference, &image.manifest).await
    }

    /// Prepares a fresh image under a tag.
    ///
    /// *Errors*: [`Stop::Error`].
    pub async fn tagged(&self, repo: &str, tag: &str) -> Result<Image, Stop> {
        let image = self.image();
        self.have_image(repo, tag, &image).await?;
        Ok(image)
    }

    /// Returns the request for a manifest, accepting every type.
    pub fn manifest(&self, method: &str, repo: &str, reference: &str) -> Request {
        self.request(method, &format!("/v2/{repo}/manifests/{reference}"))
            .header("Accept", Manifest::accept_all())
    }

    /// Returns the request for a blob.
    pub fn blob_request(&self, method: &str, repo: &str, digest: &str) -> Request {
        self.request(method, &format!("/v2/{repo}/blobs/{digest}"))
    }

    /// Pulls a manifest, following redirects.
    ///
    /// *Errors*: as [`Context::follow`].
    pub async fn pull(&self, repo: &str, reference: &str) -> Result<Response, Stop> {
        self.follow(self.manifest("GET", repo, reference)).await
    }

    /// Pulls a blob, following redirects.
    ///
    /// *Errors*: as [`Context::follow`].
    pub async fn pull_blob(&self, repo: &str, digest: &str) -> Result<Response, Stop> {
        self.follow(self.blob_request("GET", repo, digest)).await
    }

    /// Asks for the tags of a repository; `query` begins with `?` or is empty.
    ///
    /// *Errors*: as [`Context::follow`].
    pub async fn tags(&self, repo: &str, query: &str) -> Result<Response, Stop> {
        self.follow(self.request("GET", &format!("/v2/{repo}/tags/list{query}"))).await
    }

    /// Asks for the referrers of a digest; `query` begins with `?` or is empty.
    ///
    /// *Errors*: as [`Context::follow`].
    pub async fn referrers(&self, repo: &str, digest: &str, query: &str) -> Result<Response, Stop> {
        self.follow(self.request("GET", &format!("/v2/{repo}/referrers/{digest}{query}"))).await
    }

    /// Deletes a manifest or a tag.
    ///
    /// *Errors*: as [`Context::send`].
    pub async fn delete_manifest(&self, repo: &str, reference: &str) -> Result<Response, Stop> {
        self.send(self.request("DELETE", &format!("/v2/{repo}/manifests/{reference}"))).await
    }

    /// Deletes a blob.
    ///
    /// *Errors*: as [`Context::send`].
    pub async fn delete_blob(&self, repo: &str, digest: &str) -> Result<Response, Stop> {
        self.send(self.request("DELETE", &format!("/v2/{repo}/blobs/{digest}"))).await
    }

    /// Passes when the blob can be pulled and is these bytes.
    ///
    /// *Errors*: [`Stop::Fail`] naming what came instead.
    pub async fn blob_is(&self, repo: &str, digest: &str, bytes: &[u8]) -> Verdict {
        let response = self.pull_blob(repo, digest).await?;
        status(&response, &[200])?;
        crate::expect::body_is(&response, bytes)
    }

    /// Passes when the manifest can be pulled and is these bytes.
    ///
    /// *Errors*: [`Stop::Fail`] naming what came instead.
    pub async fn manifest_is(&self, repo: &str, reference: &str, manifest: &Manifest) -> Verdict {
        let response = self.pull(repo, reference).await?;
        status(&response, &[200])?;
        crate::expect::body_is(&response, &manifest.bytes)
    }

    /// Passes when GET and HEAD of the blob both answer 404.
    ///
    /// *Errors*: [`Stop::Fail`] naming what came instead.
    pub async fn blob_gone(&self, repo: &str, digest: &str) -> Verdict {
        status(&self.pull_blob(repo, digest).await?, &[404])?;
        status(&self.follow(self.blob_request("HEAD", repo, digest)).await?, &[404])
    }

    /// Passes when GET and HEAD of the manifest both answer 404.
    ///
    /// *Errors*: [`Stop::Fail`] naming what came instead.
    pub async fn manifest_gone(&self, repo: &str, reference: &str) -> Verdict {
        status(&self.pull(repo, reference).await?, &[404])?;
        status(&self.follow(self.manifest("HEAD", repo, reference)).await?, &[404])
    }
}
