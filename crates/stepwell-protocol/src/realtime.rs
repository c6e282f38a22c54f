//! Realtime: what subscribers of a channel's topics are sent, and what they may ask for.
//!
//! A *channel* is a name that a program chooses; the channel of a run is the run's id. Messages go to one *topic* of a
//! channel. Nothing is kept: who subscribes later has missed what came before.

use crate::{RunId, SharedJson};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The topic on which the server says how the run of the channel is doing.
pub const RUN_TOPIC: &str = "$run";
/// The topic on which the server tells the ends of the run's steps.
pub const STEP_TOPIC: &str = "$step";
/// The topic of what a durable endpoint streams to whoever made the request.
pub const STREAM_TOPIC: &str = "$stream";

/// The data of a message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 512 * 1024;
/// The text of one chunk of a stream, in bytes.
pub const CHUNK_BYTES_MAX: usize = 1024;
/// A channel's or a topic's name, in bytes: longer than any id that makes one.
pub const NAME_BYTES_MAX: usize = 1024;
/// Topics that one token may open.
pub const TOPICS_PER_TOKEN_MAX: usize = 100;

/// A topic of a channel, as tokens and subscribers name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Topic {
    /// What the channel belongs to.
    #[serde(default)]
    pub kind: TopicKind,
    /// The environment; a server has one, so what is given here counts for nothing. Not written when empty: other servers
    /// read it as a UUID.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub env_id: String,
    /// The channel.
    pub channel: String,
    /// The topic's name within the channel.
    pub name: String,
}

/// What a channel belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TopicKind {
    /// A run, or a name that a program chose.
    #[default]
    Run,
    /// Events; nothing is published there.
    Event,
}

impl Topic {
    /// A topic of a run's channel, or of a channel with a name of its own.
    #[must_use]
    pub fn new(channel: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind: TopicKind::Run,
            env_id: String::new(),
            channel: channel.into(),
            name: name.into(),
        }
    }

    /// The run that the channel is of, if the topic is one on which the server itself speaks.
    #[must_use]
    pub fn followed_run(&self) -> Option<RunId> {
        if ![RUN_TOPIC, STEP_TOPIC, STREAM_TOPIC].contains(&&*self.name) {
            return None;
        }
        let run: RunId = self.channel.parse().ok()?;
        // Ids are compared as they are written: another spelling is another channel.
        (run.to_string() == self.channel).then_some(run)
    }
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The end of a step.
    Step,
    /// How a run is doing.
    Run,
    /// What a program published.
    Data,
    /// A stream begins; the data is its id.
    DatastreamStart,
    /// A stream has ended; the data is its id.
    DatastreamEnd,
    /// A piece of a stream.
    Chunk,
    /// An event.
    Event,
    /// A sign of life.
    Ping,
    /// A subscriber asks for more topics; to a subscriber, why it does not get them.
    Sub,
    /// A subscriber no longer wants some topics.
    Unsub,
    /// The server is about to stop.
    Closing,
}

/// What subscribers are sent, in JSON.
#[derive(Debug, Clone, Serialize)]
pub struct Message<'a> {
    /// What it is.
    pub kind: Kind,
    /// What it says.
    pub data: &'a RawValue,
    /// What its publisher says about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a RawValue>,
    /// When, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// The channel.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub channel: &'a str,
    /// The environment.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub env_id: &'a str,
    /// The topic.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub topic: &'a str,
    /// The stream that a chunk is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<&'a str>,
    /// The run that published it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<&'a str>,
}

impl Message<'_> {
    /// The message as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a message has only string keys")
    }
}

/// What a subscriber asks for over its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// The topics of this token, too.
    Subscribe(String),
    /// No longer these topics.
    Unsubscribe(Vec<Topic>),
}

impl Wish {
    /// Reads what a subscriber sent; nothing if it is something else, which is to be ignored.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Sent {
            kind: Kind,
            data: Option<SharedJson>,
        }
        let sent: Sent = serde_json::from_str(text).ok()?;
        let data = sent.data?;
        match sent.kind {
            Kind::Sub => serde_json::from_str(data.get()).ok().map(Self::Subscribe),
            Kind::Unsub => serde_json::from_str(data.get()).ok().map(Self::Unsubscribe),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_message_has_the_fields_that_clients_read() {
        let data = crate::shared_json(r#"{"a":[1,2]}"#.to_owned()).unwrap();
        let message = Message {
            kind: Kind::DatastreamStart,
            data: &data,
            metadata: None,
            created_at: Some("2027-01-15T08:00:00Z".to_owned()),
            channel: "user:1",
            env_id: "",
            topic: "news",
            stream_id: None,
            run_id: Some("01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        };
        let sent: Value = serde_json::from_str(&message.to_json()).unwrap();
        assert_eq!(
            sent,
            json!({
                "kind": "datastream-start", "data": {"a": [1, 2]}, "created_at": "2027-01-15T08:00:00Z",
                "channel": "user:1", "topic": "news", "run_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            })
        );
    }

    #[test]
    fn what_subscribers_ask_for() {
        let check = |sent: Value, wish: Option<Wish>| {
            assert_eq!(Wish::parse(&sent.to_string()), wish, "{sent}");
        };
        check(
            json!({"kind": "sub", "data": "a.b.c"}),
            Some(Wish::Subscribe("a.b.c".to_owned())),
        );
        check(
            json!({"kind": "unsub", "data": [{"kind": "run", "channel": "c", "name": "t", "env_id": ""}]}),
            Some(Wish::Unsubscribe(vec![Topic::new("c", "t")])),
        );
        check(json!({"kind": "ping", "data": null}), None);
        check(json!({"kind": "dance", "data": "x"}), None);
        check(json!({"kind": "sub", "data": 1}), None);
        check(json!({"kind": "unsub"}), None);
        check(json!([]), None);
    }

    #[test]
    fn a_topic_without_an_environment_names_none() {
        let topic = serde_json::to_value(Topic::new("c", "t")).unwrap();
        assert_eq!(topic, json!({"kind": "run", "channel": "c", "name": "t"}));
    }

    #[test]
    fn only_reserved_topics_of_a_runs_channel_follow_the_run() {
        let run = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
        for name in [RUN_TOPIC, STEP_TOPIC, STREAM_TOPIC] {
            assert!(Topic::new(run, name).followed_run().is_some(), "{name}");
        }
        assert_eq!(Topic::new(run, "mine").followed_run(), None);
        assert_eq!(Topic::new("user:1", RUN_TOPIC).followed_run(), None);
        assert_eq!(
            Topic::new(run.to_lowercase(), RUN_TOPIC).followed_run(),
            None
        );
    }
}
