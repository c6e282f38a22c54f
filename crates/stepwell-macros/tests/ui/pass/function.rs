//! Handlers that become functions.

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use stepwell::{
    App, Client, Context, Event, FromRef, FunctionFailed, FunctionRef, Json, State, Throttle,
    schemars::JsonSchema,
};

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "shop/order.placed")]
pub struct Placed {
    order_id: String,
}

pub struct Mailer;

#[derive(Clone, FromRef)]
struct Deps {
    mailer: Arc<Mailer>,
    greeting: String,
}

/// Documented.
#[stepwell::function(
    id = "greet.customer",
    crate = "::stepwell",
    on = Placed,
    retries = 2,
    throttle = Throttle::new(1, Duration::from_secs(1)),
)]
pub async fn greet(
    ctx: Context<Placed>,
    State(greeting): State<String>,
    mailer: State<Arc<Mailer>>,
) -> Result<String, stepwell::Error> {
    let _ = &*mailer;
    Ok(format!("{greeting} {}", ctx.data().order_id))
}

#[stepwell::function(state = Deps, on = "shop/*", on_failure = failed)]
async fn any(_: Context) -> anyhow::Result<()> {
    Ok(())
}

async fn failed(_: Context<FunctionFailed>, _: State<String>) -> anyhow::Result<()> {
    Ok(())
}

#[stepwell::function]
async fn double(ctx: Context<Json<u64>>) -> anyhow::Result<u64> {
    Ok(ctx.data().0 * 2)
}

#[stepwell::function(cron = "*/5 * * * *")]
async fn tick(ctx: Context<stepwell::CronTick>) -> anyhow::Result<u64> {
    Ok(ctx.step().invoke("double", double::REF, Json(4)).await?)
}

fn main() {
    let deps = Deps {
        mailer: Arc::new(Mailer),
        greeting: "hello".to_owned(),
    };
    let _: FunctionRef<Placed, String> = greet::REF;
    assert_eq!((greet::ID, double::ID), ("greet.customer", "double"));
    let app = App::new(Client::dev("app")).functions([
        greet(deps.clone()),
        any(deps),
        double(),
        tick(),
    ]);
    assert!(app.runner().is_ok());
}
