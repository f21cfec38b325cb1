//! Parts of images: heads, ranges as containerd asks for them, and single questions.

use std::collections::HashSet;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::{
    exchange::{Ask, Exchange, Wanted},
    record::{Scene, Traffic, blobs, largest_layer},
};
use crate::origin::SeededImage;

/// One thing that a client may ask about an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// GET of the manifest by its tag.
    Tag,
    /// GET of the manifest by its digest.
    Manifest,
    /// HEAD of the manifest by its tag.
    HeadTag,
    /// GET of the largest layer.
    Blob,
    /// HEAD of the largest layer.
    HeadBlob,
    /// GET of the middle third of the largest layer.
    Range,
}

impl Question {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Tag, Self::Manifest, Self::HeadTag, Self::Blob, Self::HeadBlob, Self::Range];

    /// Returns the word for it, as repositories may have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Manifest => "manifest",
            Self::HeadTag => "head-tag",
            Self::Blob => "blob",
            Self::HeadBlob => "head-blob",
            Self::Range => "range",
        }
    }
}

impl Traffic<'_> {
    /// Lets `clients` clients ask for the head of everything.
    pub async fn heads(&mut self, scene: Scene<'_>, clients: usize) {
        let before = self.pulled();
        let mut wanted = Vec::new();
        for image in self.images_of(scene) {
            let manifest = Wanted::manifest(&image.repository, &image.manifest);
            wanted.extend([self.tagged(image), manifest]);
            wanted.extend(blobs(image));
        }
        let wanted: Vec<Wanted> = wanted.into_iter().map(|it| it.only(Ask::Head)).collect();
        self.ask(scene, clients, &wanted, &before).await;
    }

    /// Lets `clients` clients ask for the largest layer of every image in so many parts side by side, as
    /// containerd does: each request is open-ended, and its client leaves when it has its part. Then each
    /// asks once for the first and once for the last bytes.
    pub async fn ranges(&mut self, scene: Scene<'_>, clients: usize, parts: u64) {
        let before = self.pulled();
        let layers = self.images_of(scene).filter_map(largest_layer);
        let wanted: Vec<Wanted> = layers.flat_map(|layer| slices(&layer, parts.max(1))).collect();
        self.ask(scene, clients, &wanted, &before).await;
    }

    /// Lets one client ask, side by side, what each image is there for.
    pub async fn questions(&mut self, scene: Scene<'_>, questions: &[(String, Question)]) {
        let before = self.pulled();
        let of = |image: &SeededImage| questions.iter().find(|(name, _)| *name == image.repository);
        let ask = |image: &SeededImage| Some(self.question(image, of(image)?.1));
        let wanted: Vec<Wanted> = self.images_of(scene).filter_map(ask).collect();
        self.ask(scene, 1, &wanted, &before).await;
    }

    fn question(&self, image: &SeededImage, question: Question) -> Wanted {
        let layer = || largest_layer(image).unwrap_or_else(|| Wanted::blob(&image.repository, &image.config));
        match question {
            Question::Tag => self.tagged(image),
            Question::Manifest => Wanted::manifest(&image.repository, &image.manifest),
            Question::HeadTag => self.tagged(image).only(Ask::Head),
            Question::Blob => layer(),
            Question::HeadBlob => layer().only(Ask::Head),
            Question::Range => {
                let layer = layer();
                let third = layer.content.size / 3;
                let last = Some((2 * third).saturating_sub(1).max(third));
                layer.only(Ask::Range { first: third, last, takes: None })
            }
        }
    }

    async fn ask(&mut self, scene: Scene<'_>, clients: usize, wanted: &[Wanted], before: &HashSet<String>) {
        let this = &*self;
        let asked = (0..clients)
            .flat_map(|client| wanted.iter().map(move |it| this.insist(scene, client, it, before)));
        let exchanges: Vec<Exchange> = join_all(asked).await.concat();
        self.exchanges.extend(exchanges);
    }
}

/// Cuts a layer into open-ended parts, its first bytes and its last ones.
fn slices(layer: &Wanted, parts: u64) -> Vec<Wanted> {
    let size = layer.content.size;
    let each = size.div_ceil(parts).max(1);
    let open = (0..parts).map(|part| part * each).filter(|first| *first < size);
    let open = open.map(|first| Ask::Range { first, last: None, takes: Some(each.min(size - first)) });
    let first = Ask::Range { first: 0, last: Some(size.min(10).saturating_sub(1)), takes: None };
    let last = Ask::Range { first: size.saturating_sub(10), last: None, takes: None };
    open.chain([first, last]).map(|ask| layer.clone().only(ask)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{digest::Digest, origin::SeededBlob};

    #[test]
    fn parts_cover_a_layer() {
        let blob = SeededBlob { digest: Digest::sha256_of(b"x"), size: 100 };
        let asked: Vec<_> = slices(&Wanted::blob("a", &blob), 3)
            .into_iter()
            .map(|it| (it.ask.range().unwrap(), it.ask.takes()))
            .collect();
        let expect = [
            ("bytes=0-", Some(34)),
            ("bytes=34-", Some(34)),
            ("bytes=68-", Some(32)),
            ("bytes=0-9", None),
            ("bytes=90-", None),
        ];
        assert_eq!(asked, expect.map(|(range, takes)| (range.to_owned(), takes)));
    }
}
