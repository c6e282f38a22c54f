//! Sessions: `key: id` pairs that tie events and runs together.

use serde::Deserialize;
use std::collections::BTreeMap;
use stepwell_protocol::SharedJson;

/// The sessions of a run: those of its events. Of two ids for one key, the earlier event's counts.
pub(crate) fn of_events(events: &[SharedJson]) -> BTreeMap<String, String> {
    #[derive(Deserialize)]
    struct Sent {
        #[serde(default)]
        meta: Option<Meta>,
    }
    #[derive(Deserialize)]
    struct Meta {
        #[serde(default)]
        sessions: Option<BTreeMap<String, String>>,
    }
    let mut sessions = BTreeMap::new();
    for event in events {
        // Most have none, and are not to be read for it.
        if !event.get().contains("\"sessions\"") {
            continue;
        }
        let sent: Option<Sent> = serde_json::from_str(event.get()).ok();
        let own = sent.and_then(|sent| sent.meta?.sessions);
        for (key, id) in own.into_iter().flatten() {
            sessions.entry(key).or_insert(id);
        }
    }
    sessions
}
