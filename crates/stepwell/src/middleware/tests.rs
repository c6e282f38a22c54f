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
            "on_run_start app-greet app/greet",
            "on_memoization_end",
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
