//! What a durable endpoint's answer to a re-entry means.
//!
//! The app executes the handler anew and reports ops as functions do. But the handler may also have run to its end without
//! a word to the server's SDK; then its answer is what the run gives, as it is.

use super::{Failure, Outcome, RawReply, Reply, as_json, failed_answer, json_string, reply_of};
use crate::op::{Opcode, parse_ops};
use crate::{UserError, limits};
use serde_json::Value;

/// Finds out what the answer of an endpoint means.
#[must_use]
pub fn interpret_endpoint(raw: RawReply) -> Reply {
    reply_of(raw, outcome_of)
}

fn outcome_of(raw: &RawReply) -> Outcome {
    if raw.body.len() > limits::REPLY_BYTES_MAX || raw.headers.sdk.is_none() {
        return super::outcome_of(&RawReply {
            // Ops of something that does not say that it is an SDK are no ops.
            status: if raw.status == 206 { 200 } else { raw.status },
            ..raw.clone()
        });
    }
    if let Some(ops) = ops_of(raw) {
        return ops;
    }
    match raw.status {
        200..=299 => {
            Outcome::Returned(as_json(&raw.body).unwrap_or_else(|| json_string(&raw.body)))
        }
        _ => failed_answer(raw),
    }
}

/// The ops of an answer, if it consists of ops: a 206 does, and so does any other list of them.
fn ops_of(raw: &RawReply) -> Option<Outcome> {
    let value: Value = serde_json::from_slice(&raw.body).unwrap_or(Value::Null);
    let ops = match &value {
        Value::Array(list) => raw.status == 206 || (!list.is_empty() && list.iter().all(is_op)),
        // The one op that is sent alone, and whose data is the end of the run.
        Value::Object(fields) => {
            let op = fields.get("op").and_then(Value::as_str);
            let op = op.and_then(Opcode::parse);
            matches!(op, Some(Opcode::RunComplete | Opcode::SyncRunComplete))
        }
        _ => raw.status == 206 && raw.body.is_empty(),
    };
    if !ops {
        return None;
    }
    Some(match parse_ops(&raw.body) {
        Ok(ops) => Outcome::Ops(ops),
        Err(error) => {
            let message = format!("error reading generator opcode response: {error}");
            Outcome::Failed(Failure::of(UserError::new("Error", message)))
        }
    })
}

fn is_op(entry: &Value) -> bool {
    entry["op"].is_string() && entry["id"].is_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::ReplyHeaders;

    fn said(status: u16, sdk: bool, body: &str) -> String {
        let reply = interpret_endpoint(RawReply {
            status,
            headers: ReplyHeaders {
                sdk: sdk.then(|| "inngest-js:v4".to_owned()),
                ..ReplyHeaders::default()
            },
            body: body.as_bytes().to_vec(),
        });
        match reply.outcome {
            Outcome::Ops(ops) => {
                let ops: Vec<&str> = ops.iter().map(|op| op.op.as_str()).collect();
                format!("ops {}", ops.join(","))
            }
            Outcome::Returned(output) => format!("returned {}", output.get()),
            Outcome::Failed(failure) => failure.error.message.clone(),
        }
    }

    #[test]
    fn a_list_of_ops_is_read_as_ops_and_all_else_as_the_end() {
        const SLEEP: &str = r#"[{"op":"Sleep","id":"a"}]"#;
        const END: &str = r#"{"op":"RunComplete","id":"c","data":{"status":200}}"#;
        for (status, body, expected) in [
            (206, SLEEP, "ops Sleep"),
            (200, SLEEP, "ops Sleep"),
            (500, SLEEP, "ops Sleep"),
            (206, END, "ops RunComplete"),
            (206, "[]", "ops "),
            (200, "[]", "returned []"),
            (200, "[1,2]", "returned [1,2]"),
            (
                200,
                r#"{"op":"Sleep","id":"a"}"#,
                r#"returned {"op":"Sleep","id":"a"}"#,
            ),
            (200, r#"{"a":1}"#, r#"returned {"a":1}"#),
            (200, "hello", r#"returned "hello""#),
            (204, "", "returned null"),
            (500, r#"{"name":"E","message":"boom"}"#, "boom"),
            (404, "nothing here", "nothing here"),
        ] {
            assert_eq!(said(status, true, body), expected, "{status} {body}");
        }
        assert!(said(206, true, r#"[{"op":"Dance","id":"a"}]"#).contains("unknown op 'Dance'"));
        assert!(said(206, true, "").contains("error reading generator opcode response"));
    }

    #[test]
    fn an_answer_that_is_no_sdks_is_a_failure() {
        for status in [200, 206] {
            let said = said(status, false, r#"[{"op":"Sleep","id":"a"}]"#);
            assert_eq!(said, "The response did not come from an Inngest SDK");
        }
        assert!(said(502, false, "<html>").contains("HTTP 502"));
    }
}
