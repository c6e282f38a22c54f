//! What an app answers to a call.

use stepwell_protocol::op::parse_ops;
use stepwell_protocol::reply::{RawReply, ReplyHeaders, interpret};
use stepwell_runtime::report_steps;

const STATUSES: [u16; 8] = [200, 201, 206, 400, 404, 500, 502, 0];

/// Any answer means something. The first byte says the status and which headers there are.
///
/// # Panics
/// When it does not.
pub fn check(data: &[u8]) {
    let Some((first, body)) = data.split_first() else {
        return;
    };
    let (headers, body) = match body.iter().position(|byte| *byte == b'\n') {
        Some(at) if first & 8 != 0 => (&body[..at], &body[at + 1..]),
        _ => (&body[..0], body),
    };
    let text = String::from_utf8_lossy(headers);
    let read = |name: &str| match name {
        "x-inngest-sdk" => (first & 16 != 0).then_some("js:v4.0.0"),
        "x-inngest-no-retry" => Some(if first & 32 != 0 { "true" } else { "false" }),
        _ => Some(&*text).filter(|text| !text.is_empty()),
    };
    let reply = interpret(RawReply {
        status: STATUSES[usize::from(first & 7)],
        headers: ReplyHeaders::read(read),
        body: body.to_vec(),
    });
    assert!(!format!("{reply:?}").is_empty());
    if let Ok(ops) = parse_ops(body) {
        let count = ops.len();
        assert_eq!(report_steps(ops).len(), count);
    }
}
