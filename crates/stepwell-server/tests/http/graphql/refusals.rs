//! What is not answered: what is not there, and who may not ask.

use super::{UNKNOWN, ask, shop};
use crate::server::{Server, Setup};
use serde_json::json;
use stepwell_protocol::signing::SigningKey;
use stepwell_server::ServerOptions;

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
