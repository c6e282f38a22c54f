//! Who may do what, and what every answer carries.

use crate::server::{Answer, Server, Setup};
use reqwest::Method;
use serde_json::json;
use stepwell_protocol::signing::SigningKey;
use stepwell_server::{EventKeys, ServerKind, ServerOptions};

const KEY: &str = "signkey-test-00112233445566778899aabbccddeeff";
const RUN: &str = "01JZXQ2M5N1V8Q7T7Q0000000A";

/// The routes that a signing key locks.
fn locked() -> Vec<(Method, String)> {
    vec![
        (Method::POST, "/fn/register".to_owned()),
        (Method::PUT, "/fn/register".to_owned()),
        (Method::GET, format!("/v0/runs/{RUN}/batch")),
        (Method::GET, format!("/v0/runs/{RUN}/actions")),
        (Method::GET, "/v1/events".to_owned()),
        (Method::GET, format!("/v1/events/{RUN}")),
        (Method::GET, format!("/v1/events/{RUN}/runs")),
        (Method::GET, format!("/v1/runs/{RUN}")),
        (Method::DELETE, format!("/v1/runs/{RUN}")),
        (Method::GET, format!("/v2/runs/{RUN}/trace")),
        (Method::GET, format!("/api/v2/runs/{RUN}/trace")),
        (Method::POST, format!("/v1/checkpoint/{RUN}/async")),
        (Method::GET, format!("/v1/events/{RUN}/verdicts")),
        (Method::GET, format!("/v1/runs/{RUN}/jobs")),
        (Method::GET, format!("/v1/runs/{RUN}/standing")),
        (Method::GET, "/v1/apps/app/functions".to_owned()),
        (Method::POST, "/v1/apps/app/functions/f/pause".to_owned()),
        (Method::DELETE, "/v1/apps/app/functions/f/pause".to_owned()),
        (Method::POST, "/v1/realtime/token".to_owned()),
        (Method::POST, "/v1/signals".to_owned()),
        (Method::POST, format!("/v2/runs/{RUN}/rerun")),
        (Method::POST, format!("/api/v2/runs/{RUN}/rerun")),
        (Method::POST, "/invoke/app-f".to_owned()),
        (Method::GET, "/dev".to_owned()),
    ]
}

async fn server(options: ServerOptions) -> Server {
    let setup = Setup {
        server: options,
        ..Setup::default()
    };
    setup.start().await
}

async fn with_bearer(server: &Server, method: &Method, path: &str, token: &str) -> Answer {
    let headers = [("authorization", token)];
    server.request(method.clone(), path, &headers, "{}").await
}

#[tokio::test]
async fn a_signing_key_locks_everything_but_events_and_health() {
    let server = server(ServerOptions {
        signing_key: Some(SigningKey::new(KEY)),
        ..ServerOptions::dev()
    })
    .await;
    let hashed = SigningKey::new(KEY).hashed();
    let bare = |key: &str| key["signkey-test-".len()..].to_owned();
    for (method, path) in locked() {
        for token in [
            "".to_owned(),
            "Bearer ".to_owned(),
            format!("Basic {KEY}"),
            KEY.to_owned(),
            "Bearer signkey-test-00112233445566778899aabbccddeefe".to_owned(),
            format!("Bearer {}", SigningKey::new(hashed.clone()).hashed()),
        ] {
            let answer = with_bearer(&server, &method, &path, &token).await;
            assert_eq!(
                (answer.status, &*answer.text),
                (401, "Authentication failed"),
                "{method} {path} {token}"
            );
        }
        for key in [KEY.to_owned(), bare(KEY), hashed.clone(), bare(&hashed)] {
            let answer = with_bearer(&server, &method, &path, &format!("Bearer {key}")).await;
            assert_ne!(answer.status, 401, "{method} {path} {key}");
        }
    }
    for path in ["/health", "/"] {
        assert_eq!(server.get(path).await.status, 200);
    }
    assert_eq!(server.post("/e/test", r#"{"name":"a"}"#).await.status, 200);
    server.get("/nowhere").await.refusal(404);
}

#[tokio::test]
async fn while_keys_are_changed_both_open() {
    let (new, old) = (SigningKey::new(KEY), SigningKey::new("signkey-test-ff00"));
    let server = server(ServerOptions {
        signing_key: Some(new.clone()),
        signing_key_fallback: Some(old.clone()),
        ..ServerOptions::dev()
    })
    .await;
    for (token, status) in [
        (KEY.to_owned(), 200),
        ("signkey-test-ff00".to_owned(), 200),
        (new.hashed(), 200),
        (old.hashed(), 200),
        ("signkey-test-ff01".to_owned(), 401),
        (String::new(), 401),
    ] {
        let bearer = format!("Bearer {token}");
        let answer = with_bearer(&server, &Method::GET, "/v1/events", &bearer).await;
        assert_eq!(answer.status, status, "{token}");
    }
}

#[tokio::test]
async fn without_a_signing_key_everything_is_open() {
    let server = Server::start().await;
    for (method, path) in locked() {
        assert_ne!(
            with_bearer(&server, &method, &path, "").await.status,
            401,
            "{path}"
        );
    }
}

#[tokio::test]
async fn event_keys_are_checked() {
    let open = Server::start().await;
    let keyed = server(ServerOptions {
        event_keys: EventKeys::These(vec!["first".to_owned(), "second".to_owned()]),
        ..ServerOptions::dev()
    })
    .await;
    let keyless = server(ServerOptions {
        event_keys: EventKeys::These(Vec::new()),
        ..ServerOptions::dev()
    })
    .await;
    let event = r#"{"name":"a"}"#;
    open.post("/e/anything", event).await.expect(200);
    for key in ["first", "second"] {
        keyed.post(&format!("/e/{key}"), event).await.expect(200);
    }
    for key in ["third", "firs", "first%20", "FIRST"] {
        let refusal = keyed.post(&format!("/e/{key}"), event).await.refusal(401);
        assert_eq!(refusal, "Event key not found", "{key}");
    }
    for path in ["/e", "/e/"] {
        for server in [&open, &keyed] {
            let refusal = server.post(path, event).await.refusal(401);
            assert_eq!(refusal, "Event key is required");
        }
    }
    let refusal = keyless.post("/e/first", event).await.refusal(503);
    assert_eq!(
        refusal,
        "Event keys are required to process events securely"
    );
    let kept = keyed.get("/v1/events").await.expect(200);
    assert_eq!(
        kept["data"].as_array().unwrap().len(),
        2,
        "what was refused is not kept"
    );
}

#[tokio::test]
async fn every_answer_says_what_kind_of_server_it_comes_from() {
    let cloud = server(ServerOptions {
        kind: ServerKind::Cloud,
        ..ServerOptions::dev()
    })
    .await;
    let dev = Server::start().await;
    for (server, kind) in [(&cloud, "cloud"), (&dev, "dev")] {
        for (path, status) in [
            ("/health", 200),
            ("/nowhere", 404),
            ("/e/", 401),
            ("/v1/runs/x", 400),
        ] {
            let answer = server.get(path).await;
            assert_eq!(answer.status, status, "{path}");
            assert_eq!(answer.header("x-inngest-server-kind"), kind, "{path}");
        }
    }
    let refusal = cloud.get("/dev").await.refusal(404);
    assert_eq!(refusal, "this is not a development server");
    assert!(dev.get("/dev").await.expect(200)["version"].is_string());
}

#[tokio::test]
async fn browsers_may_ask_from_anywhere() {
    let server = server(ServerOptions {
        signing_key: Some(SigningKey::new(KEY)),
        ..ServerOptions::dev()
    })
    .await;
    for path in ["/e/test", "/v1/events", "/fn/register"] {
        let headers = [
            ("origin", "http://localhost:3000"),
            ("access-control-request-method", "POST"),
            (
                "access-control-request-headers",
                "content-type,x-inngest-event-id-seed",
            ),
        ];
        let answer = server.request(Method::OPTIONS, path, &headers, "").await;
        assert_eq!(answer.status, 200, "{path}");
        for (name, value) in [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-headers", "*"),
            (
                "access-control-allow-methods",
                "GET,POST,PUT,DELETE,OPTIONS",
            ),
            ("access-control-max-age", "3600"),
        ] {
            assert_eq!(answer.header(name), value, "{path}: {name}");
        }
    }
    let headers = [("origin", "http://localhost:3000")];
    let answer = server.request(Method::GET, "/health", &headers, "").await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(
        answer.header("access-control-expose-headers"),
        "link,mcp-session-id"
    );
}

#[tokio::test]
async fn what_is_not_there_says_so() {
    let server = Server::start().await;
    assert_eq!(
        server.get("/v3/runs").await.refusal(404),
        "there is nothing at /v3/runs"
    );
    assert_eq!(server.get("/e/test").await.status, 405);
    assert_eq!(
        server
            .request(Method::DELETE, "/fn/register", &[], "")
            .await
            .status,
        405
    );
    assert_eq!(
        server.get("/health").await.expect(200),
        json!({"status": 200, "message": "OK"})
    );
}
