//! Rows to write.

use smallvec::smallvec;
use stepwell_engine::flow::Keys;
use stepwell_engine::{
    AppRow, AttemptRow, BatchEventRow, BatchRow, Bounds, BulkCancelRow, CancelRow, Change,
    DebounceRow, DeferRow, DeferStatus, DeliveryRow, EventRow, FunctionRow, IdSource, ItemId,
    ItemKind, ItemRow, KeyRow, Origin, ReplyTo, RunEnd, RunProgress, RunRow, RunStatus,
    ScheduleRow, Snapshot, StepRow, ThrottleRow, Timestamp, WaitFor,
};
use stepwell_protocol::{AppId, BulkCancelId, FunctionId, SharedJson, StepId, shared_json};

/// Some moment of 2026.
const START: Timestamp = Timestamp::from_ms(1_767_225_600_000);

/// A moment, in milliseconds from the start.
pub(crate) fn at(ms: u64) -> Timestamp {
    START.after_ms(ms)
}

pub(crate) fn json(text: &str) -> SharedJson {
    shared_json(text.to_owned()).expect("the test writes JSON")
}

/// Makes rows with ids of their own.
#[derive(Debug)]
pub(crate) struct Rows {
    ids: IdSource,
    item_last: u64,
}

impl Rows {
    pub(crate) fn new() -> Self {
        Self {
            ids: IdSource::from_seed(1),
            item_last: 0,
        }
    }

    pub(crate) fn app(&self, name: &str) -> AppRow {
        AppRow {
            id: AppId::of(name),
            name: name.to_owned(),
            url: format!("http://{name}.test"),
            sdk: "js:v4.0.0".to_owned(),
            framework: "express".to_owned(),
            checksum: "c".to_owned(),
            synced_at: at(1),
        }
    }

    pub(crate) fn function(&self, app: &AppRow, slug: &str) -> FunctionRow {
        FunctionRow {
            id: FunctionId::of(app.id, slug),
            app: app.id,
            slug: slug.to_owned(),
            name: slug.to_uppercase(),
            config: format!("{{\"of\":\"{slug}\"}}"),
            version: 1,
            archived: false,
            paused: false,
            bounds: Bounds {
                steps: Some(7),
                state_bytes: None,
            },
        }
    }

    pub(crate) fn event(&mut self, name: &str) -> EventRow {
        self.event_at(name, at(0))
    }

    pub(crate) fn event_at(&mut self, name: &str, received_at: Timestamp) -> EventRow {
        EventRow {
            id: self.ids.event_id(received_at),
            name: name.to_owned(),
            external_id: "sent as ü".to_owned(),
            ts_ms: -5,
            received_at,
            body: json(&format!("{{\"name\":\"{name}\", \"data\":{{}}}}")),
        }
    }

    pub(crate) fn run(&mut self, event: &EventRow) -> RunRow {
        self.run_at(event, at(0))
    }

    pub(crate) fn run_at(&mut self, event: &EventRow, queued_at: Timestamp) -> RunRow {
        let id = self.ids.run_id(queued_at);
        RunRow {
            id,
            function: FunctionId::of(AppId::of("app"), "f"),
            function_version: 3,
            events: smallvec![event.id],
            dedupe_key: None,
            announces: true,
            queued_at,
            keys: None,
            origin: None,
            progress: RunProgress {
                id,
                status: RunStatus::Scheduled,
                started_at: None,
                request_version: -1,
                force_plan: false,
                pending: Vec::new(),
            },
        }
    }

    pub(crate) fn item(&mut self, run: &RunRow, kind: ItemKind) -> ItemRow {
        self.item_last += 1;
        ItemRow {
            id: ItemId(self.item_last << 40),
            run: run.id,
            kind,
            due: at(self.item_last),
            attempt: 0,
            race: false,
            title: None,
            wait: None,
            failures_of: None,
        }
    }

    pub(crate) fn bulk_cancel(
        number: u8,
        function: &FunctionRow,
        condition: Option<&str>,
        after: Option<&RunRow>,
    ) -> BulkCancelRow {
        BulkCancelRow {
            id: BulkCancelId::from_bytes([number; 16]),
            function: function.id,
            started_after: after.map(|_| at(3)),
            started_before: at(9),
            condition: condition.map(Into::into),
            created_at: at(8),
            after: after.map(|run| run.id),
            done: false,
        }
    }

    pub(crate) fn throttle(key: u128, tat_us: u64) -> ThrottleRow {
        ThrottleRow { key, tat_us }
    }

    pub(crate) fn step(run: &RunRow, step: &StepId, position: usize, value: &str) -> Change {
        Change::StepPut(Box::new(StepRow {
            run: run.id,
            step: step.clone(),
            position: u32::try_from(position).expect("a few steps"),
            op: "StepRun",
            name: format!("step {position}"),
            value: json(value),
            failed: value.contains("error"),
            attempt: 3,
            queued_at: at(0),
            started_at: at(1),
            ended_at: at(2),
            detail: None,
            failures_of: None,
        }))
    }

    pub(crate) fn attempt(
        run: &RunRow,
        attempt: u32,
        step: Option<StepId>,
        retry_at: Option<Timestamp>,
    ) -> Change {
        Change::AttemptPut(Box::new(AttemptRow {
            run: run.id,
            item: ItemId(1),
            attempt,
            step,
            name: "a step".to_owned(),
            error: Some(r#"{"name":"Error"}"#.to_owned()),
            queued_at: at(0),
            started_at: at(1),
            ended_at: at(2),
            retry_at,
            op: None,
            detail: None,
        }))
    }

    pub(crate) fn end(run: &RunRow, status: RunStatus, output: Option<&str>) -> Change {
        Change::RunEnd(RunEnd {
            id: run.id,
            status,
            ended_at: at(9),
            output: output.map(json),
            cause: None,
            last_call: None,
        })
    }

    /// Rows of all live kinds with every field set somewhere, and what must be loaded of them.
    pub(crate) fn a_bit_of_everything(&mut self) -> (Vec<Change>, Snapshot) {
        let app = self.app("app");
        let mut function = self.function(&app, "f");
        function.version = 9;
        function.paused = true;
        let event = self.event("x/y");
        let second = self.event("x/z");
        let keys = Keys {
            concurrency: vec![(u64::MAX, u128::MAX), (1, 2)],
            runs: vec![(6, 7)],
            throttle: Some(3),
            singleton: Some(8 << 100),
            priority_s: -5,
        };
        let queued = RunRow {
            dedupe_key: Some(5 << 100),
            keys: keys.encode(),
            ..self.run(&event)
        };
        let mut running = RunRow {
            events: smallvec![event.id, second.id],
            announces: false,
            origin: Some(Box::new(Origin {
                replies_to: vec![ReplyTo {
                    run: queued.id,
                    step: StepId::of("i", 0),
                }],
                cron: Some("0 0 * * *".into()),
                batch: Some(u64::MAX),
                original: Some(queued.id),
            })),
            ..self.run(&event)
        };
        let progress = RunProgress {
            id: running.id,
            status: RunStatus::Running,
            started_at: Some(at(3)),
            request_version: 2,
            force_plan: true,
            pending: vec![StepId::of("p", 0), StepId::parse("q, \"q\"")],
        };
        let ended = self.run(&second);
        let (hash, text) = (StepId::of("a", 0), StepId::parse("twenty bytes of text"));
        let mut waiting = vec![
            WaitFor::Event {
                name: "x/z".into(),
                condition: Some("async.data.n == 1".into()),
                since_ms: Some(7),
            },
            WaitFor::Signal {
                name: "go".into(),
                holds: true,
            },
            WaitFor::Invoke {
                function: "app-g".into(),
                event: event.id,
            },
            WaitFor::Response { ai: true },
        ];
        let mut items = vec![
            self.item(&queued, ItemKind::Start),
            self.item(&running, ItemKind::Step(hash.clone())),
            self.item(&ended, ItemKind::Announce),
        ];
        let step = StepId::of("w", 0);
        let kinds = [
            ItemKind::WaitForEvent(step.clone()),
            ItemKind::WaitForSignal(step.clone()),
            ItemKind::Invoke(step.clone()),
            ItemKind::Gateway(step.clone()),
        ];
        for (kind, wait) in kinds.into_iter().zip(waiting.drain(..)) {
            items.push(ItemRow {
                race: true,
                title: Some("a wait".into()),
                wait: Some(Box::new(wait)),
                failures_of: Some(ItemId(u64::MAX >> 1)),
                ..self.item(&running, kind)
            });
        }
        let cancel = CancelRow {
            id: ItemId(1 << 60),
            run: running.id,
            event: "x/stop".into(),
            condition: Some("true".into()),
            expires_at: at(99),
        };
        let delivery = DeliveryRow {
            id: ItemId(2 << 60),
            event: event.id,
        };
        let bulk_cancels = vec![
            Self::bulk_cancel(1, &function, Some("event.data.ü == 1"), Some(&running)),
            Self::bulk_cancel(2, &function, None, None),
        ];
        let debounce = DebounceRow {
            key: 9 << 100,
            function: function.id,
            event: event.id,
            opened_at: at(1),
            closes_at: at(2),
            ts_ms: -5,
            draft: "{}".to_owned(),
        };
        let batch = BatchRow {
            id: ItemId(3),
            key: 10 << 100,
            function: function.id,
            closes_at: at(3),
            keys: keys.encode(),
        };
        let batch_events: Vec<BatchEventRow> = (0..2)
            .map(|position| BatchEventRow {
                batch: batch.id,
                position,
                event: event.id,
                bytes: 7,
                reply_to: (position == 1).then(|| ReplyTo {
                    run: running.id,
                    step: step.clone(),
                }),
            })
            .collect();
        let schedule = ScheduleRow {
            function: function.id,
            cron: "0 0 * * *".into(),
            after: at(4),
        };
        let defer = DeferRow {
            run: running.id,
            step: step.clone(),
            slug: "app-g".to_owned(),
            input: Some(json("{\"ü\":1}")),
            meta: None,
            status: DeferStatus::AfterRun,
        };
        let throttles = vec![Self::throttle(3, 4), Self::throttle(1 << 127, 5)];
        let mut changes = vec![
            Change::AppPut(app.clone()),
            Change::FunctionPut(function.clone()),
            Change::EventPut(event),
            Change::EventPut(second),
            Change::RunPut(Box::new(queued.clone())),
            Change::RunPut(Box::new(running.clone())),
            Change::RunPut(Box::new(ended.clone())),
            Change::RunProgress(Box::new(progress.clone())),
            Self::step(&running, &hash, 0, "\"ü\""),
            Self::step(&running, &text, 1, "{\"data\":null}"),
            Self::step(&ended, &hash, 0, "1"),
            Self::attempt(&running, 0, Some(hash.clone()), None),
            Self::end(&ended, RunStatus::Completed, Some("1")),
        ];
        let put = |item: &ItemRow| Change::ItemPut(Box::new(item.clone()));
        changes.extend(items.iter().map(put));
        changes.extend([
            Change::CancelPut(Box::new(cancel.clone())),
            Change::DeliveryPut(delivery),
            Change::BulkCancelPut(Box::new(bulk_cancels[0].clone())),
            Change::BulkCancelPut(Box::new(BulkCancelRow {
                done: true,
                ..bulk_cancels[1].clone()
            })),
            Change::BulkCancelPut(Box::new(bulk_cancels[1].clone())),
            Change::DebouncePut(Box::new(debounce.clone())),
            Change::BatchPut(Box::new(batch.clone())),
            Change::KeyPut(KeyRow {
                key: 11 << 100,
                at: at(5),
            }),
            Change::SchedulePut(schedule.clone()),
            Change::DeferPut(Box::new(defer.clone())),
        ]);
        let put = |row: &BatchEventRow| Change::BatchEventPut(Box::new(row.clone()));
        changes.extend(batch_events.iter().map(put));
        changes.extend(throttles.iter().cloned().map(Change::ThrottlePut));
        running.progress = progress;
        let mut snapshot = Snapshot {
            apps: vec![app],
            functions: vec![function],
            recent_keys: vec![
                (5 << 100, Some(queued.id), queued.queued_at),
                (11 << 100, None, at(5)),
            ],
            defers: vec![(running.id, step, DeferStatus::AfterRun, "{\"ü\":1}".len())],
            runs: vec![
                (queued, Vec::new(), 0),
                (
                    running,
                    vec![hash, text],
                    "\"ü\"".len() + "{\"data\":null}".len(),
                ),
            ],
            items,
            ended: vec![(ended.id, RunStatus::Completed)],
            throttles,
            cancels: vec![cancel],
            bulk_cancels,
            deliveries: vec![delivery],
            debounces: vec![debounce],
            batches: vec![(batch, batch_events)],
            schedules: vec![schedule],
        };
        snapshot.normalize();
        (changes, snapshot)
    }
}
