use super::*;
use crate as stepwell;
use crate::moment::Moment;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Debug, Serialize, Deserialize, JsonSchema, garde::Validate, stepwell_macros::Event)]
#[serde(rename_all = "camelCase")]
#[event(name = "studio.workflow.requested", version = "2", crate = "stepwell")]
struct WorkflowRequested {
    #[garde(length(min = 1))]
    run_id: String,
    #[serde(default)]
    #[garde(dive)]
    nodes: Vec<Node>,
    #[garde(skip)]
    mode: Option<Mode>,
    #[garde(url)]
    callback_url: Option<String>,
    #[serde(default)]
    #[garde(skip)]
    labels: BTreeMap<String, u8>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Mode {
    Run,
    DryRun,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, garde::Validate)]
#[serde(rename_all = "camelCase")]
struct Node {
    #[garde(length(min = 1))]
    id: String,
    #[garde(skip)]
    position: Position,
    #[garde(skip)]
    shape: Option<Shape>,
    #[garde(inner(length(min = 2)))]
    plugin_id: Option<String>,
    #[serde(flatten)]
    #[garde(skip)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Position {
    x: f64,
    y: f64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind")]
enum Shape {
    Circle { radius: f64 },
    Square { side: f64 },
}

fn issues(data: Value) -> String {
    match WorkflowRequested::from_event("", data) {
        Ok(_) => "valid".to_owned(),
        Err(issues) => list(&issues).replace("; ", "\n"),
    }
}

#[test]
fn a_good_payload_is_taken_with_what_it_does_not_know() {
    let data = json!({
        "runId": "r", "mode": "dryRun", "unknown": 1,
        "nodes": [{"id": "a", "position": {"x": 1, "y": 2.5}, "shape": {"kind": "Circle", "radius": 1}, "icon": "x"}],
    });
    let event = WorkflowRequested::from_event("", data).unwrap();
    assert_eq!(event.nodes[0].rest["icon"], "x");
}

#[test]
fn every_bad_value_is_named_with_its_place() {
    insta::assert_snapshot!(issues(json!({
        "runId": 7, "mode": "walk", "labels": {"a": 300, "b": "x"},
        "nodes": [
            {"id": "a", "position": {"x": "left", "y": 1}},
            {"position": {"x": 1}},
            3,
            {"id": "d", "position": {"x": 1, "y": 2}, "shape": {"kind": "Circle", "radius": "big"}},
            {"id": "e", "position": null, "shape": {"kind": "Line"}},
        ],
    })), @r#"
    data.runId: expected a string, found a number
    data.mode: expected one of "run", "dryRun" or null, found "walk"
    data.labels.a: expected at most 255, found 300
    data.labels.b: expected an integer, found a string
    data.nodes[0].position.x: expected a number, found a string
    data.nodes[1].id: expected a string, but it is missing
    data.nodes[1].position.y: expected a number, but it is missing
    data.nodes[2]: expected an object, found a number
    data.nodes[3].shape.radius: expected a number, found a string
    data.nodes[4].position: expected an object, found null
    data.nodes[4].shape.kind: expected "Circle" or "Square", found "Line"
    "#);
    assert_eq!(
        issues(json!([])),
        "data: expected an object, found an array"
    );
}

#[test]
fn values_that_decode_but_are_not_allowed_are_named_as_the_json_names_them() {
    insta::assert_snapshot!(issues(json!({
        "runId": "", "callbackUrl": "nowhere",
        "nodes": [{"id": "", "position": {"x": 1, "y": 2}, "pluginId": "p"}],
    })), @r"
    data.callbackUrl: not a valid url: relative URL without a base
    data.nodes[0].id: length is lower than 1
    data.nodes[0].pluginId: length is lower than 2
    data.runId: length is lower than 1
    ");
}

fn valid() -> WorkflowRequested {
    WorkflowRequested::from_event("", json!({"runId": "r"})).unwrap()
}

fn render(event: impl Into<OutgoingEvent>) -> Result<Value, EventError> {
    let text = event
        .into()
        .render(Moment::from_unix_ms(1_767_225_600_000))?;
    Ok(serde_json::from_str(&text).unwrap())
}

#[test]
fn an_event_goes_out_with_its_name_version_and_time() {
    insta::assert_snapshot!(render(valid()).unwrap(), @r#"{"name":"studio.workflow.requested","data":{"runId":"r","nodes":[],"mode":null,"callbackUrl":null,"labels":{}},"ts":1767225600000,"v":"2"}"#);
    let dated = OutgoingEvent::new(&valid())
        .id("k")
        .at(Moment::from_unix_ms(5));
    let dated = render(dated).unwrap();
    assert_eq!((&dated["id"], &dated["ts"]), (&json!("k"), &json!(5)));
}

#[test]
fn an_event_that_no_server_would_take_is_refused_before_it_is_sent() {
    let mut invalid = valid();
    invalid.run_id.clear();
    let cases: [(OutgoingEvent, &str); 6] = [
        (
            invalid.into(),
            "event 'studio.workflow.requested' is not valid: data.runId: length is lower than 1",
        ),
        (
            OutgoingEvent::untyped("", json!({})),
            "event name '' is empty: give the event a name",
        ),
        (
            OutgoingEvent::untyped("Inngest/x", json!({})),
            "event name 'Inngest/x' starts with inngest/, which belongs to the server",
        ),
        (
            OutgoingEvent::untyped("n".repeat(513), json!({})),
            "event name 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn' has 513 bytes; at most 512 are taken",
        ),
        (
            OutgoingEvent::untyped("a", json!([1])),
            "event 'a': data must be a JSON object",
        ),
        (
            OutgoingEvent::untyped("a", json!({"x": "y".repeat(3 * 1024 * 1024)})),
            "event 'a' has 3145775 bytes; at most 3145728 are taken: store the data elsewhere and send a reference",
        ),
    ];
    for (event, expected) in cases {
        let error = render(event).unwrap_err().to_string();
        assert_eq!(error, expected);
    }
    assert_eq!(
        render(OutgoingEvent::untyped("a", Value::Null)).unwrap()["data"],
        json!({})
    );
}
