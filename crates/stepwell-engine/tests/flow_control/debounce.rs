//! Debounce: a window for each key, which closes when events have stopped coming for a period or at its timeout, with
//! the event that is last by its own time.

use crate::rig::Rig;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use stepwell_engine::Verdict;

#[derive(Debug, Clone)]
enum Step {
    Event { key: u8, dated_ms: i64 },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let event = (0_u8..3, prop_oneof![3 => Just(0), 1 => -2_000_i64..2_000])
        .prop_map(|(key, dated_ms)| Step::Event { key, dated_ms });
    let step = prop_oneof![8 => event, 1 => Just(Step::Restart)];
    let gap = prop_oneof![1 => Just(0), 4 => 0_u64..2_500];
    proptest::collection::vec((gap, step), 1..40)
}

struct Window {
    opened: u64,
    closes: u64,
    dated: i64,
    event: usize,
}

#[derive(Default)]
struct Model {
    windows: BTreeMap<u8, Window>,
    /// When each run is scheduled, for which event, and from when on it may start.
    runs: Vec<(u64, usize, u64)>,
    superseded: Vec<usize>,
}

impl Model {
    fn close_until(&mut self, now: u64) {
        while let Some((key, closes)) = self
            .windows
            .iter()
            .map(|(key, window)| (*key, window.closes))
            .filter(|(_, closes)| *closes <= now)
            .min_by_key(|(_, closes)| *closes)
        {
            let window = self.windows.remove(&key).expect("it was just found");
            let start = u64::try_from(window.dated).unwrap_or(0).max(closes);
            self.runs.push((closes, window.event, start));
        }
    }

    fn event(&mut self, now: u64, key: u8, dated: i64, event: usize, rule: (u64, Option<u64>)) {
        let (period, timeout) = rule;
        let closes = |opened: u64| match timeout {
            Some(timeout) => (now + period).min(opened + timeout),
            None => now + period,
        };
        match self.windows.get_mut(&key) {
            Some(window) if window.dated > dated => self.superseded.push(event),
            Some(window) => {
                self.superseded.push(window.event);
                window.closes = closes(window.opened);
                (window.dated, window.event) = (dated, event);
            }
            None => {
                let window = Window {
                    opened: now,
                    closes: closes(now),
                    dated,
                    event,
                };
                self.windows.insert(key, window);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn windows_close_with_their_last_event(
        steps in steps(),
        period in 1_000_u64..3_000,
        timeout in proptest::option::of(500_u64..6_000),
    ) {
        let mut rule = json!({"period": format!("{period}ms"), "key": "event.data.key"});
        if let Some(timeout) = timeout {
            rule["timeout"] = json!(format!("{timeout}ms"));
        }
        let mut rig = Rig::of(json!({"debounce": rule}));
        let mut model = Model::default();
        for (gap, step) in steps {
            rig.pass(gap);
            match step {
                Step::Event { key, dated_ms } => {
                    let event = rig.send_dated("x", json!({"key": key}), None, dated_ms);
                    let now = rig.now_ms();
                    model.close_until(now);
                    let dated = i64::try_from(now).unwrap() + dated_ms;
                    model.event(now, key, dated, event, (period, timeout));
                }
                Step::Restart => rig.restart(1),
            }
        }
        rig.pass(20_000);
        model.close_until(rig.now_ms());
        let mut found: Vec<(u64, usize, u64)> = rig
            .queued()
            .into_iter()
            .zip(rig.starts())
            .map(|((at, events), start)| (at, events[0], start.expect("every run starts")))
            .collect();
        // Windows that close at the same moment do so in no order.
        found.sort_unstable();
        model.runs.sort_unstable();
        prop_assert_eq!(found, model.runs);
        let superseded: Vec<usize> = rig
            .verdicts()
            .iter()
            .enumerate()
            .filter(|(_, verdict)| matches!(verdict, Some(Verdict::Superseded { .. })))
            .map(|(event, _)| event)
            .collect();
        model.superseded.sort_unstable();
        prop_assert_eq!(superseded, model.superseded);
    }
}
