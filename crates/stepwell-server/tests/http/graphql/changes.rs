//! What can be done.

use super::{UNKNOWN, ask, run_of, shop, told};
use crate::app::App;
use crate::server::{Setup, function};
use axum::http::HeaderValue;
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};
use stepwell_protocol::signing::SigningKey;
use stepwell_server::{ServerKind, ServerOptions};

#[tokio::test]
async fn runs_are_invoked_cancelled_and_repeated() {
    let (server, app) = shop().await;
    let mut news = server.handle.watch();
    let invoke =
        r#"mutation ($data: Map) { invokeFunction(functionSlug: "shop-slow", data: $data) }"#;
    let invoked = told(&server, invoke, json!({"data": {"n": 5}})).await;
    assert_eq!(invoked, json!({"invokeFunction": true}));
    app.called(1).await;
    assert_eq!(app.calls()[0].body["event"]["data"]["n"], 5);
    let run = app.calls()[0].body["ctx"]["run_id"].clone();
    let cancel = "mutation ($run: ULID!) { cancelRun(runID: $run) { id status } }";
    let cancelled = told(&server, cancel, json!({"run": run})).await;
    assert_eq!(
        cancelled["cancelRun"],
        json!({"id": run, "status": "CANCELLED"})
    );
    let unknown = ask(&server, cancel, json!({"run": UNKNOWN})).await;
    assert_eq!(unknown["errors"][0]["message"], "run not found");
    drop(news.recv().await);

    let event = server.send(json!({"name": "good"})).await;
    server.ended(&event).await;
    let run = run_of(&server, &event).await;
    let rerun =
        "mutation ($run: ULID!, $from: RerunFromStepInput) { rerun(runID: $run, fromStep: $from) }";
    let again = told(&server, rerun, json!({"run": run})).await["rerun"].take();
    assert_ne!(again, json!(run));
    let from = json!({"stepID": "count", "input": "[1]"});
    let from = told(&server, rerun, json!({"run": run, "from": from})).await["rerun"].take();
    assert!(from.is_string());
    let wrong = json!({"stepID": "count", "input": "{}"});
    let refused = ask(&server, rerun, json!({"run": run, "from": wrong})).await;
    assert_eq!(
        refused["errors"][0]["message"],
        "fromStep.input: expected a JSON array of the step's arguments"
    );
    assert_eq!(server.all_ended(&event).await.len(), 3);
}

#[tokio::test]
async fn an_app_that_is_removed_starts_nothing_until_it_registers_again() {
    let (server, app) = shop().await;
    let listed = async || {
        let data = told(&server, "{ apps { name functionCount } }", json!({})).await;
        data["apps"].clone()
    };
    assert_eq!(
        listed().await,
        json!([{"name": "shop", "functionCount": 3}])
    );
    let remove = r#"mutation { deleteApp(id: "shop") }"#;
    let removed = told(&server, remove, json!({})).await;
    assert!(removed["deleteApp"].is_string());
    assert_eq!(listed().await, json!([]));
    let event = server.send(json!({"name": "good"})).await;
    assert!(server.runs(&event).await.is_empty());
    let gone = ask(&server, remove, json!({})).await;
    assert_eq!(gone["errors"][0]["message"], "app not found");

    let functions = [function("shop-good", "good", &app.url, 0)];
    let register = server.register("shop", &app, &functions).await;
    assert_eq!(register["modified"], true);
    assert_eq!(
        listed().await,
        json!([{"name": "shop", "functionCount": 1}])
    );
    let path = format!("/fn/remove?url={}", app.url);
    let removed = server
        .request(reqwest::Method::DELETE, &path, &[], "")
        .await;
    assert_eq!(removed.status, 200, "{}", removed.text);
    assert_eq!(listed().await, json!([]));
    let removed = server
        .request(reqwest::Method::DELETE, &path, &[], "")
        .await;
    assert_eq!(removed.refusal(404), format!("App not found: {}", app.url));
}

#[tokio::test]
async fn an_app_that_is_made_is_asked_to_register() {
    let setup = Setup::default();
    let apps = setup.server.apps.clone();
    let server = setup.start().await;
    let create = "mutation ($url: String!) { createApp(input: {url: $url}) { id } }";
    for (url, expected) in [
        ("http://127.0.0.1:1/api", "nothing answers there"),
        (
            "file:///etc/passwd",
            "expected the http or https URL of an app",
        ),
    ] {
        let refused = ask(&server, create, json!({"url": url})).await;
        assert_eq!(refused["errors"][0]["message"], expected);
    }
    assert_eq!(apps.list(), [], "a mistyped URL is not asked again");
    let app = App::start(|_| crate::app::sdk(200, "{}")).await;
    let asked = ask(&server, create, json!({"url": app.url})).await;
    assert_eq!(app.calls()[0].method, reqwest::Method::PUT);
    assert_eq!(
        asked["errors"][0]["message"],
        "the app answered, but has not registered under this URL"
    );
    assert_eq!(apps.list(), [], "nor is one that registers elsewhere");
}

/// What an app that registers by its answer says.
fn in_band(url: &str) -> String {
    let functions = [function("shop-pay", "pay", url, 0)];
    let answer = json!({"app_id": "shop", "sdk": "js:v4.1.2", "functions": functions, "url": url});
    answer.to_string()
}

#[tokio::test]
async fn in_production_an_answer_registers_an_app_only_when_it_is_signed() {
    const CREATE: &str = "mutation ($url: String!) { createApp(input: {url: $url}) { name } }";
    let key = SigningKey::new("signkey-prod-0123456789abcdef");
    let other = SigningKey::new("signkey-prod-fedcba9876543210");
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_s = now_s.expect("it is after 1970").as_secs();
    let sign = move |signer: Option<&SigningKey>| {
        let signer = signer.cloned();
        App::start(move |call| {
            let url = call.body["url"].as_str().unwrap_or("").to_owned();
            let body = in_band(&url);
            let signature = signer.as_ref().map(|key| key.sign(body.as_bytes(), now_s));
            let mut response = crate::app::sdk(200, body);
            let headers = response.headers_mut();
            headers.insert("x-inngest-sync-kind", HeaderValue::from_static("in_band"));
            if let Some(signature) = signature {
                let signature = signature.parse().expect("it is a header's value");
                headers.insert("x-inngest-signature", signature);
            }
            response
        })
    };
    let setup = Setup {
        server: ServerOptions {
            kind: ServerKind::Cloud,
            signing_key: Some(key.clone()),
            ..ServerOptions::dev()
        },
        ..Setup::default()
    };
    let apps = setup.server.apps.clone();
    let server = setup.start().await;
    let create = async |app: &App| {
        let bearer = format!("Bearer {}", key.hashed());
        let headers = [
            ("content-type", "application/json"),
            ("authorization", &*bearer),
        ];
        let question = json!({"query": CREATE, "variables": {"url": app.url}});
        let answer = server
            .request(
                reqwest::Method::POST,
                "/v0/gql",
                &headers,
                question.to_string(),
            )
            .await;
        answer.expect(200)
    };
    for signer in [None, Some(&other)] {
        let app = sign(signer).await;
        let refused = create(&app).await;
        let message = refused["errors"][0]["message"].as_str().expect("a message");
        assert!(
            message.starts_with("its answer is not to be trusted: "),
            "{message}"
        );
    }
    assert_eq!(apps.list(), [], "nobody has taken the app over");
    let app = sign(Some(&key)).await;
    assert_eq!(create(&app).await["data"]["createApp"]["name"], "shop");
}

#[tokio::test]
async fn an_app_that_has_moved_is_called_where_it_is_now() {
    const UPDATE: &str = "mutation ($id: String!, $url: String!) { updateApp(input: {id: $id, url: $url}) { name url } }";
    let (server, _app) = shop().await;
    let own = server.url.clone();
    let moved = App::start_async(move |call| {
        let own = own.clone();
        async move {
            if call.method != reqwest::Method::PUT {
                return crate::app::returned(&json!("from the new place"));
            }
            // As SDKs do: asked to register, it does so by a request of its own.
            let url = call.body["url"].as_str().unwrap_or("").to_owned();
            let functions = [function("shop-good", "good", &url, 0)];
            let body = crate::server::registration("shop", &url, &functions).to_string();
            let client = reqwest::Client::new();
            let sent = client.post(format!("{own}/fn/register")).body(body).send();
            sent.await.expect("the server answers");
            crate::app::sdk(
                200,
                r#"{"message": "Successfully registered", "modified": true}"#,
            )
        }
    })
    .await;
    let variables = json!({"id": "shop", "url": moved.url});
    let answer = told(&server, UPDATE, variables).await;
    assert_eq!(answer["updateApp"]["name"], "shop");
    let event = server.send(json!({"name": "good", "data": {}})).await;
    assert_eq!(server.ended(&event).await["output"], "from the new place");
    for (id, url, expected) in [
        ("shops", &*moved.url, "app not found"),
        ("shop", "http://127.0.0.1:1/api", "nothing answers there"),
        (
            "shop",
            "ftp://shop",
            "expected the http or https URL of an app",
        ),
    ] {
        let refused = ask(&server, UPDATE, json!({"id": id, "url": url})).await;
        assert_eq!(refused["errors"][0]["message"], expected);
    }
    let other = App::start(|_| crate::app::sdk(200, "{}")).await;
    let refused = ask(&server, UPDATE, json!({"id": "shop", "url": other.url})).await;
    let message = &refused["errors"][0]["message"];
    assert_eq!(message, "what answers at this URL is another app");

    // One that registers by its answer is not registered at all.
    let stranger = App::start(|call| {
        let url = call.body["url"].as_str().unwrap_or("");
        let body = in_band(url).replace("shop", "stranger");
        let mut response = crate::app::sdk(200, body);
        let headers = response.headers_mut();
        headers.insert("x-inngest-sync-kind", HeaderValue::from_static("in_band"));
        response
    })
    .await;
    let refused = ask(&server, UPDATE, json!({"id": "shop", "url": stranger.url})).await;
    let message = &refused["errors"][0]["message"];
    assert_eq!(message, "what answers at this URL is another app");
    let apps = told(&server, "{ apps { name } }", json!({})).await;
    assert_eq!(apps["apps"], json!([{"name": "shop"}]));
}
