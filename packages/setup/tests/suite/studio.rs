//! A studio with an engine, both in a folder of the test's own.

use crate::services::{KEY, Services};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stepwell::OutgoingEvent;
use stepwell::embedded::{Embedded, EngineClock, ManualClock, Run, RunStatus, Timestamp};
use studio233_blob::{ContentType, Key, Put};
use studio233_db::{DatabaseUrl, NewWorkspace, Workspace, WorkspaceId};
use studio233_setup::{Parts, Settings};

/// A failing test ends, some time; it takes longer than any service that a test leaves waiting.
const PATIENCE: Duration = Duration::from_secs(600);

/// Declares tests of a studio, once for each kind of database.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::studio::Studio::start(None).await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                let url = testbed::postgres::database().unwrap_or_else(|error| panic!("{error}"));
                super::$name($crate::studio::Studio::start(Some(&url)).await).await;
            })+
        }
    };
}
pub(crate) use on_both;

pub(crate) struct Studio {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) services: Services,
    pub(crate) parts: Parts,
    engine: Embedded,
    clock: Arc<ManualClock>,
}

impl Studio {
    /// With the workspace `w`, of which nothing is known.
    pub(crate) async fn start(database: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let services = Services::start().await;
        let settings = Settings {
            database: database.map(|url| DatabaseUrl::parse(url).unwrap()),
            providers: services.providers(),
            allow_origins: vec![services.origin()],
            ..Settings::in_folder(folder.path())
        };
        let parts = Parts::open(&settings).await.unwrap();
        let client = studio233_inngest::client(settings.inngest.clone());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = Timestamp::from_ms(u64::try_from(now.as_millis()).unwrap());
        let clock = ManualClock::new(now);
        let engine = Embedded::builder()
            .app(parts.app(client))
            .sqlite(folder.path().join("engine.db"))
            .clock(EngineClock::Manual(Arc::clone(&clock)))
            .start()
            .await
            .unwrap();
        let workspace = NewWorkspace {
            id: WorkspaceId::new("w"),
            name: "W".to_owned(),
            slug: "w".to_owned(),
            user_id: "local".to_owned(),
        };
        let database = &parts.deps.database;
        database.create_workspace(&workspace, 1).await.unwrap();
        Self {
            folder,
            services,
            parts,
            engine,
            clock,
        }
    }

    /// Sends an event, lets all come to its end that comes of it, and gives the one run that it started.
    pub(crate) async fn run(&self, event: impl Into<OutgoingEvent>) -> Run {
        let sent = self.engine.send(event).await.unwrap();
        self.settle().await;
        let mut runs = self.engine.runs_of_event(sent).await.unwrap();
        assert_eq!(runs.len(), 1);
        runs.remove(0)
    }

    /// The runs of events of a name.
    pub(crate) async fn runs_of(&self, event: &'static str) -> Vec<Run> {
        let handle = self.engine.handle();
        let events = handle.read(move |reader| reader.events(Some(event), None, 10));
        let mut runs = Vec::new();
        for event in events.await.unwrap() {
            runs.extend(self.engine.runs_of_event(event.id).await.unwrap());
        }
        runs
    }

    /// The clock goes on to whatever is due, until nothing is.
    async fn settle(&self) {
        while let Some(due) = self.rest().await.due_besides_ticks {
            self.clock.advance_to(due);
        }
    }

    /// Lets time pass until the next schedule's tick, and all come to its end that comes of it.
    pub(crate) async fn tick(&self) {
        self.settle().await;
        let due = self.rest().await.due.expect("there are schedules");
        self.clock.advance_to(due);
        self.settle().await;
    }

    async fn rest(&self) -> stepwell_runtime::Rest {
        let rest = self.engine.handle().rest();
        let rest = tokio::time::timeout(PATIENCE, rest).await;
        rest.expect("what is under way ends").unwrap()
    }

    /// What a step of a run recorded, without its envelope.
    pub(crate) async fn step(&self, run: &Run, name: &str) -> Value {
        let steps = self.engine.steps(run.id).await.unwrap();
        let step = steps.iter().find(|step| step.name == name);
        let step = step.unwrap_or_else(|| panic!("no {name} among {steps:?}"));
        let value: Value = serde_json::from_str(step.value_json()).unwrap();
        value["data"].clone()
    }

    /// The history of how a run's steps failed: `step: error`, with all causes, and the seconds until the next attempt. No
    /// key is in it.
    pub(crate) async fn failures(&self, run: &Run) -> Vec<(String, Option<u64>)> {
        let id = run.id;
        let handle = self.engine.handle();
        let attempts = handle
            .read(move |reader| reader.attempts(id))
            .await
            .unwrap();
        // The run's own failure repeats its step's.
        let of_steps = attempts
            .into_iter()
            .filter(|attempt| attempt.step.is_some());
        let failures = of_steps.map(|attempt| {
            let error = attempt.error.unwrap_or_default();
            assert!(!error.contains(KEY), "{error}");
            let wait = attempt
                .retry_at
                .map(|at| at.ms_since(attempt.ended_at) / 1000);
            (format!("{}: {error}", attempt.name), wait)
        });
        failures.collect()
    }

    /// Who is noted as passed over in a run's steps: `who: why`, as people who look at the run see it.
    pub(crate) async fn passed_over(&self, run: &Run) -> Vec<String> {
        let id = run.id;
        let handle = self.engine.handle();
        let notes = handle.read(move |reader| reader.metadata(id)).await;
        let mut told = Vec::new();
        for note in notes.unwrap() {
            assert_eq!(note.kind, "userland.passed-over");
            let told_of = note.values.iter();
            told.extend(told_of.map(|(who, why)| format!("{who}: {}", why.as_str().unwrap())));
        }
        told
    }

    pub(crate) async fn workspace(&self) -> Workspace {
        let id = WorkspaceId::new("w");
        let workspace = self.parts.deps.database.workspace(&id).await;
        workspace.unwrap().unwrap()
    }

    pub(crate) async fn fragments(&self) -> Vec<String> {
        let workspace = WorkspaceId::new("w");
        let known = self.parts.deps.database.newest_knowledge(&workspace, 50);
        let known = known.await.unwrap().into_iter();
        known.map(|fragment| fragment.text).collect()
    }

    /// Stores a file; gives its URL.
    pub(crate) async fn put(&self, key: &str, bytes: Vec<u8>, content_type: &str) -> String {
        let key = Key::parse(key).unwrap();
        let content_type = ContentType::parse(content_type).unwrap();
        let blobs = &self.parts.deps.blobs;
        let put = blobs.put(&key, bytes.into(), &content_type, Put::Overwrite);
        put.await.unwrap();
        studio233_rag::blob_url(&key)
    }

    /// The keys below a folder of the blobs.
    pub(crate) async fn keys(&self, folder: &str) -> Vec<String> {
        let folder = Key::parse(folder).unwrap();
        let page = self.parts.deps.blobs.list(Some(&folder), None, 1000).await;
        let keys = page.unwrap().items.into_iter();
        keys.map(|blob| blob.key.to_string()).collect()
    }
}

/// Asserts that a run returned this.
pub(crate) fn assert_output(run: &Run, expected: &Value) {
    assert_eq!(run.status, RunStatus::Completed, "{:?}", run.error());
    assert_eq!(&run.output::<Value>().unwrap(), expected);
}
