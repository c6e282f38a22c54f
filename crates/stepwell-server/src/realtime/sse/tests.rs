use super::super::hub::Hub;
use super::*;
use futures::StreamExt;
use stepwell_protocol::realtime::{Kind, Message, STREAM_TOPIC, Topic};
use stepwell_protocol::shared_json;

const RUN: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

fn lines(topics: &[&str]) -> (std::sync::Arc<Hub>, impl Stream<Item = String> + Unpin) {
    let hub = Hub::new(10);
    let topics = topics.iter().map(|name| Topic::new(RUN, *name)).collect();
    let subscription = hub.subscribe(topics).unwrap();
    let lines = events(subscription).map(|bytes| {
        let Ok(bytes) = bytes;
        String::from_utf8(bytes.to_vec()).unwrap()
    });
    (hub, Box::pin(lines))
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_shows_that_it_is_there_and_ends_after_its_time() {
    let (_hub, lines) = lines(&["a"]);
    let began = Instant::now();
    let written: Vec<String> = lines.collect().await;
    assert_eq!(began.elapsed(), LIFETIME);
    assert!(written.iter().all(|line| line == ":\n\n"), "{written:?}");
    assert_eq!(written.len() as u64, LIFETIME.as_secs() / 15);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_into_an_event_whose_end_is_to_come() {
    let (hub, mut lines) = lines(&["a", STREAM_TOPIC]);
    assert_eq!(lines.next().await.unwrap(), ":\n\n");
    hub.forward(RUN, &Bytes::from_static(b"data: ha"));
    assert_eq!(lines.next().await.unwrap(), "data: ha");
    let later = tokio::time::timeout(KEEP_ALIVE * 3, lines.next()).await;
    assert!(later.is_err(), "{later:?}");
    hub.forward(RUN, &Bytes::from_static(b"lf\n\n"));
    assert_eq!(lines.next().await.unwrap(), "lf\n\n");
    assert_eq!(lines.next().await.unwrap(), ":\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_over_soon_after_its_run() {
    let (hub, mut lines) = lines(&[STREAM_TOPIC]);
    assert_eq!(lines.next().await.unwrap(), ":\n\n");
    let began = Instant::now();
    hub.end_stream(RUN.parse().unwrap());
    hub.forward(RUN, &Bytes::from_static(b"data: late\n\n"));
    assert_eq!(lines.next().await.unwrap(), "data: late\n\n");
    assert_eq!(lines.next().await, None);
    assert_eq!(began.elapsed(), STRAGGLERS);
}

#[tokio::test(start_paused = true)]
async fn who_is_subscribed_to_more_than_a_stream_stays() {
    let (hub, mut lines) = lines(&[STREAM_TOPIC, "a"]);
    assert_eq!(lines.next().await.unwrap(), ":\n\n");
    hub.end_stream(RUN.parse().unwrap());
    for _ in 0..3 {
        assert_eq!(lines.next().await.unwrap(), ":\n\n");
    }
}

#[tokio::test]
async fn a_message_begins_on_a_line_of_its_own() {
    let (hub, mut lines) = lines(&["a", STREAM_TOPIC]);
    assert_eq!(lines.next().await.unwrap(), ":\n\n");
    hub.forward(RUN, &Bytes::from_static(b"no event"));
    assert_eq!(lines.next().await.unwrap(), "no event");
    for before in ["\n\n", ""] {
        hub.publish(&Message {
            kind: Kind::Data,
            data: &shared_json("1".to_owned()).unwrap(),
            metadata: None,
            created_at: None,
            channel: RUN,
            env_id: "",
            topic: "a",
            stream_id: None,
            run_id: None,
        });
        let line = lines.next().await.unwrap();
        assert!(line.starts_with(&format!("{before}data: {{")), "{line:?}");
    }
}
