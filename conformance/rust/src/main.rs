//! Apps on the Rust SDK, for suites of the other SDKs that start this program themselves.
//!
//! Its argument is the server's URL. It says in a line where its apps are (`/across`, `/sealed`), serves them, and ends
//! when its standard input does: not even a suite that dies leaves it behind.

mod across;
mod sealed;

use anyhow::Context;
use std::io::Write;
use stepwell::{App, serve};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = std::env::args().nth(1);
    let server = server.context("usage: stepwell-conformance SERVER_URL")?;
    let served = |app: App| anyhow::Ok(serve::axum(serve::Handler::new(app)?));
    let router = axum::Router::new()
        .route("/across", served(across::app(&server))?)
        .route("/sealed", served(sealed::app(&server)?)?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
    let orphaned = async {
        let mut rest = Vec::new();
        drop(tokio::io::stdin().read_to_end(&mut rest).await);
    };
    tokio::select! {
        served = axum::serve(listener, router).into_future() => Ok(served?),
        () = orphaned => Ok(()),
    }
}
