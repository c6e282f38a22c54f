//! Who may subscribe, who may publish, and to what.

use super::client::{Events, Socket, token};
use crate::server::{Answer, Server, Setup};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use stepwell_engine::Timestamp;
use stepwell_protocol::signing::SigningKey;
use stepwell_runtime::{Clock, ManualClock};
use stepwell_server::ServerOptions;

const KEY: &str = "signkey-test-00112233445566778899aabbccddeeff";

async fn locked() -> Server {
    let server = ServerOptions {
        signing_key: Some(SigningKey::new(KEY)),
        ..ServerOptions::dev()
    };
    let setup = Setup {
        server,
        ..Setup::default()
    };
    setup.start().await
}

async fn with_bearer(server: &Server, path: &str, bearer: &str, body: Value) -> Answer {
    let bearer = format!("Bearer {bearer}");
    let headers = [("authorization", &*bearer)];
    server
        .request(Method::POST, path, &headers, body.to_string())
        .await
}

async fn token_with_key(server: &Server, asked: Value) -> String {
    let answer = with_bearer(server, "/v1/realtime/token", KEY, asked).await;
    answer.expect(201)["jwt"].as_str().unwrap().to_owned()
}

fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).expect("a token has three parts");
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("it is base64");
    serde_json::from_slice(&claims).expect("it is JSON")
}

#[tokio::test]
async fn a_token_names_its_topics_and_is_good_for_a_minute() {
    let server = Server::start().await;
    let asked = json!([{"channel": "c", "name": "t", "env_id": "mine"}]);
    let answer = server
        .post("/v1/realtime/token", asked.to_string())
        .await
        .expect(201);
    let claims = claims(answer["jwt"].as_str().unwrap());
    let environment = "00000000-0000-4000-b000-000000000000";
    assert_eq!(claims["iss"], "rt.inngest.com");
    assert_eq!(claims["sub"], "00000000-0000-4000-a000-000000000000");
    assert_eq!(claims["env"], environment);
    assert_eq!(
        claims["topics"],
        json!([{"kind": "run", "env_id": environment, "channel": "c", "name": "t"}])
    );
    let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert_eq!((lifetime, claims["jti"].as_str().unwrap().len()), (60, 26));
}

#[tokio::test]
async fn a_request_for_a_token_that_opens_nothing_is_refused() {
    let server = Server::start().await;
    let long = "x".repeat(1025);
    let many = vec![json!({"channel": "c", "name": "t"}); 101];
    let wide = vec![json!({"channel": "x".repeat(1000), "name": "t"}); 100];
    for (asked, why) in [
        (json!([]), "must provide a list of topics"),
        (json!({}), "must provide a list of topics"),
        (json!({"publish": false}), "must provide a list of topics"),
        (json!("c"), "must provide a list of topics"),
        (json!([{"name": "t"}]), "must provide a list of topics"),
        (
            json!([{"channel": "", "name": "t"}]),
            "topics[0].channel is empty",
        ),
        (
            json!([{"channel": "c", "name": ""}]),
            "topics[0].name is empty",
        ),
        (
            json!([{"channel": "c", "name": long}]),
            "topics[0].name has more than 1024 bytes",
        ),
        (
            json!([{"channel": "c", "name": "t", "kind": "event"}]),
            "topics[0].kind: nothing is published to topics other than those of the kind \"run\"",
        ),
        (
            json!(many),
            "there are 101 topics; a token opens at most 100",
        ),
        (
            json!(wide),
            "the names of all topics together are too long; ask for several tokens",
        ),
    ] {
        let answer = server.post("/v1/realtime/token", asked.to_string()).await;
        assert_eq!(answer.refusal(400), format!("Invalid request: {why}"));
    }
}

#[tokio::test]
async fn without_a_token_for_topics_nobody_subscribes() {
    let server = Server::start().await;
    let publish = server
        .post("/v1/realtime/token", r#"{"publish":true}"#)
        .await;
    let publish = publish.expect(201)["jwt"].as_str().unwrap().to_owned();
    let good = token(&server, "c", &["t"]).await;
    let unsigned = good.rsplit_once('.').unwrap().0;
    let none = format!("eyJhbGciOiJub25lIn0.{}.", good.split('.').nth(1).unwrap());
    for bad in ["", "x", &publish, &good[..good.len() - 2], unsigned, &none] {
        assert_eq!(Socket::open(&server, bad).await.err(), Some(401), "{bad}");
        assert_eq!(Events::open(&server, bad).await.err(), Some(401), "{bad}");
    }
    let answer = server.get("/v1/realtime/sse?token=x").await;
    assert_eq!(
        answer.json()["details"],
        json!(["the token is not one of this server's"])
    );
    assert_eq!(answer.refusal(401), "Not authenticated for subscribing");
    assert!(Socket::open(&server, &good).await.is_ok());
    // A connection that is to be none stays HTTP.
    let plain = server
        .get(&format!("/v1/realtime/connect?token={good}"))
        .await;
    assert!((400..500).contains(&plain.status), "{plain:?}");
}

#[tokio::test]
async fn a_token_opens_nothing_after_its_minute() {
    let clock = ManualClock::new(Timestamp::from_ms(1_800_000_000_000));
    let setup = Setup {
        clock: Clock::Manual(Arc::clone(&clock)),
        ..Setup::default()
    };
    let server = setup.start().await;
    let token = token(&server, "c", &["t"]).await;
    clock.advance_ms(59_999);
    let mut early = Socket::open(&server, &token)
        .await
        .expect("it is good still");
    clock.advance_ms(1);
    assert_eq!(Socket::open(&server, &token).await.err(), Some(401));
    assert_eq!(Events::open(&server, &token).await.err(), Some(401));
    server
        .post("/v1/realtime/publish?channel=c&topic=t", "1")
        .await;
    assert_eq!(early.next().await["data"], 1, "who is in stays");
}

#[tokio::test]
async fn on_a_locked_server_tokens_are_made_with_the_key_alone() {
    let server = locked().await;
    let topics = json!([{"channel": "c", "name": "t"}]);
    let subscriber = token_with_key(&server, topics.clone()).await;
    let publisher = token_with_key(&server, json!({"publish": true})).await;
    for bearer in ["", "signkey-test-ff", &subscriber, &publisher] {
        let answer = with_bearer(&server, "/v1/realtime/token", bearer, topics.clone()).await;
        assert_eq!(answer.status, 401, "{bearer}");
    }
    assert!(Socket::open(&server, &subscriber).await.is_ok());
    assert_eq!(Socket::open(&server, KEY).await.err(), Some(401));
    let other = Server::start().await;
    let foreign = token(&other, "c", &["t"]).await;
    assert_eq!(Socket::open(&server, &foreign).await.err(), Some(401));
}

#[tokio::test]
async fn while_keys_are_changed_the_tokens_of_both_are_good() {
    let old = locked().await;
    let setup = Setup {
        server: ServerOptions {
            signing_key: Some(SigningKey::new("signkey-test-ff00")),
            signing_key_fallback: Some(SigningKey::new(KEY)),
            ..ServerOptions::dev()
        },
        ..Setup::default()
    };
    let new = setup.start().await;
    let topics = json!([{"channel": "c", "name": "t"}]);
    for server in [&old, &new] {
        let token = token_with_key(server, topics.clone()).await;
        assert!(Socket::open(&new, &token).await.is_ok());
    }
    let newer = token_with_key(&new, topics).await;
    assert_eq!(Socket::open(&old, &newer).await.err(), Some(401));
}

#[tokio::test]
async fn who_may_publish() {
    let server = locked().await;
    let topics = json!([{"channel": "c", "name": "t"}]);
    let subscriber = token_with_key(&server, topics).await;
    let anywhere = token_with_key(&server, json!({"publish": true})).await;
    let only_d = token_with_key(&server, json!({"publish": true, "channel": "d"})).await;
    let hashed = SigningKey::new(KEY).hashed();
    let publish = "/v1/realtime/publish?topic=t&channel=";
    let tee = "/v1/realtime/publish/tee?channel=";
    for path in [publish, tee] {
        for (bearer, channel, status) in [
            (KEY, "c", 200),
            (&*hashed, "c", 200),
            (&*anywhere, "c", 200),
            (&*only_d, "d", 200),
            (&*only_d, "c", 401),
            (&*subscriber, "c", 401),
            ("", "c", 401),
            ("signkey-test-ff", "c", 401),
        ] {
            let path = format!("{path}{channel}");
            let answer = with_bearer(&server, &path, bearer, json!(1)).await;
            assert_eq!(answer.status, status, "{path} {bearer}: {}", answer.text);
            if status == 401 {
                assert_eq!(answer.refusal(401), "Not authenticated for publishing");
            } else {
                assert_eq!(answer.text, "");
            }
        }
    }
    let in_query = format!("{publish}c&token={anywhere}");
    assert_eq!(server.post(&in_query, "1").await.status, 200);
    let open = Server::start().await;
    let subscriber = token(&open, "c", &["t"]).await;
    for (bearer, status) in [("", 200), (KEY, 200), (&*subscriber, 401)] {
        let answer = with_bearer(&open, &format!("{publish}c"), bearer, json!(1)).await;
        assert_eq!(answer.status, status, "{bearer}");
    }
}
