//! What a call costs besides the function's own code: replaying recorded steps and finding parallel ones, with the
//! memory that is allocated for it.
//!
//! ```sh
//! cargo bench -p stepwell --bench replay
//! ```

use bytes::Bytes;
use divan::{AllocProfiler, Bencher};
use futures::executor::block_on;
use futures::future::try_join_all;
use http::Request;
use serde_json::{Map, Value, json};
use stepwell::{App, Client, Config, Context, Error, Function, NoHttp, serve::Handler};
use stepwell_protocol::StepId;
use stepwell_protocol::call::CallRequest;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// As many steps in a row as the event says; each has the last one's result.
async fn in_a_row(ctx: Context) -> Result<u64, Error> {
    let mut sum = 0;
    for n in 0..ctx.data()["steps"].as_u64().unwrap_or_default() {
        let add = ctx
            .step()
            .run(format!("step {n}"), || async { Ok(sum + n) });
        sum = add.await?;
    }
    Ok(sum)
}

/// The same with one id for all of them, as in a loop.
async fn in_a_loop(ctx: Context) -> Result<u64, Error> {
    let mut sum = 0;
    for n in 0..ctx.data()["steps"].as_u64().unwrap_or_default() {
        sum = ctx.step().run("add", || async { Ok(sum + n) }).await?;
    }
    Ok(sum)
}

/// As many steps side by side.
async fn side_by_side(ctx: Context) -> Result<u64, Error> {
    let steps = 0..ctx.data()["steps"].as_u64().unwrap_or_default();
    let steps = steps.map(|n| {
        ctx.step()
            .run(format!("step {n}"), move || async move { Ok(n) })
    });
    Ok(try_join_all(steps).await?.into_iter().sum())
}

fn handler() -> Handler {
    let client = Client::builder("app", Config::dev())
        .http_client(NoHttp)
        .build();
    let row = Function::new("row").on_event("app/row").handler(in_a_row);
    let again = Function::new("loop")
        .on_event("app/loop")
        .handler(in_a_loop);
    let sides = Function::new("sides")
        .on_event("app/sides")
        .handler(side_by_side);
    Handler::new(App::new(client).functions([row, again, sides])).expect("the app is sound")
}

/// A call of a function of `steps` steps, with those recorded.
fn call(steps: usize, recorded: impl Iterator<Item = StepId>) -> Value {
    let event = json!({"id": "e", "name": "app/row", "data": {"steps": steps}, "ts": 1});
    let stack: Vec<String> = recorded.map(|id| id.to_string()).collect();
    let steps = stack.iter().enumerate();
    let steps: Map<String, Value> = steps
        .map(|(n, id)| (id.clone(), json!({"data": n})))
        .collect();
    json!({
        "ctx": {
            "fn_id": "6b48a4f5-033b-57e4-accc-a328f4cbcf92", "run_id": "01KDW000000000000000000002",
            "step_id": "step", "attempt": 0, "max_attempts": 3, "stack": {"current": stack.len(), "stack": stack},
            "disable_immediate_execution": false,
        },
        "event": event, "events": [event], "steps": steps, "version": 2,
    })
}

/// The ids of steps that each have their own.
fn own_ids(steps: usize) -> impl Iterator<Item = StepId> {
    (0..steps).map(|n| StepId::of(&format!("step {n}"), 0))
}

fn parsed(body: &Value) -> CallRequest {
    CallRequest::parse(body.to_string().as_bytes()).expect("it is a call")
}

/// Recorded steps to the function's end, once the call is parsed: as in the embedded engine.
#[divan::bench(args = [10, 100, 1_000])]
fn replay(bencher: Bencher<'_, '_>, steps: usize) {
    let runner = handler().runner().clone();
    let request = parsed(&call(steps, own_ids(steps)));
    bencher
        .with_inputs(|| request.clone())
        .bench_values(|request| {
            let reply = block_on(runner.call("app-row", request));
            assert_eq!(reply.status, 200);
            reply
        });
}

/// The same from the request's body to the response's: as over HTTP.
#[divan::bench(args = [10, 100, 1_000])]
fn replay_over_http(bencher: Bencher<'_, '_>, steps: usize) {
    let handler = handler();
    let body = Bytes::from(call(steps, own_ids(steps)).to_string());
    let request = || {
        let request = Request::post("/api/inngest?fnId=app-row&stepId=step");
        request.body(body.clone()).expect("it is complete")
    };
    bencher.with_inputs(request).bench_values(|request| {
        let response = block_on(handler.handle(request));
        assert_eq!(response.status(), 200);
        response
    });
}

/// Steps of one id.
#[divan::bench(args = [10, 100, 1_000])]
fn replay_of_a_loop(bencher: Bencher<'_, '_>, steps: usize) {
    let runner = handler().runner().clone();
    let ids = (0..steps).map(|index| StepId::of("add", index));
    let request = parsed(&call(steps, ids));
    bencher
        .with_inputs(|| request.clone())
        .bench_values(|request| {
            let reply = block_on(runner.call("app-loop", request));
            assert_eq!(reply.status, 200);
            reply
        });
}

/// Finds parallel steps, none of which is recorded.
#[divan::bench(args = [10, 100])]
fn discovery(bencher: Bencher<'_, '_>, steps: usize) {
    let runner = handler().runner().clone();
    let request = parsed(&call(steps, own_ids(0)));
    bencher
        .with_inputs(|| request.clone())
        .bench_values(|request| {
            let reply = block_on(runner.call("app-sides", request));
            assert_eq!(reply.status, 206);
            reply
        });
}

/// Parallel steps that are all recorded.
#[divan::bench(args = [10, 100, 1_000])]
fn replay_of_parallel_steps(bencher: Bencher<'_, '_>, steps: usize) {
    let runner = handler().runner().clone();
    let request = parsed(&call(steps, own_ids(steps)));
    bencher
        .with_inputs(|| request.clone())
        .bench_values(|request| {
            let reply = block_on(runner.call("app-sides", request));
            assert_eq!(reply.status, 200);
            reply
        });
}
