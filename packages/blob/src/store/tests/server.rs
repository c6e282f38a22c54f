//! A store that speaks S3's protocol and checks signatures, in this process.

use crate::Bucket;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

const NAME: &str = "studio";
const ACCESS_KEY_ID: &str = "test-id";
const SECRET_ACCESS_KEY: &str = "test-secret";

pub(super) struct Server {
    address: SocketAddr,
    accepting: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Server {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(NAME)).unwrap();
        let files = s3s_fs::FileSystem::new(folder.path()).unwrap();
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        let service = service.build();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            // Connections end with whoever accepts them.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                connections.spawn(async move {
                    let http = Builder::new(TokioExecutor::new());
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self {
            address,
            accepting,
            _folder: folder,
        }
    }

    pub(super) fn bucket(&self) -> Bucket {
        Bucket {
            name: NAME.into(),
            folder: None,
            region: "us-east-1".into(),
            endpoint: Some(format!("http://{}", self.address).parse().unwrap()),
            access_key_id: ACCESS_KEY_ID.into(),
            secret_access_key: SECRET_ACCESS_KEY.into(),
            session_token: None,
        }
    }

    pub(super) async fn stop(self) {
        self.accepting.abort();
        let _ = self.accepting.await;
    }
}
