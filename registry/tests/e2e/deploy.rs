//! The examples of `deploy/`: the configurations in it are sound.

use std::path::Path;

use crate::support::command::Command;
use crate::support::server::program;

#[tokio::test]
async fn the_configurations_of_the_examples_verify() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    for file in ["config.json", "kubernetes/config.json", "kind/config.json"] {
        let said = Command::new(program()).arg("verify").arg(deploy.join(file)).run().await;
        assert_eq!(said, "", "{file}");
    }
}
