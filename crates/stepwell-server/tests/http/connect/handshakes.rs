//! Who may connect, and what the others are told.

use super::{SHORT, patient, timed};
use crate::server::{Server, Setup, soon};
use crate::worker::{Introduction, Worker, app, function, start};
use reqwest::Method;
use serde_json::{Value, json};
use stepwell_protocol::connect::{
    Frame, FrameKind, Message as _, StartResponse, SystemError, WorkerConnect, WorkerStatus,
};
use stepwell_protocol::signing::SigningKey;
use stepwell_server::{ConnectOptions, ServerOptions};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::protocol::Message;

type Change = dyn FnOnce(&mut WorkerConnect);

const KEY: &str = "signkey-test-00112233445566778899aabbccddeeff";

async fn refused(server: &Server, change: impl FnOnce(&mut WorkerConnect)) -> (u16, String) {
    let apps = [app("app", &[function("app-f", "go", 0)])];
    let mut introduction = Introduction::of(server, "worker", &apps).await;
    change(&mut introduction.connect);
    introduction.refused().await
}

#[tokio::test]
async fn a_worker_that_does_not_introduce_itself_properly_is_told_why() {
    let server = patient().start().await;
    let payload = (1008, "connect_worker_hello_invalid_payload".to_owned());
    let other = start(&server).await;
    let cases: Vec<(&str, Box<Change>, (u16, String))> = vec![
        (
            "a connection id that is none",
            Box::new(|connect| connect.connection_id = "x".to_owned()),
            payload.clone(),
        ),
        (
            "no instance id",
            Box::new(|connect| connect.instance_id.clear()),
            payload.clone(),
        ),
        (
            "no apps",
            Box::new(|connect| connect.apps.clear()),
            payload.clone(),
        ),
        (
            "capabilities that are not JSON",
            Box::new(|connect| connect.capabilities = b"{".to_vec()),
            payload,
        ),
        (
            "no token",
            Box::new(|connect| connect.auth_data = None),
            (1008, "connect_authentication_failed".to_owned()),
        ),
        (
            "the token of another connection",
            Box::new(|connect| {
                connect.auth_data.as_mut().unwrap().session_token = other.session_token;
            }),
            (1008, "connect_authentication_failed".to_owned()),
        ),
        (
            "too many apps",
            Box::new(|connect| {
                connect.apps = (0..11).map(|index| app(&index.to_string(), &[])).collect();
            }),
            (1008, "connect_too_many_apps_per_connection".to_owned()),
        ),
        (
            "an app twice",
            Box::new(|connect| connect.apps.push(connect.apps[0].clone())),
            (1008, "connect_invalid_function_config".to_owned()),
        ),
        (
            "functions that are not JSON",
            Box::new(|connect| connect.apps[0].functions = b"[".to_vec()),
            (1008, "connect_invalid_function_config".to_owned()),
        ),
    ];
    for (what, change, expected) in cases {
        assert_eq!(refused(&server, change).await, expected, "{what}");
    }
    let listed = server.get("/v0/connect/envs/dev/conns").await.expect(200);
    assert_eq!(listed, json!({"data": []}));
}

#[tokio::test]
async fn the_first_message_must_be_the_workers_introduction() {
    let server = patient().start().await;
    for first in [
        Message::text("hello"),
        Message::binary(vec![0xff; 8]),
        Message::binary(vec![8, 9]),
    ] {
        let started = start(&server).await;
        let mut worker = Worker::open(&started.gateway_endpoint).await;
        worker.expect(FrameKind::GatewayHello).await;
        worker.send_raw(first).await;
        let expected = (1008, "connect_worker_hello_invalid_msg".to_owned());
        assert_eq!(worker.closed().await, expected);
    }
    let started = start(&server).await;
    let mut worker = Worker::open(&started.gateway_endpoint).await;
    worker
        .send_raw(Message::binary(vec![8, 1, 18, 1, 0xff]))
        .await;
    let expected = (1008, "connect_worker_hello_invalid_payload".to_owned());
    assert_eq!(worker.closed().await, expected);
}

#[tokio::test]
async fn apps_are_decoded_for_those_who_may_be_here_and_not_too_many() {
    let server = patient().start().await;
    let cases = [
        (false, 1, "connect_authentication_failed"),
        (true, 11, "connect_too_many_apps_per_connection"),
        (true, 1, "connect_worker_hello_invalid_payload"),
    ];
    for (authentic, apps, expected) in cases {
        let mut introduction = Introduction::of(&server, "worker", &[]).await;
        if !authentic {
            introduction.connect.auth_data = None;
        }
        let mut payload = introduction.connect.encode_to_vec();
        // Apps that cannot be decoded.
        payload.extend([0x2a, 1, 0xff].repeat(apps));
        let kind = FrameKind::WorkerConnect.into();
        let frame = Frame { kind, payload }.encode_to_vec();
        let mut worker = Worker::open(&introduction.started.gateway_endpoint).await;
        worker.send_raw(Message::binary(frame)).await;
        assert_eq!(worker.closed().await, (1008, expected.to_owned()));
    }
}

#[tokio::test]
async fn a_status_has_its_limit() {
    let server = patient().start().await;
    let mut worker = Worker::connect(&server, "worker", &[app("app", &[])]).await;
    let mut status = WorkerStatus {
        in_flight_request_ids: vec![String::new(); 32 * 1024],
        ..WorkerStatus::default()
    };
    worker.send(FrameKind::WorkerStatus, &status).await;
    worker.silent().await;
    status.in_flight_request_ids.push(String::new());
    worker.send(FrameKind::WorkerStatus, &status).await;
    let expected = (1008, "connect_run_invalid_message".to_owned());
    assert_eq!(worker.closed().await, expected);
}

#[tokio::test]
async fn those_who_say_nothing_keep_others_out_for_a_moment_only() {
    let server = timed(|times| times.hello = SHORT * 5).start().await;
    let introduction = Introduction::of(&server, "worker", &[app("app", &[])]).await;
    let url = &introduction.started.gateway_endpoint;
    let silent = futures::future::join_all((0..64).map(|_| Worker::open(url))).await;
    introduction.connect().await;
    drop(silent);
}

#[tokio::test]
async fn a_worker_that_says_nothing_is_not_waited_for() {
    let server = timed(|times| times.hello = SHORT).start().await;
    let started = start(&server).await;
    let mut worker = Worker::open(&started.gateway_endpoint).await;
    let expected = (1008, "connect_worker_hello_timeout".to_owned());
    assert_eq!(worker.closed().await, expected);
}

#[tokio::test]
async fn without_the_sub_protocol_there_is_no_connection() {
    let server = patient().start().await;
    let started = start(&server).await;
    match soon(
        "the gateway answers",
        connect_async(&started.gateway_endpoint),
    )
    .await
    {
        Err(Error::Http(response)) => assert_eq!(response.status(), 400),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn functions_that_cannot_be_registered_are_named_before_the_connection_closes() {
    let server = patient().start().await;
    let bad = json!({"id": "app-bad", "triggers": [{"event": "go"}]});
    let introduction = Introduction::of(&server, "worker", &[app("app", &[bad])]).await;
    let mut worker = Worker::open(&introduction.started.gateway_endpoint).await;
    worker.expect(FrameKind::GatewayHello).await;
    worker
        .send(FrameKind::WorkerConnect, &introduction.connect)
        .await;
    let error: SystemError = worker.read(FrameKind::SyncFailed).await;
    assert_eq!(error.code, "connect_invalid_function_config");
    assert_eq!(
        error.message,
        "the app 'app' was not registered: At least one function is invalid"
    );
    let data: Value = serde_json::from_slice(&error.data.unwrap()).unwrap();
    assert_eq!(
        data["details"][0],
        "function 'app-bad': steps: Functions must contain one step"
    );
    let expected = (1008, "connect_invalid_function_config".to_owned());
    assert_eq!(worker.closed().await, expected);
}

#[tokio::test]
async fn with_a_signing_key_a_worker_needs_it_to_start_and_to_flush() {
    let (key, fallback) = (SigningKey::new(KEY), SigningKey::new("signkey-test-aabb"));
    let setup = Setup {
        server: ServerOptions {
            signing_key: Some(key.clone()),
            signing_key_fallback: Some(fallback.clone()),
            ..ServerOptions::dev()
        },
        connect: ConnectOptions {
            signing_key: Some(key.clone()),
            ..ConnectOptions::default()
        },
        ..Setup::default()
    };
    let server = setup.start().await;
    for path in ["/v0/connect/start", "/v0/connect/flush"] {
        let refusal = server.post(path, "").await.refusal(401);
        assert_eq!(refusal, "missing Authorization header", "{path}");
        for token in ["Bearer signkey-test-ff", "Bearer ", KEY] {
            let headers = [("authorization", token)];
            let answer = server.request(Method::POST, path, &headers, "").await;
            assert_eq!(
                answer.refusal(401),
                "authentication failed",
                "{path} {token}"
            );
        }
    }
    let start_with = async |bearer: &str| {
        let bearer = format!("Bearer {bearer}");
        let headers = [("authorization", bearer.as_str())];
        let (status, body) = server
            .post_bytes("/v0/connect/start", &headers, Vec::new())
            .await;
        assert_eq!(status, 200);
        StartResponse::decode(&*body).unwrap()
    };
    start_with(&fallback.hashed()).await;
    let hashed = key.hashed();
    let started = start_with(&hashed).await;
    assert_eq!(started.sync_token, hashed);
    assert_eq!(server.get("/v0/connect/envs/dev/conns").await.status, 401);

    let mut introduction = Introduction {
        connect: WorkerConnect {
            connection_id: started.connection_id.clone(),
            instance_id: "worker".to_owned(),
            capabilities: b"{}".to_vec(),
            apps: vec![app("app", &[])],
            ..WorkerConnect::default()
        },
        started,
    };
    let auth = introduction.connect.auth_data.get_or_insert_default();
    auth.session_token = introduction.started.session_token.clone();
    introduction.connect().await;
}

#[tokio::test]
async fn while_keys_are_changed_a_worker_starts_here_and_connects_there() {
    let with = |key: &str, fallback: Option<&str>| Setup {
        connect: ConnectOptions {
            signing_key: Some(SigningKey::new(key)),
            signing_key_fallback: fallback.map(SigningKey::new),
            ..ConnectOptions::default()
        },
        ..Setup::default()
    };
    let old = with(KEY, None).start().await;
    let new = with("signkey-test-aabb", Some(KEY)).start().await;
    let mut introduction = Introduction::of(&old, "worker", &[app("app", &[])]).await;
    introduction.started.gateway_endpoint = start(&new).await.gateway_endpoint;
    introduction.connect().await;
}

#[tokio::test]
async fn what_is_no_request_to_start_is_refused() {
    let server = patient().start().await;
    let refusal = server.post("/v0/connect/start", "no").await.refusal(400);
    assert_eq!(refusal, "could not unmarshal request");
}

#[tokio::test]
async fn there_are_only_so_many_connections() {
    let mut setup = patient();
    setup.connect.connections_max = 1;
    let server = setup.start().await;
    let apps = [app("app", &[])];
    let late = Introduction::of(&server, "late", &apps).await;
    let first = Worker::connect(&server, "first", &apps).await;
    let refusal = server.post("/v0/connect/start", "").await.refusal(429);
    assert_eq!(refusal, "reached max allowed connections");
    let (status, reason) = late.refused().await;
    assert_eq!((status, &*reason), (1013, "connect_too_many_connections"));
    first.close().await;
    Worker::connect(&server, "second", &apps).await;
}

#[tokio::test]
async fn a_connection_id_connects_once() {
    let server = patient().start().await;
    let apps = [app("app", &[])];
    let first = Introduction::of(&server, "worker", &apps).await;
    let again = Introduction {
        started: first.started.clone(),
        connect: first.connect.clone(),
    };
    let _first = first.connect().await;
    let (_, reason) = again.refused().await;
    assert_eq!(reason, "connect_worker_hello_invalid_payload");
}

#[tokio::test]
async fn connections_and_groups_are_listed() {
    let server = patient().start().await;
    let apps = [
        app("one", &[function("one-f", "go", 0)]),
        app("two", &[function("two-f", "go", 0)]),
    ];
    let mut introduction = Introduction::of(&server, "worker", &apps).await;
    introduction.connect.worker_manual_readiness_ack = true;
    introduction.connect.max_worker_concurrency = Some(7);
    let mut worker = introduction.connect().await;
    let environment = "00000000-0000-4000-b000-000000000000";
    let list = |environment: &str| {
        let path = format!("/v0/connect/envs/{environment}/conns");
        let server = &server;
        async move { server.get(&path).await }
    };
    let row = list("dev").await.expect(200)["data"][0].take();
    assert_eq!(row["instance_id"], "worker");
    assert_eq!(row["calls_max"], 7);
    assert_eq!(row["status"], 0, "it has not said that it is ready");
    let hash = row["all_worker_groups"]["two"].as_str().unwrap().to_owned();
    let synced = row["synced_worker_groups"].as_object().unwrap();
    assert!(synced.values().any(|other| *other == hash), "{row}");

    worker.send_bare(FrameKind::WorkerReady).await;
    worker.silent().await;
    let listed = list(environment).await.expect(200);
    assert_eq!(listed["data"][0]["status"], 1);
    worker.send_bare(FrameKind::WorkerPause).await;
    worker.silent().await;
    let listed = list(environment).await.expect(200);
    assert_eq!(listed["data"][0]["status"], 2);

    let group = format!("/v0/connect/envs/dev/groups/{hash}");
    let group = server.get(&group).await.expect(200)["data"].take();
    assert_eq!(group["app_name"], "two");
    assert_eq!(group["synced"], true);
    assert_eq!(group["conns"], json!([row["id"]]));
    let refusal = server
        .get("/v0/connect/envs/dev/groups/x")
        .await
        .refusal(404);
    assert_eq!(refusal, "there is no group of workers 'x'");
    assert_eq!(list("x").await.refusal(400), "invalid environment ID");
    let elsewhere = list("00000000-0000-4000-b000-000000000001")
        .await
        .expect(200);
    assert_eq!(elsewhere, json!({"data": []}));
    worker.close().await;
    assert_eq!(list("dev").await.expect(200), json!({"data": []}));
}

#[tokio::test]
async fn a_worker_that_comes_back_undoes_nobodys_registration() {
    let server = patient().start().await;
    let old = [app("app", &[function("app-f", "old", 0)])];
    let new = [app("app", &[function("app-f", "new", 0)])];
    let event_of = async || {
        let answer = server.get("/dev").await.expect(200);
        answer["functions"][0]["triggers"][0]["event"].clone()
    };
    let worker = Worker::connect(&server, "old", &old).await;
    assert_eq!(event_of().await, "old");
    let other = Worker::connect(&server, "new", &new).await;
    assert_eq!(event_of().await, "new");
    worker.kill();
    let worker = Worker::connect(&server, "old", &old).await;
    assert_eq!(event_of().await, "new");
    // One that comes after the last of its kind has left for good does.
    worker.close().await;
    other.close().await;
    let _worker = Worker::connect(&server, "old", &old).await;
    assert_eq!(event_of().await, "old");
}

#[tokio::test]
async fn an_app_that_was_removed_is_back_with_the_next_worker() {
    let server = patient().start().await;
    let apps = [app("app", &[function("app-f", "go", 0)])];
    let functions = async || {
        let answer = server.get("/dev").await.expect(200);
        answer["functions"].as_array().map(Vec::len)
    };
    let _worker = Worker::connect(&server, "one", &apps).await;
    assert_eq!(functions().await, Some(1));
    let ask = async |question: Value| {
        let headers = [("content-type", "application/json")];
        let body = question.to_string();
        let answer = server.request(Method::POST, "/v0/gql", &headers, body);
        answer.await.expect(200)["data"].take()
    };
    let listed = ask(json!({"query": "{ apps { id } }"})).await;
    let removal = "mutation($id: String!) { deleteApp(id: $id) }";
    let variables = json!({"id": listed["apps"][0]["id"]});
    ask(json!({"query": removal, "variables": variables})).await;
    assert_eq!(functions().await, Some(0));
    // The first worker is still there, so that its like is known.
    let _other = Worker::connect(&server, "two", &apps).await;
    assert_eq!(functions().await, Some(1));
}

#[tokio::test]
async fn the_gateway_tells_workers_that_it_goes() {
    let server = patient().start().await;
    let mut worker = Worker::connect(&server, "worker", &[app("app", &[])]).await;
    let closing = tokio::spawn({
        let gateway = server.gateway.clone();
        async move { gateway.close(super::LONG).await }
    });
    worker.expect(FrameKind::GatewayClosing).await;
    let expected = (1001, "connect_gateway_closing".to_owned());
    assert_eq!(worker.closed().await, expected);
    let refusal = server.post("/v0/connect/start", "").await.refusal(503);
    assert_eq!(refusal, "connect_gateway_closing");
    drop(worker);
    soon("the gateway is closed", closing).await.unwrap();
}
