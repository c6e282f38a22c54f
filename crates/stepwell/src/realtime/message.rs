//! Messages, as a server sends them.

use super::SubscribeError;
use crate::moment::Moment;
use crate::step::Topic;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use stepwell_protocol::realtime::{Kind, STREAM_TOPIC};
use stepwell_protocol::{DecodeError, RunId, SharedJson, UserError};

/// What was published, unread.
pub(crate) type Json = SharedJson;

/// Something that a subscriber is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Message<T = Value> {
    /// The channel.
    pub channel: String,
    /// The topic within it; empty for a [`Content::Chunk`] whose server does not say.
    pub topic: String,
    /// What it says.
    pub content: Content<T>,
    /// The run that it is about, or whose step published it.
    pub run: Option<RunId>,
    /// When it was published.
    pub at: Option<Moment>,
    /// What its publisher says about it. A server that leaves a large value out says so here (`omitted_bytes`).
    pub metadata: Option<Value>,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Content<T = Value> {
    /// What a program published.
    Data(T),
    /// How the run of the channel is doing.
    Run(RunUpdate),
    /// A step of the run has ended.
    Step(StepUpdate),
    /// A stream of text begins.
    StreamStart {
        /// Its id.
        stream: String,
    },
    /// A piece of a stream.
    Chunk {
        /// The stream's id.
        stream: String,
        /// The piece.
        text: String,
    },
    /// A stream has ended, whole or not.
    StreamEnd {
        /// Its id.
        stream: String,
    },
    /// A piece of what a durable endpoint streams, as it came.
    Raw(String),
}

/// How a run is doing.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RunUpdate {
    /// It has been called for the first time.
    Running,
    /// It has ended with this result.
    Completed(Value),
    /// It has ended with this error.
    Failed(Box<UserError>),
    /// It was cancelled.
    Cancelled,
    /// Something else, in the server's words.
    Other(String),
}

impl RunUpdate {
    /// Whether nothing more will be told of the run.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Completed(_) | Self::Failed(_) | Self::Cancelled)
    }
}

/// The end of a step.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct StepUpdate {
    /// The step's id in the run's record.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// What kind of step it is, e.g. `StepRun`.
    #[serde(default)]
    pub op: String,
    /// `Completed` or `Failed`.
    #[serde(default)]
    pub status: String,
    /// What the function gets: `{"data": …}` or `{"error": …}`.
    #[serde(default)]
    pub output: Value,
}

impl Message<Value> {
    /// Reads the message if it was published to this topic. Nothing when it is another topic's, or the server's own.
    ///
    /// # Errors
    /// [`SubscribeError::Unreadable`].
    pub fn of<T: DeserializeOwned>(&self, topic: &Topic<T>) -> Result<Option<T>, SubscribeError> {
        let Content::Data(data) = &self.content else {
            return Ok(None);
        };
        if (&*self.channel, &*self.topic) != (topic.channel(), topic.name()) {
            return Ok(None);
        }
        stepwell_protocol::decode::from_value(data.clone())
            .map(Some)
            .map_err(|error| unreadable(&self.channel, &self.topic, self.metadata.as_ref(), &error))
    }
}

impl Message<Json> {
    /// What a server says in a frame, to a subscriber of a channel's topics. Nothing if it is for nobody here.
    pub(super) fn parse(channel: &str, topics: &[String], text: &str) -> Option<Self> {
        let follows_stream = || topics.iter().any(|topic| topic == STREAM_TOPIC);
        let raw = || Self {
            channel: channel.to_owned(),
            topic: STREAM_TOPIC.to_owned(),
            content: Content::Raw(text.to_owned()),
            run: channel.parse().ok(),
            at: None,
            metadata: None,
        };
        // What an endpoint streams comes as it is.
        let Ok(frame) = serde_json::from_str::<Frame>(text) else {
            return follows_stream().then(raw);
        };
        let is_ours = |frame: &Frame| frame.channel == channel && topics.contains(&frame.topic);
        // Chunks of some servers name neither.
        let is_nameless = frame.kind == Kind::Chunk && frame.channel.is_empty();
        if !is_ours(&frame) && !is_nameless {
            return None;
        }
        Some(Self {
            channel: channel.to_owned(),
            content: frame.content()?,
            topic: frame.topic,
            run: frame.run_id.and_then(|run| run.parse().ok()),
            at: frame.created_at.and_then(|at| at.parse().ok()),
            metadata: frame.metadata,
        })
    }

    /// A message of an engine in this process.
    #[cfg(feature = "embedded")]
    pub(crate) fn published(channel: &str, topic: &str, run: Option<RunId>, data: Json) -> Self {
        Self {
            channel: channel.to_owned(),
            topic: topic.to_owned(),
            content: Content::Data(data),
            run,
            at: None,
            metadata: None,
        }
    }

    /// Reads what was published.
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<Message<T>, SubscribeError> {
        let Self {
            channel,
            topic,
            content,
            run,
            at,
            metadata,
        } = self;
        let content = match content {
            Content::Data(data) => {
                match stepwell_protocol::decode::from_slice(data.get().as_bytes()) {
                    Ok(read) => Content::Data(read),
                    Err(error) => {
                        return Err(unreadable(&channel, &topic, metadata.as_ref(), &error));
                    }
                }
            }
            Content::Run(update) => Content::Run(update),
            Content::Step(update) => Content::Step(update),
            Content::StreamStart { stream } => Content::StreamStart { stream },
            Content::Chunk { stream, text } => Content::Chunk { stream, text },
            Content::StreamEnd { stream } => Content::StreamEnd { stream },
            Content::Raw(text) => Content::Raw(text),
        };
        Ok(Message {
            channel,
            topic,
            content,
            run,
            at,
            metadata,
        })
    }
}

fn unreadable(
    channel: &str,
    topic: &str,
    metadata: Option<&Value>,
    error: &DecodeError,
) -> SubscribeError {
    let omitted = metadata.and_then(|said| said.get("omitted_bytes"));
    SubscribeError::Unreadable {
        channel: channel.to_owned(),
        topic: topic.to_owned(),
        reason: match omitted {
            Some(bytes) => format!("the server left it out: it has {bytes} bytes"),
            None => error.to_string(),
        },
    }
}

/// What a server sends.
#[derive(Deserialize)]
struct Frame {
    kind: Kind,
    #[serde(default)]
    data: Option<Json>,
    #[serde(default)]
    channel: String,
    #[serde(default)]
    topic: String,
    #[serde(default)]
    metadata: Option<Value>,
    #[serde(default)]
    created_at: Option<String>,
    #[serde(default)]
    stream_id: Option<String>,
    #[serde(default)]
    run_id: Option<String>,
}

impl Frame {
    fn content(&self) -> Option<Content<Json>> {
        Some(match self.kind {
            Kind::Data => Content::Data(match &self.data {
                Some(data) => Json::clone(data),
                // serde reads a null as nothing.
                None => stepwell_protocol::shared_json("null".to_owned()).ok()?,
            }),
            Kind::Run => Content::Run(self.data_as::<RunData>()?.into()),
            Kind::Step => Content::Step(self.data_as()?),
            Kind::DatastreamStart => Content::StreamStart {
                stream: self.data_as()?,
            },
            Kind::DatastreamEnd => Content::StreamEnd {
                stream: self.data_as()?,
            },
            Kind::Chunk => Content::Chunk {
                stream: self.stream_id.clone()?,
                text: self.data_as()?,
            },
            Kind::Event | Kind::Ping | Kind::Sub | Kind::Unsub | Kind::Closing => return None,
        })
    }

    fn data_as<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.data.as_ref()?.get()).ok()
    }
}

#[derive(Deserialize)]
struct RunData {
    status: String,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    error: Value,
}

impl From<RunData> for RunUpdate {
    fn from(data: RunData) -> Self {
        match &*data.status {
            "Running" => Self::Running,
            "Completed" => Self::Completed(data.result),
            "Failed" => Self::Failed(Box::new(UserError::from_body(
                data.error.to_string().as_bytes(),
            ))),
            "Cancelled" => Self::Cancelled,
            _ => Self::Other(data.status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const RUN: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

    fn told(channel: &str, topics: &[&str], frame: &str) -> Option<Message> {
        let topics: Vec<String> = topics.iter().map(ToString::to_string).collect();
        Message::parse(channel, &topics, frame).map(|message| message.read().unwrap())
    }

    #[test]
    fn what_servers_say_is_read() {
        let content = |frame: Value| {
            let mut frame = frame;
            frame["channel"] = RUN.into();
            frame["topic"] = "t".into();
            told(RUN, &["t"], &frame.to_string()).map(|message| message.content)
        };
        let run = |data: Value| content(json!({"kind": "run", "data": data}));
        assert_eq!(
            content(json!({"kind": "data", "data": {"a": 1}})),
            Some(Content::Data(json!({"a": 1})))
        );
        assert_eq!(
            content(json!({"kind": "data", "data": null})),
            Some(Content::Data(Value::Null))
        );
        assert_eq!(
            run(json!({"status": "Running"})),
            Some(Content::Run(RunUpdate::Running))
        );
        assert_eq!(
            run(json!({"status": "Completed", "result": [1]})),
            Some(Content::Run(RunUpdate::Completed(json!([1]))))
        );
        let Some(Content::Run(RunUpdate::Failed(error))) = run(
            json!({"status": "Failed", "error": {"name": "Outage", "message": "no", "stack": "s"}}),
        ) else {
            panic!("it failed");
        };
        assert_eq!((&*error.name, &*error.message), ("Outage", "no"));
        assert_eq!(
            run(json!({"status": "Cancelled", "error": {}})),
            Some(Content::Run(RunUpdate::Cancelled))
        );
        let skipped = RunUpdate::Other("Skipped".to_owned());
        assert_eq!(
            run(json!({"status": "Skipped"})),
            Some(Content::Run(skipped))
        );
        let step = json!({"id": "h", "name": "charge", "op": "StepRun", "status": "Completed", "output": {"data": 1}});
        let Some(Content::Step(step)) = content(json!({"kind": "step", "data": step})) else {
            panic!("a step ended");
        };
        assert_eq!((&*step.name, step.output), ("charge", json!({"data": 1})));
        let stream = || "s-1".to_owned();
        assert_eq!(
            content(json!({"kind": "datastream-start", "data": "s-1"})),
            Some(Content::StreamStart { stream: stream() })
        );
        assert_eq!(
            content(json!({"kind": "chunk", "stream_id": "s-1", "data": "größe"})),
            Some(Content::Chunk {
                stream: stream(),
                text: "größe".to_owned()
            })
        );
        assert_eq!(
            content(json!({"kind": "datastream-end", "data": "s-1"})),
            Some(Content::StreamEnd { stream: stream() })
        );
        for kind in ["ping", "sub", "closing", "dance"] {
            assert_eq!(content(json!({"kind": kind, "data": {}})), None, "{kind}");
        }
    }

    #[test]
    fn only_what_was_asked_for_comes() {
        let frame = |channel: &str, topic: &str| {
            json!({"kind": "data", "data": 1, "channel": channel, "topic": topic}).to_string()
        };
        assert!(told("c", &["a", "b"], &frame("c", "b")).is_some());
        assert_eq!(told("c", &["a", "b"], &frame("c", "x")), None);
        assert_eq!(told("c", &["a"], &frame("d", "a")), None);
        let nameless = r#"{"kind":"chunk","stream_id":"s","data":"x"}"#;
        assert_eq!(told("c", &["a"], nameless).unwrap().topic, "");
        assert_eq!(told("c", &["a"], "event: x\n\n"), None);
        let raw = told(RUN, &[STREAM_TOPIC], "event: x\n\n").unwrap();
        assert_eq!(raw.content, Content::Raw("event: x\n\n".to_owned()));
        assert_eq!(raw.run.unwrap().to_string(), RUN);
    }

    #[test]
    fn a_message_says_where_it_was_published_and_by_whom() {
        let frame = json!({
            "kind": "data", "data": {"percent": 50}, "channel": "c", "topic": "t", "run_id": RUN,
            "created_at": "2027-01-15T08:00:00Z", "metadata": {"by": "me"},
        });
        let message = told("c", &["t"], &frame.to_string()).unwrap();
        assert_eq!(message.run.unwrap().to_string(), RUN);
        assert_eq!(message.at.unwrap().to_string(), "2027-01-15T08:00:00.000Z");
        assert_eq!(message.metadata, Some(json!({"by": "me"})));
        #[derive(Debug, PartialEq, Deserialize)]
        struct Progress {
            percent: u8,
        }
        let read = |channel: &str, topic: &str| message.of(&Topic::<Progress>::new(channel, topic));
        assert_eq!(read("c", "t"), Ok(Some(Progress { percent: 50 })));
        assert_eq!(read("c", "u"), Ok(None));
        assert_eq!(read("d", "t"), Ok(None));
    }

    #[test]
    fn what_is_not_of_its_topics_type_is_told_with_its_place() {
        let frame =
            json!({"kind": "data", "data": {"percent": "half"}, "channel": "c", "topic": "t"});
        let topics = ["t".to_owned()];
        let read = |frame: &Value| {
            let message = Message::parse("c", &topics, &frame.to_string()).unwrap();
            let read = message.read::<std::collections::BTreeMap<String, u8>>();
            read.unwrap_err().to_string()
        };
        assert_eq!(
            read(&frame),
            "a message to t of c is not what was expected: percent: invalid type: string \"half\", expected u8 at line 1 column 17"
        );
        let omitted = json!({"kind": "data", "data": null, "channel": "c", "topic": "t", "metadata": {"omitted_bytes": 600_000}});
        assert_eq!(
            read(&omitted),
            "a message to t of c is not what was expected: the server left it out: it has 600000 bytes"
        );
    }
}
