//! What it costs to find the waits that an event matches, by how many there are.
//!
//! Each wait is for an event of one name, with a condition that tells it apart from the others
//! (`async.data.kind == 'paid' && async.data.id == <its own>`), as runs that wait for "their" event have it.

#![expect(clippy::print_stdout, reason = "the figures are the bench's output")]

use serde_json::json;
use std::time::Instant;
use stepwell_engine::waits::condition_for;
use stepwell_engine::{
    AppRow, AppSync, Ask, Config, Decision, Effect, Engine, EventWait, IdSource, Input, NewEvent,
    ReportedOp, ReportedOutcome, ReportedReply, Timestamp, function,
};
use stepwell_protocol::op::Opcode;
use stepwell_protocol::{AppId, StepId, register, shared_json};

const NOW: Timestamp = Timestamp::from_ms(1_767_225_600_000);
/// Events of each kind that are timed.
const EVENTS: u64 = 1_000;

fn main() {
    println!("waits      event that matches one   event that matches none");
    for waits in [100, 10_000, 1_000_000] {
        let (mut engine, mut ids) = engine_with(waits);
        assert_eq!(engine.waits() as u64, waits);
        let events = EVENTS.min(waits);
        let matching = time(&mut engine, &mut ids, events, |index| {
            index * (waits / events)
        });
        assert_eq!(
            engine.waits() as u64,
            waits - events,
            "each resumed one run"
        );
        let missing = time(&mut engine, &mut ids, EVENTS, |index| waits + index);
        println!("{waits:>9}  {matching:>19.2} µs  {missing:>20.2} µs");
    }
}

/// Microseconds for one event, on average; `id` says which wait each is for.
fn time(engine: &mut Engine, ids: &mut IdSource, events: u64, id: impl Fn(u64) -> u64) -> f64 {
    let inputs: Vec<Input> = (0..events)
        .map(|index| {
            let data = json!({"kind": "paid", "id": id(index)});
            Input::EventsReceived(vec![event(ids, "shop/order", data)])
        })
        .collect();
    let mut decision = Decision::default();
    let start = Instant::now();
    for input in inputs {
        engine.handle(input, NOW, ids, &mut decision);
    }
    start.elapsed().as_secs_f64() * 1e6 / events as f64
}

/// An engine in which so many runs wait, each for its own event.
fn engine_with(waits: u64) -> (Engine, IdSource) {
    let config = Config {
        calls_max: 1,
        ..Config::default()
    };
    let (mut engine, mut ids) = (Engine::new(config, NOW), IdSource::from_seed(1));
    let body = json!({
        "appName": "app", "url": "http://app.test", "functions": [{
            "id": "app-f", "name": "f", "triggers": [{"event": "x/y"}],
            "steps": {"step": {"id": "step", "name": "step",
                "runtime": {"type": "http", "url": "http://app.test/?fnId=app-f&stepId=step"}}},
        }],
    });
    let registration = register::Registration::parse(body.to_string().as_bytes());
    let registration = registration.expect("it decodes");
    let functions = function::compile_all(&registration).expect("it compiles");
    let app = AppRow {
        id: AppId::of("app"),
        name: "app".to_owned(),
        url: "http://app.test".to_owned(),
        sdk: String::new(),
        framework: String::new(),
        checksum: String::new(),
        synced_at: NOW,
    };
    let sync = Input::AppSynced(Box::new(AppSync { app, functions }));
    engine.handle(sync, NOW, &mut ids, &mut Decision::default());
    for id in 0..waits {
        let mut decision = Decision::default();
        let start = Input::EventsReceived(vec![event(&mut ids, "x/y", json!({"id": id}))]);
        engine.handle(start, NOW, &mut ids, &mut decision);
        let Some(Effect::Call(call)) = decision.effects.first() else {
            panic!("a run is called at once");
        };
        let own = json!({"data": {"id": id}});
        let condition = "async.data.kind == 'paid' && async.data.id == event.data.id";
        let wait = EventWait {
            event: "shop/order".to_owned(),
            condition: condition_for(condition, &own),
            timeout: "1h".to_owned(),
            look_back_ms: None,
        };
        let op = ReportedOp {
            op: Opcode::WaitForEvent,
            step: StepId::of("wait", 0),
            title: "wait".to_owned(),
            value: None,
            error: None,
            ask: Ask::Event(Box::new(wait)),
            race: false,
            kind: None,
            started_at: None,
            metadata: Vec::new(),
        };
        let answer = Input::CallReturned {
            item: call.item,
            generation: call.generation,
            reply: Box::new(ReportedReply {
                request_version: Some(2),
                retry_after: None,
                no_retry: false,
                outcome: ReportedOutcome::Ops(vec![op]),
            }),
        };
        engine.handle(answer, NOW, &mut ids, &mut Decision::default());
    }
    (engine, ids)
}

fn event(ids: &mut IdSource, name: &str, data: serde_json::Value) -> NewEvent {
    let id = ids.event_id(NOW);
    let body = json!({"name": name, "data": data, "id": id, "ts": 1});
    NewEvent {
        id,
        name: name.into(),
        external_id: None,
        ts_ms: 1,
        repeatable: false,
        body: shared_json(body.to_string()).expect("serialised JSON is JSON"),
    }
}
