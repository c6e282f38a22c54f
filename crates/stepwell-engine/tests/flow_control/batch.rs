//! Batches: a run for as many events of a key as fit, or for those that came within a time, each id once.

use crate::rig::Rig;
use proptest::prelude::*;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use stepwell_engine::Verdict;

#[derive(Debug, Clone)]
enum Step {
    /// An event of this key, with this id if it has one; or one that is not to be batched.
    Event {
        key: u8,
        id: Option<u8>,
        alone: bool,
    },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let event = (
        0_u8..3,
        proptest::option::of(0_u8..30),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(key, id, alone)| Step::Event { key, id, alone });
    let step = prop_oneof![8 => event, 1 => Just(Step::Restart)];
    proptest::collection::vec((0_u64..1_500, step), 1..50)
}

#[derive(Default)]
struct Model {
    /// By key: when the batch closes, and its events.
    open: BTreeMap<u8, (u64, Vec<usize>)>,
    ids: BTreeSet<u8>,
    runs: Vec<(u64, Vec<usize>)>,
    duplicates: Vec<usize>,
}

impl Model {
    fn close_until(&mut self, now: u64) {
        let due: Vec<u8> = self
            .open
            .iter()
            .filter(|(_, (closes, _))| *closes <= now)
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            let (closes, events) = self.open.remove(&key).expect("it was just found");
            self.runs.push((closes, events));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batches_close_when_they_are_full_or_their_time_is_up(
        steps in steps(),
        size in 2_usize..6,
        timeout in 1_000_u64..5_000,
    ) {
        let mut rig = Rig::of(json!({"batchEvents": {
            "maxSize": size, "timeout": format!("{timeout}ms"),
            "key": "event.data.key", "if": "event.data.alone == false",
        }}));
        let mut model = Model::default();
        for (gap, step) in steps {
            rig.pass(gap);
            let Step::Event { key, id, alone } = step else {
                rig.restart(1);
                continue;
            };
            let data = json!({"key": key, "alone": alone});
            let event = rig.send_dated("x", data, id.map(|id| id.to_string()), 0);
            let now = rig.now_ms();
            model.close_until(now);
            if id.is_some_and(|id| !model.ids.insert(id)) {
                model.duplicates.push(event);
            } else if alone {
                model.runs.push((now, vec![event]));
            } else {
                let (_, events) = model.open.entry(key).or_insert((now + timeout, Vec::new()));
                events.push(event);
                if events.len() == size {
                    let (_, events) = model.open.remove(&key).expect("it was just there");
                    model.runs.push((now, events));
                }
            }
        }
        rig.pass(10_000);
        model.close_until(rig.now_ms());
        let mut found = rig.queued();
        found.sort_unstable();
        model.runs.sort_unstable();
        prop_assert_eq!(found, model.runs);
        let duplicates: Vec<usize> = rig
            .verdicts()
            .iter()
            .enumerate()
            .filter(|(_, verdict)| matches!(verdict, Some(Verdict::Duplicate { .. })))
            .map(|(event, _)| event)
            .collect();
        prop_assert_eq!(duplicates, model.duplicates);
    }
}

proptest! {
    // Few cases: their events take megabytes.
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batches_close_when_they_take_ten_megabytes(
        megabytes in proptest::collection::vec(1_usize..6, 1..10),
        restart_at in 0_usize..10,
    ) {
        let mut rig = Rig::of(json!({"batchEvents": {"maxSize": 100, "timeout": "1m"}}));
        let (mut open, mut bytes, mut runs) = (Vec::new(), 0, Vec::new());
        for (index, megabytes) in megabytes.into_iter().enumerate() {
            if index == restart_at {
                rig.restart(1);
            }
            let text = "x".repeat(megabytes * 1_024 * 1_024);
            open.push(rig.send("x", json!(text)));
            bytes += megabytes;
            if bytes >= 10 {
                runs.push(std::mem::take(&mut open));
                bytes = 0;
            }
        }
        rig.pass(60_000);
        if !open.is_empty() {
            runs.push(open);
        }
        let found: Vec<Vec<usize>> = rig.queued().into_iter().map(|(_, events)| events).collect();
        prop_assert_eq!(found, runs);
    }
}
