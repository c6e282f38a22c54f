//! Replies that nobody waits for: the call was given up, or is yet to be made again.
//!
//! A call that is made again has the same id as before, so its reply may already be here. They are kept for a while, in
//! memory: what is lost is executed again.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use stepwell_protocol::connect::SdkResponse;
use tokio::time::Instant;

/// Replies that are kept.
const REPLIES_MAX: usize = 10_000;
/// Their bytes.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long one is kept.
const KEPT: Duration = Duration::from_secs(10 * 60);

/// Replies by the id of their call.
#[derive(Debug, Default)]
pub(super) struct LateReplies {
    replies: HashMap<String, Box<SdkResponse>>,
    /// Ids in the order in which their replies came, with the times; some may have been taken.
    order: VecDeque<(Instant, String)>,
    bytes: usize,
}

impl LateReplies {
    /// Keeps a reply; the first one for a call stays.
    pub(super) fn put(&mut self, reply: Box<SdkResponse>, now: Instant) {
        if self.replies.contains_key(&reply.request_id) {
            return;
        }
        let id = reply.request_id.clone();
        self.bytes += size(&reply);
        self.order.push_back((now, id.clone()));
        self.replies.insert(id, reply);
        self.forget_old(now);
    }

    /// Takes the reply to a call, if it is here.
    pub(super) fn take(&mut self, request: &str, now: Instant) -> Option<Box<SdkResponse>> {
        self.forget_old(now);
        let reply = self.replies.remove(request)?;
        self.bytes -= size(&reply);
        Some(reply)
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((came, id)) = self.order.front() {
            let too_many = self.order.len() > REPLIES_MAX || self.bytes > BYTES_MAX;
            if !too_many && now.duration_since(*came) < KEPT {
                return;
            }
            if let Some(reply) = self.replies.remove(id) {
                self.bytes -= size(&reply);
            }
            self.order.pop_front();
        }
    }
}

fn size(reply: &SdkResponse) -> usize {
    // A little for the rest: an empty body is not for free.
    reply.body.len() + reply.request_id.len() + 512
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(id: &str, body: usize) -> Box<SdkResponse> {
        Box::new(SdkResponse {
            request_id: id.to_owned(),
            body: vec![b'x'; body],
            ..SdkResponse::default()
        })
    }

    #[test]
    fn a_reply_is_taken_once_and_the_first_one_counts() {
        let now = Instant::now();
        let mut late = LateReplies::default();
        late.put(reply("a", 1), now);
        late.put(reply("a", 2), now);
        assert_eq!(late.take("b", now), None);
        assert_eq!(late.take("a", now), Some(reply("a", 1)));
        assert_eq!(late.take("a", now), None);
        assert_eq!(late.bytes, 0);
    }

    #[test]
    fn old_replies_go_and_so_do_too_many_or_too_large_ones() {
        let start = Instant::now();
        let mut late = LateReplies::default();
        late.put(reply("old", 1), start);
        assert!(late.take("old", start + KEPT).is_none());

        for index in 0..=REPLIES_MAX {
            late.put(reply(&index.to_string(), 0), start + KEPT);
        }
        assert_eq!(late.replies.len(), REPLIES_MAX);
        assert!(late.take("0", start + KEPT).is_none());
        assert!(late.take("1", start + KEPT).is_some());

        late.put(reply("large", BYTES_MAX - 10_000), start + KEPT);
        assert!(late.bytes <= BYTES_MAX);
        assert!(late.take("large", start + KEPT).is_some());
        assert!(late.take("2", start + KEPT).is_none());
    }
}
