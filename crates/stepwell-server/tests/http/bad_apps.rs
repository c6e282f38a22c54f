//! Apps that misbehave: the run fails with an error that says what the app did, and nothing else suffers.

use crate::app::{App, failed, id, ops, page, returned, sdk, step_run};
use crate::server::{Server, Setup, function};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use std::time::Duration;
use stepwell_runtime::HttpOptions;
use tokio::io::AsyncWriteExt;

/// Retries that functions here get.
const RETRIES: u32 = 2;
const ATTEMPTS: usize = RETRIES as usize + 1;

/// Runs a function of this app once; returns how the run ended.
async fn run(app: &App) -> Value {
    run_on(&Server::start().await, app).await
}

async fn run_on(server: &Server, app: &App) -> Value {
    server
        .register("app", app, &[function("app-f", "go", &app.url, RETRIES)])
        .await;
    let event = server.send(json!({"name": "go"})).await;
    server.ended(&event).await
}

/// The output of a run that must fail after all its attempts.
async fn failure(app: &App) -> Value {
    let mut run = run(app).await;
    assert_eq!(run["status"], "Failed", "{run}");
    assert_eq!(app.count(), ATTEMPTS, "every attempt calls the app");
    run["output"].take()
}

#[track_caller]
fn assert_holds(error: &Value, field: &str, text: &str) {
    let value = error[field].as_str().unwrap_or_default();
    assert!(value.contains(text), "{field} of {error}");
}

#[tokio::test]
async fn an_app_that_is_down() {
    let app = App::down().await;
    let server = Server::start().await;
    let ended = run_on(&server, &app).await;
    assert_eq!(ended["status"], "Failed");
    assert_eq!(ended["output"]["name"], "Error");
    assert_eq!(ended["output"]["message"], "Unable to reach SDK URL");
    let run = ended["run_id"].as_str().unwrap().parse().unwrap();
    let attempts = server
        .handle
        .read(move |reader| reader.attempts(run))
        .await
        .unwrap();
    assert_eq!(attempts.len(), ATTEMPTS);
    assert!(attempts[0].retry_at.is_some() && attempts[ATTEMPTS - 1].retry_at.is_none());
}

#[tokio::test]
async fn an_app_that_answers_a_web_page() {
    let app = App::start(|_| page(200, "<h1>Welcome</h1>")).await;
    assert_eq!(failure(&app).await, "<h1>Welcome</h1>");
}

#[tokio::test]
async fn an_app_behind_a_gateway_that_gave_up() {
    let app = App::start(|_| page(504, "<h1>Gateway Timeout</h1>")).await;
    let error = failure(&app).await;
    assert_eq!(error["name"], "Server returned a fatal error");
    assert_holds(&error, "message", "HTTP 504");
    assert_holds(&error, "stack", "<h1>Gateway Timeout</h1>");
}

#[tokio::test]
async fn an_app_that_fails_forever() {
    let app = App::start(|_| failed("I never work")).await;
    let error = failure(&app).await;
    assert_eq!(
        error,
        json!({"name": "TestError", "message": "I never work"})
    );
    let attempts: Vec<u64> = app.calls().iter().map(crate::app::Call::attempt).collect();
    assert_eq!(attempts, [0, 1, 2]);
    assert!(
        app.calls()
            .iter()
            .all(|call| call.body["ctx"]["max_attempts"] == ATTEMPTS)
    );
}

#[tokio::test]
async fn an_app_that_asks_not_to_be_tried_again() {
    let app = App::start(|_| {
        let mut response = failed("it is no use");
        response
            .headers_mut()
            .insert("x-inngest-no-retry", "true".parse().unwrap());
        response
    })
    .await;
    let ended = run(&app).await;
    assert_eq!(
        (&ended["status"], &ended["output"]["message"]),
        (&json!("Failed"), &json!("it is no use"))
    );
    assert_eq!(app.count(), 1);
}

#[tokio::test]
async fn an_app_that_recovers() {
    let app = App::start(|call| match call.attempt() {
        0 => page(502, "starting"),
        1 => sdk(206, "not JSON"),
        _ => returned(&json!("well")),
    })
    .await;
    let ended = run(&app).await;
    assert_eq!(
        (&ended["status"], &ended["output"]),
        (&json!("Completed"), &json!("well"))
    );
}

/// A server that waits for apps only a moment.
async fn impatient() -> Server {
    let http = HttpOptions {
        timeout: Duration::from_millis(50),
        ..HttpOptions::default()
    };
    Setup {
        http,
        ..Setup::default()
    }
    .start()
    .await
}

#[tokio::test]
async fn an_app_that_does_not_answer_in_time() {
    let app = App::start_async(|_| std::future::pending()).await;
    let error = run_on(&impatient().await, &app).await["output"].take();
    assert_eq!(error["message"], "Unable to reach SDK URL");
    assert_eq!(error["stack"], "the app did not answer in time");
    assert_eq!(app.count(), ATTEMPTS);
}

#[tokio::test]
async fn an_app_that_does_not_finish_its_answer_in_time() {
    let app = App::start_raw(|mut stream| async move {
        let head =
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\nx-inngest-sdk: test:v0.1.0\r\n\r\n\"beg";
        stream.write_all(head.as_bytes()).await.unwrap();
        // Held open until the server gives up.
        std::future::pending::<()>().await;
    })
    .await;
    let error = run_on(&impatient().await, &app).await["output"].take();
    assert_eq!(error["stack"], "the app did not finish its answer in time");
}

#[tokio::test]
async fn an_app_that_dies_before_its_answer() {
    let app = App::start_raw(|stream| async move { drop(stream) }).await;
    let error = failure(&app).await;
    assert_eq!(error["message"], "Unable to reach SDK URL");
}

#[tokio::test]
async fn an_app_that_dies_in_its_answer() {
    let app = App::start_raw(|mut stream| async move {
        let half =
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\nx-inngest-sdk: test:v0.1.0\r\n\r\n{\"half";
        stream.write_all(half.as_bytes()).await.unwrap();
    })
    .await;
    let error = failure(&app).await;
    assert_eq!(error["message"], "Unable to reach SDK URL");
    assert_holds(
        &error,
        "stack",
        "Your server reset the connection while we were reading the reply",
    );
}

#[tokio::test]
async fn an_app_that_answers_too_much() {
    let app = App::start(|_| sdk(200, format!("\"{}\"", "x".repeat(8 * 1024 * 1024)))).await;
    let message = "Your function's response body exceeds the maximum size limit";
    assert_eq!(
        failure(&app).await,
        json!({"error": {
            "error": format!("output_too_large: {message}"), "name": "output_too_large", "message": message,
        }})
    );
}

#[tokio::test]
async fn an_app_that_packs_too_much_into_a_small_answer() {
    let app = App::start(|_| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let blank = vec![b' '; 1024 * 1024];
        for _ in 0..64 {
            std::io::Write::write_all(&mut encoder, &blank).unwrap();
        }
        let mut response = sdk(200, encoder.finish().unwrap());
        response
            .headers_mut()
            .insert("content-encoding", "gzip".parse().unwrap());
        response
    })
    .await;
    assert_eq!(failure(&app).await["error"]["name"], "output_too_large");
}

#[tokio::test]
async fn an_app_that_reports_no_steps_where_it_says_so() {
    let app = App::start(|_| sdk(206, "<steps>")).await;
    let error = failure(&app).await;
    assert_holds(&error, "message", "error reading generator opcode response");
    let app = App::start(|_| sdk(206, "")).await;
    assert_holds(
        &failure(&app).await,
        "message",
        "error reading generator opcode response",
    );
}

#[tokio::test]
async fn an_app_that_reports_an_unknown_op() {
    let app = App::start(|_| ops(&[json!({"op": "StepNotFound", "id": id("a")})])).await;
    assert_holds(
        &failure(&app).await,
        "message",
        "[0].op: unknown op 'StepNotFound'",
    );
}

#[tokio::test]
async fn an_app_that_reports_nothing_forever() {
    let app = App::start(|_| ops(&[])).await;
    assert_holds(
        &failure(&app).await,
        "message",
        "the function reported no step, no result and no error",
    );
    let app = App::start(|_| ops(&[json!({"op": "None", "id": ""})])).await;
    assert_holds(
        &failure(&app).await,
        "message",
        "the function reported no step, no result and no error",
    );
}

#[tokio::test]
async fn an_app_that_reports_a_step_twice() {
    let app = App::start(|call| match call.body["steps"].as_object().unwrap().len() {
        // Twice in one answer, then once more, beside a new one.
        0 => ops(&[step_run("a", json!(1)), step_run("a", json!(2))]),
        1 => ops(&[step_run("a", json!(3)), step_run("b", json!(4))]),
        _ => returned(&call.body["steps"]),
    })
    .await;
    let ended = run(&app).await;
    assert_eq!(ended["status"], "Completed", "{ended}");
    assert_eq!(
        ended["output"],
        json!({id("a"): {"data": 1}, id("b"): {"data": 4}})
    );
    assert_eq!(app.count(), 3);
}

#[tokio::test]
async fn an_app_that_reports_one_step_forever() {
    let app = App::start(|_| ops(&[step_run("a", json!(1))])).await;
    let ended = run(&app).await;
    assert_eq!(ended["status"], "Failed", "{ended}");
    assert_holds(
        &ended["output"],
        "message",
        "the function reported only steps that had ended before it was called",
    );
    assert_eq!(app.count(), 1 + ATTEMPTS);
}

#[tokio::test]
async fn an_app_that_sleeps_nonsense() {
    let app = App::start(|_| ops(&[crate::app::sleep("nap", "a while")])).await;
    let ended = run(&app).await;
    assert_eq!(
        (&ended["status"], &ended["output"]["name"]),
        (&json!("Failed"), &json!("InvalidTimeout"))
    );
    assert_holds(&ended["output"], "message", "cannot sleep 'a while'");
}

#[tokio::test]
async fn an_app_that_redirects_in_circles() {
    let app = App::start(|call| {
        let target = format!("{}?fnId={}", call.path, call.query["fnId"]);
        axum::response::Redirect::permanent(&target).into_response()
    })
    .await;
    let ended = run(&app).await;
    assert_eq!(ended["status"], "Failed");
    assert_eq!(
        ended["output"]["stack"],
        "the app redirected more than 60 times"
    );
    assert_eq!(app.count(), 61 * ATTEMPTS);
}

#[tokio::test]
async fn one_bad_app_does_not_keep_others_from_work() {
    let hanging = App::start_async(|_| std::future::pending()).await;
    let good = App::start(|_| returned(&json!("done"))).await;
    let server = Server::start().await;
    server
        .register(
            "hanging",
            &hanging,
            &[function("hanging-f", "hang", &hanging.url, 0)],
        )
        .await;
    server
        .register("good", &good, &[function("good-f", "go", &good.url, 0)])
        .await;
    for _ in 0..20 {
        server.send(json!({"name": "hang"})).await;
    }
    hanging.called(20).await;
    let event = server.send(json!({"name": "go"})).await;
    assert_eq!(server.ended(&event).await["output"], "done");
}
