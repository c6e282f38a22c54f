//! One suite, both transports: the same functions in the process of the engine, and over HTTP on a server. What
//! is recorded of every run must be the same.

use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stepwell::embedded::{Backoff, Embedded, EngineConfig, Handle, Invokers};
use stepwell::{
    App, Client, Config, Context, Error, Event, Function, FunctionFailed, NonRetriable,
    OutgoingEvent, schemars::JsonSchema, serve,
};
use stepwell_protocol::event::FUNCTION_FAILED;
use stepwell_protocol::{EventId, FunctionId};
use stepwell_runtime::{HttpInvoker, HttpOptions, News, Options, Runtime};
use stepwell_server::ServerOptions;
use stepwell_store::memory;
use tokio::net::TcpListener;
use tokio::sync::broadcast::Receiver;

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

/// Where the functions run.
struct Side {
    name: &'static str,
    client: Client,
    handle: Handle,
    tally: Tally,
    _running: Box<dyn std::any::Any>,
}

fn engine() -> EngineConfig {
    EngineConfig {
        backoff: Backoff::Constant(1),
        ..EngineConfig::default()
    }
}

async fn embedded() -> Side {
    let tally = Tally::default();
    let app = app(Client::dev("t"), &tally);
    let embedded = Embedded::builder()
        .app(app)
        .memory()
        .engine(engine())
        .start()
        .await
        .unwrap();
    Side {
        name: "embedded",
        client: embedded.client().clone(),
        handle: embedded.handle().clone(),
        tally,
        _running: Box::new(embedded),
    }
}

async fn listen(router: axum::Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    origin
}

async fn over_http() -> Side {
    let tally = Tally::default();
    let invoker = Arc::new(HttpInvoker::new(HttpOptions::default()).unwrap());
    let options = Options {
        engine: engine(),
        ..Options::default()
    };
    let runtime = Runtime::start(
        memory::open(),
        Invokers::none().with("http", invoker),
        options,
    )
    .unwrap();
    let server = listen(stepwell_server::router(
        runtime.handle(),
        ServerOptions::dev(),
    ))
    .await;
    let client = Client::builder("t", Config::dev()).base_url(server).build();
    let handler = serve::Handler::new(app(client.clone(), &tally)).unwrap();
    let origin = listen(axum::Router::new().route("/api/inngest", serve::axum(handler))).await;
    let synced = reqwest::Client::new()
        .put(format!("{origin}/api/inngest"))
        .send()
        .await
        .unwrap();
    assert_eq!(synced.status(), 200, "{}", synced.text().await.unwrap());
    Side {
        name: "http",
        client,
        handle: runtime.handle(),
        tally,
        _running: Box::new(runtime),
    }
}

impl Side {
    /// Sends an event and waits for its runs, and for those of the failure handlers that `handlers` counts;
    /// tells all that is recorded of them.
    async fn story(&self, event: OutgoingEvent, handlers: usize) -> Value {
        let mut news = self.handle.watch();
        let id = self.client.send(event).await.unwrap();
        self.wait(&mut news, id, 1).await;
        let mut told = self.tell(id).await;
        let failure = FUNCTION_FAILED;
        if handlers > 0 {
            let events = loop {
                let events = self
                    .handle
                    .read(move |reader| reader.events(Some(failure), None, 1));
                match events.await.unwrap() {
                    events if events.is_empty() => drop(news.recv().await.unwrap()),
                    events => break events,
                }
            };
            self.wait(&mut news, events[0].id, handlers).await;
            let handled = self.tell(events[0].id).await;
            told.as_array_mut()
                .unwrap()
                .extend(handled.as_array().unwrap().iter().cloned());
        }
        told
    }

    /// Waits until an event has at least so many runs, and all have ended.
    async fn wait(&self, news: &mut Receiver<Arc<News>>, id: EventId, count: usize) {
        loop {
            let runs = self
                .handle
                .read(move |reader| reader.runs_of_event(id))
                .await
                .unwrap();
            if runs.len() >= count && runs.iter().all(|run| run.status.has_ended()) {
                return;
            }
            while !matches!(*news.recv().await.unwrap(), News::Ended { .. }) {}
        }
    }

    async fn tell(&self, id: EventId) -> Value {
        let names: Vec<(FunctionId, String)> = {
            let functions = self.handle.read(|reader| reader.functions()).await.unwrap();
            functions
                .into_iter()
                .map(|function| (function.id, function.slug))
                .collect()
        };
        let told = self.handle.read(move |reader| {
            let mut told = Vec::new();
            for run in reader.runs_of_event(id)? {
                let steps: Vec<Value> = reader.steps(run.id)?.into_iter().map(|step| {
                    json!([step.op, step.name, step.failed, step.attempt, without_stacks(step.value.get())])
                }).collect();
                let name = names.iter().find(|(id, _)| *id == run.function).map(|(_, name)| name.clone());
                let output = run.output.as_ref().map(|output| without_stacks(output.get()));
                told.push(json!({"function": name, "status": run.status.as_str(), "output": output, "steps": steps}));
            }
            Ok(told)
        });
        let mut told = told.await.unwrap();
        told.sort_by_key(|run| run["function"].to_string());
        // Steps of one group end in any order.
        for run in &mut told {
            run["steps"]
                .as_array_mut()
                .unwrap()
                .sort_by_key(|step| step[1].to_string());
        }
        Value::Array(told)
    }
}

fn without_stacks(json: &str) -> Value {
    fn strip(value: &mut Value) {
        if let Value::Object(fields) = value {
            fields.remove("stack");
            // An event's own, which no two sides share.
            if fields.contains_key("user") {
                fields.remove("id");
                fields.remove("ts");
            }
            if let Some(ids) = fields.get_mut("ids") {
                *ids = json!(format!("{} ids", ids.as_array().unwrap().len()));
            }
            fields.values_mut().for_each(strip);
        }
        if value.as_str().is_some_and(|text| text.len() > 1_000) {
            *value = json!("long");
        }
    }
    let mut value = serde_json::from_str(json).unwrap();
    strip(&mut value);
    value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_recorded_alike_whatever_the_transport() {
    let sides = [embedded().await, over_http().await];
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
    let mut told = Vec::new();
    for (name, data) in cases {
        let mut stories = Vec::new();
        for side in &sides {
            let handlers = usize::from(name == "t/fails");
            let story = side
                .story(OutgoingEvent::untyped(name, data.clone()), handlers)
                .await;
            stories.push((side.name, story, side.tally.0.lock().unwrap().clone()));
        }
        assert_eq!(
            stories[0].1, stories[1].1,
            "{name}: {} and {} differ",
            stories[0].0, stories[1].0
        );
        assert_eq!(
            stories[0].2, stories[1].2,
            "{name}: steps were executed differently often"
        );
        for run in stories[0].1.as_array().unwrap() {
            told.push(format!(
                "{name} {data} → {} {} {}",
                run["function"], run["status"], run["output"]
            ));
            told.extend(
                run["steps"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|step| format!("  {step}")),
            );
        }
    }
    insta::assert_snapshot!(told.join("\n"), @r#"
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
