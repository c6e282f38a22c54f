//! An app that a server calls over HTTP, next to the routes of a web service, one of which sends an event.
//!
//! ```sh
//! stepwell dev -u http://localhost:3000/api/inngest
//! INNGEST_DEV=1 cargo run -p stepwell --example serve_axum
//! curl -X POST http://localhost:3000/orders/o-1
//! ```

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use serde::{Deserialize, Serialize};
use stepwell::{
    App, AppError, Client, Context, Error, Event, function, schemars::JsonSchema, serve,
};

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "shop/order.placed")]
struct OrderPlaced {
    order: String,
}

#[function(on = OrderPlaced)]
async fn confirm(ctx: Context<OrderPlaced>) -> Result<String, Error> {
    let order = &ctx.data().order;
    let mail = ctx
        .step()
        .run("mail", || async { Ok(format!("{order} is confirmed")) });
    Ok(mail.await?)
}

/// Answers at once; the rest is up to the function. The answer is the event's id.
async fn place(State(client): State<Client>, Path(order): Path<String>) -> (StatusCode, String) {
    match client.send(OrderPlaced { order }).await {
        Ok(event) => (StatusCode::ACCEPTED, event.to_string()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

/// The whole web service.
pub(crate) fn router(client: Client) -> Result<Router, AppError> {
    let app = App::new(client.clone()).function(confirm());
    Ok(Router::new()
        .route("/orders/{order}", post(place))
        .route("/api/inngest", serve::axum(serve::Handler::new(app)?))
        .with_state(client))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().init();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, router(Client::from_env("shop")?)?).await?;
    Ok(())
}
