//! Steps that the server sees to, and those that speak to it.

use crate::side::{Side, compare, embedded, listen, over_connect, over_http};
use axum::Json;
use axum::http::HeaderMap;
use axum::routing::post;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use stepwell::ai::openai::{Message, OpenAi};
use stepwell::ai::{Custom, anthropic, gemini};
use stepwell::experiment::Choice;
use stepwell::middleware::{FunctionInput, Middleware, RunInfo};
use stepwell::{App, Checkpointing, Client, Context, Error, Function, FunctionRef, Score, Topic};

const DOUBLE: FunctionRef<Value, u64> = FunctionRef::new("double");
const ELSEWHERE: FunctionRef<Value, u64> = FunctionRef::new("double").of_app("other");
const BROKEN: FunctionRef<Value, u64> = FunctionRef::new("broken");
const SLOW: FunctionRef<Value, u64> = FunctionRef::new("slow");
const AFTERWARDS: FunctionRef<Value, ()> = FunctionRef::new("afterwards");

async fn double(ctx: Context) -> Result<u64, Error> {
    let number = ctx.data()["number"].as_u64().unwrap_or_default();
    assert!(ctx.data().get("_inngest").is_none());
    Ok(ctx
        .step()
        .run("double", || async { Ok(number * 2) })
        .await?)
}

async fn broken(_: Context) -> Result<u64, Error> {
    Err(Error::new("Broken", "beyond repair").non_retriable())
}

async fn slow(ctx: Context) -> Result<u64, Error> {
    ctx.step().sleep("long", Duration::from_secs(3600)).await;
    Ok(1)
}

async fn invokes(ctx: Context) -> Result<Value, Error> {
    let step = ctx.step();
    let (here, there) = futures::try_join!(
        step.invoke("here", DOUBLE, json!({"number": 4})),
        step.invoke("there", ELSEWHERE, json!({"number": 5})),
    )?;
    let broken = step.invoke("broken", BROKEN, json!({})).await.unwrap_err();
    let slow = step.invoke("slow", SLOW, json!({}));
    let slow = slow.timeout(Duration::from_millis(1)).await.unwrap_err();
    let nobody = step.invoke_named::<_, u64>("nobody", "other-nobody", json!({}));
    let nobody = nobody.await.unwrap_err();
    Ok(json!([
        here,
        there,
        broken.message(),
        slow.name(),
        nobody.message()
    ]))
}

async fn signals(ctx: Context) -> Result<Value, Error> {
    let step = ctx.step();
    let name = "go".to_owned();
    let (heard, resumed) = futures::try_join!(
        step.wait_for_signal::<u32>("hear", &name),
        step.send_signal("call", &name, &7),
    )?;
    let nobody = step.send_signal("call again", &name, &8).await?;
    let silence = step
        .wait_for_signal::<u32>("silence", &name)
        .timeout(Duration::from_millis(1))
        .await?;
    Ok(json!([
        heard,
        resumed == Some(ctx.run_id()),
        nobody,
        silence
    ]))
}

async fn fetches(ctx: Context) -> Result<Value, Error> {
    let (step, url) = (
        ctx.step(),
        ctx.data()["url"].as_str().unwrap_or_default().to_owned(),
    );
    let echo = step
        .fetch("echo")
        .post(format!("{url}/echo"))
        .query([("a b", "c&d")])
        .bearer_auth("secret")
        .json(&json!({"n": 1}))
        .await?;
    let missing = step.fetch("missing").get(format!("{url}/nowhere")).await?;
    let refused = missing.clone().error_for_status().unwrap_err();
    Ok(json!([
        echo.status().as_u16(),
        echo.header("Content-Type"),
        echo.json::<Value>()?,
        missing.status().as_u16(),
        refused.to_string()
    ]))
}

/// What providers are asked, and what they answer.
async fn infers(ctx: Context) -> Result<Value, Error> {
    let ai = ctx.step().ai();
    let url = ctx.data()["url"].as_str().unwrap_or_default();
    let openai = OpenAi::new("m-1").api_key("k-1").base_url(url);
    let chat = ai.infer("openai", &openai, [Message::user("hello")].into());
    let chat = chat.await?.text().to_owned();
    let anthropic = anthropic::Anthropic::new("m-2")
        .api_key("k-2")
        .base_url(url);
    let messages = anthropic::Messages::new(10, [anthropic::Message::user("hello")]);
    let message = ai.infer("anthropic", &anthropic, messages).await?.text();
    let gemini = gemini::Gemini::new("m-3").api_key("k-3").base_url(url);
    let contents = [gemini::Content::user("hello")].into();
    let content = ai.infer("gemini", &gemini, contents).await?.text();
    let custom: Custom = Custom::new(format!("{url}/echo")).api_key("k-4");
    let echo = ai.infer("custom", &custom, json!({"n": 2})).await?;
    let wrapped = ai
        .wrap("wrapped", 20, |n: u64| async move { Ok(n + 1) })
        .await?;
    Ok(json!([chat, message, content, echo, wrapped]))
}

async fn publishes(ctx: Context) -> Result<(), Error> {
    let topic: Topic<Value> = Topic::new("news", "t");
    let step = ctx.step();
    step.publish("tell", &topic, &json!({"half": "way"}))
        .await?;
    Ok(())
}

async fn defers(ctx: Context) -> Result<&'static str, Error> {
    let step = ctx.step();
    step.defer("later", AFTERWARDS, json!({"number": 1}));
    let never = step.defer("never", AFTERWARDS, json!({"number": 2}));
    step.run("work", || async { Ok(()) }).await?;
    never.abort();
    // An id that was used before: left out.
    step.defer("later", AFTERWARDS, json!({"number": 3}));
    Ok("done")
}

/// Defers, and ends without a step.
async fn defers_and_fails(ctx: Context) -> Result<(), Error> {
    ctx.step().defer("later", AFTERWARDS, json!({"number": 4}));
    Err(Error::new("Broken", "beyond repair").non_retriable())
}

async fn afterwards(ctx: Context) -> Result<Value, Error> {
    let parent = ctx.event().parent.as_ref();
    Ok(json!([
        ctx.data(),
        parent.map(|parent| &parent.function_id)
    ]))
}

#[derive(Debug, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("{missing} cents are missing")]
struct Poor {
    missing: u64,
}

async fn recovers(ctx: Context) -> Result<u64, Error> {
    let paid = ctx.step().run("pay", || async {
        Err::<u64, _>(Error::typed(Poor { missing: 5 }).non_retriable())
    });
    let gave_up = ctx.step().run("try again", || async {
        Err::<u64, _>(Error::typed(Poor { missing: 6 }))
    });
    let missing = |error: stepwell::StepError| error.downcast::<Poor>().map(|poor| poor.missing);
    let first = paid.await.map_err(missing).unwrap_err();
    let second = gave_up.await.map_err(missing).unwrap_err();
    Ok(first.unwrap_or_default() * 10 + second.unwrap_or_default())
}

async fn tries(ctx: Context) -> Result<Value, Error> {
    let step = ctx.step();
    let fixed = step
        .experiment("fixed", Choice::fixed("b", ["a", "b"]))
        .await?;
    let bucket = step
        .experiment("bucket", Choice::bucket("ada", [("a", 1.0), ("b", 1.0)]))
        .await?;
    let custom = Choice::custom(["a", "b"], || async { Ok("a".to_owned()) });
    let custom = step.experiment("custom", custom).await?;
    let wrong = Choice::custom(["a", "b"], || async { Ok("c".to_owned()) });
    let wrong = step.experiment("wrong", wrong).await.unwrap_err();
    let within = custom.step().run("within", || async {
        custom.step().note("seen", &json!({"by": "test"}));
        Ok(1)
    });
    within.await?;
    let score = step.score("judge", Score::new("helpful", 0.5)).await?;
    Ok(json!([
        fixed.name(),
        bucket.name(),
        custom.name(),
        wrong.message(),
        score
    ]))
}

fn app(client: Client) -> App {
    let on = |id: &str| Function::new(id).on_event(&format!("s/{id}")).retries(1);
    let double = Function::new("double").on_invoke().handler(double);
    if client.app_id() == "other" {
        return App::new(client).function(double);
    }
    App::new(client).functions([
        double,
        on("broken").handler(broken),
        on("slow").handler(slow),
        on("invokes").handler(invokes),
        on("signals").handler(signals),
        on("fetches").handler(fetches),
        on("infers").handler(infers),
        on("publishes").handler(publishes),
        on("defers").handler(defers),
        on("defers-and-fails").handler(defers_and_fails),
        Function::new("afterwards")
            .on_deferred()
            .handler(afterwards),
        on("recovers").handler(recovers),
        on("tries").handler(tries),
    ])
}

async fn all() -> [Side; 3] {
    let apps = ["s", "other"];
    [
        embedded(&apps, app).await,
        over_http(&apps, app).await,
        over_connect(&apps, app).await,
    ]
}

/// A server that answers with what it was asked, and providers that answer in their own way.
async fn outside() -> String {
    async fn echo(uri: http::Uri, headers: HeaderMap, Json(body): Json<Value>) -> Json<Value> {
        let authorization = headers.get("authorization");
        let authorization = authorization.and_then(|value| value.to_str().ok());
        Json(json!({"body": body, "query": uri.query(), "authorization": authorization}))
    }
    async fn openai(headers: HeaderMap, Json(body): Json<Value>) -> Json<Value> {
        assert_eq!(headers["authorization"], "Bearer k-1");
        let said = format!("{}: {}", body["model"], body["messages"][0]["content"]);
        let message = json!({"role": "assistant", "content": said});
        Json(json!({"choices": [{"message": message, "finish_reason": "stop"}]}))
    }
    async fn anthropic(headers: HeaderMap, Json(body): Json<Value>) -> Json<Value> {
        assert_eq!(headers["x-api-key"], "k-2");
        let said = format!("{}: {}", body["model"], body["messages"][0]["content"]);
        Json(json!({"content": [{"type": "text", "text": said}], "stop_reason": "end_turn"}))
    }
    async fn gemini(uri: http::Uri, Json(body): Json<Value>) -> Json<Value> {
        assert_eq!(uri.query(), Some("key=k-3"));
        let said = body["contents"][0]["parts"][0]["text"].clone();
        Json(json!({"candidates": [{"content": {"role": "model", "parts": [{"text": said}]}}]}))
    }
    let router = axum::Router::new()
        .route("/echo", post(echo))
        .route("/chat/completions", post(openai))
        .route("/messages", post(anthropic))
        .route("/models/{model}", post(gemini));
    listen(router).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_is_recorded_alike_whatever_the_transport() {
    let sides = all().await;
    let cases = [
        ("s/invokes", json!({}), None),
        ("s/signals", json!({}), None),
        ("s/publishes", json!({}), None),
        (
            "s/defers",
            json!({}),
            Some(("inngest/deferred.schedule", 1)),
        ),
        ("s/recovers", json!({}), None),
        ("s/tries", json!({}), None),
    ];
    let told = compare(&sides, cases).await;
    insta::assert_snapshot!(told, @r#"
    s/invokes {} → "s-invokes" "Completed" [8,10,"beyond repair","InngestInvokeTimeoutError","could not find function with ID: other-nobody"]
      ["InvokeFunction","broken",true,0,{"error":{"name":"Broken","message":"beyond repair"}}]
      ["InvokeFunction","here",false,0,{"data":8}]
      ["InvokeFunction","nobody",true,0,{"error":{"name":"Error","message":"could not find function with ID: other-nobody"}}]
      ["InvokeFunction","slow",true,0,{"error":{"error":"InngestInvokeTimeoutError: Timed out waiting for invoked function to complete","name":"InngestInvokeTimeoutError","message":"Timed out waiting for invoked function to complete"}}]
      ["InvokeFunction","there",false,0,{"data":10}]
    s/signals {} → "s-signals" "Completed" [7,true,null,null]
      ["StepRun","call again",false,0,{"data":null}]
      ["StepRun","call",false,0,{"data":"an id"}]
      ["WaitForSignal","hear",false,0,{"data":{"signal":"go","data":7}}]
      ["WaitForSignal","silence",false,0,null]
    s/publishes {} → "s-publishes" "Completed" null
      ["StepRun","tell",false,0,{"data":null}]
    s/defers {} → "s-defers" "Completed" "done"
      ["StepRun","work",false,0,{"data":null}]
    s/defers {} → "s-afterwards" "Completed" [{"number":1},"s-defers"]
    s/recovers {} → "s-recovers" "Completed" 56
      ["StepFailed","pay",true,0,{"error":{"name":"Poor","message":"5 cents are missing","noRetry":true,"data":{"type":"Poor","value":{"missing":5}}}}]
      ["StepFailed","try again",true,1,{"error":{"name":"Poor","message":"6 cents are missing","noRetry":true,"data":{"type":"Poor","value":{"missing":6}}}}]
    s/tries {} → "s-tries" "Completed" ["b","b","a","experiment \"wrong\" picked \"c\", which is none of its variants: a, b",{"name":"helpful","value":0.5}]
      ["StepRun","bucket",false,0,{"data":"b"}]
      ["StepRun","custom",false,0,{"data":"a"}]
      ["StepRun","fixed",false,0,{"data":"b"}]
      ["StepRun","judge",false,0,{"data":{"name":"helpful","value":0.5}}]
      ["StepRun","within",false,0,{"data":1}]
      ["StepFailed","wrong",true,0,{"error":{"name":"InvalidExperiment","message":"experiment \"wrong\" picked \"c\", which is none of its variants: a, b","noRetry":true,"data":{"name":"InvalidExperiment","message":"experiment \"wrong\" picked \"c\", which is none of its variants: a, b","__serialized":true}}}]
    "#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_makes_requests_for_functions() {
    let url = outside().await;
    let sides = all().await;
    let cases = [
        ("s/fetches", json!({"url": url}), None),
        ("s/infers", json!({"url": url}), None),
    ];
    let told = compare(&sides, cases).await.replace(&url, "http://outside");
    insta::assert_snapshot!(told, @r#"
    s/fetches {"url":"http://outside"} → "s-fetches" "Completed" [200,"application/json",{"body":{"n":1},"query":"a%20b=c%26d","authorization":"Bearer secret"},404,"127.0.0.1 answered 404 Not Found"]
      ["Gateway","echo",false,0,{"data":{"status_code":200,"body":"{\"body\":{\"n\":1},\"query\":\"a%20b=c%26d\",\"authorization\":\"Bearer secret\"}"}}]
      ["Gateway","missing",false,0,{"data":{"status_code":404,"body":""}}]
    s/infers {"url":"http://outside"} → "s-infers" "Completed" ["\"m-1\": \"hello\"","\"m-2\": \"hello\"","hello",{"body":{"n":2},"query":null,"authorization":"Bearer k-4"},21]
      ["Gateway","anthropic",false,0,{"data":{"content":[{"type":"text","text":"\"m-2\": \"hello\""}],"stop_reason":"end_turn"}}]
      ["Gateway","custom",false,0,{"data":{"body":{"n":2},"query":null,"authorization":"Bearer k-4"}}]
      ["Gateway","gemini",false,0,{"data":{"candidates":[{"content":{"role":"model","parts":[{"text":"hello"}]}}]}}]
      ["Gateway","openai",false,0,{"data":{"choices":[{"message":{"role":"assistant","content":"\"m-1\": \"hello\""},"finish_reason":"stop"}]}}]
      ["StepRun","wrapped",false,0,{"data":21}]
    "#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failed_run_deferred_runs() {
    let sides = all().await;
    let after = Some(("inngest/deferred.schedule", 1));
    let told = compare(&sides, [("s/defers-and-fails", json!({}), after)]).await;
    insta::assert_snapshot!(told, @r#"
    s/defers-and-fails {} → "s-defers-and-fails" "Failed" {"name":"Broken","message":"beyond repair","noRetry":true}
    s/defers-and-fails {} → "s-afterwards" "Completed" [{"number":4},"s-defers-and-fails"]
    "#);
}

/// Counts the calls of functions.
#[derive(Clone, Default)]
struct Calls(Arc<AtomicUsize>);

impl Middleware for Calls {
    fn transform_function_input(&self, _: &RunInfo, _: &mut FunctionInput) -> Result<(), Error> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_in_a_row_take_one_call_and_are_recorded_like_any() {
    async fn row(ctx: Context) -> Result<u64, Error> {
        let mut sum = 0;
        for n in 1..=5 {
            sum += ctx.step().run("add", move || async move { Ok(n) }).await?;
        }
        ctx.step().sleep("nap", Duration::from_millis(1)).await;
        Ok(ctx.step().run("sum", || async { Ok(sum) }).await?)
    }
    let calls = [Calls::default(), Calls::default(), Calls::default()];
    let app = |side: usize| {
        let calls = calls[side].clone();
        move |client: Client| {
            let on = |id: &str, how: Checkpointing| {
                let function = Function::new(id).on_event(&format!("s/{id}"));
                function.checkpointing(how).handler(row)
            };
            App::new(client).middleware(calls.clone()).functions([
                on("each", Checkpointing::on()),
                on("buffered", Checkpointing::on().buffered_steps(3)),
                on("off", Checkpointing::off()),
            ])
        }
    };
    let sides = [
        embedded(&["s"], app(0)).await,
        over_http(&["s"], app(1)).await,
        over_connect(&["s"], app(2)).await,
    ];
    // One call to the sleep and one to the end; without, one for each step, the sleep and the end.
    for (name, expected) in [("s/each", 2), ("s/buffered", 2), ("s/off", 8)] {
        let told = compare(&sides, [(name, json!({}), None)]).await;
        let recorded: Vec<&str> = told.lines().skip(1).map(str::trim).collect();
        assert_eq!(
            recorded,
            [
                r#"["StepRun","add",false,0,{"data":1}]"#,
                r#"["StepRun","add",false,0,{"data":2}]"#,
                r#"["StepRun","add",false,0,{"data":3}]"#,
                r#"["StepRun","add",false,0,{"data":4}]"#,
                r#"["StepRun","add",false,0,{"data":5}]"#,
                r#"["Sleep","nap",false,0,null]"#,
                r#"["StepRun","sum",false,0,{"data":15}]"#,
            ],
            "{told}"
        );
        for (side, calls) in sides.iter().zip(&calls) {
            let count = calls.0.swap(0, Ordering::SeqCst);
            assert_eq!(count, expected, "{name} {}", side.name);
        }
    }
}
