use super::*;
use stepwell_engine::{RunStatus, Timestamp};
use stepwell_protocol::realtime::Kind;
use stepwell_protocol::shared_json;
use stepwell_runtime::{Audience, Report};

const SUBSCRIBERS_MAX: u32 = 10_000;

fn topics(names: &[&str]) -> Vec<Topic> {
    names.iter().map(|name| Topic::new("c", *name)).collect()
}

fn publish(hub: &Hub, channel: &str, topic: &str) {
    let data = shared_json("1".to_owned()).unwrap();
    hub.publish(&Message {
        kind: Kind::Data,
        data: &data,
        metadata: None,
        created_at: None,
        channel,
        env_id: "",
        topic,
        stream_id: None,
        run_id: None,
    });
}

/// The topics of the messages that wait, in order; the subscription is over then.
async fn heard(subscription: &Subscription) -> Vec<String> {
    subscription.mailbox().cut(Cut::Closing);
    let mut topics = Vec::new();
    while let Ok(Delivery::Message(text)) = subscription.mailbox().next().await {
        let message: serde_json::Value = serde_json::from_str(&text).unwrap();
        topics.push(message["topic"].as_str().unwrap().to_owned());
    }
    topics
}

#[tokio::test]
async fn messages_reach_those_who_subscribed_to_their_topic_and_nobody_else() {
    let hub = Hub::new(SUBSCRIBERS_MAX);
    let one = hub.subscribe(topics(&["a", "b"])).unwrap();
    let mut two = hub.subscribe(topics(&["b"])).unwrap();
    let other = hub.subscribe(vec![Topic::new("d", "a")]).unwrap();
    publish(&hub, "c", "a");
    publish(&hub, "c", "b");
    two.remove(topics(&["b", "never had"]));
    two.add(topics(&["z", "z"])).unwrap();
    publish(&hub, "c", "b");
    publish(&hub, "c", "z");
    assert_eq!(heard(&one).await, ["a", "b", "b"]);
    assert_eq!(heard(&two).await, ["b", "z"]);
    assert!(heard(&other).await.is_empty());
    drop((one, two, other));
    assert!(hub.is_idle(), "nobody is remembered");
}

#[tokio::test]
async fn subscribers_and_their_topics_are_bounded() {
    let hub = Hub::new(SUBSCRIBERS_MAX);
    let names: Vec<String> = (0..TOPICS_MAX).map(|name| name.to_string()).collect();
    let many: Vec<Topic> = names
        .iter()
        .map(|name| Topic::new("c", name.as_str()))
        .collect();
    let mut full = hub.subscribe(many.clone()).unwrap();
    assert_eq!(full.add(many), Ok(()), "it has them already");
    assert_eq!(full.add(topics(&["more"])), Err(Refused::TooManyTopics));
    let others: Vec<Subscription> = (1..SUBSCRIBERS_MAX)
        .map(|_| hub.subscribe(topics(&["a"])).unwrap())
        .collect();
    let refused = hub.subscribe(topics(&["a"])).unwrap_err();
    assert_eq!(refused, Refused::TooManySubscribers);
    drop((full, others));
    assert!(hub.is_idle());
}

#[tokio::test]
async fn a_hub_that_closes_tells_everyone_and_waits_until_they_have_left() {
    let hub = Hub::new(SUBSCRIBERS_MAX);
    let one = hub.subscribe(topics(&["a"])).unwrap();
    let without_topics = hub.subscribe(Vec::new()).unwrap();
    let leaving = tokio::spawn(Arc::clone(&hub).leave());
    for subscription in [one, without_topics] {
        let told = subscription.mailbox().next().await;
        assert_eq!(told, Err(Cut::Closing));
        assert!(!leaving.is_finished());
    }
    leaving.await.unwrap();
    assert!(hub.subscribe(topics(&["a"])).is_err());
}

#[tokio::test]
async fn when_too_much_happens_to_be_told_followers_are_cut_off_and_others_are_not() {
    let hub = Hub::new(SUBSCRIBERS_MAX);
    let run = RunId::from_bytes([1; 16]);
    let follower = hub
        .subscribe(vec![Topic::new(run.to_string(), "$run")])
        .unwrap();
    let other = hub.subscribe(topics(&["a"])).unwrap();
    assert!(Hub::follows(&hub, run));
    assert!(!Hub::follows(&hub, RunId::from_bytes([2; 16])));
    // Nobody takes anything out of the herald's queue while this does not wait.
    for _ in 0..10_000 {
        hub.hear(Report::Run {
            run,
            status: RunStatus::Running,
            output: None,
            at: Timestamp::from_ms(0),
        });
    }
    assert_eq!(follower.mailbox().severed().await, Cut::Missed);
    publish(&hub, "c", "a");
    assert_eq!(heard(&other).await, ["a"]);
}

#[tokio::test]
async fn who_follows_what_a_run_streams_is_told_of_its_end() {
    let hub = Hub::new(SUBSCRIBERS_MAX);
    let run = RunId::from_bytes([1; 16]);
    let follower = hub
        .subscribe(vec![Topic::new(run.to_string(), STREAM_TOPIC)])
        .unwrap();
    for status in [RunStatus::Running, RunStatus::Cancelled] {
        hub.hear(Report::Run {
            run,
            status,
            output: None,
            at: Timestamp::from_ms(0),
        });
    }
    let told = follower.mailbox().next().await;
    assert_eq!(told, Ok(Delivery::StreamEnded));
}
