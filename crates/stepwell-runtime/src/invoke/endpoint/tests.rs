use super::super::Invoker;
use super::super::http::HttpOptions;
use super::*;
use crate::gateway::Guard;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};
use stepwell_protocol::call::CallRequest;
use stepwell_protocol::{FunctionId, RunId, shared_json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// An invoker that may connect to this machine's first loopback address only.
fn invoker() -> HttpInvoker {
    fn other_than_the_first(address: IpAddr) -> Option<&'static str> {
        (address != Ipv4Addr::LOCALHOST).then_some("another address")
    }
    let invoker = HttpInvoker::new(HttpOptions::default()).expect("TLS can be set up");
    invoker.guarded_by(Guard::by_rule(other_than_the_first))
}

fn invocation(event: serde_json::Value) -> Invocation {
    let run = RunId::from_bytes([1; 16]);
    let body = json!({
        "ctx": {"fn_id": FunctionId::from_bytes([2; 16]), "run_id": run}, "event": {},
    });
    Invocation {
        url: "http://127.0.0.1".into(),
        slug: "GET /".into(),
        run,
        request: CallRequest::parse(body.to_string().as_bytes()).expect("it is a call"),
        endpoint: Some(shared_json(event.to_string()).expect("it is JSON")),
    }
}

#[tokio::test]
async fn a_redirect_does_not_lead_where_a_request_may_not_go() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 4_096];
        assert_ne!(stream.read(&mut head).await.unwrap(), 0);
        let port = address.port();
        let answer = format!(
            "HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.2:{port}/\r\ncontent-length: 0\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    let event =
        json!({"data": {"domain": format!("http://{address}"), "method": "GET", "path": "/"}});
    let error = invoker()
        .call(invocation(event))
        .await
        .expect_err("it is refused");
    app.await.unwrap();
    let CallError::Impossible(message) = error else {
        panic!("trying again does not help: {error:?}");
    };
    assert!(
        message.starts_with("'127.0.0.2' is another address"),
        "{message}"
    );
}

#[tokio::test]
async fn what_is_no_request_is_not_made() {
    for event in [
        json!({}),
        json!({"data": {"domain": "x", "method": "GET", "path": "/"}}),
    ] {
        let error = invoker()
            .call(invocation(event))
            .await
            .expect_err("it cannot be made");
        assert!(matches!(error, CallError::Impossible(_)), "{error:?}");
    }
}
