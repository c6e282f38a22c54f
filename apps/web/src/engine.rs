//! The engine in this process, as the rest of the studio sees it: what it asks of runs and events.

use futures::stream::{self, BoxStream, StreamExt};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;
use stepwell::embedded::{Embedded, Handle};
use stepwell::{App, Client, EventId, Moment, RunId};
use studio233_inngest::APP_ID;
use tokio::sync::broadcast::error::RecvError;

pub(crate) use stepwell::embedded::{
    RunStatus, StartError, Stopped, StoreError, Timestamp, Unavailable,
};

/// Calls in flight get this long when the studio stops; what is given up goes on at the next start.
const GRACE: Duration = Duration::from_secs(10);

/// The engine and what it runs. One owner starts and stops it.
#[derive(Debug)]
pub(crate) struct Engine(Embedded);

impl Engine {
    /// Starts the engine on a file with the app's functions; unfinished work goes on at once.
    pub(crate) async fn start(file: &Path, app: App) -> Result<Self, StartError> {
        let embedded = Embedded::builder().app(app).sqlite(file);
        embedded.start().await.map(Self)
    }

    /// The client that sends to it.
    pub(crate) fn client(&self) -> Client {
        self.0.client().clone()
    }

    pub(crate) fn reader(&self) -> EngineReader {
        EngineReader(self.0.handle().clone())
    }

    pub(crate) async fn stop(self) -> Stopped {
        self.0.shutdown(GRACE).await
    }
}

/// Asks the engine; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct EngineReader(Handle);

/// A run, as it is recorded.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) id: RunId,
    /// The function's id within the app.
    pub(crate) function: String,
    /// The event that started it.
    pub(crate) event: Option<EventId>,
    pub(crate) status: RunStatus,
    pub(crate) queued_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    /// What it returned, or its error.
    pub(crate) output: Option<Value>,
}

/// An event, as it is recorded.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) id: EventId,
    /// The producer's id.
    pub(crate) external_id: String,
    pub(crate) name: String,
    pub(crate) received_at: Timestamp,
    pub(crate) data: Value,
}

impl Event {
    /// Whose event it is: every event of the studio that is the API's business names its workspace.
    pub(crate) fn workspace(&self) -> Option<&str> {
        self.data["workspaceId"].as_str()
    }

    /// The asset that it is about.
    pub(crate) fn asset(&self) -> Option<&str> {
        self.data["assetId"].as_str()
    }
}

/// A step that has ended.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) failed: bool,
    /// Attempts that were made.
    pub(crate) attempts: u32,
    pub(crate) started_at: Timestamp,
    pub(crate) ended_at: Timestamp,
    /// `{"data": …}` or `{"error": …}`.
    pub(crate) value: Value,
}

/// An attempt that failed.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    /// Which, from 0.
    pub(crate) attempt: u32,
    /// Empty when the function itself failed.
    pub(crate) step: String,
    pub(crate) error: Value,
    pub(crate) started_at: Timestamp,
    pub(crate) ended_at: Timestamp,
    /// When the next is due; nothing when there is none.
    pub(crate) retry_at: Option<Timestamp>,
}

impl EngineReader {
    /// A run.
    pub(crate) async fn run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        let mut runs = self.runs(RunsOf::Id(id)).await?;
        Ok(runs.pop())
    }

    /// The runs that an event started, oldest first.
    pub(crate) async fn runs_of_event(&self, id: EventId) -> Result<Vec<Run>, StoreError> {
        self.runs(RunsOf::Event(id)).await
    }

    async fn runs(&self, which: RunsOf) -> Result<Vec<Run>, StoreError> {
        let runs = self.0.read(move |reader| {
            let functions = reader.functions()?.into_iter();
            let names: HashMap<_, String> = functions
                .map(|function| {
                    let own = function.slug.strip_prefix(APP_ID);
                    let own = own.and_then(|rest| rest.strip_prefix('-'));
                    (function.id, own.unwrap_or(&function.slug).to_owned())
                })
                .collect();
            let records = match which {
                RunsOf::Id(id) => reader.run(id)?.into_iter().collect(),
                RunsOf::Event(id) => reader.runs_of_event(id)?,
            };
            let runs = records.into_iter().map(|record| Run {
                id: record.id,
                function: names.get(&record.function).cloned().unwrap_or_default(),
                event: record.events.first().copied(),
                status: record.status,
                queued_at: record.queued_at,
                started_at: record.started_at,
                ended_at: record.ended_at,
                output: record.output.as_deref().map(parse),
            });
            Ok(runs.collect())
        });
        runs.await
    }

    /// An event.
    pub(crate) async fn event(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        let found = self.0.read(move |reader| {
            let record = reader.event(id)?;
            Ok(record.map(|record| Event {
                id: record.id,
                external_id: record.external_id,
                name: record.name,
                received_at: record.received_at,
                data: parse(&record.body)["data"].take(),
            }))
        });
        found.await
    }

    /// The newest events of a name, newest first, before `before` if given.
    pub(crate) async fn events(
        &self,
        name: &'static str,
        before: Option<EventId>,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        let found = self.0.read(move |reader| {
            let records = reader.events(Some(name), before, limit)?.into_iter();
            let events = records.map(|record| Event {
                id: record.id,
                external_id: record.external_id,
                name: record.name,
                received_at: record.received_at,
                data: parse(&record.body)["data"].take(),
            });
            Ok(events.collect())
        });
        found.await
    }

    /// The ended steps of a run, in the order in which they ended.
    pub(crate) async fn steps(&self, run: RunId) -> Result<Vec<Step>, StoreError> {
        let steps = self.0.read(move |reader| {
            let steps = reader.steps(run)?.into_iter().map(|record| Step {
                name: record.name,
                failed: record.failed,
                attempts: record.attempt + 1,
                started_at: record.started_at,
                ended_at: record.ended_at,
                value: parse(&record.value),
            });
            Ok(steps.collect())
        });
        steps.await
    }

    /// The failed attempts of a run, in order.
    pub(crate) async fn attempts(&self, run: RunId) -> Result<Vec<Attempt>, StoreError> {
        let attempts = self.0.read(move |reader| {
            let attempts = reader.attempts(run)?.into_iter().filter_map(|record| {
                // One without an error was cut short by its run's end.
                let error = record.error?;
                Some(Attempt {
                    attempt: record.attempt,
                    step: record.name,
                    error: serde_json::from_str(&error).unwrap_or(Value::String(error)),
                    started_at: record.started_at,
                    ended_at: record.ended_at,
                    retry_at: record.retry_at,
                })
            });
            Ok(attempts.collect())
        });
        attempts.await
    }

    /// Runs of which something new was recorded, from now on; nothing in place of a run when the watcher fell
    /// behind and should look itself. Ends when the engine does.
    pub(crate) fn watch(&self) -> BoxStream<'static, Option<RunId>> {
        let news = stream::unfold(self.0.watch(), |mut news| async move {
            match news.recv().await {
                Ok(told) => Some((Some(told.run()), news)),
                Err(RecvError::Lagged(_)) => Some((None, news)),
                Err(RecvError::Closed) => None,
            }
        });
        news.boxed()
    }

    /// The engine's time.
    pub(crate) fn now(&self) -> Timestamp {
        self.0.now()
    }

    /// Why nothing can be recorded now, if so.
    pub(crate) fn failure(&self) -> Option<String> {
        self.0.failure()
    }

    pub(crate) fn runs_unfinished(&self) -> usize {
        self.0.runs_unfinished()
    }

    pub(crate) fn calls_in_flight(&self) -> usize {
        self.0.calls_in_flight()
    }
}

#[derive(Clone, Copy)]
enum RunsOf {
    Id(RunId),
    Event(EventId),
}

/// RFC 3339.
pub(crate) fn moment(at: Timestamp) -> String {
    Moment::from_unix_ms(i64::try_from(at.ms()).unwrap_or(i64::MAX)).to_string()
}

/// What the store holds was written as JSON.
fn parse(json: &RawValue) -> Value {
    serde_json::from_str(json.get()).unwrap_or_default()
}
