use super::*;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::net::TcpListener;

/// A server of documents on this machine, which counts requests.
struct Server {
    address: SocketAddr,
    requests: Arc<AtomicU32>,
}

impl Server {
    async fn start() -> Self {
        let requests = Arc::new(AtomicU32::new(0));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/{what}", get(answer))
            .with_state((requests.clone(), address));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, requests }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    fn requests(&self) -> u32 {
        self.requests.load(Ordering::SeqCst)
    }

    fn origin(&self) -> Origin {
        Origin::parse(&format!("http://{}", self.address)).unwrap()
    }
}

async fn answer(
    State((requests, address)): State<(Arc<AtomicU32>, SocketAddr)>,
    Path(what): Path<String>,
    headers: HeaderMap,
) -> Response {
    let number = requests.fetch_add(1, Ordering::SeqCst) + 1;
    let pdf = [(header::CONTENT_TYPE, "application/pdf")];
    let to = |location: String| (StatusCode::FOUND, [(header::LOCATION, location)]).into_response();
    match what.as_str() {
        "doc" => {
            assert!(
                headers[header::USER_AGENT]
                    .to_str()
                    .unwrap()
                    .starts_with("studio233/")
            );
            (pdf, "%PDF-").into_response()
        }
        "png" => (
            [(header::CONTENT_TYPE, "image/png")],
            b"\x89PNG\r\n\x1a\n".as_slice(),
        )
            .into_response(),
        // Its bytes say what it is.
        "jpg" => (
            [(header::CONTENT_TYPE, "image/jpg")],
            b"\x89PNG\r\n\x1a\n".as_slice(),
        )
            .into_response(),
        "no-png" => ([(header::CONTENT_TYPE, "image/png")], "<html>").into_response(),
        "untyped" => Response::new(Body::from("%PDF-")),
        "html" => (
            [(header::CONTENT_TYPE, "text/html; charset=utf-8")],
            "<html>",
        )
            .into_response(),
        "missing" => StatusCode::NOT_FOUND.into_response(),
        "down" => StatusCode::BAD_GATEWAY.into_response(),
        "flaky" if number < 3 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        "flaky" => (pdf, "%PDF-late").into_response(),
        "hang" => std::future::pending().await,
        "big" => (pdf, vec![b'x'; 2000]).into_response(),
        "endless" => {
            let part = || {
                futures::future::ready(Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 512])))
            };
            let parts = futures::stream::repeat_with(part);
            (
                pdf,
                Body::from_stream(futures::StreamExt::then(parts, |part| part)),
            )
                .into_response()
        }
        "hop" => to("/doc".to_owned()),
        "loop" => to("/loop".to_owned()),
        "lost" => StatusCode::FOUND.into_response(),
        "inside" => to(format!("http://localhost:{}/doc", address.port())),
        "metadata" => to("http://169.254.169.254/latest".to_owned()),
        "file" => to("file:///etc/passwd".to_owned()),
        "blob" => to("blob:brand/a.pdf".to_owned()),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn fetcher(limits: FetchLimits) -> Fetcher {
    // These tests store no blobs; the folder may go at once.
    let folder = tempfile::tempdir().unwrap();
    let blobs = BlobStore::in_folder(folder.path()).await.unwrap();
    Fetcher::new(blobs, limits)
}

fn quick() -> FetchLimits {
    FetchLimits {
        bytes_max: 1024,
        wait_first: Duration::from_millis(1),
        ..FetchLimits::default()
    }
}

/// What fetching a path of an allowed server gives: the body, or the error with its port cut out.
async fn outcome(server: &Server, path: &str) -> String {
    let fetcher = fetcher(quick()).await.allowing([server.origin()]);
    match fetcher.fetch(&server.url(path)).await {
        Ok(fetched) => String::from_utf8(fetched.bytes.to_vec()).unwrap(),
        Err(error) => error
            .to_string()
            .replace(&server.address.port().to_string(), "PORT"),
    }
}

#[tokio::test]
async fn documents_arrive_directly_typed_or_not_and_after_redirects() {
    let server = Server::start().await;
    for path in ["doc", "untyped", "hop"] {
        assert_eq!(outcome(&server, path).await, "%PDF-", "{path}");
    }
}

#[tokio::test]
async fn only_server_errors_are_tried_again() {
    let server = Server::start().await;
    assert_eq!(outcome(&server, "flaky").await, "%PDF-late");
    assert_eq!(server.requests(), 3);

    let server = Server::start().await;
    assert_eq!(
        outcome(&server, "down").await,
        "the server of http://127.0.0.1:PORT/down answered 502 (tried 4 times)"
    );
    assert_eq!(server.requests(), 4);

    let server = Server::start().await;
    assert_eq!(
        outcome(&server, "missing").await,
        "http://127.0.0.1:PORT/missing answered 404; check that the URL is right and not expired"
    );
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn an_unreachable_server_is_tried_four_times() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let origin = Origin::parse(&format!("http://{address}")).unwrap();
    let fetcher = fetcher(quick()).await.allowing([origin]);
    let error = fetcher
        .fetch(&format!("http://{address}/x?token=secret"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, FetchError::Network { attempts: 4, .. }),
        "{error}"
    );
    assert!(error.is_transient());
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let server = Server::start().await;
    let limits = FetchLimits {
        timeout: Duration::from_millis(50),
        retries_max: 1,
        ..quick()
    };
    let fetcher = fetcher(limits).await.allowing([server.origin()]);
    let error = fetcher.fetch(&server.url("hang")).await.unwrap_err();
    assert!(
        matches!(error, FetchError::Timeout { attempts: 2, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn size_and_type_limits_hold_while_streaming() {
    let server = Server::start().await;
    assert_eq!(
        outcome(&server, "big").await,
        "http://127.0.0.1:PORT/big is larger than 1024 bytes"
    );
    assert_eq!(
        outcome(&server, "endless").await,
        "http://127.0.0.1:PORT/endless is larger than 1024 bytes"
    );
    let html = outcome(&server, "html").await;
    assert!(
        html.starts_with("http://127.0.0.1:PORT/html is text/html, which is not read here"),
        "{html}"
    );
}

#[tokio::test]
async fn redirects_are_checked_at_every_hop() {
    let server = Server::start().await;
    for (path, expected) in [
        (
            "loop",
            "http://127.0.0.1:PORT/loop redirects more than 5 times",
        ),
        (
            "lost",
            "http://127.0.0.1:PORT/lost redirects without saying where to",
        ),
        (
            "metadata",
            "http://169.254.169.254/latest is refused: 169.254.169.254 is at 169.254.169.254, a link-local address; only public addresses are fetched",
        ),
        (
            "file",
            "file:///etc/passwd is refused: file: URLs are not fetched; use https:, http: or a blob: of the studio",
        ),
        (
            "blob",
            "blob:brand/a.pdf is refused: blob: URLs are not fetched; use https:, http: or a blob: of the studio",
        ),
    ] {
        assert_eq!(outcome(&server, path).await, expected, "{path}");
    }
    // The allowed origin is an address; the name of the same machine is another origin.
    let inside = outcome(&server, "inside").await;
    assert!(
        inside.contains("localhost is at") && inside.contains("a loopback address"),
        "{inside}"
    );
}

#[tokio::test]
async fn urls_into_the_inside_are_refused_before_any_request() {
    let server = Server::start().await;
    let port = server.address.port();
    let fetcher = fetcher(quick()).await;
    for url in [
        format!("http://127.0.0.1:{port}/doc"),
        format!("http://localhost:{port}/doc"),
        format!("http://127.1:{port}/doc"),
        format!("http://0x7f000001:{port}/doc"),
        format!("http://2130706433:{port}/doc"),
        format!("http://0.0.0.0:{port}/doc"),
        format!("http://[::1]:{port}/doc"),
        format!("http://[::ffff:127.0.0.1]:{port}/doc"),
        format!("http://[::ffff:7f00:1]:{port}/doc"),
        "http://10.0.0.1/".to_owned(),
        "https://192.168.1.1/".to_owned(),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://[fd00::1]/".to_owned(),
        "http://[fe80::1]/".to_owned(),
        "http://[64:ff9b::a00:1]/".to_owned(),
        "http://224.0.0.1/".to_owned(),
        "http://user:pass@example.com/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "ftp://example.com/a.pdf".to_owned(),
        "data:application/pdf;base64,JVBERi0=".to_owned(),
        "gopher://127.0.0.1/".to_owned(),
        "not a url".to_owned(),
        format!("https://example.com/{}", "a".repeat(9000)),
    ] {
        let error = fetcher.fetch(&url).await.unwrap_err();
        assert!(
            matches!(error, FetchError::Refused { .. }),
            "{url}: {error}"
        );
        assert!(!error.is_transient(), "{url}");
        assert!(!error.to_string().contains("pass@"), "{error}");
    }
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn an_allowed_name_is_fetched_at_the_addresses_it_resolved_to() {
    let server = Server::start().await;
    let named = format!("http://localhost:{}", server.address.port());
    let fetcher = fetcher(quick()).await.allowing(Origin::parse(&named));
    let fetched = fetcher
        .fetch(&format!("{named}/doc?signature=secret"))
        .await
        .unwrap();
    assert_eq!(
        (fetched.bytes.as_ref(), fetched.url),
        (&b"%PDF-"[..], format!("{named}/doc"))
    );
}

#[test]
fn origins_are_schemes_hosts_and_ports() {
    assert_eq!(
        Origin::parse("http://LOCALHOST:80"),
        Origin::parse("http://localhost/")
    );
    assert_ne!(
        Origin::parse("http://localhost:1"),
        Origin::parse("http://localhost:2")
    );
    for text in [
        "",
        "localhost:80",
        "file:///",
        "http://a/path",
        "http://u@a",
        "http://a?q",
        "blob:a",
    ] {
        assert_eq!(Origin::parse(text), None, "{text}");
    }
}

#[test]
fn a_shown_url_has_no_credentials_even_when_it_is_no_url() {
    let cases = [
        ("https://host/doc.pdf", "https://host/doc.pdf"),
        (
            "https://user:secret@host:81/doc?signature=secret#secret",
            "https://host:81/doc",
        ),
        ("blob:brand/a@b.pdf?x=secret", "blob:brand/a@b.pdf"),
        ("user:secret@host/doc", "…@host/doc"),
        ("//user:secret@host/doc", "//…@host/doc"),
        (
            "http://user:secret@no host/doc?secret",
            "http://…@no host/doc",
        ),
        ("http://user:sec?ret/se#cret@no host/", "http://…@no host/"),
        ("not\na url", "not a url"),
        ("data:text/plain,long", "data:text/plain,long"),
    ];
    for (text, expected) in cases {
        assert_eq!(shown_url(text), expected, "{text}");
    }
    let long = format!("http://user:secret@host/{}", "x".repeat(URL_BYTES_MAX));
    let shown = shown_url(&long);
    assert!(shown.len() <= 210 && !shown.contains("secret"), "{shown}");
}

#[tokio::test]
async fn images_come_under_the_same_rules_and_are_images() {
    use std::error::Error;
    use studio233_ai::{ImageSource, ImageType};

    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let blobs = BlobStore::in_folder(folder.path()).await.unwrap();
    let fetcher = Fetcher::new(blobs, FetchLimits::images());
    let allowed = fetcher.clone().allowing([server.origin()]);
    let allowed: &dyn ImageSource = &allowed;
    let image = allowed.fetch(&server.url("png?signature=x")).await.unwrap();
    assert_eq!(image.kind(), ImageType::Png);
    let misnamed = allowed.fetch(&server.url("jpg")).await.unwrap();
    assert_eq!(misnamed.kind(), ImageType::Png);
    // (path, why, whether to try again)
    let cases = [
        (
            "no-png?signature=x",
            "it is neither PNG, JPEG, GIF nor WebP",
            false,
        ),
        ("doc", "is application/pdf, which is not read here", false),
        ("missing", "answered 404", false),
    ];
    for (path, why, transient) in cases {
        let error = allowed.fetch(&server.url(path)).await.unwrap_err();
        let source = error.source().unwrap().to_string();
        assert!(source.contains(why), "{source}");
        assert_eq!(error.transient, transient);
        assert!(!error.to_string().contains("signature"), "{error}");
    }
    let private: &dyn ImageSource = &fetcher;
    let error = private.fetch(&server.url("png")).await.unwrap_err();
    let source = error.source().unwrap().to_string();
    assert!(
        source.contains("only public addresses are fetched"),
        "{source}"
    );
}
