//! Code around every call and step: this one gives handlers a value by its type, counts the steps that really ran, and adds to
//! what is sent.
//!
//! ```sh
//! cargo run -p stepwell --example middleware
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to people")]

use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use stepwell::embedded::Embedded;
use stepwell::middleware::{FunctionInput, Logging, Middleware, RunInfo, StepInfo};
use stepwell::{App, Client, Config, Context, Error, OutgoingEvent, function};

#[derive(Clone, Default)]
struct Tenancy {
    steps: Arc<AtomicU32>,
}

/// Whose run it is.
#[derive(Clone)]
struct Tenant(String);

impl Middleware for Tenancy {
    fn transform_function_input(
        &self,
        _: &RunInfo,
        input: &mut FunctionInput,
    ) -> Result<(), Error> {
        let tenant = input.events()?[0]["data"]["tenant"]
            .as_str()
            .map(str::to_owned);
        input.provide(Tenant(tenant.ok_or("the event names no tenant")?));
        Ok(())
    }

    /// Once for each step, however often the function is called.
    fn on_step_start(&self, _: &RunInfo, _: &StepInfo) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    fn transform_send_event(&self, events: &mut Vec<OutgoingEvent>) -> Result<(), Error> {
        for event in events {
            event.data_mut()["sent_by"] = Value::from("the shop");
        }
        Ok(())
    }
}

#[function(on = "order/placed")]
async fn bill(ctx: Context) -> Result<Value, Error> {
    let Tenant(tenant) = ctx.provided().ok_or("the middleware is missing")?;
    let number = ctx
        .step()
        .run("number", || async { Ok(format!("{tenant}-1")) });
    let number: String = number.await?;
    ctx.step().sleep("a moment", Duration::from_millis(1)).await;
    Ok(json!({"number": number, "sent_by": ctx.data()["sent_by"]}))
}

/// What the function returned, and how many steps ran.
pub(crate) async fn run() -> anyhow::Result<(Value, u32)> {
    let tenancy = Tenancy::default();
    // A client's middleware is around what it sends, too; an app's around its functions alone.
    let client = Client::builder("shop", Config::dev()).middleware(tenancy.clone());
    let app = App::new(client.build())
        .middleware(Logging)
        .function(bill());
    let engine = Embedded::builder().app(app).memory().start().await?;
    let event = OutgoingEvent::untyped("order/placed", json!({"tenant": "acme"}));
    let runs = engine.finished_runs(engine.send(event).await?).await?;
    let told = runs[0].output()?;
    engine.shutdown(Duration::from_secs(10)).await;
    Ok((told, tenancy.steps.load(Ordering::Relaxed)))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("{:?}", run().await?);
    Ok(())
}
