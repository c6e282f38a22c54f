//! `POST /fn/register`: what apps may register, and what becomes of it.

use crate::app::{App, returned};
use crate::server::{Server, function, registration, soon};
use reqwest::Method;
use serde_json::{Value, json};

const URL: &str = "http://app.test/api/inngest";

/// The public ids of the functions that the server knows.
async fn known(server: &Server) -> Vec<String> {
    let answer = server.get("/dev").await.expect(200);
    let functions = answer["functions"].as_array().expect("it is a list");
    functions
        .iter()
        .map(|function| function["slug"].as_str().expect("it has a slug").to_owned())
        .collect()
}

async fn register(server: &Server, functions: &[Value]) -> Value {
    let body = registration("app", URL, functions).to_string();
    server.post("/fn/register", body).await.expect(200)
}

#[tokio::test]
async fn what_is_no_registration_is_refused_with_the_place() {
    let server = Server::start().await;
    for (body, error) in [
        ("", "Invalid request: EOF while parsing a value"),
        ("{", "Invalid request: EOF while parsing an object"),
        ("[]", "Invalid request: expected a JSON object"),
        (r#"{"appName":7}"#, "Invalid request: appname: "),
        (r#"{"functions":{}}"#, "Invalid request: functions: "),
        (
            r#"{"functions":[{"id":"a"},{"id":"b","steps":{"step":{"retries":{"attempts":"many"}}}}]}"#,
            "Invalid request: functions[1].steps.step.retries.attempts: ",
        ),
        (
            r#"{"functions":[{"id":"a","concurrency":"five"}]}"#,
            "Invalid request: functions[0].concurrency: ",
        ),
        (r#"{"functions":[]}"#, "App ID required"),
        (
            r#"{"appName":"app","url":"localhost:3000","functions":[]}"#,
            "the app's url 'localhost:3000' is not an absolute URL",
        ),
    ] {
        let refusal = server.post("/fn/register", body).await.refusal(400);
        assert!(refusal.starts_with(error), "{body}: {refusal}");
    }
    assert_eq!(known(&server).await, [""; 0]);
}

#[tokio::test]
async fn invalid_functions_are_refused_as_a_whole_with_every_detail() {
    let server = Server::start().await;
    let functions = [
        function("app-fine", "go", URL, 0),
        json!({"id": "app-stepless", "triggers": [{"event": "go"}]}),
        json!({
            "id": "app-bad", "triggers": [{"event": "go", "expression": "event.data.a =="}], "steps": {"step": {
                "runtime": {"type": "http", "url": "ftp://app.test/x"},
            }},
        }),
        function("app-fine", "go", URL, 0),
    ];
    let body = registration("app", URL, &functions).to_string();
    let answer = server.post("/fn/register", body).await;
    assert_eq!(answer.refusal(400), "At least one function is invalid");
    let details: Vec<String> = serde_json::from_value(answer.json()["details"].clone()).unwrap();
    for expected in [
        "function 'app-stepless': steps: Functions must contain one step",
        "function 'app-bad': steps.step.runtime.url: Non-supported step schema: ftp",
        "function 'app-bad': invalid trigger expression on 'go': ",
        "function 'app-fine': id: the app has two functions of this id",
    ] {
        assert!(
            details.iter().any(|detail| detail.starts_with(expected)),
            "{expected}: {details:?}"
        );
    }
    assert_eq!(details.len(), 4, "{details:?}");
    assert_eq!(known(&server).await, [""; 0]);
}

#[tokio::test]
async fn an_sdk_that_expects_another_kind_of_server_is_refused() {
    let server = Server::start().await;
    let body = registration("app", URL, &[]).to_string();
    for (kind, status) in [("cloud", 400), ("dev", 200), ("", 200)] {
        let headers = [("x-inngest-expected-server-kind", kind)];
        let answer = server
            .request(Method::POST, "/fn/register", &headers, body.clone())
            .await;
        assert_eq!(answer.status, status, "{kind}: {}", answer.text);
        if status == 400 {
            assert_eq!(answer.refusal(400), "Expected server kind cloud, got dev");
        }
    }
}

#[tokio::test]
async fn an_sdk_that_loses_data_is_refused() {
    let server = Server::start().await;
    let mut body = registration("app", URL, &[]);
    body["sdk"] = json!("js:v3.40.0");
    let answer = server.post("/fn/register", body.to_string()).await;
    assert_eq!(
        answer.refusal(400),
        "App sync was blocked because js:v3.40.0 has a bug that can lose data; use a newer version"
    );
    assert_eq!(answer.json()["code"], "sdk_version_denied");
}

#[tokio::test]
async fn registering_the_same_again_modifies_nothing() {
    let server = Server::start().await;
    let functions = [function("app-f", "go", URL, 0)];
    let first = register(&server, &functions).await;
    let second = register(&server, &functions).await;
    for (answer, modified) in [(&first, true), (&second, false)] {
        assert_eq!(
            (&answer["ok"], &answer["modified"]),
            (&json!(true), &json!(modified))
        );
        assert!(answer["sync_id"].is_string());
    }
    assert_eq!(first["app_id"], second["app_id"]);
    assert_ne!(first["sync_id"], second["sync_id"]);
    let third = register(&server, &[function("app-f", "other", URL, 0)]).await;
    assert_eq!(
        (&third["modified"], &third["app_id"]),
        (&json!(true), &first["app_id"])
    );
}

#[tokio::test]
async fn keys_are_read_in_any_case() {
    let server = Server::start().await;
    let body = json!({"URL": URL, "AppName": "app", "Functions": [{
        "ID": "app-f", "Triggers": [{"Event": "go"}],
        "Steps": {"step": {"Runtime": {"Type": "http", "URL": URL}}},
    }]});
    server
        .post("/fn/register", body.to_string())
        .await
        .expect(200);
    assert_eq!(known(&server).await, ["app-f"]);
}

#[tokio::test]
async fn a_function_that_is_gone_from_the_app_starts_no_more() {
    let app = App::start(|call| returned(&json!(call.query["fnId"]))).await;
    let server = Server::start().await;
    let (kept, gone) = (
        function("app-kept", "go", &app.url, 0),
        function("app-gone", "go", &app.url, 0),
    );
    server
        .register("app", &app, &[kept.clone(), gone.clone()])
        .await;
    assert_eq!(known(&server).await, ["app-gone", "app-kept"]);
    let event = server.send(json!({"name": "go"})).await;
    assert_eq!(server.all_ended(&event).await.len(), 2);

    server.register("app", &app, &[kept]).await;
    assert_eq!(known(&server).await, ["app-kept"]);
    let event = server.send(json!({"name": "go"})).await;
    assert_eq!(server.ended(&event).await["output"], "app-kept");

    // An app without functions is one, too; and what was gone may come back.
    server.register("app", &app, &[]).await;
    assert_eq!(known(&server).await, [""; 0]);
    let event = server.send(json!({"name": "go"})).await;
    assert!(server.runs(&event).await.is_empty());
    server.register("app", &app, &[gone]).await;
    let event = server.send(json!({"name": "go"})).await;
    assert_eq!(server.ended(&event).await["output"], "app-gone");
}

#[tokio::test]
async fn an_app_that_moves_is_called_where_it_is_now() {
    let old = App::start(|_| crate::app::failed("I have moved")).await;
    let new = App::start(|_| returned(&json!("new"))).await;
    let clock =
        stepwell_runtime::ManualClock::new(stepwell_engine::Timestamp::from_ms(1_800_000_000_000));
    let setup = crate::server::Setup {
        clock: stepwell_runtime::Clock::Manual(std::sync::Arc::clone(&clock)),
        backoff: stepwell_engine::Backoff::Constant(1_000),
        ..crate::server::Setup::default()
    };
    let server = setup.start().await;
    server
        .register("app", &old, &[function("app-f", "go", &old.url, 4)])
        .await;
    let mut news = server.handle.watch();
    let under_way = server.send(json!({"name": "go"})).await;
    soon("the attempt fails", async {
        while !matches!(
            &*news.recv().await.unwrap(),
            stepwell_runtime::News::AttemptFailed { .. }
        ) {}
    })
    .await;
    let answer = server
        .register("app", &new, &[function("app-f", "go", &new.url, 4)])
        .await;
    assert_eq!(answer["modified"], true);
    // Neither new runs nor the retry of one under way go to the old place.
    let later = server.send(json!({"name": "go"})).await;
    clock.advance_ms(1_000);
    for event in [under_way, later] {
        assert_eq!(server.ended(&event).await["output"], "new");
    }
    assert_eq!((old.count(), new.count()), (1, 2));
}
