//! Goal (P6): what is evicted leaves nothing behind that grows for ever.

use wharfinger::backend::disk::{Disk, Stat};
use wharfinger::backend::memory::MemoryDisk;

use super::bench::image;
use super::hook::Bounded;

fn below(disk: &MemoryDisk, folder: &str, found: &mut Vec<String>) {
    for name in disk.entries(folder).unwrap_or_default() {
        let path = format!("{folder}/{name}");
        match disk.stat(&path).unwrap() {
            Stat::Folder => below(disk, &path, found),
            Stat::File(_) => found.push(path),
        }
    }
}

#[tokio::test]
async fn p6_an_evicted_cache_leaves_no_records() {
    let disk = MemoryDisk::new();
    let Bounded { origin, client, repositories, hub } = Bounded::of_nothing(&disk).await;
    for number in 0..5 {
        let name = format!("team/app{number}");
        let made = image(origin.origin(), &name, "v1", &[10], number);
        assert_eq!(client.get(&format!("/v2/{name}/manifests/v1")).await.status, 200);
        for blob in made.blobs() {
            assert_eq!(client.get(&format!("/v2/{name}/blobs/{}", blob.digest)).await.status, 200);
        }
    }
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(repositories.evict(&hub).await.unwrap(), 0);
    let mut left = Vec::new();
    below(&disk, "upstreams", &mut left);
    assert!(left.is_empty(), "{left:#?}");
}
