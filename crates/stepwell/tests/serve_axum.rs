//! An app on a real router and a real port, called as a server calls it.

use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use stepwell::{App, Client, Config, Context, Error, Event, Function, schemars::JsonSchema, serve};
use tokio::net::TcpListener;

#[derive(serde::Serialize, serde::Deserialize, JsonSchema, Event)]
#[event(name = "shop/order.placed")]
struct OrderPlaced {
    order_id: String,
}

async fn ship(ctx: Context<OrderPlaced>) -> Result<String, Error> {
    let order = &ctx.data().order_id;
    let label: String = ctx
        .step()
        .run("print", || async { Ok(format!("label of {order}")) })
        .await?;
    ctx.step()
        .send_event(
            "tell",
            OrderPlaced {
                order_id: "next".into(),
            },
        )
        .await?;
    Ok(label)
}

async fn listen(router: axum::Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    origin
}

/// A server's side: takes registrations and events.
async fn server(seen: Arc<Mutex<Vec<Value>>>) -> String {
    let route = axum::routing::post(move |body: axum::body::Bytes| async move {
        seen.lock()
            .unwrap()
            .push(serde_json::from_slice(&body).unwrap());
        let answer = json!({"ok": true, "modified": true, "ids": ["01KDW000000000000000000001"], "status": 200});
        axum::Json(answer)
    });
    let router = axum::Router::new()
        .route("/fn/register", route.clone())
        .route("/e/{key}", route);
    listen(router).await
}

#[tokio::test]
async fn an_app_is_synced_and_called_over_http() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let server = server(Arc::clone(&seen)).await;
    let client = Client::builder("shop", Config::dev())
        .base_url(server)
        .build();
    let app = App::new(client).function(Function::new("ship").on::<OrderPlaced>().handler(ship));
    let handler = serve::Handler::new(app).unwrap().body_limit(100_000);
    let router = axum::Router::new().route("/api/inngest", serve::axum(handler));
    let url = format!("{}/api/inngest", listen(router).await);
    let http = reqwest_client();

    let synced: Value = http.put(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!(
        synced,
        json!({"message": "Successfully registered", "modified": true})
    );
    let registered = seen.lock().unwrap().remove(0);
    assert_eq!(registered["framework"], "axum");
    let function_url = &registered["functions"][0]["steps"]["step"]["runtime"]["url"];
    assert_eq!(
        *function_url,
        json!(format!("{url}?fnId=shop-ship&stepId=step"))
    );

    let mut steps = serde_json::Map::new();
    let mut answers = Vec::new();
    loop {
        let stack: Vec<&String> = steps.keys().collect();
        let body = json!({
            "ctx": {
                "fn_id": "6b48a4f5-033b-57e4-accc-a328f4cbcf92", "run_id": "01KDW000000000000000000002",
                "max_attempts": 3, "stack": {"stack": stack, "current": 0},
            },
            "event": {"name": "shop/order.placed", "data": {"order_id": "o-1"}}, "steps": steps,
        });
        let answer = http
            .post(function_url.as_str().unwrap())
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.headers()["x-inngest-framework"], "axum");
        let status = answer.status().as_u16();
        let answer: Value = answer.json().await.unwrap();
        if status != 206 {
            answers.push(answer);
            break;
        }
        steps.insert(
            answer[0]["id"].as_str().unwrap().to_owned(),
            json!({"data": answer[0]["data"]}),
        );
        answers.push(answer[0]["data"].clone());
    }
    assert_eq!(
        answers,
        [
            json!("label of o-1"),
            json!({"ids": ["01KDW000000000000000000001"]}),
            json!("label of o-1")
        ]
    );
    assert_eq!(
        seen.lock().unwrap()[0][0]["data"],
        json!({"order_id": "next"})
    );

    let large = http
        .post(&url)
        .body("x".repeat(100_001))
        .send()
        .await
        .unwrap();
    assert_eq!(large.status(), 413);
    assert_eq!(http.delete(&url).send().await.unwrap().status(), 405);
}

fn reqwest_client() -> reqwest::Client {
    // Making a client of the SDK first has installed the TLS provider.
    reqwest::Client::new()
}
