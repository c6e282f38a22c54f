//! How large the runs of one function may become.

use crate::app::{App, ops, returned, step_run};
use crate::server::{Server, function};
use reqwest::Method;
use serde_json::{Value, json};

/// A server, and an app whose function runs three steps, the last of which is large.
async fn three_steps() -> (Server, App) {
    let app = App::start(|call| {
        let steps = [("one", 10), ("two", 10), ("three", 2_000)];
        match steps.into_iter().find(|(name, _)| !call.has(name)) {
            Some((name, bytes)) => ops(&[step_run(name, json!("x".repeat(bytes)))]),
            None => returned(&json!("done")),
        }
    })
    .await;
    let server = Server::start().await;
    register(&server, &app, 0).await;
    (server, app)
}

async fn register(server: &Server, app: &App, retries: u32) {
    let function = function("shop-pack", "order", &app.url, retries);
    server.register("shop", app, &[function]).await;
}

async fn run(server: &Server) -> Value {
    let event = server.send(json!({"name": "order", "data": {}})).await;
    server.ended(&event).await
}

#[tokio::test]
async fn a_function_with_fewer_steps_than_others_fails_beyond_them() {
    let (server, app) = three_steps().await;
    let set = server.post("/fn/step-limit?functionId=shop-pack&limit=2", "");
    let id = set.await.expect(200)["function_id"].clone();
    let failed = run(&server).await;
    assert_eq!(
        failed["output"],
        json!({"name": "InngestErrFunctionOverflowed", "error": "function has too many steps",
            "message": "The function run exceeded the step limit of 2 steps."})
    );
    register(&server, &app, 3).await;
    assert_eq!(
        run(&server).await["status"],
        "Failed",
        "also when it registers anew"
    );
    let id = id.as_str().expect("it has an id");
    let path = format!("/fn/step-limit?functionId={id}");
    let lifted = server.request(Method::DELETE, &path, &[], "").await;
    assert_eq!(
        lifted.expect(200),
        json!({"function_id": id, "limit": null})
    );
    assert_eq!(run(&server).await["status"], "Completed");
}

#[tokio::test]
async fn a_function_with_less_state_than_others_fails_beyond_it() {
    let (server, _app) = three_steps().await;
    let form = "functionId=shop-pack&limit=1500";
    let set = server.post("/fn/state-size-limit", form).await.expect(200);
    assert_eq!(set["limit"], 1_500);
    let failed = run(&server).await;
    let message = "The function run exceeded the state size limit of 1500 bytes.";
    assert_eq!(
        failed["output"],
        json!({"name": "InngestErrStateOverflowed", "message": message,
            "error": format!("InngestErrStateOverflowed: {message}")})
    );
    // More than any run may have is as good as that.
    let path = "/fn/state-size-limit?functionId=shop-pack&limit=99999999999";
    assert_eq!(server.post(path, "").await.status, 200);
    assert_eq!(run(&server).await["status"], "Completed");
}

#[tokio::test]
async fn bounds_that_make_no_sense_are_refused() {
    let (server, _app) = three_steps().await;
    for (query, status, text) in [
        (
            "limit=5",
            400,
            "functionId: expected a function's id, or its public one",
        ),
        (
            "functionId=shop-pack",
            400,
            "limit: expected a number from 1 on",
        ),
        (
            "functionId=shop-pack&limit=0",
            400,
            "limit: expected a number from 1 on",
        ),
        (
            "functionId=shop-pack&limit=few",
            400,
            "limit: expected a number from 1 on",
        ),
        (
            "functionId=shop-paint&limit=5",
            404,
            "could not find function with ID: shop-paint",
        ),
    ] {
        let refused = server.post(&format!("/fn/step-limit?{query}"), "").await;
        assert_eq!(refused.refusal(status), text, "{query}");
    }
}
