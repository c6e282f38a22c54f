//! Workers whose connection is encrypted. The certificate is vouched for by an authority that is made for the test; whom a
//! program trusts is said by its environment, so that the worker is a program of its own: this one, started again.

use crate::side::{client, server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use stepwell::{App, Context, Error, Function, connect};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// What the worker is told: the server, and its encrypted gateway.
const SERVER: &str = "STEPWELL_TEST_SERVER";
const GATEWAY: &str = "STEPWELL_TEST_GATEWAY";
const THIS: &str = "tls::a_worker_connects_to_a_gateway_that_it_can_trust";

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Takes encrypted connections for `localhost` and passes them on. Tells how each handshake went.
async fn encrypted(authority: &Issuer, server: &str) -> (u16, mpsc::Receiver<bool>) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let to = server.strip_prefix("http://").unwrap().to_owned();
    let (tell, told) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let accepted = acceptor.accept(stream).await;
            // The test may have seen enough.
            let _ = tell.try_send(accepted.is_ok());
            if let Ok(mut stream) = accepted {
                let mut server = TcpStream::connect(&to).await.unwrap();
                tokio::spawn(async move {
                    let copied = tokio::io::copy_bidirectional(&mut stream, &mut server);
                    drop(copied.await);
                });
            }
        }
    });
    (port, told)
}

/// The worker: connects, and ends when it has.
async fn work(server: &str, gateway: &str) {
    let waits = |_: Context| async { Ok::<_, Error>(()) };
    let function = Function::new("f").on_event("t/go").handler(waits);
    let worker = connect::Worker::builder(App::new(client("t", server)).function(function))
        .gateway_url(gateway)
        .build()
        .unwrap()
        .start();
    worker.reached(connect::State::Active).await.unwrap();
    worker.close().await.unwrap();
}

fn worker(server: &str, port: u16, trusted: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([THIS, "--exact"])
        .env(SERVER, server)
        .env(GATEWAY, format!("wss://localhost:{port}/v0/connect"))
        .env("SSL_CERT_FILE", trusted)
        .env_remove("SSL_CERT_DIR")
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_connects_to_a_gateway_that_it_can_trust() {
    if let (Ok(server), Ok(gateway)) = (std::env::var(SERVER), std::env::var(GATEWAY)) {
        return work(&server, &gateway).await;
    }
    let (_runtime, server) = server().await;
    let folder = tempfile::tempdir().unwrap();
    let (known, unknown) = (folder.path().join("known"), folder.path().join("unknown"));
    let trusted = authority();
    std::fs::write(&known, trusted.pem()).unwrap();
    std::fs::write(&unknown, authority().pem()).unwrap();
    let (port, mut handshakes) = encrypted(&trusted, &server).await;

    let mut stranger = worker(&server, port, &unknown);
    let trusts = handshakes.recv().await.unwrap();
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert!(!trusts, "a certificate of an unknown authority is refused");

    let mut worker = worker(&server, port, &known);
    let ended = tokio::task::spawn_blocking(move || worker.wait().unwrap());
    assert!(ended.await.unwrap().success());
}
