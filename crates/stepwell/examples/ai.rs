//! Asking a language model, by the engine, with typed requests and answers. A small server on this machine stands in for the
//! provider; without `base_url`, it is the provider itself.
//!
//! ```sh
//! cargo run -p stepwell --example ai
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to people")]

use axum::{Json, Router, routing::post};
use serde_json::{Value, json};
use std::time::Duration;
use stepwell::ai::openai::{Message, OpenAi};
use stepwell::embedded::Embedded;
use stepwell::{App, Client, Context, Error, OutgoingEvent, State, function};
use tokio::net::TcpListener;

#[function(on = "ticket/opened")]
async fn answer(ctx: Context, State(model): State<OpenAi>) -> Result<String, Error> {
    let ticket = ctx.data()["text"].as_str().unwrap_or_default();
    let messages = [
        Message::system("Answer in one word."),
        Message::user(ticket),
    ];
    let draft = ctx
        .step()
        .ai()
        .infer("draft", &model, messages.into())
        .await?;
    // A library of your own asks in a step of its own: what it was asked is recorded along with the answer.
    let check = |draft: String| async move { Ok(!draft.is_empty()) };
    let fine: bool = ctx
        .step()
        .ai()
        .wrap("check", draft.text().to_owned(), check)
        .await?;
    Ok(format!("{} (checked: {fine})", draft.text()))
}

/// The provider.
async fn provider() -> anyhow::Result<String> {
    async fn complete(Json(asked): Json<Value>) -> Json<Value> {
        let said = format!("patience, as {}", asked["messages"][1]["content"]);
        let message = json!({"role": "assistant", "content": said});
        Json(json!({"choices": [{"message": message, "finish_reason": "stop"}]}))
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = Router::new().route("/chat/completions", post(complete));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

pub(crate) async fn run() -> anyhow::Result<String> {
    let model = OpenAi::new("gpt-5")
        .api_key("the key")
        .base_url(provider().await?);
    let app = App::new(Client::dev("support")).function(answer(model));
    let engine = Embedded::builder()
        .app(app)
        .memory()
        .allow_private_addresses()
        .start()
        .await?;
    let event = OutgoingEvent::untyped("ticket/opened", json!({"text": "It is slow"}));
    let runs = engine.finished_runs(engine.send(event).await?).await?;
    let told = runs[0].output()?;
    engine.shutdown(Duration::from_secs(10)).await;
    Ok(told)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("{}", run().await?);
    Ok(())
}
