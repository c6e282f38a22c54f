//! GraphQL: what the protocol's tools ask for, as they ask for it.

use crate::app::{App, failed, ops, returned, sleep, step_run};
use crate::server::{Answer, Server, Setup, function};
use serde_json::{Value, json};
use std::collections::HashMap;
use stepwell_protocol::signing::SigningKey;
use stepwell_server::ServerOptions;

const UNKNOWN: &str = "01JZXQ2M5N1V8Q7T7Q0000000A";

async fn post(server: &Server, question: impl Into<reqwest::Body>) -> Answer {
    let json = [("content-type", "application/json")];
    server
        .request(reqwest::Method::POST, "/v0/gql", &json, question)
        .await
}

async fn ask(server: &Server, query: &str, variables: Value) -> Value {
    let question = json!({"query": query, "variables": variables});
    post(server, question.to_string()).await.expect(200)
}

/// What is told when nothing goes wrong.
async fn told(server: &Server, query: &str, variables: Value) -> Value {
    let mut answer = ask(server, query, variables).await;
    assert_eq!(answer["errors"], Value::Null, "{answer:#}");
    answer["data"].take()
}

/// What stays the same from run to run. Fields come in any order: names are given in that of the alphabet.
fn tidied(answer: &mut Value) {
    answer.sort_all_objects();
    tidy(answer, &mut HashMap::new());
}

/// Puts names in the place of ids and moments, which differ from run to run; what was the same stays the same.
fn tidy(value: &mut Value, names: &mut HashMap<String, String>) {
    match value {
        Value::String(text) => {
            let is_id = match text.len() {
                26 => text
                    .chars()
                    .all(|letter| letter.is_ascii_digit() || letter.is_ascii_uppercase()),
                16 | 32 => text.chars().all(|letter| letter.is_ascii_hexdigit()),
                36 => text.matches('-').count() == 4,
                _ => {
                    text.len() >= 40
                        && !text.contains(' ')
                        && !text.contains('"')
                        && !text.contains(':')
                }
            };
            let is_moment = text.starts_with("20") && text.ends_with('Z') && text.contains('T');
            if is_id {
                let count = names.len();
                let name = names
                    .entry(text.clone())
                    .or_insert_with(|| format!("<{count}>"));
                text.clone_from(name);
            } else if is_moment {
                *text = "<moment>".to_owned();
            } else {
                for (id, name) in &*names {
                    *text = text.replace(id, name);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| tidy(value, names)),
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                if key == "duration" && value.is_number() {
                    *value = "<ms>".into();
                }
                tidy(value, names);
            }
        }
        _ => {}
    }
}

/// A server with the app `shop`: `good` runs a step and returns, `bad` fails, `slow` sleeps for long.
async fn shop() -> (Server, App) {
    let app = App::start(|call| match &*call.query["fnId"] {
        "shop-good" if call.has("count") => returned(&json!({"n": 1})),
        "shop-good" => ops(&[step_run("count", json!(7))]),
        "shop-bad" => failed("no luck"),
        _ => ops(&[sleep("long", "300d")]),
    })
    .await;
    let server = Server::start().await;
    let functions =
        ["good", "bad", "slow"].map(|name| function(&format!("shop-{name}"), name, &app.url, 0));
    server.register("shop", &app, &functions).await;
    (server, app)
}

async fn run_of(server: &Server, event: &str) -> String {
    let run = &server.runs(event).await[0];
    run["run_id"].as_str().expect("an id").to_owned()
}

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

/// Holds an answer to its snapshot. The order of fields says nothing.
#[track_caller]
fn check(name: &str, answer: &Value) {
    insta::with_settings!({sort_maps => true}, {
        insta::assert_json_snapshot!(name, answer);
    });
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

const RUNS: &str = "query ($filter: RunsFilterV2!, $first: Int! = 100, $after: String,
        $orderBy: [RunsV2OrderBy!]! = [{field: QUEUED_AT, direction: DESC}]) {
    runs(first: $first, after: $after, filter: $filter, orderBy: $orderBy) {
        edges { cursor node { id status queuedAt startedAt endedAt } } pageInfo { startCursor endCursor hasNextPage }
        totalCount(preview: true) } }";

#[tokio::test]
async fn runs_are_found_by_what_they_are_and_by_what_they_got_and_gave() {
    let (server, app) = shop().await;
    let mut runs = Vec::new();
    for (n, name) in ["good", "bad", "slow", "good", "bad"].iter().enumerate() {
        let event = server
            .send(json!({"name": name, "data": {"n": n, "vip": n > 2}}))
            .await;
        if *name != "slow" {
            server.ended(&event).await;
        }
        runs.push(run_of(&server, &event).await);
    }
    app.called(7).await;
    let find = async |filter: Value| {
        let mut filter = filter;
        filter["from"] = "2001-01-01T00:00:00Z".into();
        let data = told(&server, RUNS, json!({"filter": filter})).await;
        let edges = data["runs"]["edges"].as_array().expect("a list").clone();
        let found: Vec<usize> = edges
            .iter()
            .map(|edge| {
                runs.iter()
                    .position(|run| edge["node"]["id"] == **run)
                    .expect("known")
            })
            .collect();
        assert_eq!(data["runs"]["totalCount"], found.len());
        found
    };
    assert_eq!(find(json!({})).await, [4, 3, 2, 1, 0]);
    assert_eq!(
        find(json!({"status": ["FAILED", "RUNNING"]})).await,
        [4, 2, 1]
    );
    assert_eq!(
        find(json!({"query": "event.data.n >= 1 && event.data.n < 4"})).await,
        [3, 2, 1]
    );
    assert_eq!(
        find(json!({"query": "event.data.vip\noutput.n == 1"})).await,
        [3]
    );
    assert_eq!(find(json!({"query": "error != null"})).await, [4, 1]);
    assert_eq!(
        find(json!({"query": "output == null\nevent.name == 'slow'"})).await,
        [2]
    );
    assert_eq!(
        find(json!({"query": "error.message == 'no luck'", "status": ["FAILED"]})).await,
        [4, 1]
    );
    assert_eq!(
        find(json!({"until": "2001-01-02T00:00:00Z"})).await,
        Vec::<usize>::new()
    );
    let functions = told(&server, "{ functions { id slug } apps { id } }", json!({})).await;
    let good = functions["functions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|known| known["slug"] == "shop-good");
    assert_eq!(
        find(json!({"functionIDs": [good.unwrap()["id"]]})).await,
        [3, 0]
    );
    let apps = json!([functions["apps"][0]["id"]]);
    assert_eq!(
        find(json!({"appIDs": apps, "status": ["COMPLETED"]})).await,
        [3, 0]
    );

    let wrong = json!({"filter": {"from": "2001-01-01T00:00:00Z", "query": "result.n == 1"}});
    let refused = ask(&server, RUNS, wrong).await;
    let message = refused["errors"][0]["message"].as_str().expect("a message");
    assert!(message.contains("unknown variable `result`"), "{message}");
}

#[tokio::test]
async fn lists_go_on_where_a_page_ended() {
    let (server, _app) = shop().await;
    let mut events = Vec::new();
    for n in 0..5 {
        let event = server.send(json!({"name": "bad", "data": {"n": n}})).await;
        server.ended(&event).await;
        events.push(event);
    }
    for search in [Value::Null, json!("event.data.n != 3")] {
        let mut found = Vec::new();
        let mut after = Value::Null;
        loop {
            let filter =
                json!({"from": "2001-01-01T00:00:00Z", "timeField": "ENDED_AT", "query": search});
            let order = json!([{"field": "ENDED_AT", "direction": "ASC"}]);
            let variables = json!({"filter": filter, "first": 2, "after": after, "orderBy": order});
            let page = told(&server, RUNS, variables).await["runs"].take();
            found.extend(
                page["edges"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|edge| edge["node"]["id"].clone()),
            );
            if page["pageInfo"]["hasNextPage"] == false {
                break;
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
        assert_eq!(found.len(), if search.is_null() { 5 } else { 4 });
    }
    let list = "query ($after: String, $filter: EventsFilter!) { eventsV2(first: 2, after: $after, filter: $filter) {
        edges { cursor node { id name runs { id status startedAt endedAt function { name slug } } } }
        pageInfo { hasNextPage endCursor startCursor hasPreviousPage } totalCount } }";
    let mut found = Vec::new();
    let mut after = Value::Null;
    loop {
        let filter = json!({
            "from": "2001-01-01T00:00:00Z", "eventNames": ["bad"], "includeInternalEvents": false,
            "query": "event.data.n != 1",
        });
        let page =
            told(&server, list, json!({"after": after, "filter": filter})).await["eventsV2"].take();
        assert_eq!(page["totalCount"], 4);
        found.extend(
            page["edges"]
                .as_array()
                .unwrap()
                .iter()
                .map(|edge| edge["node"]["id"].clone()),
        );
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    let expected = [4, 3, 2, 0].map(|place: usize| json!(events[place]));
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_is_not_there_is_null_with_an_error() {
    let (server, _app) = shop().await;
    for query in [
        "{ found: run(runID: $id) { status } }",
        "{ found: functionRun(query: {functionRunId: $id}) { status } }",
        "{ found: runTrigger(runID: $id) { eventName } }",
        "{ found: runTrace(runID: $id) { name } }",
        "{ found: event(query: {eventId: $id}) { name } }",
        "{ found: functionBySlug(query: {functionSlug: $id}) { name } }",
        "{ found: runTraceSpanOutputByID(outputID: $id) { data } }",
    ] {
        let query = query.replace("$id", &format!("\"{UNKNOWN}\""));
        let answer = ask(&server, &query, json!({})).await;
        assert_eq!(answer["data"], json!({"found": null}), "{query}");
        assert!(answer["errors"][0]["message"].is_string(), "{answer}");
    }
}

#[tokio::test]
async fn a_question_that_costs_too_much_is_not_answered() {
    let server = Server::start().await;
    let message = async |query: &str| {
        let answer = ask(&server, query, json!({})).await;
        answer["errors"][0]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let runs = "runs(first: 400, filter: {from: \"2001-01-01T00:00:00Z\"}, orderBy: []) { edges { node { trace { name } } } }";
    let many: Vec<String> = (0..20).map(|n| format!("a{n}: {runs}")).collect();
    assert_eq!(
        message(&format!("{{ {} }}", many.join(" "))).await,
        "Query is too complex."
    );
    let deep = format!("{}name{}", "ofType { ".repeat(25), " }".repeat(25));
    let deep = format!("{{ __schema {{ types {{ {deep} }} }} }}");
    assert_eq!(message(&deep).await, "Query is nested too deep.");
    let answer = post(&server, "nonsense").await;
    assert!(
        answer
            .refusal(400)
            .starts_with("expected a GraphQL question in JSON")
    );
    let large = format!("{{\"query\": \"{}\"}}", " ".repeat(300_000));
    assert_eq!(post(&server, large).await.status, 413);
    // What every client's tools ask first is within.
    let introspection = "{ __schema { types { name fields { name args { name type { name ofType { name ofType { name
        ofType { name } } } } } type { name ofType { name ofType { name ofType { name ofType { name } } } } } } } } }";
    assert_eq!(message(introspection).await, "");
}

#[tokio::test]
async fn fragments_that_double_each_other_are_refused_at_once() {
    let server = Server::start().await;
    let fragments: String = (0..31)
        .map(|n| {
            format!(
                "fragment f{n} on Query {{ {} }} ",
                format!("...f{} ", n + 1).repeat(3)
            )
        })
        .collect();
    let question = format!("{{ ...f0 }} {fragments} fragment f31 on Query {{ __typename }}");
    let answer = ask(&server, &question, json!({})).await;
    assert_eq!(answer["errors"][0]["message"], "Query is too large.");
    let question = "{ ...a } fragment a on Query { ...a }";
    let answer = ask(&server, question, json!({})).await;
    assert_eq!(
        answer["errors"][0]["message"],
        "Fragment \"a\" names itself."
    );
}

#[tokio::test]
async fn what_a_page_can_post_without_asking_is_not_answered() {
    let server = Server::start().await;
    let question = r#"{"query": "{ apps { id } }"}"#;
    for (kind, status) in [
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/plain; application/json", 415),
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
    ] {
        let headers = [("content-type", kind)];
        let post = reqwest::Method::POST;
        let answer = server.request(post, "/v0/gql", &headers, question).await;
        assert_eq!(answer.status, status, "{kind}");
    }
    let answer = server.post_bytes("/v0/gql", &[], question.into()).await;
    assert_eq!(answer.0, 415);
}

#[tokio::test]
async fn four_searches_fit_into_a_question() {
    let server = Server::start().await;
    let message = async |search: &str, list: &str, count: usize| {
        let lists: Vec<String> = (0..count).map(|n| format!("a{n}: {list}")).collect();
        let query = format!("query ($q: String) {{ {} }}", lists.join(" "));
        let answer = ask(&server, &query, json!({"q": search})).await;
        answer["errors"][0]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let from = "from: \"2001-01-01T00:00:00Z\"";
    for list in [
        format!("runs(first: 10, filter: {{{from}, query: $q}}, orderBy: []) {{ totalCount }}"),
        format!("eventsV2(first: 10, filter: {{{from}, query: $q}}) {{ totalCount }}"),
    ] {
        assert_eq!(message("event.data.n == 1", &list, 4).await, "");
        let beyond = message("event.data.n == 1", &list, 5).await;
        assert_eq!(beyond, "Query is too complex.");
        assert_eq!(message(" ", &list, 50).await, "", "it searches for nothing");
    }
}

#[tokio::test]
async fn an_answer_tells_no_more_than_it_may_by_however_many_names() {
    let server = Server::start().await;
    let text = "x".repeat(200_000);
    let id = server
        .send(json!({"name": "large", "data": {"text": text}}))
        .await;
    let question = async |count: usize| {
        let raws: Vec<String> = (0..count).map(|n| format!("a{n}: raw")).collect();
        let query = format!(
            "{{ event(query: {{eventId: \"{id}\"}}) {{ {} }} }}",
            raws.join(" ")
        );
        ask(&server, &query, json!({})).await
    };
    let within = question(100).await;
    assert_eq!(within["errors"], Value::Null, "{}", within["errors"]);
    let beyond = question(200).await;
    let message = beyond["errors"][0]["message"].as_str().expect("a message");
    assert!(message.contains("more than 32 MiB"), "{message}");
}

const PAGE: &str = "edges { node { id } } pageInfo { hasNextPage endCursor }";

#[tokio::test]
async fn a_search_that_finds_no_rows_ends_its_page_where_it_got_to() {
    let server = Server::start().await;
    let rare = server.send(json!({"name": "rare"})).await;
    let noise: Vec<Value> = (0..500).map(|_| json!({"name": "noise"})).collect();
    for _ in 0..11 {
        let sent = server.post("/e/test", json!(noise).to_string()).await;
        sent.expect(200);
    }
    // More names than are walked one by one.
    let mut names: Vec<String> = (0..40).map(|n| format!("none-{n}")).collect();
    names.push("rare".to_owned());
    let list = format!(
        "query ($after: String, $names: [String!]) {{ eventsV2(after: $after, filter: {{
            from: \"2001-01-01T00:00:00Z\", eventNames: $names, query: \"true\"}}) {{ {PAGE} }} }}"
    );
    let first = told(&server, &list, json!({"names": names})).await["eventsV2"].take();
    assert_eq!(first["edges"], json!([]));
    assert_eq!(first["pageInfo"]["hasNextPage"], true);
    let variables = json!({"names": names, "after": first["pageInfo"]["endCursor"]});
    let second = told(&server, &list, variables).await["eventsV2"].take();
    assert_eq!(second["edges"], json!([{"node": {"id": rare}}]));
    assert_eq!(second["pageInfo"]["hasNextPage"], false);
}

#[tokio::test]
async fn a_search_for_deferred_runs_does_not_walk_all_of_them() {
    let app = App::start(|_| ops(&[sleep("long", "300d")])).await;
    let server = Server::start().await;
    let mut one = function("shop-one", "many", &app.url, 0);
    one["concurrency"] = json!([{"limit": 1}]);
    server.register("shop", &app, &[one]).await;
    let many: Vec<Value> = (0..500).map(|_| json!({"name": "many"})).collect();
    for _ in 0..11 {
        let sent = server.post("/e/test", json!(many).to_string()).await;
        sent.expect(200);
    }
    let list = format!(
        "query ($after: String) {{ runs(after: $after, orderBy: [], filter: {{
            from: \"2001-01-01T00:00:00Z\", isDeferred: true, query: \"true\"}}) {{ {PAGE} }} }}"
    );
    let first = told(&server, &list, json!({})).await["runs"].take();
    assert_eq!(first["edges"], json!([]));
    assert_eq!(first["pageInfo"]["hasNextPage"], true);
    let after = json!({"after": first["pageInfo"]["endCursor"]});
    let second = told(&server, &list, after).await["runs"].take();
    assert_eq!(second["pageInfo"]["hasNextPage"], false);
}

#[tokio::test]
async fn runs_are_invoked_cancelled_and_repeated() {
    let (server, app) = shop().await;
    let mut news = server.handle.watch();
    let invoke =
        r#"mutation ($data: Map) { invokeFunction(functionSlug: "shop-slow", data: $data) }"#;
    let invoked = told(&server, invoke, json!({"data": {"n": 5}})).await;
    assert_eq!(invoked, json!({"invokeFunction": true}));
    app.called(1).await;
    assert_eq!(app.calls()[0].body["event"]["data"]["n"], 5);
    let run = app.calls()[0].body["ctx"]["run_id"].clone();
    let cancel = "mutation ($run: ULID!) { cancelRun(runID: $run) { id status } }";
    let cancelled = told(&server, cancel, json!({"run": run})).await;
    assert_eq!(
        cancelled["cancelRun"],
        json!({"id": run, "status": "CANCELLED"})
    );
    let unknown = ask(&server, cancel, json!({"run": UNKNOWN})).await;
    assert_eq!(unknown["errors"][0]["message"], "run not found");
    drop(news.recv().await);

    let event = server.send(json!({"name": "good"})).await;
    server.ended(&event).await;
    let run = run_of(&server, &event).await;
    let rerun =
        "mutation ($run: ULID!, $from: RerunFromStepInput) { rerun(runID: $run, fromStep: $from) }";
    let again = told(&server, rerun, json!({"run": run})).await["rerun"].take();
    assert_ne!(again, json!(run));
    let from = json!({"stepID": "count", "input": "[1]"});
    let from = told(&server, rerun, json!({"run": run, "from": from})).await["rerun"].take();
    assert!(from.is_string());
    let wrong = json!({"stepID": "count", "input": "{}"});
    let refused = ask(&server, rerun, json!({"run": run, "from": wrong})).await;
    assert_eq!(
        refused["errors"][0]["message"],
        "fromStep.input: expected a JSON array of the step's arguments"
    );
    assert_eq!(server.all_ended(&event).await.len(), 3);
}

#[tokio::test]
async fn an_app_that_is_removed_starts_nothing_until_it_registers_again() {
    let (server, app) = shop().await;
    let listed = async || {
        let data = told(&server, "{ apps { name functionCount } }", json!({})).await;
        data["apps"].clone()
    };
    assert_eq!(
        listed().await,
        json!([{"name": "shop", "functionCount": 3}])
    );
    let remove = r#"mutation { deleteApp(id: "shop") }"#;
    let removed = told(&server, remove, json!({})).await;
    assert!(removed["deleteApp"].is_string());
    assert_eq!(listed().await, json!([]));
    let event = server.send(json!({"name": "good"})).await;
    assert!(server.runs(&event).await.is_empty());
    let gone = ask(&server, remove, json!({})).await;
    assert_eq!(gone["errors"][0]["message"], "app not found");

    let functions = [function("shop-good", "good", &app.url, 0)];
    let register = server.register("shop", &app, &functions).await;
    assert_eq!(register["modified"], true);
    assert_eq!(
        listed().await,
        json!([{"name": "shop", "functionCount": 1}])
    );
    let path = format!("/fn/remove?url={}", app.url);
    let removed = server
        .request(reqwest::Method::DELETE, &path, &[], "")
        .await;
    assert_eq!(removed.status, 200, "{}", removed.text);
    assert_eq!(listed().await, json!([]));
    let removed = server
        .request(reqwest::Method::DELETE, &path, &[], "")
        .await;
    assert_eq!(removed.refusal(404), format!("App not found: {}", app.url));
}

#[tokio::test]
async fn an_app_that_is_made_is_asked_to_register() {
    let server = Server::start().await;
    let create = "mutation ($url: String!) { createApp(input: {url: $url}) { id } }";
    for (url, expected) in [
        ("http://127.0.0.1:1/api", "nothing answers there"),
        (
            "file:///etc/passwd",
            "expected the http or https URL of an app",
        ),
    ] {
        let refused = ask(&server, create, json!({"url": url})).await;
        assert_eq!(refused["errors"][0]["message"], expected);
    }
    let app = App::start(|_| crate::app::sdk(200, "{}")).await;
    let asked = ask(&server, create, json!({"url": app.url})).await;
    assert_eq!(app.calls()[0].method, reqwest::Method::PUT);
    assert_eq!(
        asked["errors"][0]["message"],
        "the app answered, but has not registered under this URL"
    );
}

#[tokio::test]
async fn the_signing_key_locks_it() {
    let setup = Setup {
        server: ServerOptions {
            signing_key: Some(SigningKey::new("signkey-test-0123456789abcdef")),
            ..ServerOptions::dev()
        },
        ..Setup::default()
    };
    let server = setup.start().await;
    let answer = server
        .post("/v0/gql", r#"{"query": "{ apps { id } }"}"#)
        .await;
    assert_eq!(answer.status, 401);
}
