//! The exchanges.

use crate::exchange::Exchange;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;
use stepwell::ai::openai::{Message, OpenAi};
use stepwell::experiment::Choice;
use stepwell::{
    Checkpointing, Context, CronTick, Error, Function, FunctionFailed, FunctionRef, Moment,
    NonRetriable, OutgoingEvent, RetryAfter, Score, Topic,
};

const OTHER: FunctionRef<Value, Value> = FunctionRef::new("other").of_app("elsewhere");
const HOUR: Duration = Duration::from_secs(3600);

/// A function whose calls end at the first step.
fn function<Args, H: stepwell::Handler<Value, (), Args>>(handler: H) -> Function {
    let function = Function::new("f").on_event("app/asked").retries(2);
    function
        .checkpointing(Checkpointing::off())
        .handler(handler)
}

async fn two_steps(ctx: Context) -> Result<u64, Error> {
    let number = ctx.data()["n"].as_u64().unwrap_or_default();
    let one: u64 = ctx.step().run("one", || async { Ok(number + 1) }).await?;
    let two = ctx.step().run("two", || async { Ok(one * 10) }).await?;
    Ok(two)
}

async fn side_by_side(ctx: Context) -> Result<u64, Error> {
    let step = ctx.step();
    let left = step.run("left", || async { Ok(1) }).named("The left one");
    let (left, right): (u64, u64) =
        futures::try_join!(left, step.run("right", || async { Ok(2) }))?;
    Ok(left + right)
}

/// Fails as the event's data says.
async fn fails(ctx: Context) -> Result<(), Error> {
    Err(error(&ctx))
}

async fn step_fails(ctx: Context) -> Result<(), Error> {
    Ok(ctx
        .step()
        .run("work", || async { Err::<(), _>(error(&ctx)) })
        .await?)
}

fn error(ctx: &Context) -> Error {
    match ctx.data()["how"].as_str() {
        Some("never") => NonRetriable::new("it makes no sense").into(),
        Some("after") => RetryAfter::new("busy", Duration::from_secs(90)).into(),
        Some("at") => RetryAfter::at("busy", Moment::from_unix_ms(1_767_312_000_500)).into(),
        _ => Error::new("Outage", "no answer"),
    }
}

/// The event's data says how it fails.
fn how(exchange: Exchange, how: &str) -> Exchange {
    let event = json!({"id": "e-1", "name": "app/asked", "data": {"how": how}, "ts": 1});
    exchange.with("events", json!([event])).with("event", event)
}

pub(crate) fn all() -> Vec<Exchange> {
    let groups = [
        ends(),
        steps(),
        waits(),
        requests(),
        riders(),
        checkpoints(),
        transport(),
    ];
    groups.into_iter().flatten().collect()
}

/// How functions end.
fn ends() -> Vec<Exchange> {
    let fails = |name| Exchange::call(name, function(fails));
    let step_fails = |name| Exchange::call(name, function(step_fails));
    let last = |exchange: Exchange| exchange.ctx("attempt", 2);
    vec![
        Exchange::call(
            "end-returned",
            function(async |_: Context| Ok::<_, Error>("done")),
        ),
        Exchange::call(
            "end-returned-nothing",
            function(async |_: Context| Ok::<_, Error>(())),
        ),
        Exchange::call("end-after-steps", function(two_steps))
            .recorded("one", json!({"data": 5}))
            .recorded("two", json!({"data": 50})),
        fails("end-failed"),
        last(fails("end-failed-for-good")),
        how(fails("end-failed-non-retriable"), "never"),
        how(fails("end-failed-retry-after"), "after"),
        how(fails("end-failed-retry-at"), "at"),
        Exchange::call("end-panicked", function(panics)),
        step_fails("end-step-error-uncaught").recorded(
            "work",
            json!({"error": {"name": "Outage", "message": "no answer"}}),
        ),
        step_fails("step-error"),
        last(step_fails("step-failed").target("work")),
        how(step_fails("step-failed-non-retriable"), "never"),
        how(step_fails("step-error-retry-after"), "after"),
        failure(Exchange::call("end-failure-handler", guarded())),
    ]
}

fn guarded() -> Function {
    let function = Function::new("f").on_event("app/asked").on_failure(handles);
    function.handler(two_steps)
}

/// The call is for what handles the function's failures.
fn failure(exchange: Exchange) -> Exchange {
    let data = json!({
        "function_id": "app-f", "run_id": "01KDW000000000000000000001",
        "error": {"name": "Outage", "message": "no answer"}, "event": {},
    });
    let event = json!({"id": "e-2", "name": "inngest/function.failed", "data": data, "ts": 1});
    let exchange = exchange.with("events", json!([event])).with("event", event);
    exchange.uri("/api/inngest?fnId=app-f-failure&stepId=step")
}

async fn panics(_: Context) -> Result<(), Error> {
    panic!("out of range")
}

async fn handles(ctx: Context<FunctionFailed>) -> Result<String, Error> {
    Ok(format!(
        "{}: {}",
        ctx.data().function_id,
        ctx.data().error.message
    ))
}

/// Steps that the app executes.
fn steps() -> Vec<Exchange> {
    vec![
        Exchange::call("step-run", function(two_steps)),
        Exchange::call("step-run-next", function(two_steps)).recorded("one", json!({"data": 5})),
        Exchange::call("step-run-repeated", function(repeated))
            .recorded("again", json!({"data": 0})),
        Exchange::call("step-planned", function(two_steps))
            .ctx("disable_immediate_execution", true),
        Exchange::call("steps-planned", function(side_by_side)),
        Exchange::call("step-targeted", function(side_by_side)).target("right"),
        Exchange::call("step-missing", function(side_by_side)).target("gone"),
        Exchange::call("steps-in-race", function(race)),
        Exchange::call("step-with-input", function(with_input)),
        Exchange::call("step-with-other-input", function(with_input)).with(
            "steps",
            json!({stepwell_protocol::StepId::of("add", 0).to_string(): {"input": [40]}}),
        ),
        Exchange::call("send-event", function(sends)),
        Exchange::call("send-event-in-cloud", function(sends)).signed(),
        Exchange::call("send-signal", function(signals)),
        Exchange::call("publish", function(publishes)),
        Exchange::call("ai-wrap", function(wraps)),
        Exchange::call("experiment", function(tries)),
        Exchange::call("experiment-variant", function(tries))
            .recorded("style", json!({"data": "bold"})),
        Exchange::call("note", function(notes)),
        Exchange::call("score", function(scores)),
    ]
}

async fn repeated(ctx: Context) -> Result<Vec<u32>, Error> {
    let mut seen = Vec::new();
    for index in 0..3 {
        seen.push(ctx.step().run("again", || async move { Ok(index) }).await?);
    }
    Ok(seen)
}

async fn race(ctx: Context) -> Result<(), Error> {
    let step = ctx.step();
    let work = step.run("work", || async { Ok(()) }).in_race();
    let late = step.sleep("late", HOUR).in_race();
    futures::future::select(work, late).await;
    Ok(())
}

async fn with_input(ctx: Context) -> Result<u32, Error> {
    let add = ctx
        .step()
        .run_with("add", 4, |number: u32| async move { Ok(number + 1) });
    Ok(add.await?)
}

async fn sends(ctx: Context) -> Result<usize, Error> {
    let event = |n: u32| OutgoingEvent::untyped("app/told", json!({"n": n}));
    let sent = ctx
        .step()
        .send_events("tell", [event(1), event(2).id("second")]);
    Ok(sent.await?.ids.len())
}

async fn signals(ctx: Context) -> Result<bool, Error> {
    let resumed = ctx
        .step()
        .send_signal("call", "order/1", &json!({"by": "Ada"}));
    Ok(resumed.await?.is_some())
}

async fn publishes(ctx: Context) -> Result<(), Error> {
    let topic: Topic<Value> = Topic::new("order:1", "progress");
    Ok(ctx
        .step()
        .publish("tell", &topic, &json!({"percent": 50}))
        .await?)
}

async fn wraps(ctx: Context) -> Result<String, Error> {
    let ask = |prompt: String| async move { Ok(format!("{prompt}!")) };
    Ok(ctx.step().ai().wrap("ask", "hello".to_owned(), ask).await?)
}

async fn tries(ctx: Context) -> Result<String, Error> {
    let choice = Choice::fixed("bold", ["plain", "bold"]);
    let style = ctx.step().experiment("style", choice).await?;
    Ok(style
        .step()
        .run("write", || async { Ok(style.name().to_owned()) })
        .await?)
}

async fn notes(ctx: Context) -> Result<(), Error> {
    let step = ctx.step();
    let work = || async {
        step.note("image", &json!({"pixels": 1200}));
        Ok(())
    };
    Ok(step.run("resize", work).await?)
}

async fn scores(ctx: Context) -> Result<(), Error> {
    ctx.step()
        .score("judge", Score::new("helpful", 0.5))
        .await?;
    Ok(())
}

/// Steps that wait, and what their results make of the function.
fn waits() -> Vec<Exchange> {
    let sleep = || {
        function(async |ctx: Context| {
            ctx.step().sleep("nap", Duration::from_millis(90_500)).await;
            Ok::<_, Error>("awake")
        })
    };
    let until = || {
        function(async |ctx: Context| {
            let moment = Moment::from_unix_ms(1_893_553_445_000);
            ctx.step().sleep_until("nap", moment).await;
            Ok::<_, Error>("awake")
        })
    };
    vec![
        Exchange::call("sleep", sleep()),
        Exchange::call("sleep-over", sleep()).recorded("nap", Value::Null),
        Exchange::call("sleep-until", until()),
        Exchange::call("wait-for-event", function(waits_for_event)),
        Exchange::call("wait-for-event-come", function(waits_for_event)).recorded(
            "paid",
            json!({"data": {"name": "app/paid", "data": {"cents": 5}, "id": "e-2", "ts": 2}}),
        ),
        Exchange::call("wait-for-event-timed-out", function(waits_for_event))
            .recorded("paid", Value::Null),
        Exchange::call("wait-for-signal", function(waits_for_signal)),
        Exchange::call("wait-for-signal-come", function(waits_for_signal)).recorded(
            "approval",
            json!({"data": {"signal": "order/1", "data": {"by": "Ada"}}}),
        ),
        Exchange::call("invoke-function", function(invokes)),
        Exchange::call("invoke-function-returned", function(invokes))
            .recorded("call", json!({"data": {"receipt": 1}})),
        Exchange::call("invoke-function-failed", function(invokes)).recorded(
            "call",
            json!({"error": {"name": "Broken", "message": "beyond repair"}}),
        ),
    ]
}

async fn waits_for_event(ctx: Context) -> Result<Option<Value>, Error> {
    let wait = ctx.step().wait_for_event_named::<Value>("paid", "app/paid");
    let wait = wait.when("async.data.cents > 1").timeout(24 * HOUR);
    let come = wait.look_back(Duration::from_secs(60)).await?;
    Ok(come.map(|event| event.data))
}

async fn waits_for_signal(ctx: Context) -> Result<Option<Value>, Error> {
    let wait = ctx.step().wait_for_signal::<Value>("approval", "order/1");
    Ok(wait.timeout(HOUR).replacing().await?)
}

async fn invokes(ctx: Context) -> Result<Value, Error> {
    let call = ctx.step().invoke("call", OTHER, json!({"cents": 100}));
    Ok(call.timeout(HOUR).await?)
}

/// What the server does for functions.
fn requests() -> Vec<Exchange> {
    vec![
        Exchange::call("gateway", function(fetches)),
        Exchange::call("gateway-answered", function(fetches)).recorded(
            "page",
            json!({"data": {"url": "https://example.com/", "status_code": 200, "headers": {}, "body": "hello"}}),
        ),
        Exchange::call("ai-gateway", function(infers)),
        Exchange::call("ai-gateway-answered", function(infers)).recorded(
            "ask",
            json!({"data": {"choices": [{"message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]}}),
        ),
    ]
}

async fn fetches(ctx: Context) -> Result<(u16, String), Error> {
    let page = ctx
        .step()
        .fetch("page")
        .post("https://example.com/")
        .query([("q", "a b")]);
    let page = page.bearer_auth("secret").json(&json!({"n": 1})).await?;
    Ok((page.status().as_u16(), page.text().to_owned()))
}

async fn infers(ctx: Context) -> Result<String, Error> {
    let model = OpenAi::new("gpt-x")
        .api_key("key")
        .base_url("https://ai.example/v1");
    let topic: Topic<Value> = Topic::new("order:1", "answers");
    let ask = ctx
        .step()
        .ai()
        .infer("ask", &model, [Message::user("hello")].into());
    Ok(ask.publish_to(&topic).await?.text().to_owned())
}

/// What goes along with whatever is answered.
fn riders() -> Vec<Exchange> {
    vec![
        Exchange::call(
            "defer",
            function(async |ctx: Context| {
                ctx.step().defer("later", OTHER, json!({"n": 1}));
                Ok::<_, Error>("done")
            }),
        ),
        Exchange::call(
            "defer-taken-back",
            function(async |ctx: Context| {
                ctx.step().defer("later", OTHER, json!({"n": 1})).abort();
                Ok::<_, Error>("done")
            }),
        ),
        Exchange::call(
            "defer-aborted",
            function(async |ctx: Context| {
                let deferral = ctx.step().defer("later", OTHER, json!({"n": 1}));
                let () = ctx.step().run("work", || async { Ok(()) }).await?;
                deferral.abort();
                Ok::<_, Error>("done")
            }),
        )
        .deferred("later")
        .recorded("work", json!({"data": null})),
        Exchange::call(
            "defer-and-fail",
            function(async |ctx: Context| {
                ctx.step().defer("later", OTHER, json!({"n": 1}));
                Err::<(), _>(Error::new("Outage", "no answer"))
            }),
        ),
        Exchange::call(
            "defer-and-step",
            function(async |ctx: Context| {
                ctx.step().defer("later", OTHER, json!({"n": 1}));
                Ok::<_, Error>(ctx.step().run("work", || async { Ok(()) }).await?)
            }),
        ),
    ]
}

/// Steps that are reported ahead of the answer.
fn checkpoints() -> Vec<Exchange> {
    let define = |how: Checkpointing| {
        let function = Function::new("f").on_event("app/asked");
        function.checkpointing(how).handler(two_steps)
    };
    let nap = Function::new("f")
        .on_event("app/asked")
        .handler(async |ctx: Context| {
            ctx.step().run("work", || async { Ok(()) }).await?;
            ctx.step().sleep("nap", HOUR).await;
            Ok::<_, Error>(())
        });
    vec![
        Exchange::call("checkpoint", define(Checkpointing::on())),
        Exchange::call("checkpoint-in-cloud", define(Checkpointing::on())).signed(),
        Exchange::call(
            "checkpoint-buffered",
            define(Checkpointing::on().buffered_steps(3)),
        ),
        Exchange::call("checkpoint-and-sleep", nap),
    ]
}

/// What is no call, or none that runs a function.
fn transport() -> Vec<Exchange> {
    let functions = || {
        let nightly = Function::new("nightly").cron("0 4 * * *");
        let nightly = nightly.handler(async |_: Context<CronTick>| Ok::<_, Error>(()));
        [function(two_steps), nightly]
    };
    let request = |name, method, uri: &str| Exchange::request(name, method, uri, functions());
    let path = "/api/inngest";
    let sync = json!({"url": "https://app.example/api/inngest"});
    vec![
        request("introspection", Method::GET, path),
        request("introspection-in-cloud", Method::GET, path).in_cloud(),
        request("introspection-signed", Method::GET, path).signed(),
        request("sync", Method::PUT, "/api/inngest?deployId=d-1"),
        request("sync-in-cloud", Method::PUT, path).signed(),
        request("sync-in-band", Method::PUT, path)
            .header("x-inngest-sync-kind", "in_band")
            .body(sync)
            .signed(),
        request("sync-unsigned", Method::PUT, path).in_cloud(),
        request("probe", Method::POST, "/api/inngest?probe=trust").signed(),
        request("method-not-allowed", Method::DELETE, path),
        request("call-without-function", Method::POST, path),
        request("call-of-nothing", Method::POST, "/api/inngest?fnId=app-gone&stepId=step"),
        request("call-not-understood", Method::POST, "/api/inngest?fnId=app-f&stepId=step")
            .body(json!({"ctx": 1})),
        Exchange::call("call-unsigned", function(two_steps)).in_cloud(),
        Exchange::call("call-signed", function(two_steps)).signed(),
        Exchange::call("call-of-an-environment", function(sends))
            .config(|config| config.environment = Some("blue".to_owned())),
        Exchange::call("call-without-its-steps", function(two_steps))
            .with("use_api", true)
            .with("events", json!([]))
            .ctx("stack", json!({"stack": [stepwell_protocol::StepId::of("one", 0).to_string()], "current": 1})),
    ]
}
