//! A repetition's event may be pruned between its being read and the commit: it is written again.

use stepwell_engine::function::compile_all;
use stepwell_engine::{
    AppRow, AppSync, Change, Config, Decision, Engine, EventRow, IdSource, Input, Repetition,
    Timestamp,
};
use stepwell_protocol::register::Registration;
use stepwell_protocol::{AppId, shared_json};

const NOW: Timestamp = Timestamp::from_ms(1_767_000_000_000);

#[test]
fn a_repetition_brings_its_event_along() {
    let mut ids = IdSource::from_seed(1);
    let mut engine = Engine::new(Config::default(), NOW);
    let body = r#"{"appName":"app","url":"http://localhost:1/x","functions":[{"id":"app-a","name":"a",
        "triggers":[{"event":"x/y"}],
        "steps":{"step":{"id":"step","name":"step","runtime":{"type":"http","url":"http://localhost:1/x"}}}}]}"#;
    let registration = Registration::parse(body.as_bytes()).expect("the registration is good");
    let functions = compile_all(&registration).expect("the functions are good");
    let function = functions[0].id;
    let app = AppRow {
        id: AppId::of("app"),
        name: "app".to_owned(),
        url: "http://localhost:1/x".to_owned(),
        sdk: String::new(),
        framework: String::new(),
        checksum: String::new(),
        synced_at: NOW,
    };
    let sync = Input::AppSynced(Box::new(AppSync { app, functions }));
    engine.handle(sync, NOW, &mut ids, &mut Decision::default());

    let event = EventRow {
        id: ids.event_id(NOW),
        name: "x/y".to_owned(),
        external_id: "order-1".to_owned(),
        ts_ms: 7,
        received_at: Timestamp::from_ms(8),
        body: shared_json("{}".to_owned()).expect("it is JSON"),
    };
    let repetition = Repetition {
        original: ids.run_id(NOW),
        function,
        event: event.clone(),
        steps: Vec::new(),
        target: None,
        input: None,
    };
    let mut decision = Decision::default();
    let input = Input::RunRepeated(Box::new(repetition));
    engine.handle(input, NOW, &mut ids, &mut decision);

    let mut changes = decision.changes.iter();
    let Some(Change::EventPut(row)) = changes.next() else {
        panic!("the event comes before its run: {:?}", decision.changes);
    };
    assert_eq!(
        (row.id, &*row.external_id, row.ts_ms, row.received_at),
        (event.id, "order-1", 7, Timestamp::from_ms(8))
    );
    let run = changes.find_map(|change| match change {
        Change::RunPut(row) => Some(row.events.to_vec()),
        _ => None,
    });
    assert_eq!(run, Some(vec![event.id]));
}
