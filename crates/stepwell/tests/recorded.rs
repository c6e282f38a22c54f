//! The calls that the official TypeScript SDK once answered, put to the same functions in Rust: the answers are
//! the same, but for stacks and timings.

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stepwell::{
    App, BoxFuture, CancelOn, Checkpointing, Client, Concurrency, Config, Context, Debounce, Error,
    Function, FunctionFailed, HttpClient, HttpError, Moment, NonRetriable, OutgoingEvent,
    RateLimit, RetryAfter, Singleton, Throttle, Timeouts, serve::Handler,
};
use stepwell_protocol::register::Registration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn define<Args, H: stepwell::Handler<Value, (), Args>>(id: &str, handler: H) -> Function {
    let others = ["step-returns-nothing", "repeated-step-id"];
    let off = id.ends_with("-no-checkpoint") || others.contains(&id);
    let checkpointing = match off {
        true => Checkpointing::off(),
        false => Checkpointing::on(),
    };
    define_with(id, checkpointing, handler)
}

fn define_with<Args, H: stepwell::Handler<Value, (), Args>>(
    id: &str,
    checkpointing: Checkpointing,
    handler: H,
) -> Function {
    let event = format!("capture/{id}");
    Function::new(id)
        .on_event(&event)
        .retries(1)
        .outside_steps_max(Duration::ZERO)
        .checkpointing(checkpointing)
        .handler(handler)
}

fn error(name: &'static str, message: &str) -> Error {
    Error::new(name, message)
}

fn functions() -> Vec<Function> {
    vec![
        define("no-step", async |ctx: Context| {
            let who = ctx.data()["who"].as_str().unwrap_or("undefined").to_owned();
            Ok::<_, Error>(json!({"greeting": format!("hello {who}")}))
        }),
        define("returns-null", async |_: Context| Ok::<_, Error>(())),
        define("step-run", step_run),
        define("step-run-no-checkpoint", async |ctx: Context| {
            ctx.step()
                .run("only step", || async { Ok(json!({"answer": 42})) })
                .await
        }),
        define("step-returns-nothing", async |ctx: Context| {
            ctx.step().run("nothing", || async { Ok(()) }).await
        }),
        define("several-steps", sequence),
        define("several-steps-no-checkpoint", sequence),
        define_with(
            "several-steps-buffered",
            Checkpointing::on().buffered_steps(2),
            sequence,
        ),
        define("repeated-step-id", repeated),
        define("parallel", parallel),
        define("parallel-no-checkpoint", parallel),
        define("parallel-mixed", mixed),
        define("sleep-no-checkpoint", async |ctx: Context| {
            ctx.step().sleep("nap", Duration::from_secs(90)).await;
            Ok::<_, Error>(())
        }),
        define("sleep-until", async |ctx: Context| {
            let moment: jiff::Timestamp = "2030-01-02T03:04:05Z".parse()?;
            ctx.step().sleep_until("until then", moment).await;
            Ok::<_, Error>(())
        }),
        define("error", async |ctx: Context| match ctx.attempt() {
            0 => Err(error("TypeError", "the first attempt fails")),
            _ => Ok("second attempt"),
        }),
        define("error-non-retriable", async |_: Context| {
            #[derive(Debug, thiserror::Error)]
            #[error("never again")]
            struct Never(#[source] std::io::Error);
            Err::<(), _>(NonRetriable::wrap(Never(std::io::Error::other("because"))))
        }),
        define("error-retry-after", async |ctx: Context| {
            match ctx.attempt() {
                0 => Err(RetryAfter::new("later", Duration::from_secs(30))),
                _ => Ok("later it was"),
            }
        }),
        define("error-retry-after-date", async |ctx: Context| {
            match ctx.attempt() {
                0 => Err(RetryAfter::at(
                    "later",
                    Moment::from_unix_ms(1_893_553_445_000),
                )),
                _ => Ok("later it was"),
            }
        }),
        define("step-error", flaky),
        define("step-error-no-checkpoint", flaky),
        define("step-error-uncaught", async |ctx: Context| {
            ctx.step()
                .run("broken", || async { Err::<(), _>("always".into()) })
                .await
        }),
        define("step-error-non-retriable", caught),
        define("step-error-retry-after", slow),
        Function::new("on-failure")
            .on_event("capture/on-failure")
            .retries(1)
            .on_failure(async |ctx: Context<FunctionFailed>| {
                let failed = ctx.data();
                Ok::<_, Error>(json!({"handled": failed.error.message, "run": failed.run_id}))
            })
            .handler(async |_: Context| {
                Err::<(), _>(NonRetriable::new("seen by the failure handler"))
            }),
        flow_control(),
    ]
}

async fn step_run(ctx: Context) -> Result<Value, Error> {
    let answer = json!({"answer": 42, "text": "größe", "none": null});
    Ok(ctx.step().run("only step", || async { Ok(answer) }).await?)
}

async fn sequence(ctx: Context) -> Result<Value, Error> {
    let first: u32 = ctx.step().run("first", || async { Ok(1) }).await?;
    let second = ctx.step().run("second", || async { Ok(first + 1) }).await?;
    let third = ctx.step().run("third", || async { Ok(second + 1) }).await?;
    Ok(json!({"first": first, "second": second, "third": third}))
}

async fn repeated(ctx: Context) -> Result<Vec<u32>, Error> {
    let mut seen = Vec::new();
    for index in 0..3 {
        seen.push(ctx.step().run("again", || async move { Ok(index) }).await?);
    }
    Ok(seen)
}

async fn parallel(ctx: Context) -> Result<String, Error> {
    let step = ctx.step();
    let (left, right): (String, String) = futures::try_join!(
        step.run("left", || async { Ok("l".to_owned()) }),
        step.run("right", || async { Ok("r".to_owned()) }),
    )?;
    Ok(step.run("join", || async { Ok(left + &right) }).await?)
}

async fn mixed(ctx: Context) -> Result<u32, Error> {
    let step = ctx.step();
    let (ran, (), sent) = futures::join!(
        step.run("work", || async { Ok(1) }),
        step.sleep("nap", HOUR),
        step.send_event("tell", OutgoingEvent::untyped("capture/told", json!({}))),
    );
    sent?;
    Ok(ran?)
}

async fn flaky(ctx: Context) -> Result<String, Error> {
    let attempt = ctx.attempt();
    let work = || async move {
        match attempt {
            0 => Err(error("TypeError", "the first attempt fails")),
            _ => Ok("second attempt".to_owned()),
        }
    };
    Ok(ctx.step().run("flaky", work).await?)
}

async fn slow(ctx: Context) -> Result<String, Error> {
    let attempt = ctx.attempt();
    let work = || async move {
        match attempt {
            0 => Err(RetryAfter::new("later", Duration::from_secs(30)).into()),
            _ => Ok("later it was".to_owned()),
        }
    };
    Ok(ctx.step().run("slow", work).await?)
}

async fn caught(ctx: Context) -> Result<String, Error> {
    let broken = ctx.step().run("broken", || async {
        Err::<(), _>(NonRetriable::new("never again").into())
    });
    Ok(match broken.await {
        Ok(()) => "not caught".to_owned(),
        Err(error) => format!("caught: {error}"),
    })
}

fn flow_control() -> Function {
    Function::new("flow-control")
        .name("Every flow control option")
        .on_event_if("capture/flow-control", "event.data.size > 1")
        .or_cron("TZ=Europe/Paris 0 5 * * 1-5")
        .retries(7)
        .concurrency(Concurrency::limit(2).key("event.data.account"))
        .concurrency(Concurrency::limit(10).key("'shared'").across_account())
        .throttle(
            Throttle::new(3, Duration::from_secs(10))
                .burst(2)
                .key("event.data.account"),
        )
        .rate_limit(RateLimit::new(5, HOUR).key("event.data.account"))
        .debounce(
            Debounce::new(Duration::from_secs(5))
                .key("event.data.account")
                .timeout(MINUTE),
        )
        .priority("event.data.plan == 'pro' ? 120 : 0")
        .singleton(Singleton::skip().key("event.data.account"))
        .cancel_on(
            CancelOn::event("capture/cancel")
                .matching("data.id")
                .within(HOUR),
        )
        .timeouts(
            Timeouts::new()
                .start(Duration::from_secs(10))
                .finish(5 * MINUTE),
        )
        .idempotency("event.data.order")
        .handler(async |_: Context| Ok::<_, Error>("done"))
}

/// The API, as it answered then; notes the steps that were reported.
#[derive(Clone, Default)]
struct Api(Arc<Mutex<Vec<Value>>>);

impl HttpClient for Api {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, HttpError>> {
        if request.uri().path().starts_with("/v1/checkpoint/") {
            self.0.lock().unwrap().push(report(
                request.uri().path(),
                &serde_json::from_slice(request.body()).unwrap(),
            ));
        }
        let body = r#"{"ids":["01KDW000000000000000000006"],"status":200}"#;
        Box::pin(std::future::ready(Ok(Response::new(Bytes::from(body)))))
    }
}

/// What a report says, without what differs between languages and machines.
fn report(path: &str, body: &Value) -> Value {
    let steps = body["steps"].as_array().unwrap().iter().map(|step| {
        json!([
            step["op"],
            step["id"],
            step["name"],
            step["displayName"],
            step["userland"]["id"],
            step["data"]
        ])
    });
    let steps: Vec<Value> = steps.collect();
    let call = ["run_id", "fn_id", "qi_id", "request_id", "generation_id"].map(|key| &body[key]);
    json!([path, call, steps])
}

fn handler(api: Api) -> Handler {
    let client = Client::builder("capture", Config::dev())
        .http_client(api)
        .build();
    Handler::new(App::new(client).functions(functions())).unwrap()
}

fn fixture(name: &str) -> Value {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../stepwell-protocol/tests/fixtures/typescript"
    );
    let text = std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What an answer says, without what differs between languages and machines.
fn essence(status: u16, header: impl Fn(&str) -> Option<String>, body: &Value) -> Value {
    let (mut status, mut body) = (status, body.clone());
    // With checkpointing, a function's result comes as an op.
    if let Some(op) = body
        .as_array()
        .and_then(|ops| ops.first())
        .filter(|op| op["op"] == "RunComplete")
    {
        (status, body) = (200, op["data"].clone());
    }
    if let Some(ops) = body.as_array_mut().filter(|_| status == 206) {
        for op in ops {
            let fields = op.as_object_mut().unwrap();
            // What else there is, SDKs note for themselves.
            const KEPT: [&str; 8] = [
                "id",
                "op",
                "name",
                "displayName",
                "opts",
                "userland",
                "data",
                "error",
            ];
            fields.retain(|key, value| KEPT.contains(&&**key) && *value != json!(""));
            fields.retain(|key, value| !(key == "opts" && *value == json!({})));
            fields.retain(|key, value| !(key == "data" && value.is_null()));
            if let Some(userland) = fields.get_mut("userland").and_then(Value::as_object_mut) {
                userland.retain(|key, value| !(key == "index" && *value == 0));
            }
            for key in ["error", "data"] {
                if let Some(Value::Object(error)) = fields.get_mut(key) {
                    error.remove("stack");
                    error.remove("__serialized");
                }
            }
        }
    }
    if status >= 400 {
        strip_stacks(&mut body);
    }
    json!({
        "status": status, "body": body,
        "no-retry": header("x-inngest-no-retry"), "retry-after": header("retry-after"),
        "version": header("x-inngest-req-version"),
    })
}

fn strip_stacks(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.remove("stack");
        fields.values_mut().for_each(strip_stacks);
    }
}

#[tokio::test]
async fn answers_are_those_of_the_official_sdk() {
    let api = Api::default();
    let handler = handler(api.clone());
    let scenarios = [
        "no-step",
        "returns-null",
        "step-run",
        "step-run-no-checkpoint",
        "step-returns-nothing",
        "several-steps",
        "several-steps-no-checkpoint",
        "several-steps-buffered",
        "repeated-step-id",
        "parallel",
        "parallel-no-checkpoint",
        "parallel-mixed",
        "sleep-no-checkpoint",
        "sleep-until",
        "error",
        "error-non-retriable",
        "error-retry-after",
        "error-retry-after-date",
        "step-error",
        "step-error-no-checkpoint",
        "step-error-uncaught",
        "step-error-non-retriable",
        "step-error-retry-after",
        "on-failure",
        "missing-step",
        "unknown-function",
    ];
    let mut compared = 0;
    for scenario in scenarios {
        let recorded = fixture(scenario);
        for exchange in recorded["exchanges"].as_array().unwrap() {
            if exchange["from"] != "server" {
                continue;
            }
            let (asked, answered) = (&exchange["request"], &exchange["response"]);
            let request = Request::post(asked["url"].as_str().unwrap())
                .body(Bytes::from(asked["body"].to_string()))
                .unwrap();
            let response = handler.handle(request).await;
            let body: Value = serde_json::from_slice(response.body()).unwrap();
            let header = |name: &str| {
                response
                    .headers()
                    .get(name)
                    .map(|value| value.to_str().unwrap().to_owned())
            };
            let ours = essence(response.status().as_u16(), header, &body);
            let recorded_header =
                |name: &str| answered["headers"][name].as_str().map(str::to_owned);
            let status = u16::try_from(answered["status"].as_u64().unwrap()).unwrap();
            let theirs = essence(status, recorded_header, &answered["body"]);
            let (ours, theirs) = (format!("{ours:#}"), format!("{theirs:#}"));
            assert_eq!(
                sorted(&ours),
                sorted(&theirs),
                "{scenario}:\n{ours}\n{theirs}"
            );
            compared += 1;
        }
        let exchanges = recorded["exchanges"].as_array().unwrap().iter();
        let reported = exchanges.filter_map(|exchange| {
            let request = &exchange["request"];
            let url = request["url"].as_str()?;
            let path = url.find("/v1/checkpoint/").map(|at| &url[at..])?;
            Some(report(path, &request["body"]))
        });
        let ours = std::mem::take(&mut *api.0.lock().unwrap());
        assert_eq!(ours, reported.collect::<Vec<_>>(), "{scenario}");
    }
    assert!(compared > 45, "{compared}");
}

/// Equal texts of equal values, whatever the order of their keys.
fn sorted(text: &str) -> Vec<u8> {
    stepwell_protocol::signing::canonical_json(text.as_bytes()).unwrap()
}

#[test]
fn functions_are_registered_as_the_official_sdk_registers_them() {
    let recorded = fixture("register");
    let exchanges = recorded["exchanges"].as_array().unwrap();
    let body = exchanges
        .iter()
        .find(|exchange| exchange["from"] == "sdk")
        .unwrap()["request"]["body"]
        .to_string();
    let theirs = Registration::parse(body.as_bytes()).unwrap();
    let ours = handler(Api::default())
        .runner()
        .registration("http://127.0.0.1:3000/api/inngest");
    let ours = Registration::parse(&serde_json::to_vec(&ours).unwrap()).unwrap();
    for function in &ours.functions {
        let same = theirs
            .functions
            .iter()
            .find(|other| other.id == function.id);
        let mut same = same
            .unwrap_or_else(|| panic!("{} is not recorded", function.id))
            .clone();
        let mut ours = function.clone();
        (ours.checkpoint, same.checkpoint) = (None, None);
        assert_eq!(ours, same);
    }
}
