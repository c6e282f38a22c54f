//! Every web adapter, on a real port: a server registers the app and runs its function.

use serde_json::json;
use std::sync::Arc;
use stepwell::embedded::Invokers;
use stepwell::{App, Client, Config, Context, Error, Function, OutgoingEvent, serve};
use stepwell_runtime::gateway::PrivateAddresses;
use stepwell_runtime::{HttpInvoker, HttpOptions, News, Options, Runtime};
use stepwell_server::ServerOptions;
use stepwell_store::memory;
use tokio::net::TcpListener;

async fn add(ctx: Context) -> Result<u64, Error> {
    let number = ctx.data()["number"].as_u64().unwrap_or_default();
    let step = ctx.step();
    let number = step.run("first", || async { Ok(number + 1) }).await?;
    let number: u64 = step.run("second", || async { Ok(number + 1) }).await?;
    Ok(number)
}

async fn listen(router: axum::Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    origin
}

/// Has a server run the function that `mount` serves; `mount` gives the app's origin.
async fn check(framework: &str, mount: impl AsyncFnOnce(serve::Handler) -> String) {
    let invoker = Arc::new(HttpInvoker::new(HttpOptions::default()).unwrap());
    let options = Options {
        private_addresses: PrivateAddresses::Allow,
        ..Options::default()
    };
    let invokers = Invokers::none().with("http", invoker);
    let runtime = Runtime::start(memory::open(), invokers, options).unwrap();
    let handle = runtime.handle();
    let server = listen(stepwell_server::router(
        runtime.handle(),
        ServerOptions::dev(),
    ))
    .await;
    let client = Client::builder("app", Config::dev())
        .base_url(server)
        .build();
    let app = App::new(client.clone());
    let app = app.function(Function::new("add").on_event("app/add").handler(add));
    let handler = serve::Handler::new(app).unwrap().body_limit(100_000);
    let url = format!("{}/api/inngest", mount(handler).await);

    let http = reqwest::Client::new();
    let synced = http.put(&url).send().await.unwrap();
    assert_eq!(synced.status(), 200);
    assert_eq!(synced.headers()["x-inngest-framework"], framework);
    let mut news = handle.watch();
    let event = OutgoingEvent::untyped("app/add", json!({"number": 40}));
    let id = client.send(event).await.unwrap();
    while !matches!(*news.recv().await.unwrap(), News::Ended { .. }) {}
    let runs = handle.read(move |reader| reader.runs_of_event(id)).await;
    let runs = runs.unwrap();
    assert_eq!(runs[0].output.as_ref().unwrap().get(), "42");

    let large = http.post(&url).body("x".repeat(100_001)).send().await;
    assert_eq!(large.unwrap().status(), 413);
    assert_eq!(http.delete(&url).send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn a_tower_service_is_served() {
    check("http", async |handler| {
        let service = serve::tower(handler);
        listen(axum::Router::new().route_service("/api/inngest", service)).await
    })
    .await;
}

#[tokio::test]
async fn an_actix_app_is_served() {
    check("actix-web", async |handler| {
        let server = actix_web::HttpServer::new(move || {
            actix_web::App::new().route("/api/inngest", serve::actix(handler.clone()))
        });
        let server = server
            .workers(1)
            .disable_signals()
            .bind("127.0.0.1:0")
            .unwrap();
        let origin = format!("http://{}", server.addrs()[0]);
        tokio::spawn(server.run());
        origin
    })
    .await;
}
