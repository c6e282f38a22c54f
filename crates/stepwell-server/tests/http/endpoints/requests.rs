//! The request of a re-entry: where it goes, signed, with all that the first one had.

use super::{Endpoint, bystander, ended, header, setup};
use crate::app::{App, sdk, sleep};
use crate::server::{Server, Setup};
use reqwest::Method;
use serde_json::json;
use stepwell_protocol::signing::{self, SigningKey};
use stepwell_runtime::HttpOptions;
use stepwell_server::ServerOptions;

#[tokio::test]
async fn re_entries_are_signed_as_calls_are() {
    let key = SigningKey::new("signkey-test-00112233445566778899aabbccddeeff");
    let app = App::start(|_| sdk(206, ended(json!({"status": 200, "body": ""})).to_string())).await;
    let server = Setup {
        server: ServerOptions {
            signing_key: Some(key.clone()),
            ..ServerOptions::dev()
        },
        http: HttpOptions {
            signing_key: Some(key.clone()),
            ..setup().http
        },
        ..Setup::default()
    }
    .start()
    .await;
    let bearer = format!("Bearer {}", key.hashed());
    let headers = [
        ("authorization", &*bearer),
        ("x-inngest-sdk", "inngest-js:v4.24.0"),
    ];
    for (method, body, signed) in [
        ("POST", "{ \"b\": 1, \"a\": 2 }", &b"{\"a\":2,\"b\":1}"[..]),
        ("POST", "not json", b"not json"),
        ("GET", "", b""),
        ("PATCH", "{\"a\": 1}", b""),
    ] {
        let endpoint = Endpoint::requested(&server, &app)
            .with("method", method)
            .with("body", body);
        let report = endpoint.report(json!([sleep("nap", "1ms")])).to_string();
        let path = "/v1/checkpoint";
        let locked = server.post(path, report.clone()).await;
        assert_eq!(
            (locked.status, &*locked.text),
            (401, "Authentication failed")
        );
        let started = server
            .request(Method::POST, path, &headers, report)
            .await
            .expect(200);
        // Whoever has the token needs no key.
        let output = endpoint.output(&server, &started["data"]).await;
        assert_eq!(output.status, 200);
        let call = app.calls().pop().unwrap();
        assert_eq!(&call.raw[..], body.as_bytes());
        let now_s = server.handle.now().ms() / 1_000;
        let signature = Some(header(&call, "x-inngest-signature"));
        signing::verify([&key], signature, signed, now_s).expect(method);
    }
    let dev = stepwell_protocol::token::TokenKey::of(None);
    let run = server.handle.new_event_id().to_string();
    let forged = dev.for_run(
        run.parse().unwrap(),
        String::new(),
        server.handle.now().ms() / 1_000,
    );
    let answer = server
        .get(&format!("/v1/checkpoint/{run}/output?token={forged}"))
        .await;
    assert_eq!(answer.refusal(401), "Unable to find run with auth token");
}

#[tokio::test]
async fn endpoints_at_private_addresses_are_left_alone_unless_allowed() {
    let app = bystander().await;
    let server = Server::start().await;
    let port = app
        .url
        .split(':')
        .nth(2)
        .unwrap()
        .split('/')
        .next()
        .unwrap();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "169.254.169.254",
        "0.0.0.0",
    ] {
        let endpoint =
            Endpoint::requested(&server, &app).with("domain", &format!("http://{host}:{port}"));
        let started = endpoint.start(&server, json!([sleep("nap", "1ms")])).await;
        let output = endpoint.output(&server, &started).await;
        assert_eq!(output.status, 500, "{host}");
        // The reason is for those who have the key.
        assert!(!output.text.contains("private"), "{host}: {}", output.text);
        let shown = endpoint.shown(&server).await;
        let reason = shown["output"]["stack"].as_str().unwrap_or_default();
        assert!(
            reason.contains("requests to private addresses are refused"),
            "{host}: {shown}"
        );
    }
    assert_eq!(app.count(), 0);
}

#[tokio::test]
async fn a_redirect_is_followed_with_all_of_the_request() {
    let target = App::start(|_| {
        sdk(
            206,
            ended(json!({"status": 200, "body": "moved"})).to_string(),
        )
    })
    .await;
    let location = format!("{}/elsewhere", target.url);
    let app = App::start(move |_| {
        axum::response::Response::builder()
            .status(308)
            .header("location", &location)
            .body(axum::body::Body::empty())
            .unwrap()
    })
    .await;
    let server = setup().start().await;
    let endpoint = Endpoint::requested(&server, &app)
        .with("method", "POST")
        .with("body", "x");
    let started = endpoint.start(&server, json!([sleep("nap", "1ms")])).await;
    assert_eq!(&*endpoint.output(&server, &started).await.text, "moved");
    let call = target.calls().remove(0);
    assert_eq!((call.method, &call.raw[..]), (Method::POST, &b"x"[..]));
    assert_eq!(call.query["a"], "1", "the query goes along");
}

#[tokio::test]
async fn a_body_that_is_not_text_comes_in_base64() {
    let app = App::start(|_| sdk(206, ended(json!({"status": 200, "body": ""})).to_string())).await;
    let server = setup().start().await;
    let endpoint = Endpoint::requested(&server, &app)
        .with("method", "PUT")
        .with("body", "AP8=");
    let report = endpoint.report(json!([sleep("nap", "1ms")])).to_string();
    let headers = [("x-inngest-sdk", "inngest-go:v0.14.0")];
    let started = server
        .request(Method::POST, "/v1/http/runs", &headers, report)
        .await
        .expect(200);
    endpoint.output(&server, &started["data"]).await;
    assert_eq!(app.calls()[0].raw[..], [0, 255]);
}
