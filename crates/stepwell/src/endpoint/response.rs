//! What a handler gives.

use crate::Error;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Duration;
use stepwell_protocol::{SharedJson, shared_json};

/// An answer of a handler: a status, headers and text. The server keeps it, and gives it to whoever was redirected.
///
/// ```
/// # use stepwell::endpoint::Response;
/// let created = Response::text("here you are").status(201).header("x-order", "o-1");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Response {
    /// `200` without a body.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// `200` with text.
    #[must_use]
    pub fn text(body: impl Into<String>) -> Self {
        Self {
            body: body.into(),
            ..Self::empty()
        }
        .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
    }

    /// `200` with a value as JSON.
    ///
    /// # Errors
    /// The value does not serialise; that is not tried again.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        match serde_json::to_string(value) {
            Ok(body) => Ok(Self::of_json(&body)),
            Err(error) => {
                let message = format!("the response cannot be written as JSON: {error}");
                Err(Error::new("SerializeError", message).non_retriable())
            }
        }
    }

    pub(super) fn of_json(body: &str) -> Self {
        Self {
            body: body.to_owned(),
            ..Self::empty()
        }
        .header(header::CONTENT_TYPE, "application/json")
    }

    /// Another status, from 200 to 599.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Sets a header, in the place of those of this name; their name's case does not count.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<str>, value: impl Into<String>) -> Self {
        let name = name.as_ref().to_ascii_lowercase();
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.into()));
        self
    }

    /// Adds a header beside those of this name, as for `set-cookie`.
    #[must_use]
    pub fn add_header(mut self, name: impl AsRef<str>, value: impl Into<String>) -> Self {
        let name = name.as_ref().to_ascii_lowercase();
        self.headers.push((name, value.into()));
        self
    }

    /// Refuses what HTTP cannot carry.
    pub(super) fn checked(self) -> Result<Self, Error> {
        let refused = |what: String| Err(Error::new("InvalidResponse", what).non_retriable());
        if !(200..=599).contains(&self.status) {
            let what = format!(
                "{} is not the status of a response: one is from 200 to 599",
                self.status
            );
            return refused(what);
        }
        for (name, value) in &self.headers {
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                return refused(format!("'{name}' cannot be a header's name"));
            }
            if HeaderValue::from_str(value).is_err() {
                return refused(format!("the value of the header '{name}' is not one"));
            }
        }
        Ok(self)
    }

    /// As the server keeps it.
    pub(super) fn to_json(&self) -> SharedJson {
        to_raw(&self.fields())
    }

    /// The same, with how long the handler took.
    pub(super) fn to_json_after(&self, took: Duration) -> SharedJson {
        let mut fields = self.fields();
        fields["duration"] = json!(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        to_raw(&fields)
    }

    fn fields(&self) -> Value {
        let mut headers: Map<String, Value> = Map::new();
        for (name, value) in &self.headers {
            match headers.get_mut(name) {
                None => drop(headers.insert(name.clone(), value.as_str().into())),
                Some(Value::Array(values)) => values.push(value.as_str().into()),
                Some(first) => *first = json!([first, value]),
            }
        }
        json!({"status": self.status, "headers": headers, "body": self.body})
    }

    pub(super) fn into_http(self) -> http::Response<Bytes> {
        let mut response = http::Response::new(Bytes::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).expect("it was checked");
        for (name, value) in self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("it was checked");
            let value = HeaderValue::from_str(&value).expect("it was checked");
            response.headers_mut().append(name, value);
        }
        response
    }
}

fn to_raw(fields: &Value) -> SharedJson {
    shared_json(fields.to_string()).expect("a JSON value's text is JSON")
}

impl From<()> for Response {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl From<&str> for Response {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Response {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Value> for Response {
    fn from(value: Value) -> Self {
        Self::of_json(&value.to_string())
    }
}
