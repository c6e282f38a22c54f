//! Functions that invoke those of another SDK's app and are invoked by them.

use serde_json::{Value, json};
use std::time::Duration;
use stepwell::realtime::{Content, Message};
use stepwell::{App, Client, Config, Context, Error, Function, FunctionRef, OutgoingEvent, Topic};

/// Functions of the other app.
const STEPWISE: FunctionRef<Value, Value> = FunctionRef::new("stepwise").of_app("ts-across");
const BROKEN: FunctionRef<Value, Value> = FunctionRef::new("broken").of_app("ts-across");

pub(crate) fn app(server: &str) -> App {
    let client = Client::builder("rs-across", Config::dev())
        .base_url(server)
        .build();
    let on = |id: &str| {
        Function::new(id)
            .on_event(&format!("across/{id}"))
            .retries(1)
    };
    App::new(client).functions([
        Function::new("stepwise")
            .on_invoke()
            .retries(1)
            .handler(stepwise),
        Function::new("broken").on_invoke().handler(broken),
        on("rust-calls").handler(calls),
        on("rust-calls-broken").handler(calls_broken),
        on("rust-publishes").handler(publishes),
        on("rust-subscribes").retries(0).handler(subscribes),
        on("rust-sends").handler(sends),
    ])
}

/// Two steps with a sleep between them, the first of which fails once.
async fn stepwise(ctx: Context) -> Result<Value, Error> {
    let number = ctx.data()["number"].as_i64().unwrap_or_default();
    let attempt = ctx.attempt();
    let one = ctx.step().run("one", || async move {
        match attempt {
            0 => Err(Error::new("Outage", "once")),
            _ => Ok(number + 1),
        }
    });
    let one: i64 = one.await?;
    ctx.step().sleep("nap", Duration::from_millis(1)).await;
    let two = ctx.step().run("two", || async { Ok(one * 10) }).await?;
    Ok(json!({"number": two, "by": "rust", "größe": null}))
}

async fn broken(_: Context) -> Result<(), Error> {
    Err(Error::new("Beyond", "no use").non_retriable())
}

async fn calls(ctx: Context) -> Result<Value, Error> {
    let data = json!({"number": ctx.data()["number"]});
    Ok(ctx.step().invoke("call", STEPWISE, data).await?)
}

async fn calls_broken(ctx: Context) -> Result<Value, Error> {
    let error = ctx
        .step()
        .invoke("call", BROKEN, json!({}))
        .await
        .unwrap_err();
    Ok(json!({"name": error.name(), "message": error.message()}))
}

/// Publishes from a step, and without one.
async fn publishes(ctx: Context) -> Result<(), Error> {
    let channel = format!("order:{}", ctx.data()["key"].as_str().unwrap_or_default());
    let step = ctx.step();
    let progress: Topic<Value> = Topic::new(&channel, "progress");
    step.publish("half", &progress, &json!({"percent": 50}))
        .await?;
    let note: Topic<str> = Topic::new(&channel, "notes");
    step.publish("note", &note, "größe").await?;
    step.publish("all", &progress, &json!({"percent": 100}))
        .await?;
    Ok(())
}

/// Subscribes, has the other app publish, and tells what came.
async fn subscribes(ctx: Context) -> Result<Vec<Value>, Error> {
    let (client, key) = (ctx.client().clone(), ctx.data()["key"].clone());
    let listening = ctx.step().run("listen", || async move {
        let heard = tokio::time::timeout(Duration::from_secs(60), hear(&client, &key)).await;
        heard.map_err(|_| Error::new("TooLate", "not all was published"))?
    });
    Ok(listening.await?)
}

async fn hear(client: &Client, key: &Value) -> Result<Vec<Value>, Error> {
    let channel = format!("order:{}", key.as_str().unwrap_or_default());
    let topics = ["progress", "tokens", "notes"];
    let mut messages = client.subscribe(channel, topics).await?;
    let asked = OutgoingEvent::untyped("across/publish-for-rust", json!({"key": key}));
    client.send(asked).await?;
    let mut heard = Vec::new();
    while let Some(message) = messages.next().await {
        let message = message?;
        let is_last = message.topic == "notes";
        heard.push(told(message));
        if is_last {
            break;
        }
    }
    Ok(heard)
}

/// A message without what no two share.
fn told(message: Message) -> Value {
    let content = match message.content {
        Content::Data(data) => data,
        Content::StreamStart { .. } => json!("start"),
        Content::Chunk { text, .. } => json!({"chunk": text}),
        Content::StreamEnd { .. } => json!("end"),
        other => json!(format!("{other:?}")),
    };
    json!([message.topic, content, message.run.is_some()])
}

/// Sends an event to the other app, and waits for what that sends back.
async fn sends(ctx: Context) -> Result<Value, Error> {
    let key = &ctx.data()["key"];
    let asked = OutgoingEvent::untyped("across/asked-by-rust", json!({"key": key}));
    let step = ctx.step();
    let wait = step.wait_for_event_named::<Value>("answer", "across/answer");
    let wait = wait.matching("data.key").timeout(Duration::from_secs(60));
    let (answer, sent) = tokio::join!(wait, step.send_event("ask", asked));
    sent?;
    Ok(answer?.map_or(Value::Null, |answer| answer.data))
}
