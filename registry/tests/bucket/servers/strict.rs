//! s3s-fs: S3 in a folder, which looks at every signature. It runs in this process.

use std::net::SocketAddr;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{BUCKET, Place};

/// The account that it knows.
pub(crate) const ACCOUNT: (&str, &str) = ("dockhand", "strictly-secret");

/// A running server.
pub(crate) struct Strict {
    address: SocketAddr,
    serving: JoinSet<()>,
    _folder: TempDir,
}

impl Strict {
    /// Starts it.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(ACCOUNT.0, ACCOUNT.1));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = serve(listener, builder.build());
        Self { address, serving, _folder: folder }
    }

    /// Goes away: refuses connections, and cuts those that are open.
    pub(crate) async fn stop(&mut self) {
        self.serving.shutdown().await;
    }

    /// Returns how to reach its bucket.
    pub(crate) fn place(&self) -> Place {
        Place::s3(&format!("http://{}", self.address), ACCOUNT.0, ACCOUNT.1)
    }
}

fn serve(listener: TcpListener, service: S3Service) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            connections.spawn(async move {
                let server = Builder::new(TokioExecutor::new());
                // A client that leaves in the middle is no matter of the server's.
                let _ = server.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    tasks
}
