//! Schedules: a run for each tick, for the last of those that were missed or for none, and one for ticks of several
//! schedules at once.

use crate::rig::{Rig, function};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeSet;
use stepwell_engine::{CatchUp, Config};

const MINUTE: u64 = 60_000;

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    /// The process is down so long.
    Down(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..15 * MINUTE).prop_map(Step::Pass),
        1 => (1..3 * MINUTE).prop_map(Step::Down),
        1 => (1..40 * MINUTE).prop_map(Step::Down),
    ];
    proptest::collection::vec(step, 1..30)
}

/// Ticks at minutes of the hour that this divides.
struct Every {
    minutes: u64,
    /// Ticks until then are dealt with.
    after: u64,
}

impl Every {
    fn is_tick(&self, minute: u64) -> bool {
        (minute % 60).is_multiple_of(self.minutes)
    }

    /// The ticks that are not dealt with yet.
    fn ticks(&self, until: u64) -> Vec<u64> {
        let minutes = self.after / MINUTE + 1..=until / MINUTE;
        minutes
            .filter(|minute| self.is_tick(*minute))
            .map(|minute| minute * MINUTE)
            .collect()
    }

    /// Which ticks start a run for someone who looks at the clock now.
    fn look(&mut self, now: u64, catch_up: CatchUp) -> Vec<u64> {
        let ticks = self.ticks(now);
        let is_late = |tick: &u64| tick + MINUTE < now;
        let mut runs: Vec<u64> = ticks
            .iter()
            .copied()
            .filter(|tick| !is_late(tick))
            .collect();
        // Missed ones are made up for by the last tick of all.
        if ticks.iter().any(is_late) {
            runs = ticks.last().copied().into_iter().collect();
            if catch_up == CatchUp::Skip {
                runs.retain(|tick| !is_late(tick));
            }
        }
        self.after = ticks.last().copied().unwrap_or(self.after);
        runs
    }
}

fn written(tick: u64) -> String {
    let minute = tick / MINUTE;
    let (day, minute) = (minute / 1_440 + 1, minute % 1_440);
    format!("2026-01-{day:02}T{:02}:{:02}:00Z", minute / 60, minute % 60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ticks_start_runs_and_missed_ones_are_made_up_for(
        steps in steps(),
        minutes in proptest::sample::subsequence(vec![1, 2, 5, 7, 15, 30, 59], 1..3),
        skips in any::<bool>(),
        jitter_s in proptest::option::of(1_u64..300),
    ) {
        let crons = minutes.iter().map(|minutes| {
            let mut trigger = json!({"cron": format!("*/{minutes} * * * *")});
            if let Some(jitter_s) = jitter_s {
                trigger["jitter"] = json!(format!("{jitter_s}s"));
            }
            trigger
        });
        let catch_up = if skips { CatchUp::Skip } else { CatchUp::One };
        let config = Config { catch_up, ..Config::default() };
        let triggers = crons.collect();
        let mut rig = Rig::new(&[function("f", triggers, json!({}))], config);
        let mut schedules: Vec<Every> =
            minutes.iter().map(|minutes| Every { minutes: *minutes, after: 0 }).collect();
        let (mut expected, mut seen, mut ups) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for step in steps {
            let start = rig.now_ms();
            let looks: Vec<u64> = match step {
                Step::Pass(ms) => {
                    rig.pass(ms);
                    (start / MINUTE + 1..=(start + ms) / MINUTE).map(|minute| minute * MINUTE).collect()
                }
                Step::Down(ms) => {
                    rig.restart(ms);
                    ups.push(start + ms);
                    vec![start + ms]
                }
            };
            for now in looks {
                for schedule in &mut schedules {
                    for tick in schedule.look(now, catch_up) {
                        if seen.insert(tick) {
                            expected.insert((now, written(tick), tick));
                        }
                    }
                }
            }
        }
        let queued = rig.queued();
        let found: BTreeSet<(u64, String)> =
            queued.iter().map(|(at, events)| (*at, rig.external_id(events[0]).to_owned())).collect();
        prop_assert_eq!(found.len(), queued.len());
        let ticks: BTreeSet<(u64, String)> =
            expected.iter().map(|(at, tick, _)| (*at, tick.clone())).collect();
        prop_assert_eq!(found, ticks);
        // Runs start when they are queued, or within the jitter of their tick.
        for ((at, events), start) in queued.iter().zip(rig.starts()) {
            let id = rig.external_id(events[0]);
            let (_, _, tick) = expected.iter().find(|(_, text, _)| text == id).expect("it was found");
            match (jitter_s, start) {
                (None, start) => prop_assert_eq!(start, Some(*at)),
                (Some(jitter_s), Some(start)) => {
                    let jittered = tick + 1_000..(tick + jitter_s * 1_000).max(tick + 1_001);
                    let late = start >= jittered.start && ups.contains(&start);
                    prop_assert!(jittered.contains(&start) || late, "tick {tick} at {start}");
                }
                (Some(jitter_s), None) => prop_assert!(rig.now_ms() < tick + jitter_s * 1_000 + 1_000),
            }
        }
    }
}
