//! What a question may cost, and an answer hold.

use super::{ask, post, run_of};
use crate::app::{App, returned};
use crate::server::{Server, function};
use serde_json::{Value, json};

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

#[tokio::test]
async fn single_things_count_as_those_of_lists_do() {
    let app = App::start(|_| returned(&json!("x".repeat(3_000_000)))).await;
    let server = Server::start().await;
    let function = function("shop-big", "big", &app.url, 0);
    server.register("shop", &app, &[function]).await;
    let event = server.send(json!({"name": "big", "data": {}})).await;
    server.ended(&event).await;
    let run = run_of(&server, &event).await;
    // None of it is told, but all of it is read.
    let ask_for = async |times: usize| {
        let fields = (0..times).map(|n| format!("r{n}: run(runID: \"{run}\") {{ status }}"));
        let query = format!("{{ {} }}", fields.collect::<Vec<_>>().join(" "));
        ask(&server, &query, json!({})).await
    };
    assert_eq!(ask_for(15).await["errors"], Value::Null);
    let message = &ask_for(30).await["errors"][0]["message"];
    let message = message.as_str().expect("a message");
    assert!(message.contains("64 MiB"), "{message}");
}
