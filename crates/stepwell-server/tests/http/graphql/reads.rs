//! Reading single things, field by field.

use super::{check, run_of, shop, tidied, told};
use crate::server::Server;
use serde_json::{Value, json};

const RUN: &str = "query GetRun($runID: String!) { run(runID: $runID) {
    id functionID appID traceID queuedAt startedAt endedAt status triggerIDs eventName isBatch batchCreatedAt
    cronSchedule output hasAI isDeferred defers { id fnSlug status } siblingDefers { id } deferredFrom { parentRunID }
    function { id name slug app { externalID } } app { id name }
    trace(preview: true) { ...Span childrenSpans { ...Span childrenSpans { ...Span } } } } }
  fragment Span on RunTraceSpan {
    appID functionID runID spanID traceID name status attempts duration outputID queuedAt startedAt endedAt stepOp stepID
    stepType isRoot parentSpanID isUserland userlandSpan { spanName } debugRunID skipReason skipExistingRunID
    metadata { scope kind values updatedAt } response { statusCode headers }
    stepInfo { __typename
      ... on InvokeStepInfo { triggeringEventID functionID timeout returnEventID runID timedOut }
      ... on SleepStepInfo { sleepUntil }
      ... on WaitForEventStepInfo { eventName expression timeout foundEventID timedOut }
      ... on WaitForSignalStepInfo { signal timeout timedOut }
      ... on RunStepInfo { type } } }";

#[tokio::test]
async fn a_run_and_its_trace_field_by_field() {
    let (server, app) = shop().await;
    let mut shown = serde_json::Map::new();
    for name in ["good", "bad", "slow"] {
        let event = server.send(json!({"name": name, "data": {"n": 1}})).await;
        match name {
            "slow" => app.called(4).await,
            _ => drop(server.ended(&event).await),
        }
        let run = run_of(&server, &event).await;
        let mut data = told(&server, RUN, json!({"runID": run})).await;
        let outputs = outputs(&server, &data["run"]["trace"]).await;
        data["outputs"] = outputs;
        tidied(&mut data);
        shown.insert(name.to_owned(), data);
    }
    check("a_run_and_its_trace", &Value::Object(shown));
}

/// What the spans of a trace have given, by their names.
async fn outputs(server: &Server, span: &Value) -> Value {
    const OUTPUT: &str = "query ($id: String!) { runTraceSpanOutputByID(outputID: $id) {
        input data error { message name stack cause } } }";
    let mut found = serde_json::Map::new();
    let mut spans = vec![span];
    while let Some(span) = spans.pop() {
        spans.extend(span["childrenSpans"].as_array().into_iter().flatten());
        if let Some(id) = span["outputID"].as_str() {
            let output = told(server, OUTPUT, json!({"id": id})).await;
            let name = span["name"].as_str().expect("it has a name");
            found.insert(name.to_owned(), output["runTraceSpanOutputByID"].clone());
        }
    }
    Value::Object(found)
}

#[tokio::test]
async fn events_and_what_they_started_field_by_field() {
    let (server, _app) = shop().await;
    let event = server
        .send(json!({"name": "good", "data": {"n": 1}, "id": "mine", "ts": 1_700_000_000_000_i64}))
        .await;
    server.ended(&event).await;
    let run = run_of(&server, &event).await;
    let mut data = told(
        &server,
        "query ($event: ID!, $id: ULID!, $run: String!, $legacyRun: ID!) {
            eventV2(id: $id) { id idempotencyKey name occurredAt receivedAt raw version envID source { id }
                runs { id status function { name } } }
            event(query: {eventId: $event}) { id name createdAt payload raw totalRuns pendingRuns functionRuns { id } }
            events(query: {}) { id name payload }
            stream(query: {limit: 5, includeInternalEvents: false}) { id trigger type createdAt inBatch
                runs { id function { name } } }
            runTrigger(runID: $run) { eventName IDs payloads timestamp isBatch batchID cron }
            functionRun(query: {functionRunId: $legacyRun}) { id functionID status output eventID startedAt finishedAt
                batchID cron event { name } events { id } function { slug } } }",
        json!({"event": event, "id": event, "run": run, "legacyRun": run}),
    )
    .await;
    tidied(&mut data);
    check("events_and_what_they_started", &data);
}

#[tokio::test]
async fn apps_and_functions_field_by_field() {
    let (server, app) = shop().await;
    let mut data = told(
        &server,
        r#"{ apps(filter: {method: SERVE}) { id externalID name sdkLanguage sdkVersion framework url checksum error
                method appVersion connected functionCount autodiscovered functions { slug } }
            connected: apps(filter: {method: CONNECT}) { id }
            functions { id name app { id externalID name } }
            functionBySlug(query: {functionSlug: "shop-bad"}) { id name slug config concurrency url appID
                failureHandler { slug } triggers { type value condition }
                configuration { retries { value isDefault } cancellations { event } priority
                    eventsBatch { maxSize timeout key } concurrency { scope limit { value isPlanLimit } key }
                    rateLimit { limit period key } debounce { period key } throttle { burst key limit period }
                    singleton { key mode } } } }"#,
        json!({}),
    )
    .await;
    let text = data.to_string();
    let text = text.replace(&app.url, "http://app");
    let text = text.replace(&app.url.replace("127.0.0.1", "localhost"), "http://app");
    data = serde_json::from_str(&text).expect("it is JSON still");
    tidied(&mut data);
    check("apps_and_functions", &data);
}
