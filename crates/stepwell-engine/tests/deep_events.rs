//! An event that no parser reads starts what needs not look into it, and stops nobody.

use stepwell_engine::function::compile_all;
use stepwell_engine::{
    AppRow, AppSync, Config, Decision, Effect, Engine, IdSource, Input, NewEvent, Timestamp,
};
use stepwell_protocol::AppId;
use stepwell_protocol::register::Registration;

const NOW: Timestamp = Timestamp::from_ms(1_767_000_000_000);

fn engine(ids: &mut IdSource) -> Engine {
    let function = |name: &str, more: &str| {
        format!(
            r#"{{"id":"app-{name}","name":"{name}","triggers":[{{"event":"deep"{more}
                "steps":{{"step":{{"id":"step","name":"step","runtime":{{"type":"http","url":"http://localhost:1/x"}}}}}}}}"#
        )
    };
    let body = format!(
        r#"{{"appName":"app","url":"http://localhost:1/x","functions":[{},{},{}]}}"#,
        function("any", "}],"),
        function("some", r#","expression":"event.data.x == 1"}],"#),
        function(
            "limited",
            r#"}],"concurrency":{"limit":1,"key":"event.data.user"},"throttle":{"limit":1,"period":"1s"},"#
        ),
    );
    let registration = Registration::parse(body.as_bytes()).expect("the registration is good");
    let functions = compile_all(&registration).expect("the functions are good");
    let app = AppRow {
        id: AppId::of("app"),
        name: "app".to_owned(),
        url: "http://localhost:1/x".to_owned(),
        sdk: String::new(),
        framework: String::new(),
        checksum: String::new(),
        synced_at: NOW,
    };
    let mut engine = Engine::new(Config::default(), NOW);
    let sync = Input::AppSynced(Box::new(AppSync { app, functions }));
    engine.handle(sync, NOW, ids, &mut Decision::default());
    engine
}

#[test]
fn it_counts_as_an_event_with_nothing_in_it() {
    let mut ids = IdSource::from_seed(1);
    let mut engine = engine(&mut ids);
    let (open, close) = ("[".repeat(1_000), "]".repeat(1_000));
    let body = format!(r#"{{"name":"deep","data":{{"x":1,"deep":{open}{close}}}}}"#);
    let event = NewEvent {
        id: ids.event_id(NOW),
        name: "deep".into(),
        external_id: None,
        ts_ms: 0,
        repeatable: false,
        body: stepwell_protocol::shared_json(body).expect("it is JSON"),
    };
    let mut decision = Decision::default();
    engine.handle(
        Input::EventsReceived(vec![event]),
        NOW,
        &mut ids,
        &mut decision,
    );
    let mut called: Vec<&str> = decision
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Call(call) => Some(&*call.slug),
            _ => None,
        })
        .collect();
    called.sort_unstable();
    assert_eq!(called, ["app-any", "app-limited"]);
}
