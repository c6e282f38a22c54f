//! A runtime with an app of its own in this process, and a store that can be made to refuse writes.

use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stepwell_engine::{Backoff, Change, Config, Snapshot, Timestamp};
use stepwell_protocol::register::Registration;
use stepwell_protocol::reply::{RawReply, ReplyHeaders};
use stepwell_protocol::{EventId, StepId};
use stepwell_runtime::{
    CallError, Clock, Handle, Invocation, Invoker, Invokers, Options, Runtime, Unavailable,
};
use stepwell_store::{Pruned, RunRecord, Slice, Store, StoreError, Writer};
use tokio::sync::watch;

/// How long anything may take. Only a test that fails meets it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often something is looked at that gives no signal.
const LOOK: Duration = Duration::from_millis(5);

/// Fails the test when something does not happen.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("it never happens: {what}"),
    }
}

/// How a store's commits go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mood {
    /// They succeed.
    Well,
    /// They fail, and nothing is written: the disk is full.
    Full,
    /// They are written, but the store cannot tell: a sync failed, a connection broke.
    Doubtful,
    /// They panic: the store has a bug.
    Broken,
}

/// Sets how a store's commits go from now on.
#[derive(Debug, Clone)]
pub(crate) struct Switch(Arc<AtomicU8>);

impl Switch {
    pub(crate) fn set(&self, mood: Mood) {
        self.0.store(mood as u8, Ordering::SeqCst);
    }

    fn is(&self, mood: Mood) -> bool {
        self.0.load(Ordering::SeqCst) == mood as u8
    }
}

/// Makes a store moody.
pub(crate) fn moody(store: Store) -> (Store, Switch) {
    let switch = Switch(Arc::new(AtomicU8::new(Mood::Well as u8)));
    let writer = MoodyWriter {
        writer: store.writer,
        switch: switch.clone(),
    };
    let store = Store {
        writer: Box::new(writer),
        reader: store.reader,
    };
    (store, switch)
}

#[derive(Debug)]
struct MoodyWriter {
    writer: Box<dyn Writer>,
    switch: Switch,
}

impl Writer for MoodyWriter {
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        assert!(!self.switch.is(Mood::Broken), "the store is broken");
        if self.switch.is(Mood::Full) {
            return Err(StoreError::Full);
        }
        self.writer.commit(changes)?;
        if self.switch.is(Mood::Doubtful) {
            return Err(StoreError::Damaged("the last sync failed".to_owned()));
        }
        Ok(())
    }

    fn probe(&mut self, bytes: usize) -> Result<(), StoreError> {
        if self.switch.is(Mood::Well) {
            self.writer.probe(bytes)
        } else {
            Err(StoreError::Full)
        }
    }

    fn load(&mut self, now: Timestamp) -> Result<Snapshot, StoreError> {
        self.writer.load(now)
    }

    fn prune(&mut self, slice: &Slice) -> Result<Pruned, StoreError> {
        self.writer.prune(slice)
    }

    fn bytes_used(&mut self) -> Result<u64, StoreError> {
        self.writer.bytes_used()
    }

    fn give_back(&mut self) -> Result<bool, StoreError> {
        self.writer.give_back()
    }
}

type Behaviour = dyn Fn(Invocation) -> BoxFuture<'static, RawReply> + Send + Sync;

/// An app in this process.
#[derive(Clone)]
pub(crate) struct App {
    behaviour: Arc<Behaviour>,
    calls: Arc<Mutex<Vec<Invocation>>>,
    count: watch::Sender<usize>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("App")
    }
}

impl App {
    pub(crate) fn new<F: Future<Output = RawReply> + Send + 'static>(
        behaviour: impl Fn(Invocation) -> F + Send + Sync + 'static,
    ) -> Self {
        Self {
            behaviour: Arc::new(move |invocation| Box::pin(behaviour(invocation))),
            calls: Arc::default(),
            count: watch::Sender::new(0),
        }
    }

    /// Waits until there have been this many calls.
    pub(crate) async fn called(&self, count: usize) {
        let mut counter = self.count.subscribe();
        let called = counter.wait_for(|now| *now >= count);
        drop(soon("the app is called", called).await);
    }

    pub(crate) fn calls(&self) -> Vec<Invocation> {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Invoker for App {
    fn call(&self, invocation: Invocation) -> BoxFuture<'static, Result<RawReply, CallError>> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(invocation.clone());
        drop(calls);
        self.count.send_modify(|count| *count += 1);
        let reply = (self.behaviour)(invocation);
        Box::pin(async move { Ok(reply.await) })
    }
}

/// The value that a call brings for the step of this name.
pub(crate) fn value(invocation: &Invocation, step: &str) -> Option<Value> {
    let id = StepId::of(step, 0);
    let steps = &invocation.request.steps.0;
    let (_, value) = steps.iter().find(|(step, _)| *step == id)?;
    Some(serde_json::from_str(value.get()).expect("a value is JSON"))
}

/// The function has returned.
pub(crate) fn returned(value: &Value) -> RawReply {
    reply(200, value.to_string())
}

/// The step of this name has run.
pub(crate) fn ran(step: &str, data: &Value) -> RawReply {
    let id = StepId::of(step, 0);
    reply(
        206,
        json!([{"op": "StepRun", "id": id, "name": step, "data": data}]).to_string(),
    )
}

/// The function sleeps.
pub(crate) fn sleeps(step: &str, how_long: &str) -> RawReply {
    let id = StepId::of(step, 0);
    reply(
        206,
        json!([{"op": "Sleep", "id": id, "name": how_long, "displayName": step}]).to_string(),
    )
}

fn reply(status: u16, body: String) -> RawReply {
    RawReply {
        status,
        headers: ReplyHeaders {
            sdk: Some("test:v0.1.0".to_owned()),
            request_version: Some(2),
            ..ReplyHeaders::default()
        },
        body: body.into_bytes(),
    }
}

/// Starts a runtime on a store, with this app.
pub(crate) fn start(store: Store, app: &App, clock: Clock) -> Runtime {
    start_with(store, app, clock, Config::default().calls_max)
}

/// The same, with at most this many calls in flight.
pub(crate) fn start_with(store: Store, app: &App, clock: Clock, calls_max: usize) -> Runtime {
    let options = Options {
        engine: Config {
            calls_max,
            backoff: Backoff::Constant(0),
            ..Config::default()
        },
        clock,
        ..Options::default()
    };
    let invokers = Invokers::none().with("embedded", Arc::new(app.clone()));
    Runtime::start(store, invokers, options).expect("the runtime starts")
}

/// Registers functions that an event starts, by their ids.
pub(crate) async fn register(handle: &Handle, functions: &[&str]) {
    let functions: Vec<Value> = functions
        .iter()
        .map(|id| {
            json!({
                "id": id, "triggers": [{"event": "go"}],
                "steps": {"step": {"runtime": {"type": "http", "url": "embedded://app"}}},
            })
        })
        .collect();
    let body = json!({"appName": "app", "url": "embedded://app", "functions": functions});
    let registration = Registration::parse(body.to_string().as_bytes()).expect("it is one");
    let sync = stepwell_runtime::check_registration(&registration).expect("it is well");
    handle.sync_app(sync).await.expect("the store is well");
}

/// Sends the event that starts the functions, with an id of the sender's.
pub(crate) async fn send(handle: &Handle, id: &str) -> Result<EventId, Unavailable> {
    send_much(handle, id, 0).await
}

/// The same with a payload of this many bytes.
pub(crate) async fn send_much(
    handle: &Handle,
    id: &str,
    bytes: usize,
) -> Result<EventId, Unavailable> {
    let text =
        json!({"name": "go", "id": id, "data": {"id": id, "text": "x".repeat(bytes)}}).to_string();
    let event = handle
        .accept_event(&text, 0, None)
        .expect("the event is well");
    let internal_id = event.id;
    handle.receive_events(vec![event]).await?;
    Ok(internal_id)
}

/// The runs that all events started, by the senders' ids, as soon as every one has ended.
pub(crate) async fn ended(handle: &Handle) -> BTreeMap<String, Vec<RunRecord>> {
    soon("all runs end", async {
        loop {
            let runs = runs(handle).await;
            if runs.values().flatten().all(|run| run.status.has_ended()) {
                return runs;
            }
            tokio::time::sleep(LOOK).await;
        }
    })
    .await
}

/// The runs that all events started, by the senders' ids.
pub(crate) async fn runs(handle: &Handle) -> BTreeMap<String, Vec<RunRecord>> {
    handle
        .read(|reader| {
            let mut runs: BTreeMap<String, Vec<RunRecord>> = BTreeMap::new();
            for event in reader.events(None, None, usize::MAX / 2)? {
                let started = reader.runs_of_event(event.id)?;
                runs.entry(event.external_id).or_default().extend(started);
            }
            Ok(runs)
        })
        .await
        .expect("the store can be read")
}

/// Waits until the store accepts writes again.
pub(crate) async fn recovered(handle: &Handle) {
    soon("the store accepts writes again", async {
        while handle.failure().is_some() {
            tokio::time::sleep(LOOK).await;
        }
    })
    .await;
}
