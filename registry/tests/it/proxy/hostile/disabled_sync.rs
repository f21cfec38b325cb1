//! Goal: `sync.enable: false` switches the upstreams off with their stores; whatever `load` accepts can start.

use wharfinger::config;
use wharfinger::server::Server;

#[tokio::test]
async fn what_is_switched_off_opens_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let (main, own) = (folder.path().join("main"), folder.path().join("own"));
    for own in [&own, &main] {
        let text = serde_json::json!({
            "storage": {"rootDirectory": main},
            "http": {"address": "127.0.0.1", "port": "0"},
            "extensions": {"sync": {"enable": false, "registries": [
                {"urls": ["https://registry.example"], "onDemand": true, "storage": {"rootDirectory": own}}
            ]}},
        });
        let file = folder.path().join("config.json");
        std::fs::write(&file, text.to_string()).unwrap();
        let loaded = config::load(&file).expect("verify accepts it");
        let server = Server::bind(loaded.config).await;
        assert!(server.is_ok(), "it was accepted, and cannot start: {:?}", server.err());
    }
    assert!(!own.exists(), "the store of an upstream that is switched off was made");
}

#[tokio::test]
async fn a_poll_interval_is_no_busy_loop() {
    let folder = tempfile::tempdir().unwrap();
    let text = serde_json::json!({
        "storage": {"rootDirectory": folder.path().join("main")},
        "extensions": {"sync": {"registries": [
            {"urls": ["https://registry.example"], "pollInterval": "1ms", "content": [{"prefix": "a"}]}
        ]}},
    });
    let file = folder.path().join("config.json");
    std::fs::write(&file, text.to_string()).unwrap();
    assert!(config::load(&file).is_err(), "an upstream is mirrored a thousand times a second");
}
