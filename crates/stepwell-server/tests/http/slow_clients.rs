//! Clients that are slow, say nothing, or say too much; and those beside them.

use crate::server::soon;
use std::net::SocketAddr;
use std::time::Duration;
use stepwell_runtime::{Invokers, Options, Runtime};
use stepwell_server::{ConnectionLimits, ServerOptions, router, serve};
use stepwell_store::memory;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A server on a free port that limits its connections.
struct Limited {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
    // Dropping it stops the engine.
    _runtime: Runtime,
}

impl Limited {
    async fn start(limits: ConnectionLimits) -> Self {
        let runtime = Runtime::start(memory::open(), Invokers::none(), Options::default())
            .expect("the runtime starts");
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port is there");
        let address = listener.local_addr().expect("it has an address");
        let routes = router(runtime.handle(), ServerOptions::dev());
        let (stop, stopping) = oneshot::channel::<()>();
        let served = tokio::spawn(serve(listener, routes, limits, async {
            stopping.await.unwrap_or_default();
        }));
        Self {
            address,
            stop: Some(stop),
            served,
            _runtime: runtime,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address)
            .await
            .expect("the server listens")
    }
}

async fn say(stream: &mut TcpStream, text: &str) {
    stream
        .write_all(text.as_bytes())
        .await
        .expect("the connection takes it");
}

/// What comes until the server closes; a reset is as good.
async fn rest(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    soon("the server closes", async {
        drop(stream.read_to_end(&mut said).await);
    })
    .await;
    String::from_utf8_lossy(&said).into_owned()
}

/// Sends an event over a connection that stays open; returns the status line.
async fn send(stream: &mut TcpStream) -> String {
    let event = r#"{"name":"slow/go"}"#;
    let length = event.len();
    say(
        stream,
        &format!("POST /e/test HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{event}"),
    )
    .await;
    let mut answer = [0; 4_096];
    let read = soon("the server answers", stream.read(&mut answer)).await;
    let text = String::from_utf8_lossy(&answer[..read.expect("the connection holds")]).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}

/// Lets this process hold many connections, and says how many that are.
fn connections(wanted: usize) -> usize {
    #[cfg(unix)]
    {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit is known");
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("the limit can be raised");
        wanted.min(usize::try_from(hard / 2).unwrap_or(wanted))
    }
    #[cfg(not(unix))]
    wanted
}

#[tokio::test]
async fn thousands_of_slow_connections_do_not_stop_the_others() {
    let server = Limited::start(ConnectionLimits {
        connections_max: 100,
        ..ConnectionLimits::default()
    })
    .await;
    let mut regular = server.connect().await;
    assert_eq!(send(&mut regular).await, "HTTP/1.1 200 OK");
    let sayings = [
        "",
        "POST /e/te",
        "GET /health HTTP/1.1\r\nx-slow: ",
        "POST /e/test HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{\"name\":",
    ];
    let mut slow = Vec::new();
    for (number, saying) in (0..connections(4_000)).zip(sayings.iter().cycle()) {
        let mut stream = server.connect().await;
        // The server may have closed it by now.
        drop(stream.write_all(saying.as_bytes()).await);
        slow.push(stream);
        if number % 100 == 0 {
            let mut other = server.connect().await;
            assert_eq!(send(&mut other).await, "HTTP/1.1 200 OK", "{number}");
            assert_eq!(send(&mut regular).await, "HTTP/1.1 200 OK", "{number}");
        }
    }
}

#[tokio::test]
async fn who_does_not_finish_a_head_is_cut_off() {
    let server = Limited::start(ConnectionLimits {
        head: Duration::ZERO,
        ..ConnectionLimits::default()
    })
    .await;
    for saying in ["", "GET /health HTTP/1.1\r\nx-slow: "] {
        let mut stream = server.connect().await;
        say(&mut stream, saying).await;
        assert_eq!(rest(&mut stream).await, "");
    }
}

#[tokio::test]
async fn who_does_not_read_is_cut_off() {
    let server = Limited::start(ConnectionLimits {
        idle: Duration::ZERO,
        write: Duration::ZERO,
        ..ConnectionLimits::default()
    })
    .await;
    let mut stream = server.connect().await;
    // Requests without end, until neither side's buffers take more.
    let request = "GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1_000);
    soon("the server closes", async {
        while stream.write_all(request.as_bytes()).await.is_ok() {}
    })
    .await;
}

#[tokio::test]
async fn heads_beyond_the_limits_are_refused() {
    let server = Limited::start(ConnectionLimits::default()).await;
    let many = "x-one: 1\r\n".repeat(101);
    let long = format!("x-long: {}\r\n", "x".repeat(200_000));
    for headers in [many, long] {
        let mut stream = server.connect().await;
        let head = format!("GET /health HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        // The server need not read all of it.
        drop(stream.write_all(head.as_bytes()).await);
        let mut answer = [0; 100];
        let read = soon("the server answers", stream.read(&mut answer)).await;
        let text = String::from_utf8_lossy(&answer[..read.expect("it is told")]).into_owned();
        assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
    }
    let mut stream = server.connect().await;
    assert_eq!(send(&mut stream).await, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn a_server_that_stops_closes_connections_without_a_request() {
    let mut server = Limited::start(ConnectionLimits::default()).await;
    let mut used = server.connect().await;
    assert_eq!(send(&mut used).await, "HTTP/1.1 200 OK");
    let mut mute = server.connect().await;
    drop(server.stop.take());
    for stream in [&mut used, &mut mute] {
        assert_eq!(rest(stream).await, "");
    }
    soon("the server ends", &mut server.served)
        .await
        .expect("it does not panic");
}

#[tokio::test]
async fn a_body_that_is_published_as_a_stream_may_take_its_time() {
    let server = Limited::start(ConnectionLimits {
        body: Duration::ZERO,
        ..ConnectionLimits::default()
    })
    .await;
    let head = "HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked";
    let mut streams = Vec::new();
    for (path, kind) in [
        ("publish/tee?channel=c", "application/octet-stream"),
        ("publish?channel=c&topic=t", "text/stream"),
    ] {
        let mut stream = server.connect().await;
        let request =
            format!("POST /v1/realtime/{path} {head}\r\ncontent-type: {kind}\r\n\r\n3\r\none\r\n");
        say(&mut stream, &request).await;
        streams.push(stream);
    }
    let mut other = server.connect().await;
    say(
        &mut other,
        &format!("POST /e/test {head}\r\n\r\n3\r\none\r\n"),
    )
    .await;
    // Those before it were looked at when it was cut.
    assert_eq!(rest(&mut other).await, "");
    for mut stream in streams {
        say(&mut stream, "3\r\ntwo\r\n0\r\n\r\n").await;
        let mut answer = [0; 15];
        let read = soon("the server answers", stream.read_exact(&mut answer)).await;
        read.expect("the connection holds");
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    }
}
