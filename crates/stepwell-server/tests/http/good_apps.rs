//! What the protocol allows apps, and a server must understand.

use crate::app::{App, id, ops, returned, sdk, sleep, step_run};
use crate::server::{Server, Setup, function};
use axum::response::{IntoResponse, Redirect};
use serde_json::{Value, json};
use std::io::Write;
use stepwell_protocol::signing::{SigningKey, verify};
use stepwell_runtime::HttpOptions;

const MIB: usize = 1024 * 1024;

/// Runs a function of this app once; returns how the run ended.
async fn run(app: &App) -> Value {
    let server = Server::start().await;
    server
        .register("app", app, &[function("app-f", "go", &app.url, 0)])
        .await;
    let event = server.send(json!({"name": "go", "data": {"n": 1}})).await;
    server.ended(&event).await
}

async fn output(app: &App) -> Value {
    let mut run = run(app).await;
    assert_eq!(run["status"], "Completed", "{run}");
    run["output"].take()
}

#[tokio::test]
async fn a_call_tells_where_the_run_stands() {
    let app = App::start(|call| match call.body["steps"].as_object().unwrap().len() {
        0 => ops(&[step_run("a", json!({"x": 1}))]),
        1 => ops(&[sleep("nap", "1ms")]),
        _ => returned(&json!("done")),
    })
    .await;
    assert_eq!(output(&app).await, "done");
    let calls = app.calls();
    assert_eq!(calls.len(), 3);
    let run = calls[0].body["ctx"]["run_id"].as_str().unwrap();
    for (call, (stack, version)) in calls.iter().zip([
        (json!([]), -1),
        (json!([id("a")]), 2),
        (json!([id("a"), id("nap")]), 2),
    ]) {
        assert_eq!(
            (&*call.method.to_string(), &*call.path),
            ("POST", "/api/inngest")
        );
        assert_eq!(
            (&*call.query["fnId"], &*call.query["stepId"]),
            ("app-f", "step")
        );
        assert_eq!(call.headers["x-run-id"], run);
        let ctx = &call.body["ctx"];
        assert_eq!(
            (&ctx["run_id"], &ctx["attempt"], &ctx["max_attempts"]),
            (&json!(run), &json!(0), &json!(1))
        );
        assert_eq!(
            ctx["stack"],
            json!({"stack": stack, "current": stack.as_array().unwrap().len()})
        );
        assert_eq!(call.body["version"], version);
        assert_eq!(call.body["event"]["data"], json!({"n": 1}));
        assert_eq!(call.body["events"], json!([call.body["event"]]));
    }
    assert_eq!(
        calls[2].body["steps"],
        json!({id("a"): {"data": {"x": 1}}, id("nap"): null})
    );
}

#[tokio::test]
async fn redirects_are_followed_with_method_body_and_query() {
    for redirect in [Redirect::permanent, Redirect::temporary] {
        let app = App::start(move |call| match &*call.path {
            "/api/inngest" => redirect("/new/place").into_response(),
            _ => returned(&json!({
                "method": call.method.as_str(), "path": call.path, "function": call.query["fnId"],
                "n": call.body["event"]["data"]["n"],
            })),
        })
        .await;
        let expected = json!({"method": "POST", "path": "/new/place", "function": "app-f", "n": 1});
        assert_eq!(output(&app).await, expected);
    }
}

#[tokio::test]
async fn sixty_redirects_are_followed() {
    let app = App::start(|call| {
        let hops: u32 = call
            .query
            .get("hops")
            .map_or(0, |hops| hops.parse().unwrap());
        if hops == 60 {
            return returned(&json!(hops));
        }
        Redirect::permanent(&format!("/api/inngest?hops={}", hops + 1)).into_response()
    })
    .await;
    assert_eq!(output(&app).await, 60);
}

#[tokio::test]
async fn a_streamed_answer_is_read_at_its_end() {
    let app = App::start(|call| {
        let (status, body) = if call.has("a") {
            (200, json!("done").to_string())
        } else {
            (206, json!([step_run("a", json!(1))]).to_string())
        };
        let envelope = json!({
            "status": status, "body": body,
            "headers": {"X-Inngest-SDK": "test:v0.1.0", "x-inngest-req-version": "2"},
        });
        // SDKs write blanks while the function runs.
        IntoResponse::into_response((axum::http::StatusCode::CREATED, format!("     {envelope}")))
    })
    .await;
    assert_eq!(output(&app).await, "done");
    assert_eq!(app.count(), 2);
}

#[tokio::test]
async fn a_streamed_answer_that_ends_in_an_error_fails_the_attempt() {
    let app = App::start(|_| {
        let envelope = json!({"status": 500, "error": "the stream broke"}).to_string();
        IntoResponse::into_response((axum::http::StatusCode::CREATED, envelope))
    })
    .await;
    let ended = run(&app).await;
    assert_eq!(
        (&ended["status"], &ended["output"]["message"]),
        (&json!("Failed"), &json!("the stream broke"))
    );
    let app = App::start(|_| (axum::http::StatusCode::CREATED, "     ").into_response()).await;
    let ended = run(&app).await;
    let message = ended["output"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("error reading streamed response: "),
        "{message}"
    );
}

#[tokio::test]
async fn compressed_answers_are_unpacked() {
    let text = json!("done ".repeat(1_000)).to_string();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    let mut brotli = Vec::new();
    brotli::CompressorWriter::new(&mut brotli, 4_096, 5, 22)
        .write_all(text.as_bytes())
        .unwrap();
    for (encoding, body) in [("gzip", gzip.finish().unwrap()), ("br", brotli)] {
        let app = App::start(move |_| {
            let mut response = sdk(200, body.clone());
            response
                .headers_mut()
                .insert("content-encoding", encoding.parse().unwrap());
            response
        })
        .await;
        assert_eq!(output(&app).await, "done ".repeat(1_000), "{encoding}");
    }
}

#[tokio::test]
async fn two_apps_may_have_a_function_of_one_id() {
    let first = App::start(|_| returned(&json!("first"))).await;
    let second = App::start(|_| returned(&json!("second"))).await;
    let server = Server::start().await;
    for (name, app) in [("first", &first), ("second", &second)] {
        server
            .register(name, app, &[function("shared-f", "go", &app.url, 0)])
            .await;
    }
    let event = server.send(json!({"name": "go"})).await;
    let runs = server.all_ended(&event).await;
    let mut outputs: Vec<&str> = runs
        .iter()
        .map(|run| run["output"].as_str().unwrap())
        .collect();
    outputs.sort_unstable();
    assert_eq!(outputs, ["first", "second"]);
    assert_ne!(runs[0]["function_id"], runs[1]["function_id"]);
    // One app's registration leaves the other's function alone.
    server.register("first", &first, &[]).await;
    let event = server.send(json!({"name": "go"})).await;
    assert_eq!(server.ended(&event).await["output"], "second");
}

#[tokio::test]
async fn a_call_over_four_mebibytes_leaves_its_state_to_be_fetched() {
    let server = Server::start().await;
    let (url, client) = (server.url.clone(), reqwest::Client::new());
    let app = App::start_async(move |call| {
        let (url, client) = (url.clone(), client.clone());
        async move {
            if call.body["use_api"] == false {
                let name = format!("step {}", call.body["steps"].as_object().unwrap().len());
                return ops(&[step_run(&name, json!("x".repeat(2 * MIB + MIB / 2)))]);
            }
            let fetch = async |what: &str| -> Value {
                let run = call.body["ctx"]["run_id"].as_str().unwrap();
                let response = client.get(format!("{url}/v0/runs/{run}/{what}")).send().await;
                response.unwrap().json().await.unwrap()
            };
            let steps = fetch("actions").await;
            let lengths: Vec<usize> = ["step 0", "step 1"]
                .map(|name| steps[id(name)]["data"].as_str().unwrap().len())
                .to_vec();
            returned(&json!({
                "use_api": call.body["ctx"]["use_api"], "carried": [call.body["steps"], call.body["events"]],
                "n": call.body["event"]["data"]["n"], "events": fetch("batch").await[0]["data"], "lengths": lengths,
            }))
        }
    })
    .await;
    server
        .register("app", &app, &[function("app-f", "go", &app.url, 0)])
        .await;
    let event = server.send(json!({"name": "go", "data": {"n": 1}})).await;
    let ended = server.ended(&event).await;
    let length = 2 * MIB + MIB / 2;
    assert_eq!(
        ended["output"],
        json!({
            "use_api": true, "carried": [{}, []], "n": 1, "events": {"n": 1}, "lengths": [length, length],
        }),
        "{}",
        ended["status"]
    );
}

#[tokio::test]
async fn a_function_may_return_nothing_or_much() {
    for (body, expected) in [
        ("null".to_owned(), Value::Null),
        (String::new(), Value::Null),
        ("  ".to_owned(), Value::Null),
        ("bare words".to_owned(), json!("bare words")),
        (
            json!("x".repeat(7 * MIB)).to_string(),
            json!("x".repeat(7 * MIB)),
        ),
    ] {
        let app = App::start(move |_| sdk(200, body.clone())).await;
        assert!(output(&app).await == expected);
    }
}

#[tokio::test]
async fn a_steps_output_has_a_largest_size() {
    // What counts is the stored form, `{"data":"…"}`.
    let largest = 4 * MIB - r#"{"data":""}"#.len();
    let app_of = async |length: usize| {
        App::start(
            move |call| match call.body["ctx"]["stack"]["stack"].as_array().unwrap().len() {
                0 => ops(&[step_run("big", json!("x".repeat(length)))]),
                _ => returned(&json!("done")),
            },
        )
        .await
    };
    assert_eq!(output(&app_of(largest).await).await, "done");
    let ended = run(&app_of(largest + 1).await).await;
    assert_eq!(ended["status"], "Failed");
    assert_eq!(
        ended["output"]["message"],
        "step output size is greater than the limit (step 'big')"
    );
}

#[tokio::test]
async fn calls_are_signed_with_the_signing_key() {
    let key = SigningKey::new("signkey-test-00112233445566778899aabbccddeeff");
    let app = App::start(|_| returned(&json!("done"))).await;
    let http = HttpOptions {
        signing_key: Some(key.clone()),
        ..HttpOptions::default()
    };
    let server = Setup {
        http,
        ..Setup::default()
    }
    .start()
    .await;
    server
        .register("app", &app, &[function("app-f", "go", &app.url, 0)])
        .await;
    let event = server
        .send(json!({"name": "go", "data": {"z": 1.0, "a": "é"}}))
        .await;
    server.ended(&event).await;
    let call = app.calls().remove(0);
    let signature = call.headers["x-inngest-signature"].to_str().unwrap();
    let now_s = server.handle.now().ms() / 1_000;
    assert_eq!(verify([&key], Some(signature), &call.raw, now_s), Ok(&key));
}

#[tokio::test]
async fn an_app_that_knows_only_the_old_key_is_called_with_it() {
    let new = SigningKey::new("signkey-test-00112233445566778899aabbccddeeff");
    let old = SigningKey::new("signkey-test-ffeeddccbbaa99887766554433221100");
    let known = old.clone();
    let app = App::start(move |call| {
        let signature = call.headers["x-inngest-signature"].to_str().unwrap();
        let time = signature[2..].split('&').next().unwrap().parse().unwrap();
        if verify([&known], Some(signature), &call.raw, time).is_ok() {
            return returned(&json!("done"));
        }
        sdk(401, r#"{"message":"Unauthorized"}"#)
    })
    .await;
    let http = |fallback| HttpOptions {
        signing_key: Some(new.clone()),
        signing_key_fallback: fallback,
        ..HttpOptions::default()
    };
    for (fallback, status, calls) in [(Some(old.clone()), "Completed", 2), (None, "Failed", 1)] {
        let server = Setup {
            http: http(fallback),
            ..Setup::default()
        }
        .start()
        .await;
        server
            .register("app", &app, &[function("app-f", "go", &app.url, 0)])
            .await;
        let before = app.count();
        let event = server.send(json!({"name": "go"})).await;
        assert_eq!(server.ended(&event).await["status"], status);
        assert_eq!(app.count() - before, calls);
    }
}
