//! One suite, all transports: the same functions in the process of the engine, and of a server over HTTP and over a
//! worker's connection. What is recorded of every run must be the same.

mod endpoints;
mod gateway;
mod side;
mod steps;
mod subscriptions;
mod tls;
mod workers;

use serde_json::{Value, json};
use side::{compare, embedded, over_connect, over_http};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stepwell::{
    App, Client, Context, Error, Event, Function, FunctionFailed, NonRetriable, OutgoingEvent,
    schemars::JsonSchema,
};
use stepwell_protocol::event::FUNCTION_FAILED;

#[derive(serde::Serialize, serde::Deserialize, JsonSchema, Event)]
#[event(name = "t/typed")]
struct Typed {
    number: u32,
    lines: Vec<Line>,
}

#[derive(serde::Serialize, serde::Deserialize, JsonSchema)]
struct Line {
    count: u32,
}

/// How often what was executed.
#[derive(Clone, Default)]
struct Tally(Arc<Mutex<std::collections::BTreeMap<String, usize>>>);

impl Tally {
    fn count(&self, what: &str) -> usize {
        let mut counts = self.0.lock().unwrap();
        let count = counts.entry(what.to_owned()).or_default();
        *count += 1;
        *count
    }
}

async fn sequence(ctx: Context, tally: stepwell::State<Tally>) -> Result<Value, Error> {
    let number = ctx.data()["number"].as_u64().unwrap_or_default();
    let first: u64 = ctx
        .step()
        .run("first", || async {
            Ok(number + tally.count("first") as u64)
        })
        .await?;
    ctx.step().sleep("nap", Duration::from_millis(1)).await;
    let second: u64 = ctx
        .step()
        .run("second", || async {
            Ok(first + tally.count("second") as u64)
        })
        .await?;
    Ok(json!({"first": first, "second": second, "event": ctx.event().name}))
}

async fn parallel(ctx: Context, tally: stepwell::State<Tally>) -> Result<u64, Error> {
    let step = ctx.step();
    let branches = (1..=4).map(|n| {
        let tally = &tally;
        step.run(format!("branch-{n}"), move || async move {
            tally.count("branch");
            Ok(n)
        })
    });
    let numbers: Vec<u64> = futures::future::try_join_all(branches).await?;
    Ok(step
        .run("sum", || async { Ok(numbers.iter().sum()) })
        .await?)
}

async fn race(ctx: Context) -> Result<String, Error> {
    let step = ctx.step();
    tokio::select! {
        quick = step.run("quick", || async { Ok("quick".to_owned()) }).in_race() => Ok(quick?),
        () = step.sleep("slow", Duration::from_secs(3600)).in_race() => Ok("slow".to_owned()),
    }
}

async fn retried(ctx: Context, tally: stepwell::State<Tally>) -> Result<Vec<u64>, Error> {
    let flaky = ctx.step().run("flaky", || async {
        match tally.count("flaky") {
            attempt @ 1..=2 => Err(Error::new("Flaky", format!("attempt {attempt}"))),
            attempt => Ok(attempt as u64),
        }
    });
    let flaky = flaky.await?;
    let caught = ctx.step().run("broken", || async {
        tally.count("broken");
        Err::<u64, _>(NonRetriable::new("beyond repair").into())
    });
    let caught = match caught.await {
        Ok(_) => 0,
        Err(error) => error.message().len() as u64,
    };
    Ok(vec![flaky, caught])
}

async fn fails(ctx: Context, tally: stepwell::State<Tally>) -> Result<(), Error> {
    let step = ctx.step().run("hopeless", || async {
        tally.count("hopeless");
        Err::<(), _>(std::io::Error::other("disk on fire").into())
    });
    step.await?;
    Ok(())
}

async fn after_failure(
    ctx: Context<FunctionFailed>,
    tally: stepwell::State<Tally>,
) -> Result<String, Error> {
    let failed = ctx.data();
    let message = failed.error.message.clone();
    Ok(ctx
        .step()
        .run("note", || async {
            tally.count("note");
            Ok(format!("{}: {message}", failed.function_id))
        })
        .await?)
}

async fn typed(ctx: Context<Typed>, tally: stepwell::State<Tally>) -> Result<u32, Error> {
    tally.count("typed");
    let data = ctx.data();
    Ok(data.number + data.lines.iter().map(|line| line.count).sum::<u32>())
}

async fn sends(ctx: Context) -> Result<usize, Error> {
    let echo =
        |n: u64| OutgoingEvent::untyped("t/unheard", json!({"number": n})).id(format!("echo-{n}"));
    let sent = ctx.step().send_events("tell", [echo(1), echo(2)]).await?;
    ctx.step().send_event("tell again", echo(1)).await?;
    Ok(sent.ids.len())
}

async fn large(ctx: Context) -> Result<usize, Error> {
    let mut bytes = 0;
    for part in 0..3 {
        let text: String = ctx
            .step()
            .run(format!("part-{part}"), || async {
                Ok("x".repeat(2_000_000))
            })
            .await?;
        bytes += text.len();
    }
    Ok(bytes)
}

/// Waits for an event that nobody sends, and for one that it sends itself.
async fn waits(ctx: Context) -> Result<Value, Error> {
    let step = ctx.step();
    let nobody = step
        .wait_for_event_named::<Value>("nobody", "t/never")
        .timeout(Duration::from_millis(1))
        .await?;
    let (heard, _) = futures::try_join!(
        step.wait_for_event::<Typed>("answer")
            .matching("data.number")
            .when("size(async.data.lines) > 0"),
        step.send_events("ask", [numbered(8, 1), numbered(7, 0), numbered(7, 1)]),
    )?;
    let heard = heard.map(|event| (event.name, event.data.number, event.data.lines.len()));
    Ok(json!([nobody.is_none(), heard]))
}

/// Waits for an event that came before.
async fn looks_back(ctx: Context) -> Result<Option<u32>, Error> {
    let step = ctx.step();
    step.send_event("tell", numbered(7, 0)).await?;
    let heard = step
        .wait_for_event::<Typed>("answer")
        .matching("data.number")
        .look_back(Duration::from_secs(60))
        .await?;
    Ok(heard.map(|event| event.data.number))
}

fn numbered(number: u32, lines: usize) -> OutgoingEvent {
    let lines = (0..lines).map(|_| Line { count: 1 }).collect();
    Typed { number, lines }.into()
}

fn app(client: Client, tally: &Tally) -> App {
    let function = |id: &str| Function::new(id).retries(2).state(tally.clone());
    let on = |id: &str| {
        Function::new(id)
            .on_event(&format!("t/{id}"))
            .retries(2)
            .state(tally.clone())
    };
    let panics = |_: Context| async { panic!("out of cheese") as Result<(), Error> };
    App::new(client).functions([
        on("sequence").handler(sequence),
        on("parallel").handler(parallel),
        on("race").handler(race),
        on("retried").handler(retried),
        on("fails").on_failure(after_failure).handler(fails),
        Function::new("typed")
            .on::<Typed>()
            .retries(2)
            .state(tally.clone())
            .handler(typed),
        on("sends").handler(sends),
        on("large").handler(large),
        on("waits").handler(waits),
        on("looks-back").handler(looks_back),
        on("panics").handler(panics),
        function("only-invoked").on_invoke().handler(sequence),
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_recorded_alike_whatever_the_transport() {
    let tallies = [Tally::default(), Tally::default(), Tally::default()];
    let sides = [
        embedded(&["t"], |client| app(client, &tallies[0])).await,
        over_http(&["t"], |client| app(client, &tallies[1])).await,
        over_connect(&["t"], |client| app(client, &tallies[2])).await,
    ];
    let cases = [
        ("t/sequence", json!({"number": 40})),
        ("t/parallel", json!({})),
        ("t/race", json!({})),
        ("t/retried", json!({})),
        ("t/fails", json!({})),
        (
            "t/typed",
            json!({"number": 1, "lines": [{"count": 2}, {"count": 3}]}),
        ),
        (
            "t/typed",
            json!({"number": "one", "lines": [{"count": 2}, {}]}),
        ),
        ("t/sends", json!({})),
        ("t/large", json!({})),
        ("t/panics", json!({})),
        ("t/waits", json!({"number": 7})),
        ("t/looks-back", json!({"number": 7})),
    ];
    let cases = cases.map(|(name, data)| {
        let handled = (name == "t/fails").then_some((FUNCTION_FAILED, 1));
        (name, data, handled)
    });
    let told = compare(&sides, cases).await;
    let executed = tallies.map(|tally| tally.0.lock().unwrap().clone());
    for other in &executed[1..] {
        assert_eq!(&executed[0], other, "steps were executed differently often");
    }
    insta::assert_snapshot!(told, @r#"
    t/sequence {"number":40} → "t-sequence" "Completed" {"first":41,"second":42,"event":"t/sequence"}
      ["StepRun","first",false,0,{"data":41}]
      ["Sleep","nap",false,0,null]
      ["StepRun","second",false,0,{"data":42}]
    t/parallel {} → "t-parallel" "Completed" 10
      ["StepRun","branch-1",false,0,{"data":1}]
      ["StepRun","branch-2",false,0,{"data":2}]
      ["StepRun","branch-3",false,0,{"data":3}]
      ["StepRun","branch-4",false,0,{"data":4}]
      ["StepRun","sum",false,0,{"data":10}]
    t/race {} → "t-race" "Completed" "quick"
      ["StepRun","quick",false,0,{"data":"quick"}]
    t/retried {} → "t-retried" "Completed" [3,13]
      ["StepFailed","broken",true,0,{"error":{"name":"NonRetriableError","message":"beyond repair","noRetry":true,"data":{"name":"NonRetriableError","message":"beyond repair","__serialized":true}}}]
      ["StepRun","flaky",false,2,{"data":3}]
    t/fails {} → "t-fails" "Failed" {"name":"Error","message":"disk on fire","__serialized":true}
      ["StepFailed","hopeless",true,2,{"error":{"name":"Error","message":"disk on fire","noRetry":true,"data":{"name":"Error","message":"disk on fire","__serialized":true}}}]
    t/fails {} → "t-fails-failure" "Completed" "t-fails: disk on fire"
      ["StepRun","note",false,0,{"data":"t-fails: disk on fire"}]
    t/typed {"number":1,"lines":[{"count":2},{"count":3}]} → "t-typed" "Completed" 6
    t/typed {"number":"one","lines":[{"count":2},{}]} → "t-typed" "Failed" {"name":"InvalidEvent","message":"event 't/typed' is not valid: data.number: expected an integer, found a string; data.lines[1].count: expected an integer, but it is missing","__serialized":true}
    t/sends {} → "t-sends" "Completed" 2
      ["StepRun","tell again",false,0,{"data":{"ids":"1 ids"}}]
      ["StepRun","tell",false,0,{"data":{"ids":"2 ids"}}]
    t/large {} → "t-large" "Completed" 6000000
      ["StepRun","part-0",false,0,{"data":"long"}]
      ["StepRun","part-1",false,0,{"data":"long"}]
      ["StepRun","part-2",false,0,{"data":"long"}]
    t/panics {} → "t-panics" "Failed" {"name":"Panic","message":"out of cheese","__serialized":true}
    t/waits {"number":7} → "t-waits" "Completed" [true,["t/typed",7,1]]
      ["WaitForEvent","answer",false,0,{"data":{"number":7,"lines":[{"count":1}]},"user":{},"name":"t/typed"}]
      ["StepRun","ask",false,0,{"data":{"ids":"3 ids"}}]
      ["WaitForEvent","nobody",false,0,null]
    t/looks-back {"number":7} → "t-looks-back" "Completed" 7
      ["WaitForEvent","answer",false,0,{"data":{"number":7,"lines":[]},"user":{},"name":"t/typed"}]
      ["StepRun","tell",false,0,{"data":{"ids":"1 ids"}}]
    "#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streamed_answers_are_recorded_as_others_are() {
    let (plain, streamed) = (Tally::default(), Tally::default());
    let sides = [
        embedded(&["t"], |client| app(client, &plain)).await,
        over_http(&["t"], |client| {
            let config = stepwell::Config {
                streaming: true,
                ..client.config().clone()
            };
            app(Client::builder("t", config).build(), &streamed)
        })
        .await,
    ];
    for name in ["t/sequence", "t/parallel", "t/retried", "t/fails"] {
        let mut stories = Vec::new();
        for side in &sides {
            let event = OutgoingEvent::untyped(name, json!({"number": 40}));
            stories.push(side.story(event, None).await);
        }
        assert_eq!(stories[0], stories[1], "{name}");
    }
}
