use super::*;
use crate::state::ServerOptions;
use futures::channel::mpsc;
use std::pin::Pin;
use std::task::{Context, Poll};
use stepwell_protocol::realtime::Topic;
use stepwell_runtime::{Invokers, Options, Runtime};
use stepwell_store::memory;

/// The server's end of a connection, without a network.
struct Socket {
    said: mpsc::UnboundedReceiver<Frame>,
    /// Holds as many frames as are read.
    heard: mpsc::Sender<Frame>,
}

impl Stream for Socket {
    type Item = Result<Frame, mpsc::SendError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.said.poll_next_unpin(context).map(|said| said.map(Ok))
    }
}

impl Sink<Frame> for Socket {
    type Error = mpsc::SendError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.heard.poll_ready(context)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), Self::Error> {
        self.heard.start_send(frame)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.heard.poll_flush_unpin(context)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.heard.poll_close_unpin(context)
    }
}

/// A client that is subscribed to a topic.
struct Client {
    _runtime: Runtime,
    shared: Shared,
    say: mpsc::UnboundedSender<Frame>,
    hear: mpsc::Receiver<Frame>,
    held: tokio::task::JoinHandle<()>,
}

impl Client {
    fn connect() -> Self {
        let runtime = Runtime::start(memory::open(), Invokers::none(), Options::default()).unwrap();
        let shared = Shared::new(runtime.handle(), ServerOptions::dev());
        let subscription = shared.hub.subscribe(vec![Topic::new("c", "t")]).unwrap();
        let (say, said) = mpsc::unbounded();
        let (heard, hear) = mpsc::channel(0);
        let conversation = Conversation {
            shared: shared.clone(),
            subscription,
            socket: Socket { said, heard },
        };
        Self {
            _runtime: runtime,
            shared,
            say,
            hear,
            held: tokio::spawn(conversation.hold()),
        }
    }

    fn publish(&self, topic: &str, data: &str) {
        let data = shared_json(data.to_owned()).unwrap();
        self.shared.hub.publish(&Message {
            kind: Kind::Data,
            data: &data,
            metadata: None,
            created_at: None,
            channel: "c",
            env_id: "",
            topic,
            stream_id: None,
            run_id: None,
        });
    }

    async fn heard(&mut self) -> Value {
        match self.hear.next().await {
            Some(Frame::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn say(&self, wish: &Value) {
        let frame = Frame::Text(wish.to_string().into());
        self.say.unbounded_send(frame).unwrap();
    }

    fn token(&self, grant: &Grant, seconds_ago: u64) -> String {
        let claims = stepwell_protocol::token::RealtimeClaims {
            id: String::new(),
            account: "",
            environment: "",
            now_s: self.shared.handle.now().ms() / 1_000 - seconds_ago,
        };
        self.shared.tokens.for_realtime(grant, claims)
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_answer_pings_is_gone() {
    let mut client = Client::connect();
    let began = Instant::now();
    let mut pings = 0;
    while let Some(frame) = client.hear.next().await {
        assert!(matches!(frame, Frame::Ping(_)), "{frame:?}");
        pings += 1;
    }
    assert_eq!(pings, 3);
    assert_eq!(began.elapsed(), PING_EVERY * 4);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_pings_stays() {
    let mut client = Client::connect();
    for _ in 0..20 {
        let frame = client.hear.next().await;
        assert!(matches!(frame, Some(Frame::Ping(_))), "{frame:?}");
        client
            .say
            .unbounded_send(Frame::Pong(bytes::Bytes::new()))
            .unwrap();
    }
    client.say.unbounded_send(Frame::Close(None)).unwrap();
    client.held.await.unwrap();
}

#[tokio::test]
async fn a_client_changes_its_topics_with_tokens() {
    let mut client = Client::connect();
    let more = Grant::Subscribe(vec![Topic::new("c", "more")]);
    client.say(&json!({"kind": "dance"}));
    client.say(&json!({"kind": "sub", "data": client.token(&more, 61)}));
    assert_eq!(
        client.heard().await,
        json!({"kind": "sub", "data": {"error": "the token has expired"}})
    );
    let publish = Grant::Publish { channel: None };
    client.say(&json!({"kind": "sub", "data": client.token(&publish, 0)}));
    assert_eq!(
        client.heard().await["data"]["error"],
        "the token is for something else"
    );
    client.publish("more", "0");
    client.say(&json!({"kind": "sub", "data": client.token(&more, 0)}));
    client.say(&json!({"kind": "unsub", "data": [{"channel": "c", "name": "t"}]}));
    // What this is answered with comes after what was asked for before.
    client.say(&json!({"kind": "sub", "data": "mark"}));
    let mark = client.heard().await;
    assert_eq!(
        mark["data"]["error"],
        "the token is not one of this server's"
    );
    client.publish("t", "1");
    client.publish("more", "2");
    assert_eq!(client.heard().await["data"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_cut_off() {
    let mut client = Client::connect();
    let large = format!("\"{}\"", "x".repeat(512 * 1024));
    for _ in 0..20 {
        client.publish("t", &large);
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    (&mut client.held).await.unwrap();
    assert!(began.elapsed() <= PARTING, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_client_is_told_why_it_is_the_end() {
    let mut client = Client::connect();
    client.publish("t", "1");
    let hub = std::sync::Arc::clone(&client.shared.hub);
    let leaving = tokio::spawn(stepwell_runtime::Audience::leave(hub));
    assert_eq!(client.heard().await["data"], 1);
    assert_eq!(
        client.heard().await,
        json!({"kind": "closing", "data": null})
    );
    let Some(Frame::Close(Some(close))) = client.hear.next().await else {
        panic!("it is not closed");
    };
    assert_eq!((close.code, close.reason.as_str()), (1001, "closing"));
    drop(client.say);
    leaving.await.unwrap();
}
