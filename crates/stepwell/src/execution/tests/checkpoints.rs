//! Steps that are reported ahead of the answer.

use super::*;
use crate::app::Way;
use crate::client::{Checkpoint, CheckpointError, LocalApi};
use crate::function::Transport;
use crate::middleware::TraceContext;
use crate::{ApiError, Checkpointing};
use futures::channel::oneshot;
use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use stepwell_protocol::op::Op;
use stepwell_protocol::{RunId, SharedJson};

/// Takes reports, or refuses them.
#[derive(Clone, Default)]
struct Reports {
    taken: Arc<Mutex<Vec<String>>>,
    refusals: Arc<Mutex<VecDeque<CheckpointError>>>,
    /// What reports wait for before they are taken, or refused.
    gates: Arc<Mutex<VecDeque<oneshot::Receiver<()>>>>,
}

impl LocalApi for Reports {
    fn signal(&self, _: String, _: SharedJson) -> BoxFuture<'_, Result<Option<RunId>, ApiError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn publish(&self, _: &str, _: &str, _: Option<RunId>, _: SharedJson) {}

    fn checkpoint<'a>(
        &'a self,
        call: &'a Checkpoint,
        steps: Vec<Op>,
    ) -> BoxFuture<'a, Result<(), CheckpointError>> {
        assert_eq!((&*call.item, call.generation), ("item-1", 7));
        let steps = steps.iter().map(|op| {
            let data = op.data.as_ref().map_or("", |data| data.get());
            format!("{} {} {data}", op.op, op.title())
        });
        let gate = self.gates.lock().unwrap().pop_front();
        let answer = match self.refusals.lock().unwrap().pop_front() {
            Some(refusal) => Err(refusal),
            None => Ok(()),
        };
        if answer.is_ok() {
            let report = steps.collect::<Vec<_>>().join(", ");
            self.taken.lock().unwrap().push(report);
        }
        Box::pin(async move {
            if let Some(gate) = gate {
                gate.await.expect("the test opens it");
            }
            answer
        })
    }
}

impl Reports {
    fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }

    fn refuse(&self, with: CheckpointError) {
        self.refusals.lock().unwrap().push_back(with);
    }

    /// One call; the answer in a line.
    async fn call(&self, function: Function, ctx: Value) -> String {
        self.call_at(StillClock { delays_end: false }, function, ctx)
            .await
    }

    async fn call_at(&self, clock: impl Clock, function: Function, ctx: Value) -> String {
        self.call_until(None, clock, function, ctx).await
    }

    async fn call_until(
        &self,
        closing: Option<Arc<AtomicBool>>,
        clock: impl Clock,
        function: Function,
        ctx: Value,
    ) -> String {
        let client = Client::builder("app", Config::dev())
            .clock(clock)
            .build()
            .with_local(Arc::new(self.clone()));
        let runner = App::new(client).function(function).runner().unwrap();
        let event = json!({"id": "e", "name": "app/test", "data": {}, "ts": 1});
        let mut body = json!({
            "ctx": {
                "fn_id": "6b48a4f5-033b-57e4-accc-a328f4cbcf92", "run_id": "01KDW000000000000000000002",
                "step_id": "step", "attempt": 0, "max_attempts": 3, "qi_id": "item-1", "generation_id": 7,
                "stack": {"stack": [], "current": 0}, "disable_immediate_execution": false,
            },
            "event": event, "events": [event], "steps": {}, "version": 2,
        });
        for (key, value) in ctx.as_object().unwrap() {
            body["ctx"][key] = value.clone();
        }
        let request = CallRequest::parse(body.to_string().as_bytes()).unwrap();
        let way = Way {
            transport: Transport::Http,
            trace: TraceContext::default(),
            closing,
        };
        let raw = runner.answer_in("app-f", request, way).await.into_raw();
        let answer = Answer {
            status: raw.status,
            no_retry: raw.headers.no_retry,
            retry_after: raw.headers.retry_after,
            body: serde_json::from_slice(&raw.body).unwrap(),
        };
        answer.line()
    }
}

async fn three(ctx: Context) -> Result<u32, Error> {
    let step = ctx.step();
    let a: u32 = step.run("a", || async { Ok(1) }).await?;
    let b: u32 = step.run("b", || async { Ok(a + 1) }).await?;
    let c: u32 = step.run("a", || async { Ok(b + 1) }).await?;
    Ok(c)
}

#[tokio::test]
async fn steps_run_on_in_one_call_each_reported_before_the_next() {
    let reports = Reports::default();
    assert_eq!(reports.call(function(three), json!({})).await, "200 3");
    assert_eq!(
        reports.taken(),
        ["StepRun a 1", "StepRun b 2", "StepRun a 3"]
    );
}

/// A collection of futures polls only those that were woken: a result has to wake whoever polls its step.
#[tokio::test]
async fn steps_run_on_in_one_call_inside_a_collection_of_futures() {
    use futures::stream::{FuturesUnordered, StreamExt};
    async fn handler(ctx: Context) -> Result<u32, Error> {
        let mut branches: FuturesUnordered<_> = [three(ctx)].into_iter().collect();
        branches.next().await.unwrap_or(Ok(0))
    }
    let reports = Reports::default();
    assert_eq!(reports.call(function(handler), json!({})).await, "200 3");
    assert_eq!(
        reports.taken(),
        ["StepRun a 1", "StepRun b 2", "StepRun a 3"]
    );
}

#[tokio::test]
async fn buffered_steps_are_reported_together_and_the_rest_with_the_result() {
    let reports = Reports::default();
    let buffered = Function::new("f")
        .on_event("app/test")
        .checkpointing(Checkpointing::on().buffered_steps(2))
        .handler(three);
    assert_eq!(
        reports.call(buffered, json!({})).await,
        "206 StepRun a#1 3, RunComplete null#null"
    );
    assert_eq!(reports.taken(), ["StepRun a 1, StepRun b 2"]);
}

#[tokio::test]
async fn steps_that_have_waited_for_the_interval_are_reported_while_another_runs() {
    let reports = Reports::default();
    let seen = reports.clone();
    let handler = move |ctx: Context| {
        let seen = seen.clone();
        async move {
            let step = ctx.step();
            step.run("a", || async { Ok(1) }).await?;
            let reported = step.run("b", || async {
                tokio::task::yield_now().await;
                Ok(seen.taken().len())
            });
            Ok::<_, Error>(reported.await?)
        }
    };
    let interval = Duration::from_secs(1);
    let function = Function::new("f")
        .on_event("app/test")
        .checkpointing(
            Checkpointing::on()
                .buffered_steps(10)
                .max_interval(interval),
        )
        .handler(handler);
    let clock = StillClock { delays_end: true };
    assert_eq!(
        reports.call_at(clock, function, json!({})).await,
        "206 StepRun b#0 1, RunComplete null#null"
    );
    assert_eq!(reports.taken(), ["StepRun a 1"]);
}

/// Two steps, of which the second opens the gate that the report of the first waits at.
fn report_during_a_step(reports: &Reports) -> Function {
    let (open, gate) = oneshot::channel();
    reports.gates.lock().unwrap().push_back(gate);
    let open = Arc::new(Mutex::new(Some(open)));
    let handler = move |ctx: Context| {
        let open = Arc::clone(&open);
        async move {
            let step = ctx.step();
            step.run("a", || async { Ok(1) }).await?;
            let second = step.run("b", || async {
                tokio::task::yield_now().await;
                let open = open.lock().unwrap().take();
                open.expect("it runs once")
                    .send(())
                    .expect("a report waits");
                tokio::task::yield_now().await;
                Ok(2)
            });
            Ok::<_, Error>(second.await?)
        }
    };
    let every_second = Checkpointing::on()
        .buffered_steps(10)
        .max_interval(Duration::from_secs(1));
    Function::new("f")
        .on_event("app/test")
        .checkpointing(every_second)
        .handler(handler)
}

const RINGING: StillClock = StillClock { delays_end: true };

#[tokio::test]
async fn a_step_goes_on_while_others_are_reported() {
    let reports = Reports::default();
    let function = report_during_a_step(&reports);
    assert_eq!(
        reports.call_at(RINGING, function, json!({})).await,
        "206 StepRun b#0 2, RunComplete null#null"
    );
    assert_eq!(reports.taken(), ["StepRun a 1"]);
}

/// Steps `a` and `b`, whose report waits at a gate when `b` begins, then `c`, during which the alarm may ring again.
fn a_report_after_another(reports: &Reports, clock: &HandClock) -> Function {
    let (open, gate) = oneshot::channel();
    reports.gates.lock().unwrap().push_back(gate);
    let open = Arc::new(Mutex::new(Some(open)));
    let clock = clock.clone();
    let handler = move |ctx: Context| {
        let (open, clock) = (Arc::clone(&open), clock.clone());
        async move {
            let step = ctx.step();
            step.run("a", || async { Ok(1) }).await?;
            let second = step.run("b", || async {
                tokio::task::yield_now().await;
                clock.ring();
                tokio::task::yield_now().await;
                Ok(2)
            });
            second.await?;
            let third = step.run("c", || async {
                tokio::task::yield_now().await;
                let open = open.lock().unwrap().take();
                let opened = open.expect("it runs once").send(());
                opened.expect("a report waits");
                tokio::task::yield_now().await;
                clock.ring();
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
                Ok(3)
            });
            third.await?;
            step.run("d", || async { Ok(4) }).await?;
            Ok::<_, Error>(())
        }
    };
    let every_second = Checkpointing::on()
        .buffered_steps(10)
        .max_interval(Duration::from_secs(1));
    Function::new("f")
        .on_event("app/test")
        .checkpointing(every_second)
        .handler(handler)
}

#[tokio::test]
async fn steps_that_ended_during_a_report_are_reported_in_their_time() {
    let (reports, clock) = (Reports::default(), HandClock::default());
    let function = a_report_after_another(&reports, &clock);
    assert_eq!(
        reports.call_at(clock, function, json!({})).await,
        "206 StepRun c#0 3, StepRun d#0 4, RunComplete null#null"
    );
    assert_eq!(reports.taken(), ["StepRun a 1", "StepRun b 2"]);
}

#[tokio::test]
async fn steps_whose_report_failed_are_reported_with_later_ones() {
    let (reports, clock) = (Reports::default(), HandClock::default());
    reports.refuse(CheckpointError::Failed("out of reach".to_owned()));
    let function = a_report_after_another(&reports, &clock);
    assert_eq!(
        reports.call_at(clock, function, json!({})).await,
        "206 StepRun c#0 3, StepRun d#0 4, RunComplete null#null"
    );
    assert_eq!(reports.taken(), ["StepRun a 1, StepRun b 2"]);
}

#[tokio::test]
async fn a_call_whose_place_was_taken_during_a_step_ends() {
    let (reports, clock) = (Reports::default(), HandClock::default());
    reports.refuse(CheckpointError::Stale);
    let function = a_report_after_another(&reports, &clock);
    assert_eq!(
        reports.call_at(clock, function, json!({})).await,
        "206 StepRun a#0 1, StepRun b#0 2, StepRun c#0 3"
    );
    assert!(reports.taken().is_empty());
}

#[tokio::test]
async fn what_the_server_sees_to_ends_the_call() {
    let reports = Reports::default();
    let sleeps = function(async |ctx: Context| {
        ctx.step().run("a", || async { Ok(()) }).await?;
        ctx.step().sleep("nap", Duration::from_secs(5)).await;
        Ok::<_, Error>(())
    });
    assert_eq!(reports.call(sleeps, json!({})).await, "206 Sleep nap#0 5s");
    let forks = function(async |ctx: Context| {
        let step = ctx.step();
        step.run("a", || async { Ok(()) }).await?;
        let one = step.run("b", || async { Ok(1) });
        let other = step.run("c", || async { Ok(2) });
        let (one, other) = futures::try_join!(one, other)?;
        Ok::<_, Error>(one + other)
    });
    assert_eq!(
        reports.call(forks, json!({})).await,
        "206 StepPlanned b#0, StepPlanned c#0"
    );
    let fails = function(async |ctx: Context| {
        ctx.step().run("a", || async { Ok(()) }).await?;
        let broken = ctx.step().run("b", || async { Err::<(), _>("no".into()) });
        Ok::<_, Error>(broken.await?)
    });
    assert_eq!(reports.call(fails, json!({})).await, "206 StepError b#0 no");
    assert_eq!(reports.taken(), ["StepRun a null"; 3]);
}

#[tokio::test]
async fn steps_that_cannot_be_reported_go_along_with_the_answer() {
    let reports = Reports::default();
    reports.refuse(CheckpointError::Failed("out of reach".to_owned()));
    assert_eq!(
        reports.call(function(three), json!({})).await,
        "206 StepRun a#0 1"
    );
    reports.refuse(CheckpointError::Stale);
    assert_eq!(
        reports.call(function(three), json!({})).await,
        "206 StepRun a#0 1"
    );
    assert!(reports.taken().is_empty());
}

#[tokio::test]
async fn a_call_that_took_its_time_plans_what_comes_next() {
    let reports = Reports::default();
    let brief = Function::new("f")
        .on_event("app/test")
        .checkpointing(Checkpointing::on().max_runtime(Duration::ZERO))
        .handler(three);
    assert_eq!(reports.call(brief, json!({})).await, "206 StepPlanned b#0");
    assert_eq!(reports.taken(), ["StepRun a 1"]);
}

#[tokio::test]
async fn a_call_of_a_worker_that_shuts_down_ends_after_its_step() {
    let (reports, closing) = (Reports::default(), Arc::new(AtomicBool::new(true)));
    let clock = StillClock { delays_end: false };
    let answer = reports.call_until(Some(closing), clock, function(three), json!({}));
    assert_eq!(answer.await, "206 StepPlanned b#0");
    assert_eq!(reports.taken(), ["StepRun a 1"]);
}

#[tokio::test]
async fn calls_that_must_not_run_on_do_not() {
    let reports = Reports::default();
    let off = Function::new("f")
        .on_event("app/test")
        .checkpointing(Checkpointing::off())
        .handler(three);
    let cases = [
        (off, json!({}), "206 StepRun a#0 1"),
        // After a failed attempt, the server has yet to count anew.
        (function(three), json!({"attempt": 1}), "206 StepRun a#0 1"),
        (function(three), json!({"qi_id": ""}), "206 StepRun a#0 1"),
        (
            function(three),
            json!({"disable_immediate_execution": true}),
            "206 StepPlanned a#0",
        ),
        (
            function(three),
            json!({"step_id": hash("a")}),
            "206 StepRun a#0 1",
        ),
    ];
    for (function, ctx, expected) in cases {
        assert_eq!(reports.call(function, ctx).await, expected);
    }
    assert!(reports.taken().is_empty());
}

#[tokio::test]
async fn a_failure_is_told_though_the_steps_before_it_could_not_be_reported() {
    let reports = Reports::default();
    reports.refuse(CheckpointError::Failed("out of reach".to_owned()));
    let failing = Function::new("f")
        .on_event("app/test")
        .checkpointing(Checkpointing::on().buffered_steps(3))
        .handler(|ctx: Context| async move {
            let step = ctx.step();
            let a: u32 = step.run("a", || async { Ok(1) }).await?;
            let failed = step.run("b", || async { Err::<u32, _>(Error::new("No", "never")) });
            Ok::<_, Error>(a + failed.await?)
        });
    let answer = reports.call(failing, json!({})).await;
    assert_eq!(answer, "206 StepRun a#0 1, StepError b#0 never");
}

#[tokio::test]
async fn a_function_that_ends_while_its_step_does_is_called_anew_for_its_result() {
    let reports = Reports::default();
    let quick = function(|ctx: Context| async move {
        let (tell, told) = oneshot::channel();
        let step = ctx.step().run("a", || async move {
            tell.send(()).expect("someone listens");
            Ok(1)
        });
        match futures::future::select(Box::pin(step), told).await {
            futures::future::Either::Left((a, _)) => Ok::<u32, Error>(a?),
            futures::future::Either::Right(_) => Ok(7),
        }
    });
    let answer = reports.call(quick, json!({})).await;
    assert_eq!(answer, "206 StepRun a#0 1");
    assert!(reports.taken().is_empty());
}
