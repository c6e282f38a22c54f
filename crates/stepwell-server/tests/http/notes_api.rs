//! What apps note of their runs: metadata, scores, spans of their own.

use crate::app::{App, failed, id, ops, returned, step_run};
use crate::server::{Server, function};
use serde_json::{Value, json};

const UNKNOWN: &str = "01JZXQ2M5N1V8Q7T7Q0000000A";

/// A server with a run that has ended, whose step was tried twice and noted something of itself; and the run's id.
async fn ended() -> (Server, App, String) {
    let app = App::start(|call| match (call.has("charge"), call.attempt()) {
        (true, _) => returned(&json!("done")),
        (false, 0) => failed("no luck"),
        (false, _) => {
            let mut step = step_run("charge", json!(1));
            step["metadata"] = json!([
                {"kind": "userland.default", "op": "set", "scope": "step", "values": {"by": "op"}},
                {"kind": "inngest.experiment", "op": "merge", "scope": "run", "values": {"name": "e", "variant": "b"}},
                {"kind": "inngest.http", "op": "set", "scope": "step", "values": {"not": "kept"}},
                {"kind": "userland.default", "scope": "nowhere"},
            ]);
            ops(&[step])
        }
    })
    .await;
    let server = Server::start().await;
    let function = function("shop-pay", "pay", &app.url, 3);
    server.register("shop", &app, &[function]).await;
    let event = server.send(json!({"name": "pay", "data": {}})).await;
    let run = server.ended(&event).await["run_id"].clone();
    (server, app, run.as_str().expect("it has an id").to_owned())
}

async fn root(server: &Server, run: &str) -> Value {
    let path = format!("/v2/runs/{run}/trace");
    server.get(&path).await.expect(200)["data"]["rootSpan"].clone()
}

/// What is noted of a span: scope, kind and values.
fn noted(span: &Value) -> Value {
    let noted = span["metadata"].as_array().expect("a list").iter();
    let mut noted: Vec<Value> = noted
        .map(|one| {
            assert!(one["updatedAt"].is_string(), "{one}");
            json!([one["scope"], one["kind"], one["values"]])
        })
        .collect();
    noted.sort_by_key(Value::to_string);
    noted.into()
}

fn child<'a>(span: &'a Value, name: &str) -> &'a Value {
    let mut children = span["children"].as_array().expect("a list").iter();
    let found = children.find(|child| child["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not below {span:#}"))
}

#[tokio::test]
async fn metadata_of_runs_steps_and_attempts_is_told_with_their_spans() {
    let (server, _app, run) = ended().await;
    let path = format!("/v1/runs/{run}/metadata");
    for (target, kind, values) in [
        (json!({}), "userland.invoice", json!({"number": 5})),
        (
            json!({"step_id": "charge"}),
            "userland.default",
            json!({"more": [1, 2]}),
        ),
        (
            json!({"step_id": "charge", "step_attempt": 1}),
            "userland.default",
            json!({"try": "last"}),
        ),
        (
            json!({"step_id": id("charge"), "step_index": 0, "step_attempt": 0}),
            "userland.default",
            json!({"try": "first"}),
        ),
    ] {
        let body = json!({"target": target, "metadata": [{"kind": kind, "op": "merge", "values": values}]});
        let answer = server.post(&path, body.to_string()).await.expect(200);
        assert_eq!(answer["data"], json!({"ok": true}));
    }
    let root = root(&server, &run).await;
    assert_eq!(
        noted(&root),
        json!([
            ["run", "inngest.experiment", {"name": "e", "variant": "b"}],
            ["run", "userland.invoice", {"number": 5}],
        ])
    );
    let step = child(&root, "charge");
    assert_eq!(
        noted(step),
        json!([["step", "userland.default", {"by": "op", "more": [1, 2]}]])
    );
    let tries = ["Attempt 0", "Attempt 1"].map(|name| noted(child(step, name)));
    assert_eq!(
        tries[0],
        json!([["step_attempt", "userland.default", {"try": "first"}]])
    );
    assert_eq!(
        tries[1],
        json!([["step_attempt", "userland.default", {"try": "last"}]])
    );
}

#[tokio::test]
async fn metadata_that_cannot_be_noted_is_refused() {
    let (server, _app, run) = ended().await;
    let ok = || json!([{"kind": "userland.a", "op": "set", "values": {}}]);
    let large = |bytes: usize| json!([{"kind": "userland.a", "op": "set", "values": {"a": "x".repeat(bytes)}}]);
    let reserved = json!([{"kind": "inngest.http", "op": "set", "values": {}}]);
    let cases = [
        (
            &*run,
            json!({"step_index": 1}),
            ok(),
            400,
            "Invalid metadata target",
        ),
        (
            &run,
            json!({"step_attempt": 1}),
            ok(),
            400,
            "Invalid metadata target",
        ),
        (
            &run,
            json!({"span_id": "a"}),
            ok(),
            400,
            "Invalid metadata target",
        ),
        (
            &run,
            json!({}),
            reserved,
            400,
            "Metadata kind 'inngest.http' is reserved",
        ),
        (
            &run,
            json!({}),
            large(70_000),
            413,
            "Metadata span exceeds maximum size of 64KB",
        ),
        (
            UNKNOWN,
            json!({}),
            ok(),
            404,
            "Unable to load function run: 01JZXQ2M5N1V8Q7T7Q0000000A",
        ),
        (
            "nonsense",
            json!({}),
            ok(),
            400,
            "The run ID specified is invalid",
        ),
    ];
    for (run, target, metadata, status, text) in cases {
        let body = json!({"target": target, "metadata": metadata}).to_string();
        let refused = server.post(&format!("/v1/runs/{run}/metadata"), body).await;
        assert_eq!(refused.refusal(status), text);
    }
    let path = format!("/v1/runs/{run}/metadata");
    let op = json!({"metadata": [{"kind": "userland.a", "op": "destroy", "values": {}}]});
    let refused = server.post(&path, op.to_string()).await.refusal(400);
    assert!(refused.contains("metadata[0].op"), "{refused}");
    let mut refused = None;
    for number in 0..18 {
        let body = json!({"metadata": [{"kind": format!("k{number}"), "op": "set", "values": {"a": "x".repeat(60_000)}}]});
        let answer = server.post(&path, body.to_string()).await;
        if answer.status != 200 {
            refused = Some((number, answer.refusal(413)));
        }
    }
    let text =
        "Metadata of the run exceeds maximum size of 1024KB, 64KB in one entry, or 1000 entries";
    assert_eq!(refused, Some((17, text.to_owned())));

    // What is there counts, not what was sent: an entry that is full takes no more, and one that is removed makes room.
    let post = async |kind: &str, op: &str, values: Value| {
        let body = json!({"metadata": [{"kind": kind, "op": op, "values": values}]});
        server.post(&path, body.to_string()).await
    };
    let more = json!({"b": "x".repeat(10_000)});
    let refused = post("k0", "merge", more.clone()).await;
    assert_eq!(refused.refusal(413), text);
    post("k0", "delete", json!({"a": null})).await.expect(200);
    post("k1", "set", json!({"a": "x".repeat(60_000)}))
        .await
        .expect(200);
    post("k0", "merge", more).await.expect(200);
}

#[tokio::test]
async fn scores_are_metadata_of_runs_and_steps() {
    let (server, _app, run) = ended().await;
    let path = format!("/v2/runs/{run}/scores");
    let body = json!({"scores": [
        {"name": "helpful", "value": 0.5}, {"name": "safe", "value": true},
        {"name": "fast", "value": 3, "stepId": "charge", "experiment": {"experimentName": "speed", "variant": "b"}},
    ]});
    let answer = server.post(&path, body.to_string()).await.expect(200);
    assert_eq!(answer["data"], json!({"runId": run}));
    let again = json!({"scores": [{"name": "helpful", "value": 0.75}]});
    server.post(&path, again.to_string()).await.expect(200);
    let root = root(&server, &run).await;
    assert_eq!(
        noted(&root),
        json!([
            ["run", "inngest.experiment", {"name": "e", "variant": "b"}],
            ["run", "inngest.score", {"helpful": {"value": 0.75}, "safe": {"value": true}}],
        ])
    );
    assert_eq!(
        noted(child(&root, "charge")),
        json!([
            ["step", "inngest.experiment", {"name": "speed", "variant": "b"}],
            ["step", "inngest.score", {"fast": {"value": 3}}],
            ["step", "userland.default", {"by": "op"}],
        ])
    );
    for (scores, status, code) in [
        (json!([]), 400, "invalid_request"),
        (
            json!([{"name": "", "value": 1}]),
            400,
            "invalid_field_format",
        ),
        (
            json!([{"name": "it's", "value": 1}]),
            400,
            "invalid_field_format",
        ),
        (
            json!([{"name": "a", "value": "good"}]),
            400,
            "invalid_field_format",
        ),
        (
            json!([{"name": "x".repeat(129), "value": 1}]),
            400,
            "invalid_field_format",
        ),
    ] {
        let body = json!({"scores": scores}).to_string();
        let refused = server.post(&path, body).await.expect(status);
        assert_eq!(refused["errors"][0]["code"], code, "{refused}");
    }
    let unknown = format!("/v2/runs/{UNKNOWN}/scores");
    let refused = server.post(&unknown, body.to_string()).await.expect(404);
    assert_eq!(refused["errors"][0]["code"], "not_found");
}

fn attributes(pairs: &[(&str, Value)]) -> Value {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| json!({"key": key, "value": {"stringValue": value}}))
        .collect()
}

#[tokio::test]
async fn an_apps_own_spans_are_told_below_their_steps() {
    let (server, app, run) = ended().await;
    let calls = app.calls();
    let headers = &calls[0].headers;
    let parent = headers["traceparent"].to_str().expect("it is text");
    let state = headers["tracestate"].to_str().expect("it is text");
    let mut fields = state.split(',').filter_map(|field| field.split_once('='));
    let (key, traced) = fields.next().expect("it has fields");
    assert_eq!((key, traced), ("inngest@traceref", &*run));
    let span = |id: &str, parent: &str, name: &str, more: &[(&str, Value)]| {
        let mut of_run = vec![
            ("inngest.traceref", json!(traced)),
            ("inngest.traceparent", json!(parent)),
        ];
        of_run.extend_from_slice(more);
        json!({"spanId": id, "parentSpanId": parent, "name": name, "kind": 1,
            "startTimeUnixNano": "1767225600000000000", "endTimeUnixNano": "1767225600500000000",
            "attributes": attributes(&of_run), "status": {"code": if name == "query" { 2 } else { 0 }}})
    };
    let hash = id("charge");
    let in_step = [("inngest.step.hash", json!(hash))];
    let export = json!({"resourceSpans": [{
        "resource": {"attributes": attributes(&[("service.name", json!("shop"))])},
        "scopeSpans": [{"scope": {"name": "pg", "version": "8"}, "spans": [
            span("00000000000000aa", "", "inngest.execution", &[]),
            span("00000000000000ab", "00000000000000aa", "handle", &in_step),
            span("00000000000000ac", "00000000000000ab", "query", &[("sql", json!("select 1"))]),
            {"spanId": "00000000000000ad", "name": "nobody's"},
        ]}],
    }]});
    let json_type = [("content-type", "application/json")];
    let path = "/v1/traces/userland";
    let answer = server
        .request(reqwest::Method::POST, path, &json_type, export.to_string())
        .await
        .expect(200);
    assert_eq!(answer["partialSuccess"]["rejectedSpans"], "1");
    let root = root(&server, &run).await;
    let step = child(&root, "charge");
    let handle = child(step, "handle");
    let query = child(handle, "query");
    assert_eq!(
        (&handle["status"], &query["status"]),
        (&json!("COMPLETED"), &json!("FAILED"))
    );
    assert_eq!(query["durationMs"], "500");
    assert_eq!(query["userland"]["attributes"], json!({"sql": "select 1"}));
    let question = json!({"query": "query ($run: String!) { runTrace(runID: $run) { traceID spanID isUserland childrenSpans {
        name isUserland childrenSpans { name isUserland userlandSpan {
            spanName spanKind serviceName scopeName scopeVersion spanAttrs resourceAttrs } } } } }",
        "variables": {"run": run}});
    let told = server
        .request(
            reqwest::Method::POST,
            "/v0/gql",
            &json_type,
            question.to_string(),
        )
        .await
        .expect(200);
    let root = &told["data"]["runTrace"];
    let ids = format!(
        "00-{}-{}-01",
        root["traceID"].as_str().unwrap(),
        root["spanID"].as_str().unwrap()
    );
    assert_eq!(parent, ids, "the app's spans are part of the run's trace");
    let children = root["childrenSpans"].as_array().expect("a list").iter();
    let step = children
        .clone()
        .find(|child| child["name"] == "charge")
        .expect("the step");
    let handle = step["childrenSpans"]
        .as_array()
        .expect("a list")
        .last()
        .expect("the span");
    assert_eq!(
        handle["userlandSpan"],
        json!({"spanName": "handle", "spanKind": "INTERNAL", "serviceName": "shop", "scopeName": "pg",
            "scopeVersion": "8", "spanAttrs": "{}", "resourceAttrs": "{\"service.name\":\"shop\"}"})
    );
}

#[tokio::test]
async fn exports_that_do_not_read_are_refused() {
    let (server, _app, _run) = ended().await;
    let path = "/v1/traces/userland";
    let post = |kind: &'static str, body: &'static str| {
        let headers = [("content-type", kind)];
        let server = &server;
        async move {
            server
                .request(reqwest::Method::POST, path, &headers, body)
                .await
        }
    };
    assert_eq!(post("application/json", "{}").await.expect(200), json!({}));
    assert_eq!(post("application/x-protobuf", "").await.status, 200);
    let refused = post("application/json", "[").await.refusal(400);
    assert!(
        refused.starts_with("expected an export of spans"),
        "{refused}"
    );
    let refused = post("application/x-protobuf", "nonsense").await;
    assert_eq!(refused.status, 400);
    assert_eq!(post("text/plain", "{}").await.status, 415);
    let headers = [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
    ];
    let refused = server
        .request(reqwest::Method::POST, path, &headers, "")
        .await;
    assert_eq!(refused.status, 415);
}
