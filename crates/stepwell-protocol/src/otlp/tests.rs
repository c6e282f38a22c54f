use super::binary::{Any, AnyValue, KeyValue, Request, Resource, ResourceSpans, Scope, ScopeSpans};
use super::{UserSpan, from_json, from_protobuf, trace_ref};
use crate::{RunId, StepId, limits};
use prost::Message;
use serde_json::{Map, Value, json};

const RUN: &str = "01JZXQ2M5N1V8Q7T7Q0000000A";

fn run() -> RunId {
    RUN.parse().expect("it is an id")
}

/// An export of one span with these attributes.
fn export(name: &str, attributes: Value) -> Value {
    json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeSpans": [{"scope": {"name": "pg", "version": "1.2"}, "spans": [{
            "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "EEE19B7EC3C1B174",
            "parentSpanId": "eee19b7ec3c1b173", "name": name, "kind": 3,
            "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": 1_544_712_661_500_000_000_u64,
            "attributes": attributes, "status": {"code": 2, "message": "no"}, "droppedAttributesCount": 0,
        }]}],
    }]})
}

fn read(export: &Value) -> super::Export {
    from_json(export.to_string().as_bytes()).expect("it reads")
}

#[test]
fn a_span_is_read_with_what_it_says() {
    let step = StepId::of("charge", 0);
    let read = read(&export(
        "select",
        json!([
            {"key": "sdk.run.id", "value": {"stringValue": RUN}},
            {"key": "inngest.step.hash", "value": {"stringValue": step.to_string()}},
            {"key": "inngest.step.attempt", "value": {"intValue": 1}},
            {"key": "inngest.step.parentSpanId", "value": {"stringValue": "x"}},
            {"key": "rows", "value": {"intValue": "5"}},
            {"key": "tags", "value": {"arrayValue": {"values": [{"boolValue": true}, {"doubleValue": 0.5}]}}},
            {"key": "of", "value": {"kvlistValue": {"values": [{"key": "a", "value": {"stringValue": "b"}}]}}},
        ]),
    ));
    let attributes = json!({"rows": 5, "tags": [true, 0.5], "of": {"a": "b"}});
    let expected = UserSpan {
        id: "eee19b7ec3c1b174".to_owned(),
        parent: Some("eee19b7ec3c1b173".to_owned()),
        name: "select".to_owned(),
        kind: "CLIENT".to_owned(),
        started_ms: 1_544_712_660_000,
        ended_ms: 1_544_712_661_500,
        failed: true,
        scope: Some("pg".to_owned()),
        scope_version: Some("1.2".to_owned()),
        attributes: serde_json::from_value(attributes).expect("an object"),
        resource: Map::from_iter([("service.name".to_owned(), json!("shop"))]),
        step: Some(step),
        attempt: Some(1),
        is_top: true,
    };
    assert_eq!(read.spans, [(run(), expected.clone())]);
    assert_eq!(expected.service(), Some("shop"));
    let stored = serde_json::to_string(&expected).expect("it is JSON");
    assert_eq!(
        serde_json::from_str::<UserSpan>(&stored).ok(),
        Some(expected)
    );
}

#[test]
fn the_run_is_known_by_what_went_along_with_the_call() {
    let step = StepId::of("charge", 0);
    let attributes =
        |value: String| json!([{"key": "inngest.traceref", "value": {"stringValue": value}}]);
    for of_call in [None, Some(step), Some(StepId::parse("a, b"))] {
        let read = read(&export("x", attributes(trace_ref(run(), of_call.as_ref()))));
        let (of_run, span) = &read.spans[0];
        assert_eq!(*of_run, run());
        let known = of_call.filter(|step| matches!(step, StepId::Hash(_)));
        assert_eq!(span.step, known);
    }
    let unknown = read(&export("x", attributes("nonsense".to_owned())));
    assert_eq!((unknown.spans.len(), unknown.rejected), (0, 1));
}

#[test]
fn the_span_around_a_call_is_left_out() {
    let export = export("inngest.execution", json!([]));
    assert_eq!(read(&export), super::Export::default());
}

#[test]
fn a_large_span_loses_its_attributes() {
    let large = "x".repeat(limits::USER_SPAN_BYTES_MAX);
    let read = read(&export(
        "x",
        json!([{"key": "sdk.run.id", "value": {"stringValue": RUN}},
            {"key": "large", "value": {"stringValue": large}}]),
    ));
    assert!(read.spans[0].1.attributes.is_empty());
    let name = "x".repeat(limits::USER_SPAN_BYTES_MAX);
    let attributes = json!([{"key": "sdk.run.id", "value": {"stringValue": RUN}}]);
    assert_eq!(self::read(&export(&name, attributes)).rejected, 1);
}

#[test]
fn both_forms_read_the_same() {
    let any = |value| Some(AnyValue { value: Some(value) });
    let pair = |key: &str, value| KeyValue {
        key: key.to_owned(),
        value: any(value),
    };
    let request = Request {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![pair("service.name", Any::Text("shop".to_owned()))],
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(Scope {
                    name: "pg".to_owned(),
                    version: "1.2".to_owned(),
                }),
                spans: vec![super::binary::Span {
                    span_id: hex::decode("eee19b7ec3c1b174").expect("hex"),
                    parent_span_id: hex::decode("eee19b7ec3c1b173").expect("hex"),
                    name: "x".to_owned(),
                    kind: 3,
                    start_time_unix_nano: 1_544_712_660_000_000_000,
                    end_time_unix_nano: 1_544_712_661_500_000_000,
                    attributes: vec![
                        pair("sdk.run.id", Any::Text(RUN.to_owned())),
                        pair("rows", Any::Integer(5)),
                    ],
                    status: Some(super::binary::Status { code: 2 }),
                }],
            }],
        }],
    };
    let text = export(
        "x",
        json!([{"key": "sdk.run.id", "value": {"stringValue": RUN}}, {"key": "rows", "value": {"intValue": "5"}}]),
    );
    let binary = from_protobuf(&request.encode_to_vec()).expect("it reads");
    assert_eq!(binary, read(&text));
    assert!(from_protobuf(b"nonsense").is_err());
    let error = from_json(b"{\"resourceSpans\": 5}").expect_err("it does not read");
    assert!(error.to_string().contains("resourceSpans"), "{error}");
}

#[test]
fn what_spans_share_does_not_multiply() {
    let spans = |count: usize| {
        let span = json!({"spanId": "0102030405060708", "name": "s", "attributes": [
            {"key": "sdk.run.id", "value": {"stringValue": "01KDVDNKRGYMGBY20HKW2WTNPP"}},
        ]});
        vec![span; count]
    };
    let export = |resource: &str, scope: &str, count: usize| {
        let body = json!({"resourceSpans": [{
            "resource": {"attributes": [
                {"key": "service.name", "value": {"stringValue": "shop"}},
                {"key": "much", "value": {"stringValue": resource}},
            ]},
            "scopeSpans": [{"scope": {"name": scope}, "spans": spans(count)}],
        }]});
        from_json(body.to_string().as_bytes()).expect("it reads")
    };
    let large = export(&"x".repeat(100_000), &"y".repeat(100_000), 3);
    assert_eq!((large.spans.len(), large.rejected), (3, 0));
    let (_, span) = &large.spans[0];
    assert_eq!((span.service(), &span.scope), (Some("shop"), &None));
    assert!(span.bytes() < 1_000);
    let many = export("", "", 10_050);
    assert_eq!((many.spans.len(), many.rejected), (10_000, 50));
    let fat = export(&"x".repeat(8_000), "", 4_000);
    assert!(fat.rejected > 1_000, "16 MiB are enough: {}", fat.rejected);
}
