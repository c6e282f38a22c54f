//! Subscriptions from Rust: to a server, to an engine in this process, and to a server that does as a test wants.

use crate::side::{client, embedded, listen, over_http};
use axum::Router;
use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::error::Error as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stepwell::realtime::{Content, RunUpdate, SubscribeError, Subscription};
use stepwell::{
    App, Client, Clock, Config, Context, Delay, Error, Function, Moment, OutgoingEvent,
};
use stepwell::{SystemClock, Topic};
use tokio::sync::mpsc;

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Progress {
    percent: u8,
}

fn progress() -> Topic<Progress> {
    Topic::new("upload:7", "progress")
}

async fn transcodes(ctx: Context) -> Result<(), Error> {
    let step = ctx.step();
    let other: Topic<str> = Topic::new("upload:8", "progress");
    step.publish("other", &other, "not for this one").await?;
    for percent in [50, 100] {
        step.publish("tell", &progress(), &Progress { percent })
            .await?;
    }
    let notes: Topic<str> = Topic::new("upload:7", "notes");
    step.publish("note", &notes, "größe").await?;
    Ok(())
}

async fn waits(ctx: Context) -> Result<&'static str, Error> {
    let step = ctx.step();
    step.wait_for_signal::<Value>("go", "go").await?;
    step.run("work", || async { Ok(7) }).await?;
    Ok("done")
}

fn app(client: Client) -> App {
    App::new(client).functions([
        Function::new("transcodes")
            .on_event("r/transcodes")
            .handler(transcodes),
        Function::new("waits").on_event("r/waits").handler(waits),
    ])
}

/// The next message. That there is none within a minute means that it never comes.
async fn next<T: serde::de::DeserializeOwned>(
    messages: &mut Subscription<T>,
) -> Option<Result<stepwell::realtime::Message<T>, SubscribeError>> {
    let next = tokio::time::timeout(Duration::from_secs(60), messages.next());
    next.await.expect("something comes")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_gets_typed_messages_wherever_the_engine_is() {
    for side in [embedded(&["r"], app).await, over_http(&["r"], app).await] {
        let mut one = side.client.subscribe_to(&progress()).await.unwrap();
        let both = ["progress", "notes"];
        let mut two = side.client.subscribe("upload:7", both).await.unwrap();
        let event = OutgoingEvent::untyped("r/transcodes", json!({}));
        side.client.send(event).await.unwrap();
        for percent in [50, 100] {
            let message = next(&mut one).await.unwrap().unwrap();
            assert_eq!(
                (&*message.channel, &*message.topic),
                ("upload:7", "progress")
            );
            assert!(message.run.is_some(), "{}", side.name);
            assert_eq!(message.content, Content::Data(Progress { percent }));
            let message = next(&mut two).await.unwrap().unwrap();
            assert_eq!(message.of(&progress()), Ok(Some(Progress { percent })));
        }
        let note = next(&mut two).await.unwrap().unwrap();
        assert_eq!(note.of(&progress()), Ok(None));
        let notes: Topic<String> = Topic::new("upload:7", "notes");
        assert_eq!(note.of(&notes), Ok(Some("größe".to_owned())));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_followed_to_its_end() {
    let side = over_http(&["r"], app).await;
    let event = OutgoingEvent::untyped("r/waits", json!({}));
    let event = side.client.send(event).await.unwrap();
    let runs = side.handle.read(move |reader| reader.runs_of_event(event));
    let run = runs.await.unwrap()[0].id;
    let mut messages = side.client.follow(run).await.unwrap();
    // Nobody waits for the signal until the function has been called.
    while side.client.send_signal("go", &1).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    let (mut steps, mut end) = (Vec::new(), None);
    while end.is_none() {
        match next(&mut messages).await.unwrap().unwrap().content {
            Content::Step(step) => steps.push((step.name, step.output)),
            Content::Run(update) if update.is_end() => end = Some(update),
            _ => {}
        }
    }
    assert_eq!(steps[1], ("work".to_owned(), json!({"data": 7})));
    assert_eq!(end, Some(RunUpdate::Completed(json!("done"))));
}

#[tokio::test]
async fn an_engine_in_this_process_says_where_its_runs_are_followed() {
    let side = embedded(&["r"], app).await;
    let refused = side.client.subscribe("c", ["t", "$run"]).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "nothing is told on $run by an engine in this process: use `Embedded::watch_run`"
    );
    let none = side.client.subscribe("c", Vec::<String>::new()).await;
    assert_eq!(
        none.unwrap_err().to_string(),
        "no topic of c to subscribe to"
    );
}

#[tokio::test]
async fn who_falls_behind_an_engine_in_this_process_is_told_how_far() {
    let side = embedded(&["r"], app).await;
    let topic: Topic<u32> = Topic::new("c", "t");
    let mut messages = side.client.subscribe_to(&topic).await.unwrap();
    for number in 0..1_030 {
        side.client.publish(&topic, &number).await.unwrap();
    }
    let behind = next(&mut messages).await.unwrap().unwrap_err();
    assert_eq!(
        behind.to_string(),
        "the subscription to c was interrupted, messages may be missing: it was too slow and fell 6 messages behind"
    );
    let message = next(&mut messages).await.unwrap().unwrap();
    assert_eq!(message.content, Content::Data(6));
}

/// Pauses take no time.
struct Impatient;

impl Clock for Impatient {
    fn now(&self) -> Moment {
        SystemClock.now()
    }

    fn delay(&self, _: Duration) -> Delay {
        Box::pin(tokio::task::yield_now())
    }
}

/// A server whose tokens cost `status`, and that gives out its connections.
struct Fake {
    url: String,
    sockets: mpsc::Receiver<(WebSocket, HeaderMap)>,
    status: Arc<Mutex<StatusCode>>,
}

impl Fake {
    async fn start() -> Self {
        let (opened, sockets) = mpsc::channel(16);
        let status = Arc::new(Mutex::new(StatusCode::CREATED));
        let of_tokens = Arc::clone(&status);
        let token = async move || -> Response {
            let status = *of_tokens.lock().unwrap();
            (status, json!({"jwt": "a.secret.token"}).to_string()).into_response()
        };
        let connect = async move |sent: HeaderMap, upgrade: WebSocketUpgrade| -> Response {
            upgrade.on_upgrade(async move |socket| opened.send((socket, sent)).await.unwrap())
        };
        let router = Router::new()
            .route("/v1/realtime/token", post(token))
            .route("/v1/realtime/connect", get(connect));
        let url = listen(router).await;
        Self {
            url,
            sockets,
            status,
        }
    }

    fn client(&self) -> Client {
        let builder = Client::builder("r", Config::dev()).base_url(&self.url);
        builder.clock(Impatient).build()
    }
}

async fn say(socket: &mut WebSocket, data: Value) {
    let message = json!({"kind": "data", "channel": "upload:7", "topic": "progress", "data": data});
    let frame = Frame::Text(message.to_string().into());
    socket.send(frame).await.unwrap();
}

#[tokio::test]
async fn a_lost_connection_is_opened_again_and_what_may_be_missing_is_told() {
    let mut fake = Fake::start().await;
    let mut messages = fake.client().subscribe_to(&progress()).await.unwrap();
    let (mut socket, sent) = fake.sockets.recv().await.unwrap();
    assert_eq!(sent["authorization"], "Bearer a.secret.token");
    say(&mut socket, json!({"percent": 1})).await;
    say(&mut socket, json!({"percent": "two"})).await;
    let close = CloseFrame {
        code: 1013,
        reason: "too slow".into(),
    };
    socket.send(Frame::Close(Some(close))).await.unwrap();
    // The next time it breaks without a word.
    *fake.status.lock().unwrap() = StatusCode::BAD_GATEWAY;
    let mut told = vec![next(&mut messages).await, next(&mut messages).await];
    *fake.status.lock().unwrap() = StatusCode::CREATED;
    drop(fake.sockets.recv().await.unwrap());
    let (mut socket, _) = fake.sockets.recv().await.unwrap();
    say(&mut socket, json!({"percent": 3})).await;
    for _ in 0..3 {
        told.push(next(&mut messages).await);
    }
    let told: Vec<String> = told
        .into_iter()
        .map(|told| match told.unwrap() {
            Ok(message) => format!("{:?}", message.content),
            Err(error) => error.to_string(),
        })
        .collect();
    assert_eq!(told[0], "Data(Progress { percent: 1 })");
    assert!(told[1].contains("percent: invalid type"), "{}", told[1]);
    let interrupted = "the subscription to upload:7 was interrupted, messages may be missing: ";
    assert_eq!(
        told[2],
        format!("{interrupted}the server closed it: too slow")
    );
    assert!(told[3].starts_with(interrupted), "{}", told[3]);
    assert_eq!(told[4], "Data(Progress { percent: 3 })");
}

#[tokio::test]
async fn who_is_not_let_in_again_is_told_why_and_nothing_more() {
    let mut fake = Fake::start().await;
    let mut messages = fake.client().subscribe_to(&progress()).await.unwrap();
    *fake.status.lock().unwrap() = StatusCode::UNAUTHORIZED;
    drop(fake.sockets.recv().await.unwrap());
    let refused = next(&mut messages).await.unwrap().unwrap_err();
    assert_eq!(refused.to_string(), "no subscription to upload:7");
    let why = refused.source().unwrap().to_string();
    assert!(why.contains("/v1/realtime/token answered 401"), "{why}");
    assert_eq!(next(&mut messages).await, None);
    // Nor at first.
    let refused = fake.client().subscribe_to(&progress()).await.unwrap_err();
    assert!(matches!(refused, SubscribeError::NotSubscribed { .. }));
}

#[tokio::test]
async fn who_cannot_be_reached_is_named_and_the_token_is_not() {
    let unreachable = client("r", "http://127.0.0.1:1");
    let error = unreachable.subscribe_to(&progress()).await.unwrap_err();
    let why = error.source().unwrap().to_string();
    assert!(
        why.starts_with("no answer from http://127.0.0.1:1/v1/realtime/token: "),
        "{why}"
    );
    // A server that knows nothing of subscribers.
    let token = async || (StatusCode::CREATED, r#"{"jwt":"a.secret.token"}"#);
    let router = Router::new().route("/v1/realtime/token", post(token));
    let url = listen(router).await;
    let error = client("r", &url)
        .subscribe_to(&progress())
        .await
        .unwrap_err();
    let why = error.source().unwrap().to_string();
    assert!(why.contains("/v1/realtime/connect answered 404"), "{why}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}

#[tokio::test]
async fn more_than_may_wait_is_read_as_there_is_room() {
    let mut fake = Fake::start().await;
    let topic: Topic<String> = Topic::new("upload:7", "progress");
    let mut messages = fake.client().subscribe_to(&topic).await.unwrap();
    let (mut socket, _) = fake.sockets.recv().await.unwrap();
    let sending = tokio::spawn(async move {
        for number in 0..20 {
            let text = format!("{number:0>8}").repeat(64 * 1024);
            say(&mut socket, json!(text)).await;
        }
        socket
    });
    for number in 0..20 {
        let Content::Data(text) = next(&mut messages).await.unwrap().unwrap().content else {
            panic!("data comes");
        };
        assert!(text.starts_with(&format!("{number:0>8}")));
    }
    // Who no longer wants it says so.
    let mut socket = sending.await.unwrap();
    drop(messages);
    let said = tokio::time::timeout(Duration::from_secs(60), socket.recv());
    assert!(matches!(said.await.unwrap(), Some(Ok(Frame::Close(_)))));
}
