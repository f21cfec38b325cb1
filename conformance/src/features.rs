//! What the target offers of the optional parts, found out once before the checks run.
//!
//! Only an answer that the specification allows for a missing part counts as missing. Anything else,
//! a server error for example, counts as offered, so that the checks of that part judge it.

use std::collections::BTreeMap;

use crate::check::{Content, Feature, Stop};
use crate::content::sha512;
use crate::context::Context;
use crate::wire::Response;

/// The features that are missing, each with the answer that says so.
#[derive(Clone, Debug, Default)]
pub struct Features {
    missing: BTreeMap<&'static str, String>,
}

impl Features {
    /// Returns why a feature counts as missing; none when it is offered or unknown.
    pub fn missing(&self, feature: Feature) -> Option<&str> {
        self.missing.get(feature.name()).map(String::as_str)
    }

    /// Returns the missing features by name, with the reason.
    pub fn list(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.missing.iter().map(|(name, reason)| (*name, reason.as_str()))
    }

    fn judge(&mut self, feature: Feature, response: &Response, off: &[u16]) {
        if off.contains(&response.status) {
            let reason = format!("{} answered {}", response.label, response.status);
            self.missing.insert(feature.name(), reason);
        }
    }

    fn lack(&mut self, feature: Feature, reason: &str) {
        self.missing.insert(feature.name(), reason.to_owned());
    }

    /// Asks the target; what cannot be prepared stays unknown.
    pub async fn probe(ctx: &Context) -> Self {
        let mut features = Self::default();
        // A probe that breaks off leaves the rest as offered: the checks then say what is wrong.
        let _ = probe_all(ctx, &mut features).await;
        features
    }
}

async fn probe_all(ctx: &Context, features: &mut Features) -> Result<(), Stop> {
    let catalog = ctx.follow(ctx.request("GET", "/v2/_catalog?n=1")).await?;
    features.judge(Feature::Catalog, &catalog, &[401, 403, 404, 405, 501]);
    if ctx.shared().source.lacks(Content::Pushed).is_some() {
        for feature in
            [Feature::TagDelete, Feature::ManifestDelete, Feature::BlobDelete, Feature::TagParameter]
        {
            features.lack(feature, "nothing is pushed to the target in this run");
        }
        let held = ctx.held().await?;
        let response = ctx.referrers(&held.repo, &held.image.manifest.digest, "").await?;
        features.judge(Feature::Referrers, &response, &[404]);
        return Ok(());
    }
    probe_pushes(ctx, features).await
}

async fn probe_pushes(ctx: &Context, features: &mut Features) -> Result<(), Stop> {
    let repo = ctx.repo();
    let bytes = ctx.blob(64).bytes;
    let response = ctx.put_blob(&repo, &sha512(&bytes), &bytes).await?;
    features.judge(Feature::Sha512, &response, &[400]);

    let image = ctx.tagged(&repo, "probe").await?;
    let digest = &image.manifest.digest;
    let response = ctx.referrers(&repo, digest, "").await?;
    features.judge(Feature::Referrers, &response, &[404]);

    let pushed = ctx.send(ctx.push(&repo, digest, &image.manifest).query("tag", "parameter")).await?;
    if pushed.header("OCI-Tag").is_none() && ctx.pull(&repo, "parameter").await?.status == 404 {
        let reason = format!("{} answered {} and made no tag", pushed.label, pushed.status);
        features.lack(Feature::TagParameter, &reason);
    }

    let response = ctx.delete_manifest(&repo, "probe").await?;
    features.judge(Feature::TagDelete, &response, &[400, 405]);
    let response = ctx.delete_manifest(&repo, digest).await?;
    features.judge(Feature::ManifestDelete, &response, &[400, 405]);
    // A blob of no manifest: a registry may protect those in use.
    let loose = ctx.blob(64);
    ctx.have_blob(&repo, &loose).await?;
    let response = ctx.delete_blob(&repo, &loose.digest).await?;
    features.judge(Feature::BlobDelete, &response, &[400, 405]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Framing;

    #[test]
    fn only_an_answer_that_may_say_so_takes_a_feature_away() {
        let response = |status| Response {
            label: "DELETE /x".into(),
            status,
            headers: vec![],
            body: vec![],
            framing: Framing::None,
            interim: vec![],
            excess: 0,
        };
        let mut features = Features::default();
        for (feature, status) in
            [(Feature::TagDelete, 405), (Feature::BlobDelete, 500), (Feature::ManifestDelete, 202)]
        {
            features.judge(feature, &response(status), &[400, 405]);
        }
        features.lack(Feature::Catalog, "nobody asked");
        assert_eq!(features.missing(Feature::TagDelete), Some("DELETE /x answered 405"));
        assert_eq!(features.missing(Feature::BlobDelete), None, "a server error is for the checks to judge");
        let listed: Vec<_> = features.list().collect();
        assert_eq!(listed, [("tag deletion", "DELETE /x answered 405"), ("the catalog", "nobody asked")]);
    }
}
