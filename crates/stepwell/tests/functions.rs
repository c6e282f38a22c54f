//! Functions as values: the macro and the builder make the same, and what no server would take is told at once.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use stepwell::schemars::JsonSchema;
use stepwell::{
    App, Batch, CancelOn, Client, Concurrency, Context, Cron, CronTick, Debounce, Error, Event,
    FromRef, Function, FunctionFailed, FunctionRef, Json, RateLimit, Singleton, State, Throttle,
    Timeouts, function,
};

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "shop/order.placed")]
struct OrderPlaced {
    order_id: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "shop/order.paid")]
struct OrderPaid {
    cents: u64,
}

#[derive(Event)]
enum OrderEvent {
    Placed(OrderPlaced),
    Paid(OrderPaid),
}

#[derive(Clone, FromRef)]
struct Deps {
    greeting: String,
    limit: u32,
}

/// Ships what was ordered.
#[function(
    id = "ship",
    name = "Ship an order",
    on(OrderPlaced, if = "event.data.order_id != ''"),
    on = "shop/reship",
    retries = 3,
    concurrency = Concurrency::limit(5).key("event.data.order_id"),
    concurrency = 7,
    throttle = Throttle::new(1, MINUTE),
    timeouts = Timeouts::new().finish(MINUTE),
    cancel_on = CancelOn::event("shop/order.cancelled").matching("data.order_id"),
    on_failure = apologise,
)]
async fn ship(
    ctx: Context<OrderPlaced>,
    State(greeting): State<String>,
    limit: State<u32>,
) -> Result<String, Error> {
    let order = &ctx.data().order_id;
    Ok(ctx
        .step()
        .run("ship", || async {
            Ok(format!("{greeting} {order} {}", *limit))
        })
        .await?)
}

async fn apologise(_: Context<FunctionFailed>) -> Result<(), Error> {
    Ok(())
}

#[function(cron = Cron::new("0 5 * * *").zone("Europe/Paris").jitter(MINUTE), cron = "0 6 * * *")]
async fn wake_up(_: Context<CronTick>) -> anyhow::Result<()> {
    Ok(())
}

#[function(on = OrderEvent)]
async fn log_orders(ctx: Context<OrderEvent>) -> Result<&'static str, Error> {
    Ok(match ctx.data() {
        OrderEvent::Placed(_) => "placed",
        OrderEvent::Paid(_) => "paid",
    })
}

#[derive(Serialize, Deserialize)]
struct Sum {
    numbers: Vec<u64>,
}

#[function]
async fn add_up(ctx: Context<Json<Sum>>) -> Result<u64, Error> {
    Ok(ctx.data().numbers.iter().sum())
}

#[function(deferred)]
async fn look_back(ctx: Context) -> Result<Value, Error> {
    Ok(ctx.data().clone())
}

fn registered(function: Function) -> Value {
    let app = App::new(Client::dev("app")).function(function);
    let runner = app.runner().unwrap();
    json!(runner.registration("http://app/api").functions)
}

#[test]
fn the_macro_makes_what_the_builder_makes() {
    async fn shipped(_: Context<OrderPlaced>) -> Result<(), Error> {
        Ok(())
    }
    let built = Function::new("ship")
        .name("Ship an order")
        .on_if::<OrderPlaced>("event.data.order_id != ''")
        .or_on_event("shop/reship")
        .retries(3)
        .concurrency(Concurrency::limit(5).key("event.data.order_id"))
        .concurrency(7)
        .throttle(Throttle::new(1, MINUTE))
        .timeouts(Timeouts::new().finish(MINUTE))
        .cancel_on(CancelOn::event("shop/order.cancelled").matching("data.order_id"))
        .on_failure(apologise)
        .handler(shipped);
    let deps = Deps {
        greeting: "hello".to_owned(),
        limit: 3,
    };
    assert_eq!(registered(ship(deps)), registered(built));
    assert_eq!(ship::ID, "ship");
    let reference: FunctionRef<OrderPlaced, String> = ship::REF;
    assert_eq!(reference.public_id("app"), "app-ship");
}

#[test]
fn ids_and_triggers_come_from_what_is_written() {
    let triggers = |function: Function| {
        let config = registered(function)[0].clone();
        json!([config["id"], config["triggers"]])
    };
    assert_eq!(
        triggers(wake_up()),
        json!(["app-wake-up", [
            {"cron": "TZ=Europe/Paris 0 5 * * *", "jitter": "1m"}, {"cron": "0 6 * * *"},
        ]])
    );
    assert_eq!(
        triggers(log_orders()),
        json!(["app-log-orders", [{"event": "shop/order.placed"}, {"event": "shop/order.paid"}]])
    );
    assert_eq!(triggers(add_up()), json!(["app-add-up", []]));
    assert_eq!(
        triggers(look_back()),
        json!(["app-look-back", [{
            "event": "inngest/deferred.schedule",
            "expression": "event.data._inngest.fn_slug == 'app-look-back'",
        }]])
    );
}

async fn nothing(_: Context) -> Result<(), Error> {
    Ok(())
}

#[test]
fn what_no_server_would_take_is_told_at_once() {
    let on = |event: &str| Function::new("f").on_event(event);
    let problem = |function: Function| {
        let app = App::new(Client::dev("app")).function(function);
        app.runner().unwrap_err().to_string()
    };
    let day = 24 * 60 * MINUTE;
    for (function, expected) in [
        (
            on("a/b*"),
            "triggers: the pattern 'a/b*' matches nothing; a pattern ends in /* or .*",
        ),
        (
            on("a").or_on_event("a"),
            "triggers: event 'a' is given twice",
        ),
        (
            on("a").or_cron("0 0 5 * * *"),
            "cron: '0 0 5 * * *' has 6 fields; write five: minute, hour, day of the month, month, day of the week",
        ),
        (
            on("a").or_cron(Cron::new("0 5 * * *").jitter(6 * MINUTE)),
            "cron jitter: 360s; it is between 1s and 300s",
        ),
        (on("a").retries(21), "retries: 21; at most 20 are made"),
        (
            on("a").concurrency(Concurrency::limit(1).across_account()),
            "concurrency: a limit that functions share needs a key: they share it where the key's values are the same",
        ),
        (
            on("a").rate_limit(RateLimit::new(1, 2 * day)),
            "rate_limit period: 172800s; it is between 1ms and 86400s",
        ),
        (
            on("a").throttle(Throttle::new(0, MINUTE)),
            "throttle: a limit of 0 lets nothing start",
        ),
        (
            on("a").debounce(Debounce::new(8 * day)),
            "debounce period: 691200s; it is between 1s and 604800s",
        ),
        (
            on("a").batch(Batch::new(1, MINUTE)),
            "batch: a batch has at least 2 events",
        ),
        (
            on("a")
                .batch(Batch::new(2, MINUTE))
                .singleton(Singleton::skip()),
            "batch: batch and singleton exclude each other",
        ),
        (
            on("a").idempotency("event.data.id +"),
            "idempotency: a value is missing at the end (line 1, column 16)\n  | event.data.id +\n  |                ^",
        ),
        (
            on("a").cancel_on(CancelOn::event("b").when("evnt.data.id == 1")),
            "cancel_on 'b'",
        ),
    ] {
        let found = problem(function.handler(nothing));
        let expected = format!("function 'f': {expected}");
        assert!(
            found.starts_with(&expected),
            "{found}\n  is not\n{expected}"
        );
    }
}
