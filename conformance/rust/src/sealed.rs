//! Functions whose data is encrypted, with the key of the other SDK's app.

use anyhow::Context as _;
use serde_json::{Value, json};
use stepwell::middleware::Encryption;
use stepwell::{App, Client, Config, Context, Error, Function, FunctionRef, OutgoingEvent};

/// The other app has it, too.
const KEY: &str = "a key that both programs were given";

/// Functions of the other app.
const READ: FunctionRef<Value, Value> = FunctionRef::new("read").of_app("ts-sealed");

pub(crate) fn app(server: &str) -> anyhow::Result<App> {
    let encryption = Encryption::new(KEY).context("the key is unusable")?;
    let client = Client::builder("rs-sealed", Config::dev());
    let client = client.base_url(server).middleware(encryption).build();
    let on = |id: &str| {
        Function::new(id)
            .on_event(&format!("sealed/{id}"))
            .retries(0)
    };
    Ok(App::new(client).functions([
        Function::new("read").on_invoke().retries(0).handler(read),
        on("typescript-sent").handler(calls),
        on("rust-sends").handler(sends),
    ]))
}

/// Gives back what it could read, from a step, so that its result goes through the server, too.
async fn read(ctx: Context) -> Result<Value, Error> {
    let secret = ctx.data()["encrypted"].clone();
    let read = ctx
        .step()
        .run("read", || async { Ok(json!({"rust read": secret})) });
    Ok(read.await?)
}

/// Tells the other app, in an invocation, what it could read of that app's event, and then what it could read of the
/// result of that.
async fn calls(ctx: Context) -> Result<Value, Error> {
    let key = ctx.data()["key"].as_str().unwrap_or_default();
    let data = json!({"key": key, "encrypted": {"rust read": ctx.data()["encrypted"]}});
    let result = ctx.step().invoke("call", READ, data).await?;
    let data = json!({"key": format!("{key}/result"), "encrypted": {"rust read": result}});
    Ok(ctx.step().invoke("call again", READ, data).await?)
}

async fn sends(ctx: Context) -> Result<(), Error> {
    let data =
        json!({"key": ctx.data()["key"], "encrypted": {"card": "4242 größe", "open": [1, null]}});
    let event = OutgoingEvent::untyped("sealed/rust-sent", data);
    ctx.step().send_event("send", event).await?;
    Ok(())
}
