use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

fn assert_refused(failure: &Failure, host: &str, kind: &str) {
    let expected = format!(
        "'{host}' is {kind}, and requests to private addresses are refused; start the server with \
         --allow-private-addresses to make them"
    );
    assert_eq!(failure.error.message, expected);
    assert!(!failure.retriable && failure.retry_after.is_none());
}

#[tokio::test]
async fn what_is_not_public_is_refused_however_it_is_written() {
    let gateway = Gateway::new(PrivateAddresses::Refuse).unwrap();
    for (url, host, kind) in [
        ("http://127.0.0.1:1", "127.0.0.1", "a loopback address"),
        ("http://127.1", "127.0.0.1", "a loopback address"),
        ("http://0x7f000001/", "127.0.0.1", "a loopback address"),
        ("http://2130706433", "127.0.0.1", "a loopback address"),
        ("http://0177.0.0.1", "127.0.0.1", "a loopback address"),
        ("http://127.0.0.1.", "127.0.0.1", "a loopback address"),
        ("http://①②⑦.0.0.1", "127.0.0.1", "a loopback address"),
        ("http://%31%32%37.0.0.1", "127.0.0.1", "a loopback address"),
        ("http://0/", "0.0.0.0", "an unspecified address"),
        ("http://localhost:1/", "localhost", "a loopback address"),
        ("http://LOCALHOST:1/", "localhost", "a loopback address"),
        ("https://10.1.2.3", "10.1.2.3", "a private address"),
        (
            "http://169.254.169.254/latest",
            "169.254.169.254",
            "a link-local address",
        ),
        ("http://[::1]:1", "[::1]", "a loopback address"),
        ("http://[::]", "[::]", "an unspecified address"),
        (
            "http://[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "a loopback address",
        ),
        (
            "http://[64:ff9b::10.0.0.1]",
            "[64:ff9b::a00:1]",
            "a private address",
        ),
        (
            "http://[2002:a00:1::]",
            "[2002:a00:1::]",
            "a private address",
        ),
        (
            "http://[fd00:ec2::254]",
            "[fd00:ec2::254]",
            "a unique-local address",
        ),
    ] {
        for (request, name) in [
            (fetch(json!({"url": url})), "GatewayError"),
            (infer(json!({"url": url, "body": {}})), "AIGatewayError"),
        ] {
            let failure = gateway.perform(&request).await.unwrap_err();
            assert_refused(&failure, host, kind);
            assert_eq!(failure.error.name, name);
        }
    }
}

#[tokio::test]
async fn private_addresses_can_be_allowed() {
    let server = Server::start(|_| answer(200, &[], "in")).await;
    let gateway = Gateway::new(PrivateAddresses::Allow).unwrap();
    let value = gateway
        .perform(&fetch(json!({"url": server.url})))
        .await
        .unwrap();
    assert!(value.get().contains(r#""body":"in""#));
    assert_eq!(PrivateAddresses::default(), PrivateAddresses::Refuse);
}

#[tokio::test]
async fn every_hop_of_a_redirect_is_checked() {
    let server = Server::start(|seen| {
        let to = seen.target.split_once('?').map_or("", |(_, to)| to);
        answer(307, &[("location", to)], "")
    })
    .await;
    for (to, host, kind) in [
        ("http://127.0.0.2:1/", "127.0.0.2", "a loopback address"),
        (
            "//169.254.169.254/latest",
            "169.254.169.254",
            "a link-local address",
        ),
        (
            "http://[::ffff:10.0.0.1]/",
            "[::ffff:a00:1]",
            "a private address",
        ),
        ("http://inside.test/", "inside.test", "a private address"),
        ("http://mixed.test/", "mixed.test", "a loopback address"),
    ] {
        let direct = format!("{}/?{to}", server.url);
        let further = format!("{}/?{direct}", server.url);
        for url in [direct, further] {
            assert_refused(&failure_of(fetch(json!({"url": url}))).await, host, kind);
        }
    }
}

/// The first answer is what a check would like to see, those after it what an attacker wants to reach.
fn rebinding(_: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let last = if ASKED.fetch_add(1, Ordering::SeqCst) == 0 {
        1
    } else {
        2
    };
    Box::pin(async move { Ok(vec![SocketAddr::from(([127, 0, 0, last], 0))]) })
}

#[tokio::test]
async fn a_name_that_changes_its_address_gains_nothing() {
    let server = Server::start(|_| answer(200, &[("connection", "close")], "in")).await;
    let gateway = Gateway::build(Some(first_loopback_only), rebinding, REQUEST_TIMEOUT).unwrap();
    let port = server.url.rsplit(':').next().unwrap();
    let request = fetch(json!({"url": format!("http://rebound.test:{port}/")}));
    gateway.perform(&request).await.unwrap();
    // What the first request resolved is what it was connected to: the name exists nowhere else.
    assert_eq!(server.seen().len(), 1);
    let failure = gateway.perform(&request).await.unwrap_err();
    assert_refused(&failure, "rebound.test", "a loopback address");
    assert_eq!(server.seen().len(), 1);
}
