use super::*;
use crate::{App, Client, Context, Function};
use serde_json::json;
use std::sync::Mutex;
use stepwell_protocol::StepId;
use stepwell_protocol::call::CallRequest;

#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<String>>>);

impl Record {
    fn note(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Middleware for Record {
    fn transform_function_input(
        &self,
        _: &RunInfo,
        input: &mut FunctionInput,
    ) -> Result<(), Error> {
        self.note("transform_function_input");
        input.events()?[0]["data"]["name"] = "changed".into();
        Ok(())
    }

    fn on_memoization_end(&self, _: &RunInfo) {
        self.note("on_memoization_end");
    }

    fn on_run_start(&self, run: &RunInfo) {
        self.note(format!(
            "on_run_start {} {}",
            run.function_id, run.event_name
        ));
    }

    fn on_step_start(&self, _: &RunInfo, step: &StepInfo) {
        self.note(format!("on_step_start {}", step.id));
        panic!("hooks may panic");
    }

    fn on_step_complete(&self, _: &RunInfo, step: &StepInfo, output: &RawValue) {
        self.note(format!("on_step_complete {} {output}", step.id));
    }

    fn on_step_error(&self, _: &RunInfo, step: &StepInfo, error: &Error, is_final: bool) {
        self.note(format!("on_step_error {} {error} {is_final}", step.id));
    }

    fn on_run_complete(&self, _: &RunInfo, output: &RawValue) {
        self.note(format!("on_run_complete {output}"));
    }

    fn on_run_error(&self, _: &RunInfo, error: &Error, is_final: bool) {
        self.note(format!("on_run_error {error} {is_final}"));
    }

    fn flush(&self) -> BoxFuture<'_, ()> {
        self.note("flush");
        Box::pin(std::future::ready(()))
    }
}

async fn greet(ctx: Context) -> Result<String, Error> {
    tracing::info!("looking up");
    let name = ctx.data()["name"].as_str().unwrap_or("?");
    let greeting: String = ctx
        .step()
        .run("greet", || async { Ok(format!("hello {name}")) })
        .await?;
    tracing::info!("greeted");
    ctx.step()
        .run("fail", || async { Err::<(), _>("boom".into()) })
        .await?;
    Ok(greeting)
}

/// Calls `greet` with these steps recorded.
async fn call(middleware: impl Middleware, attempt: u32, recorded: &[(&str, Value)]) {
    let hash = |id: &str| StepId::of(id, 0).to_string();
    let stack: Vec<String> = recorded.iter().map(|(id, _)| hash(id)).collect();
    let steps: serde_json::Map<_, _> = recorded
        .iter()
        .map(|(id, value)| (hash(id), value.clone()))
        .collect();
    let body = json!({
        "ctx": {
            "fn_id": "6b48a4f5-033b-57e4-accc-a328f4cbcf92", "run_id": "01KDW000000000000000000002",
            "attempt": attempt, "max_attempts": 2, "stack": {"stack": stack, "current": 0},
        },
        "event": {"name": "app/greet", "data": {}}, "steps": steps,
    });
    let app = App::new(Client::dev("app")).middleware(middleware);
    let runner = app
        .function(Function::new("greet").on_event("app/greet").handler(greet))
        .runner()
        .unwrap();
    runner
        .call(
            "app-greet",
            CallRequest::parse(body.to_string().as_bytes()).unwrap(),
        )
        .await;
}

#[tokio::test]
async fn hooks_come_in_their_order_and_cannot_fail_the_call() {
    let record = Record::default();
    call(record.clone(), 0, &[]).await;
    assert_eq!(
        record.take(),
        [
            "transform_function_input",
            "on_memoization_end",
            "on_run_start app-greet app/greet",
            "on_step_start greet",
            "on_step_complete greet \"hello changed\"",
            "flush",
        ]
    );
    call(record.clone(), 1, &[("greet", json!("hi"))]).await;
    assert_eq!(
        record.take(),
        [
            "transform_function_input",
            "on_memoization_end",
            "on_step_start fail",
            "on_step_error fail boom true",
            "flush",
        ]
    );
    let failed = json!({"error": {"name": "Error", "message": "boom"}});
    call(
        record.clone(),
        0,
        &[("greet", json!("hi")), ("fail", failed)],
    )
    .await;
    assert_eq!(
        record.take(),
        [
            "transform_function_input",
            "on_memoization_end",
            "on_run_error boom true",
            "flush"
        ]
    );
    call(
        record.clone(),
        0,
        &[("greet", json!("hi")), ("fail", json!(null))],
    )
    .await;
    assert_eq!(record.take()[2..], ["on_run_complete \"hi\"", "flush"]);
}

/// Notes every hook under a name, and changes what passes by adding the name.
struct Named(&'static str, Record);

impl Named {
    fn note(&self, hook: &str) {
        self.1.note(format!("{}.{hook}", self.0));
    }

    fn marked(&self, output: &RawValue) -> SharedJson {
        let text: String = serde_json::from_str(output.get()).unwrap();
        stepwell_protocol::shared_json(format!("\"{text} {}\"", self.0)).unwrap()
    }
}

impl Middleware for Named {
    fn wrap_request<'a>(
        &'a self,
        _: &'a RunInfo,
        next: BoxFuture<'a, RawReply>,
    ) -> BoxFuture<'a, RawReply> {
        Box::pin(async move {
            self.note("wrap_request");
            let reply = next.await;
            self.note("wrap_request/");
            reply
        })
    }

    fn transform_function_input(
        &self,
        _: &RunInfo,
        input: &mut FunctionInput,
    ) -> Result<(), Error> {
        self.note("transform_function_input");
        input.provide(self.0);
        Ok(())
    }

    fn on_memoization_end(&self, _: &RunInfo) {
        self.note("on_memoization_end");
    }

    fn on_run_start(&self, _: &RunInfo) {
        self.note("on_run_start");
    }

    fn wrap_function<'a>(&'a self, _: &'a RunInfo, next: Outcome<'a>) -> Outcome<'a> {
        Box::pin(async move {
            self.note("wrap_function");
            let output = self.marked(&next.await?);
            self.note("wrap_function/");
            Ok(output)
        })
    }

    fn transform_step_input(&self, _: &RunInfo, step: &mut StepInput) -> Result<(), Error> {
        self.note(&format!(
            "transform_step_input {} {}",
            step.id,
            step.kind().as_str()
        ));
        if let Some(Value::Array(input)) = step.options_mut().get_mut("input") {
            input[0] = format!("{} {}", input[0].as_str().unwrap(), self.0).into();
        }
        Ok(())
    }

    fn transform_step_result(
        &self,
        _: &RunInfo,
        step: &StepInfo,
        result: &mut Result<SharedJson, UserError>,
    ) -> Result<(), Error> {
        self.note(&format!("transform_step_result {}", step.id));
        if step.kind == StepKind::Run
            && let Ok(output) = result
        {
            *output = self.marked(output);
        }
        Ok(())
    }

    fn on_step_start(&self, _: &RunInfo, _: &StepInfo) {
        self.note("on_step_start");
    }

    fn wrap_step<'a>(
        &'a self,
        _: &'a RunInfo,
        step: &'a StepInfo,
        next: Outcome<'a>,
    ) -> Outcome<'a> {
        Box::pin(async move {
            self.note("wrap_step");
            let output = next.await?;
            self.note("wrap_step/");
            match step.kind {
                StepKind::Run => Ok(self.marked(&output)),
                _ => Ok(output),
            }
        })
    }

    fn on_step_complete(&self, _: &RunInfo, _: &StepInfo, output: &RawValue) {
        self.note(&format!("on_step_complete {output}"));
    }

    fn on_run_complete(&self, _: &RunInfo, output: &RawValue) {
        self.note(&format!("on_run_complete {output}"));
    }

    fn transform_send_event(&self, _: &mut Vec<OutgoingEvent>) -> Result<(), Error> {
        self.note("transform_send_event");
        Ok(())
    }

    fn wrap_send<'a>(
        &'a self,
        events: &'a [OutgoingEvent],
        next: BoxFuture<'a, Result<Vec<EventId>, SendError>>,
    ) -> BoxFuture<'a, Result<Vec<EventId>, SendError>> {
        Box::pin(async move {
            self.note(&format!("wrap_send {}", events.len()));
            let ids = next.await;
            self.note("wrap_send/");
            ids
        })
    }

    fn flush(&self) -> BoxFuture<'_, ()> {
        self.note("flush");
        Box::pin(std::future::ready(()))
    }
}

/// Takes every event.
struct Outbox;

impl crate::EventSink for Outbox {
    fn send(&self, batch: crate::EventBatch) -> BoxFuture<'_, Result<Vec<EventId>, SendError>> {
        let ids = (0..batch.events.len()).map(|index| batch.seed.event_id(index));
        Box::pin(std::future::ready(Ok(ids.collect())))
    }
}

#[tokio::test]
async fn transforms_run_in_order_and_wraps_nest() {
    let record = Record::default();
    let client = Client::dev("app").with_event_sink(Outbox);
    let function = Function::new("f").on_event("app/f");
    let function = function.middleware(Named("b", record.clone()));
    let function = function.handler(|ctx: Context| async move {
        let step = ctx.step();
        let greet = |name: String| async move { Ok(format!("hello {name}")) };
        let greeting = step.run_with("greet", "you".to_owned(), greet).await?;
        step.send_event("tell", OutgoingEvent::untyped("app/told", json!({})))
            .await?;
        let provided = ctx.provided::<&str>().copied().unwrap_or_default();
        Ok::<_, Error>(format!("{greeting}, {provided}"))
    });
    let runner = App::new(client)
        .middleware(Named("a", record.clone()))
        .function(function)
        .runner()
        .unwrap();
    let mut steps = serde_json::Map::new();
    let mut calls = Vec::new();
    loop {
        let stack: Vec<&String> = steps.keys().collect();
        let body = json!({
            "ctx": {
                "fn_id": "6b48a4f5-033b-57e4-accc-a328f4cbcf92", "run_id": "01KDW000000000000000000002",
                "max_attempts": 2, "stack": {"stack": stack, "current": 0},
            },
            "event": {"name": "app/f", "data": {}}, "steps": steps,
        });
        let call = CallRequest::parse(body.to_string().as_bytes()).unwrap();
        let reply = runner.call("app-f", call).await;
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        calls.push(record.take().join("\n"));
        if reply.status != 206 {
            assert_eq!(body, "hello you a b b a a b, b b a");
            break;
        }
        let id = body[0]["id"].as_str().unwrap().to_owned();
        steps.insert(id, json!({"data": body[0]["data"]}));
    }
    insta::assert_snapshot!(calls.join("\n\n"));
}

#[tokio::test]
async fn a_wrap_that_panics_fails_the_attempt() {
    struct Panics;
    impl Middleware for Panics {
        fn wrap_request<'a>(
            &'a self,
            _: &'a RunInfo,
            _: BoxFuture<'a, RawReply>,
        ) -> BoxFuture<'a, RawReply> {
            Box::pin(async { panic!("not today") })
        }
    }
    let function = Function::new("f").on_event("app/f");
    let function = function.middleware(Panics);
    let function = function.handler(|_: Context| async { Ok::<_, Error>(()) });
    let app = App::new(Client::dev("app")).function(function);
    let body = json!({
        "ctx": {
            "fn_id": "6b48a4f5-033b-57e4-accc-a328f4cbcf92", "run_id": "01KDW000000000000000000002",
            "max_attempts": 2, "stack": {"stack": [], "current": 0},
        },
        "event": {"name": "app/f", "data": {}}, "steps": {},
    });
    let call = CallRequest::parse(body.to_string().as_bytes()).unwrap();
    let reply = app.runner().unwrap().call("app-f", call).await;
    let body = String::from_utf8(reply.body).unwrap();
    assert_eq!(reply.status, 500);
    assert!(body.contains("not today"), "{body}");
}

#[tokio::test]
async fn failures_are_reported_once_unless_every_attempt_is_asked_for() {
    let reports = Record::default();
    let reporter = |reports: &Record| {
        let reports = reports.clone();
        move |report: ErrorReport| {
            let step = report.step.unwrap_or_default();
            reports.note(format!(
                "{} {step} {} {}",
                report.function_id, report.error.message, report.is_final
            ));
        }
    };
    let greeted = ("greet", json!("hi"));
    let failed = (
        "fail",
        json!({"error": {"name": "Error", "message": "boom"}}),
    );
    for attempt in [0, 1] {
        call(
            ErrorReporting::new(reporter(&reports)),
            attempt,
            std::slice::from_ref(&greeted),
        )
        .await;
    }
    call(
        ErrorReporting::new(reporter(&reports)),
        0,
        &[greeted.clone(), failed],
    )
    .await;
    assert_eq!(reports.take(), ["app-greet  boom true"]);
    let all = ErrorReporting::new(reporter(&reports))
        .every_attempt()
        .steps();
    call(all, 0, &[greeted]).await;
    assert_eq!(reports.take(), ["app-greet fail boom false"]);
}

/// Collects what is logged, for the thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_is_logged_twice_because_of_a_replay() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .without_time()
        .with_ansi(false)
        .with_target(false)
        .with_writer(move || writer.clone());
    let guard = tracing::subscriber::set_default(subscriber.finish());
    // The first call of all reaches the lines of the function in a replay: they must not stay silent for that.
    call(Logging, 0, &[("greet", json!("hi"))]).await;
    call(Logging, 0, &[]).await;
    call(Logging, 0, &[("greet", json!("hi")), ("fail", json!(null))]).await;
    drop(guard);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    insta::assert_snapshot!(text.replace("run{id=01KDW000000000000000000002 function=app-greet}: ", ""), @r"
    INFO greeted
    WARN step failed, to be retried step=fail attempt=0 error=Error: boom
    INFO run started event=app/greet
    INFO looking up
    INFO step completed step=greet output_bytes=9
    INFO run completed output_bytes=4
    ");
}

#[tokio::test]
async fn calls_and_steps_have_spans_that_are_joined_by_the_run() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .without_time()
        .with_ansi(false)
        .with_target(false)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::NEW)
        .with_writer(move || writer.clone());
    let joined = Record::default();
    let join = joined.clone();
    let spans = move || {
        let join = join.clone();
        Tracing::new().joined_by(move |_, run| join.note(format!("{:x}", run.trace_id())))
    };
    let guard = tracing::subscriber::set_default(subscriber.finish());
    call(spans(), 0, &[]).await;
    call(spans(), 1, &[("greet", json!("hi"))]).await;
    drop(guard);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let spans: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim().strip_suffix(": new"))
        .filter(|line| line.contains("stepwell."))
        .collect();
    insta::assert_snapshot!(spans.join("\n"), @r#"
    INFO stepwell.call{otel.name=app-greet otel.kind="server" run_id=01KDW000000000000000000002 function_id=app-greet event=app/greet attempt=0 request_id=}
    INFO stepwell.call{otel.name=app-greet otel.kind="server" run_id=01KDW000000000000000000002 function_id=app-greet event=app/greet attempt=0 request_id=}:stepwell.step{otel.name=greet run_id=01KDW000000000000000000002 function_id=app-greet step_id=greet step_index=0 step_kind="run" attempt=0}
    INFO stepwell.call{otel.name=app-greet otel.kind="server" run_id=01KDW000000000000000000002 function_id=app-greet event=app/greet attempt=1 request_id=}
    INFO stepwell.call{otel.name=app-greet otel.kind="server" run_id=01KDW000000000000000000002 function_id=app-greet event=app/greet attempt=1 request_id=}:stepwell.step{otel.name=fail run_id=01KDW000000000000000000002 function_id=app-greet step_id=fail step_index=0 step_kind="run" attempt=1}
    "#);
    let ids = joined.take();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
}
