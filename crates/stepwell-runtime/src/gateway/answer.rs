//! From a server's answer to the value that is recorded for a step.

use super::problem::{Problem, origin};
use http::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::Response;
use serde::Serialize;
use serde_json::{Map, Value};
use std::io::{self, Write};
use stepwell_protocol::gateway::{Auth, Request};
use stepwell_protocol::limits::STEP_OUTPUT_BYTES_MAX;
use stepwell_protocol::reply::RetryAfter;
use stepwell_protocol::{SharedJson, shared_json};
use url::Url;

/// What is read of a provider's error: they are short, and a function gets it as part of an error.
const ERROR_BODY_BYTES_MAX: usize = 64 * 1024;

/// A provider's own words in an error's message.
const ERROR_TEXT_BYTES_MAX: usize = 2 * 1024;

/// A secret shorter than this is not looked for in a provider's words: it would be found everywhere.
const SECRET_BYTES_MIN: usize = 6;

/// The value of a fetch, whatever the status.
pub(super) async fn fetched(url: &Url, mut response: Response) -> Result<SharedJson, Problem> {
    #[derive(Serialize)]
    struct Value<'a> {
        data: Fetched<'a>,
    }
    #[derive(Serialize)]
    struct Fetched<'a> {
        url: &'a str,
        headers: Map<String, serde_json::Value>,
        body: &'a str,
        status_code: u16,
    }
    let too_large = || Problem::TooLarge {
        origin: origin(url),
    };
    let bytes = body(url, &mut response).await?;
    let value = Value {
        data: Fetched {
            url: url.as_str(),
            headers: joined(response.headers()),
            body: &String::from_utf8_lossy(&bytes),
            status_code: response.status().as_u16(),
        },
    };
    // Escapes make a text up to six times as long.
    let mut text = Bounded(Vec::with_capacity(bytes.len().min(STEP_OUTPUT_BYTES_MAX)));
    serde_json::to_writer(&mut text, &value).map_err(|_| too_large())?;
    let text = String::from_utf8(text.0).expect("JSON is UTF-8");
    Ok(shared_json(text).expect("serialised JSON is JSON"))
}

/// The value of an inference: the provider's JSON as it came.
pub(super) async fn inferred(
    url: &Url,
    request: &Request,
    mut response: Response,
) -> Result<SharedJson, Problem> {
    if !response.status().is_success() {
        return Err(refused_by_provider(url, request, response).await);
    }
    let bytes = body(url, &mut response).await?;
    let not_json = |reason: String| {
        let content = response.headers().get(CONTENT_TYPE);
        let content = content.and_then(|content| content.to_str().ok());
        let content = content.unwrap_or("content of no type");
        Problem::NotJson {
            origin: origin(url),
            status: response.status(),
            content: excerpt(content, 128).to_owned(),
            reason,
            streamed: content.starts_with("text/event-stream"),
        }
    };
    let text = String::from_utf8(bytes).map_err(|error| not_json(error.to_string()))?;
    let json = shared_json(text).map_err(|error| not_json(error.to_string()))?;
    let value = format!("{{\"data\":{}}}", json.get());
    if value.len() > STEP_OUTPUT_BYTES_MAX {
        return Err(Problem::TooLarge {
            origin: origin(url),
        });
    }
    Ok(shared_json(value).expect("JSON in an object is JSON"))
}

/// A body as a whole. One that cannot fit into a step's value is not read to its end.
async fn body(url: &Url, response: &mut Response) -> Result<Vec<u8>, Problem> {
    let too_large = || Problem::TooLarge {
        origin: origin(url),
    };
    let announced = response.content_length().unwrap_or(0);
    if announced > STEP_OUTPUT_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(announced.min(64 * 1024) as usize);
    while let Some(part) = response
        .chunk()
        .await
        .map_err(|error| Problem::network(url, error))?
    {
        if bytes.len() + part.len() > STEP_OUTPUT_BYTES_MAX {
            return Err(too_large());
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// Headers by name; those that come several times are joined.
fn joined(headers: &HeaderMap) -> Map<String, Value> {
    let mut texts = Map::new();
    for name in headers.keys() {
        let values: Vec<_> = headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        texts.insert(name.as_str().to_owned(), values.join(", ").into());
    }
    texts
}

async fn refused_by_provider(url: &Url, request: &Request, mut response: Response) -> Problem {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(RetryAfter::parse);
    let mut bytes = Vec::new();
    // The status is what counts: a body that breaks off, or goes on for too long, is good for what came of it.
    while bytes.len() < ERROR_BODY_BYTES_MAX
        && let Ok(Some(part)) = response.chunk().await
    {
        bytes.extend_from_slice(&part);
    }
    bytes.truncate(ERROR_BODY_BYTES_MAX);
    let secrets = secrets_of(request);
    let mut data: Option<Value> = serde_json::from_slice(&bytes).ok();
    if let Some(data) = &mut data {
        hide_in(data, &secrets);
    }
    let text = match data.as_ref().and_then(words_of) {
        Some(words) => words.to_owned(),
        None => hidden(String::from_utf8_lossy(&bytes).trim(), &secrets),
    };
    Problem::Status {
        origin: origin(url),
        status,
        text: excerpt(&text, ERROR_TEXT_BYTES_MAX).to_owned(),
        data: data.map(Box::new),
        retry_after,
    }
}

/// Where providers put what went wrong: `error.message`, `error`, `message` or `detail`; in an array, the first one's.
fn words_of(body: &Value) -> Option<&str> {
    let body = body.get(0).unwrap_or(body);
    ["/error/message", "/error", "/message", "/detail"]
        .into_iter()
        .find_map(|place| body.pointer(place)?.as_str())
        .filter(|words| !words.trim().is_empty())
}

/// What a provider's answer must not repeat: it is made an error, and errors are logged and shown.
fn secrets_of(request: &Request) -> Vec<String> {
    let mut values: Vec<&http::HeaderValue> = request
        .headers
        .values()
        .filter(|value| value.is_sensitive())
        .collect();
    let mut secrets = Vec::new();
    match &request.auth {
        None => {}
        Some(Auth::QueryKey(key)) => {
            let escaped: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
            secrets.extend([key.clone(), escaped]);
        }
        Some(Auth::Header(_, value)) => values.push(value),
    }
    for value in values {
        let text = String::from_utf8_lossy(value.as_bytes());
        // Behind the name of a scheme, e.g. `Bearer`, the secret itself.
        let bare = text.split_once(' ').map(|(_, bare)| bare.trim().to_owned());
        secrets.extend(bare);
        secrets.push(text.into_owned());
    }
    secrets.retain(|secret| secret.len() >= SECRET_BYTES_MIN);
    // A secret within another is found after it.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

fn hidden(text: &str, secrets: &[String]) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| {
        text.replace(secret.as_str(), "[hidden]")
    })
}

fn hide_in(value: &mut Value, secrets: &[String]) {
    match value {
        Value::String(text) => *text = hidden(text, secrets),
        Value::Array(items) => items.iter_mut().for_each(|item| hide_in(item, secrets)),
        Value::Object(fields) => {
            for (name, mut field) in std::mem::take(fields) {
                hide_in(&mut field, secrets);
                fields.insert(hidden(&name, secrets), field);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The beginning of a text, at most this many bytes.
fn excerpt(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// Takes no more bytes than a step's output may have.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > STEP_OUTPUT_BYTES_MAX {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
