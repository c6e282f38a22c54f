//! Events: how they come in, what is kept of them, how their ids are made.

use crate::id::EventId;
use crate::{SharedJson, limits, session};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use ulid::Ulid;

/// Event names with this prefix, in any case, belong to the server.
pub const RESERVED_PREFIX: &str = "inngest/";
/// A run of a function has ended, well or not.
pub const FUNCTION_FINISHED: &str = "inngest/function.finished";
/// A run of a function was cancelled.
pub const FUNCTION_CANCELLED: &str = "inngest/function.cancelled";
/// A run of a function has failed.
pub const FUNCTION_FAILED: &str = "inngest/function.failed";
/// A function is to run, whatever its triggers.
pub const FUNCTION_INVOKED: &str = "inngest/function.invoked";
/// A schedule's tick.
pub const SCHEDULED_TIMER: &str = "inngest/scheduled.timer";
/// A deferred run's time has come.
pub const DEFERRED_SCHEDULE: &str = "inngest/deferred.schedule";
/// The request that a durable endpoint of an app answers.
pub const HTTP_REQUEST: &str = "inngest/http.request";

/// How many digits of a number that is too large are shown.
const NUMBER_SHOWN_MAX: usize = 40;
/// Digits that a number may have and be in range, whatever they are.
const DIGITS_IN_RANGE: usize = 300;
const TS_MIN_MS: i64 = 315_532_800_000;
const TS_MAX_MS: i64 = 4_102_444_800_000;

/// An event as producers send it and functions get it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Event<D = Value> {
    /// The sender's idempotency key: a function runs once for it within 24 hours. The server fills it with the
    /// internal id when the sender gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The event's name, e.g. `shop/order.placed`.
    pub name: String,
    /// What happened: a JSON object.
    pub data: D,
    /// About whom; deprecated by the protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Value>,
    /// When, in milliseconds since the Unix epoch; one in the future delays the runs that it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ts: Option<i64>,
    /// The version of the payload's shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v: Option<String>,
    /// Sessions and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Value>,
}

/// An event that passed [`accept`]: normalised, and as compact as it will be stored.
#[derive(Debug, Clone)]
pub struct AcceptedEvent {
    /// The event's name.
    pub name: String,
    /// The sender's id, if one was given and not empty.
    pub external_id: Option<String>,
    /// When it happened, in milliseconds since the Unix epoch.
    pub ts_ms: i64,
    data: SharedJson,
    user: Option<SharedJson>,
    version: Option<String>,
    sessions: std::collections::BTreeMap<String, String>,
}

/// Why an event was refused; the texts are the protocol's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Not a JSON object of the right field types.
    #[error("invalid event: {0}")]
    Shape(crate::DecodeError),
    /// The name is the server's own.
    #[error("event name is reserved for internal use: {0}")]
    Reserved(String),
    /// No name.
    #[error("event name is empty")]
    NoName,
    /// The name is longer than [`limits::EVENT_NAME_BYTES_MAX`].
    #[error("event name is over the max size: Max {max} bytes / Size {0} bytes", max = limits::EVENT_NAME_BYTES_MAX)]
    NameTooLong(usize),
    /// The event is larger than [`limits::EVENT_BYTES_MAX`].
    #[error("Event is over the max size: Max {max} bytes / Size {0} bytes", max = limits::EVENT_BYTES_MAX)]
    TooLarge(usize),
    /// `data` is not an object.
    #[error("invalid event: data: expected an object")]
    Data,
    /// `user` is not an object.
    #[error("invalid event: user: expected an object")]
    User,
    /// The event is nested deeper than [`limits::EVENT_DEPTH_MAX`].
    #[error("event is nested too deeply: at most {max} levels", max = limits::EVENT_DEPTH_MAX)]
    TooDeep,
    /// A number is larger than a double, the number of JSON's readers, can be.
    #[error("invalid event: number out of range: {0}")]
    NumberOutOfRange(String),
    /// `ts` is before 1980.
    #[error("timestamp is before Jan 1, 1980")]
    TooEarly,
    /// `ts` is after 2100.
    #[error("timestamp is after Jan 1, 2100")]
    TooLate,
    /// The sessions are not usable.
    #[error(transparent)]
    Session(#[from] session::SessionError),
}

#[derive(Deserialize)]
struct Incoming<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    user: Option<&'a RawValue>,
    #[serde(default)]
    ts: Option<Value>,
    #[serde(default)]
    v: Option<String>,
    #[serde(default)]
    meta: Option<Map<String, Value>>,
}

/// Checks and normalises one event from outside.
///
/// `text` is one JSON value. Unknown fields are dropped, `data._inngest` is removed, a missing `ts` becomes
/// `now_ms`, sessions are resolved.
///
/// # Errors
/// [`EventError`], checked in the protocol's order: shape and size, reserved name, sessions, name, time.
pub fn accept(text: &str, now_ms: i64) -> Result<AcceptedEvent, EventError> {
    if text.len() > limits::EVENT_BYTES_MAX {
        return Err(EventError::TooLarge(text.len()));
    }
    if depth(text) > limits::EVENT_DEPTH_MAX {
        return Err(EventError::TooDeep);
    }
    if let Some(number) = number_out_of_range(text) {
        let shown = number.get(..NUMBER_SHOWN_MAX).unwrap_or(number);
        return Err(EventError::NumberOutOfRange(shown.to_owned()));
    }
    // A derived struct would also take an array of its fields.
    if !text.trim_start().starts_with('{') {
        return Err(EventError::Shape(locate("[]")));
    }
    let incoming: Incoming<'_> =
        serde_json::from_str(text).map_err(|_| EventError::Shape(locate(text)))?;
    let name = incoming.name.unwrap_or_default();
    if name
        .get(..RESERVED_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(RESERVED_PREFIX))
    {
        return Err(EventError::Reserved(name));
    }
    let data = accept_data(incoming.data)?;
    let user = incoming.user.filter(|user| user.get() != "null");
    if user.is_some_and(|user| !user.get().starts_with('{')) {
        return Err(EventError::User);
    }
    let ts_ms = match &incoming.ts {
        None | Some(Value::Null) => 0,
        Some(ts) => ts
            .as_i64()
            .or_else(|| {
                ts.as_f64()
                    .filter(|ts| ts.fract() == 0.0)
                    .map(|ts| ts as i64)
            })
            .ok_or_else(|| {
                EventError::Shape(crate::DecodeError {
                    path: "ts".to_owned(),
                    message: format!("expected milliseconds since 1970 as an integer, found {ts}"),
                })
            })?,
    };
    let sessions = incoming
        .meta
        .as_ref()
        .map(session::resolve)
        .transpose()?
        .unwrap_or_default();
    if name.is_empty() {
        return Err(EventError::NoName);
    }
    if name.len() > limits::EVENT_NAME_BYTES_MAX {
        return Err(EventError::NameTooLong(name.len()));
    }
    let ts_ms = if ts_ms == 0 { now_ms } else { ts_ms };
    if ts_ms < TS_MIN_MS {
        return Err(EventError::TooEarly);
    }
    if ts_ms > TS_MAX_MS {
        return Err(EventError::TooLate);
    }
    Ok(AcceptedEvent {
        name,
        external_id: incoming.id.filter(|id| !id.is_empty()),
        ts_ms,
        data,
        user: user.map(share),
        version: incoming.v,
        sessions,
    })
}

/// The first number of a JSON text that is no double. What is kept of an event is text, which would be found out only by
/// those who read it.
fn number_out_of_range(text: &str) -> Option<&str> {
    let (mut at, mut in_string) = (0, false);
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            b'0'..=b'9' if !in_string => {
                let of_number = |byte: &u8| {
                    byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-')
                };
                let rest = &bytes[at..];
                let length = rest.iter().position(|byte| !of_number(byte));
                let number = &text[at..at + length.unwrap_or(rest.len())];
                let may_be_large = number.len() > DIGITS_IN_RANGE || number.contains(['e', 'E']);
                if may_be_large && number.parse::<f64>().is_ok_and(f64::is_infinite) {
                    return Some(number);
                }
                at += number.len() - 1;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// How deep arrays and objects are nested in a JSON text.
#[must_use]
pub fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn accept_data(data: Option<&RawValue>) -> Result<SharedJson, EventError> {
    let empty = || crate::shared_json("{}".to_owned()).expect("an empty object is JSON");
    let Some(data) = data else { return Ok(empty()) };
    if data.get() == "null" {
        return Ok(empty());
    }
    if !data.get().starts_with('{') {
        return Err(EventError::Data);
    }
    if !may_name(data.get(), "_inngest") {
        return Ok(share(data));
    }
    let mut fields: Map<String, Value> =
        serde_json::from_str(data.get()).map_err(|_| EventError::Data)?;
    fields.remove("_inngest");
    let text = serde_json::to_string(&fields).expect("a map of JSON values serialises");
    Ok(crate::shared_json(text).expect("serialised JSON is JSON"))
}

/// Whether a key of a JSON text may be this ASCII word, escaped or not.
fn may_name(text: &str, word: &str) -> bool {
    let is_letter = |rest: &[u8]| matches!(rest.first(), Some(b'5'..=b'7'));
    text.contains(word)
        || text
            .match_indices("\\u00")
            .any(|(at, start)| is_letter(&text.as_bytes()[at + start.len()..]))
}

fn share(raw: &RawValue) -> SharedJson {
    SharedJson::from(raw.to_owned())
}

/// Decodes again, slowly, to name the place of the error.
fn locate(text: &str) -> crate::DecodeError {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only decoded for its errors")]
    struct Located {
        id: Option<String>,
        name: Option<String>,
        v: Option<String>,
        meta: Option<Map<String, Value>>,
    }
    match crate::decode::from_slice::<Located>(text.as_bytes()) {
        Err(error) => error,
        Ok(_) => crate::DecodeError {
            path: String::new(),
            message: "expected a JSON object".to_owned(),
        },
    }
}

impl AcceptedEvent {
    /// An event that the server itself makes: it is neither checked nor limited.
    #[must_use]
    pub fn internal(name: &str, external_id: String, ts_ms: i64, data: SharedJson) -> Self {
        Self {
            name: name.to_owned(),
            external_id: Some(external_id),
            ts_ms,
            data,
            user: None,
            version: None,
            sessions: std::collections::BTreeMap::new(),
        }
    }

    /// The event of an invocation: what the payload says, and in its data under `_inngest` whom it is for. A payload that
    /// is no object counts as an empty one, as do its parts that are of another type than an event's.
    #[must_use]
    pub fn invocation(payload: &Value, inngest: Option<Value>, ts_ms: i64) -> Self {
        let share =
            |value: &Value| crate::shared_json(value.to_string()).expect("serialised JSON is JSON");
        let text = |key: &str| payload[key].as_str().map(str::to_owned);
        let mut data = payload["data"].as_object().cloned().unwrap_or_default();
        data.remove("_inngest");
        if let Some(inngest) = inngest {
            data.insert("_inngest".to_owned(), inngest);
        }
        let sessions = payload["meta"].as_object().map(session::resolve);
        Self {
            name: FUNCTION_INVOKED.to_owned(),
            external_id: text("id").filter(|id| !id.is_empty()),
            ts_ms,
            data: share(&Value::Object(data)),
            user: payload
                .get("user")
                .filter(|user| user.is_object())
                .map(share),
            version: text("v"),
            sessions: sessions.and_then(Result::ok).unwrap_or_default(),
        }
    }

    /// The event as functions get it and as it is stored: always with `data`, `id`, `name`, `ts` and `user`.
    #[must_use]
    pub fn render(&self, id: EventId) -> SharedJson {
        let quote = |text: &str| serde_json::to_string(text).expect("a string serialises");
        let external_id = match &self.external_id {
            Some(external_id) => quote(external_id),
            None => format!("\"{id}\""),
        };
        let mut text = String::with_capacity(self.data.get().len() + self.name.len() + 96);
        text.push_str("{\"data\":");
        text.push_str(self.data.get());
        text.push_str(",\"id\":");
        text.push_str(&external_id);
        text.push_str(",\"name\":");
        text.push_str(&quote(&self.name));
        text.push_str(",\"ts\":");
        text.push_str(&self.ts_ms.to_string());
        text.push_str(",\"user\":");
        text.push_str(self.user.as_ref().map_or("{}", |user| user.get()));
        if let Some(version) = &self.version {
            text.push_str(",\"v\":");
            text.push_str(&quote(version));
        }
        if !self.sessions.is_empty() {
            text.push_str(",\"meta\":{\"sessions\":");
            text.push_str(
                &serde_json::to_string(&self.sessions).expect("a map of strings serialises"),
            );
            text.push('}');
        }
        text.push('}');
        crate::shared_json(text).expect("the parts are JSON")
    }
}

/// The seed of the internal ids of a request's events: sending the same request again makes the same ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdSeed {
    millis: u64,
    entropy: [u8; 10],
}

impl IdSeed {
    /// A seed of a time in milliseconds and ten random bytes.
    #[must_use]
    pub fn new(millis: u64, entropy: [u8; 10]) -> Self {
        Self { millis, entropy }
    }

    /// Reads the header value `<millis>,<base64 of 10 bytes>`; `None` when it is anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (millis, entropy) = text.split_once(',')?;
        let millis = millis
            .trim()
            .parse::<u64>()
            .ok()
            .filter(|millis| *millis < 1 << 48)?;
        let entropy = STANDARD.decode(entropy.trim()).ok()?.try_into().ok()?;
        Some(Self { millis, entropy })
    }

    /// The header value.
    #[must_use]
    pub fn render(&self) -> String {
        format!("{},{}", self.millis, STANDARD.encode(self.entropy))
    }

    /// The internal id of the request's event at `index` (0 = the first).
    #[must_use]
    pub fn event_id(&self, index: usize) -> EventId {
        let mut entropy = self.entropy;
        let last = u32::from_be_bytes([entropy[6], entropy[7], entropy[8], entropy[9]]);
        let moved = last.wrapping_add(u32::try_from(index + 1).unwrap_or(u32::MAX));
        entropy[6..].copy_from_slice(&moved.to_be_bytes());
        let mut low = [0; 16];
        low[6..].copy_from_slice(&entropy);
        EventId(Ulid::from_parts(self.millis, u128::from_be_bytes(low)))
    }
}

/// What `POST /e/{key}` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendAnswer {
    /// Internal ids in the order of the events; on an error, of those that were accepted before it.
    #[serde(default)]
    pub ids: Vec<String>,
    /// The HTTP status again.
    pub status: u16,
    /// What was wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[cfg(test)]
mod tests;
