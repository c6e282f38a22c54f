use super::*;
use std::io::Write;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn any_answer_is_a_result() {
    for status in [200, 204, 304, 404, 429, 503] {
        let server = Server::start(move |_| {
            let body = if matches!(status, 204 | 304) {
                ""
            } else {
                "hé\0"
            };
            answer(status, &[("x-a", "1"), ("x-b", "2"), ("x-a", "3")], body)
        })
        .await;
        let url = format!("{}/a?b=c", server.url);
        let mut value = value_of(fetch(json!({"url": url, "method": "GET"}))).await;
        let body = value["data"]["body"].take();
        assert_eq!(body == "hé\0", !matches!(status, 204 | 304), "{status}");
        let headers = value["data"]["headers"].take();
        assert_eq!(
            (&headers["x-a"], &headers["x-b"]),
            (&json!("1, 3"), &json!("2"))
        );
        let expected =
            json!({"data": {"url": url, "headers": null, "body": null, "status_code": status}});
        assert_eq!(value, expected);
    }
}

#[tokio::test]
async fn a_request_goes_out_as_asked() {
    let server = Server::start(|_| answer(200, &[], "")).await;
    let opts = json!({
        "url": format!("{}/p%20q?x=%2F", server.url), "method": "patch", "body": "bödy",
        "headers": {"Content-Type": "text/x", "X-Several": ["1", "2"], "Authorization": "Bearer t", "Host": "other.test"},
    });
    value_of(fetch(opts)).await;
    let seen = server.last();
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("PATCH", "/p%20q?x=%2F")
    );
    assert_eq!(
        (seen.body.as_str(), seen.header("content-length")),
        ("bödy", "5")
    );
    assert_eq!(seen.header("content-type"), "text/x");
    assert_eq!(seen.header("authorization"), "Bearer t");
    assert_eq!(
        seen.header("host"),
        server.url.trim_start_matches("http://")
    );
    assert!(seen.header("user-agent").starts_with("Stepwell/"));
    let several: Vec<_> = seen.headers.get_all("x-several").iter().collect();
    assert_eq!(several, ["1", "2"]);
    let opts = json!({"url": server.url, "headers": {"user-agent": "own"}});
    value_of(fetch(opts)).await;
    let seen = server.last();
    assert_eq!(
        (seen.method.as_str(), seen.header("user-agent")),
        ("POST", "own")
    );
    assert_eq!(seen.header("content-length"), "0");
}

#[tokio::test]
async fn bodies_come_decoded_and_as_text() {
    let server = Server::start(|seen| {
        assert!(seen.header("accept-encoding").contains("gzip"));
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"packed \xff").unwrap();
        answer(
            200,
            &[("content-encoding", "gzip")],
            encoder.finish().unwrap(),
        )
    })
    .await;
    let value = value_of(fetch(
        json!({"url": server.url, "headers": {"accept-encoding": "zstd"}}),
    ))
    .await;
    assert_eq!(value["data"]["body"], "packed \u{fffd}");
    assert_eq!(value["data"]["headers"].get("content-encoding"), None);
}

/// Reads each request's head, says this and hangs up.
async fn says(words: &'static str) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(words.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    url
}

#[tokio::test]
async fn no_answer_may_be_tried_again() {
    let unused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let nobody = format!("http://{}", unused.local_addr().unwrap());
    drop(unused);
    for (url, expected) in [
        (nobody, "refused"),
        (
            says("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await,
            "end of file",
        ),
        (says("SSH-2.0-OpenSSH\r\n").await, "invalid http version"),
        (says("").await, "connection closed before message completed"),
        ("http://unknown.test".to_owned(), "dns error"),
    ] {
        let secret = format!("{url}/hush-path?q=hush-query");
        for (request, name) in [
            (
                fetch(json!({"url": secret, "method": "GET"})),
                "GatewayError",
            ),
            (infer(json!({"url": secret, "body": {}})), "AIGatewayError"),
        ] {
            let failure = failure_of(request).await;
            assert_eq!(failure.error.name, name);
            let message = failure.error.message.to_lowercase();
            assert!(message.contains(expected), "{message}");
            assert!(
                message.starts_with(&format!("no answer from {url}: ")),
                "{message}"
            );
            assert!(!format!("{failure:?}").contains("hush"), "{failure:?}");
            assert!(failure.retriable && failure.retry_after.is_none());
        }
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_given_up() {
    let endless = Server::start(|_| {
        answer(
            200,
            &[],
            Body::from_stream(futures::stream::pending::<io::Result<Vec<u8>>>()),
        )
    })
    .await;
    let gateway =
        Gateway::build(Some(first_loopback_only), names, Duration::from_millis(50)).unwrap();
    let failure = gateway
        .perform(&fetch(json!({"url": endless.url})))
        .await
        .unwrap_err();
    assert_eq!(
        failure.error.message,
        format!("{} did not answer within 50ms", endless.url)
    );
    assert!(failure.retriable);
}
