//! What a durable step costs in the embedded engine, against the same rows written to the same kind of file by nothing
//! but commits.
//!
//! ```sh
//! cargo bench -p stepwell --bench embedded
//! ```
//!
//! Rows are those of a first run, whose batches are kept. They are then committed to a fresh file, in the same batches and in as
//! few as could be: runs go on when their steps are durable, so there is at least one commit for each step of a run.
//! Rounds of the engine and of bare commits take turns; medians are told.

#![expect(clippy::print_stdout, reason = "the figures are the bench's output")]

use serde_json::json;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use stepwell::embedded::{Durability, Embedded};
use stepwell::{App, Client, Context, Error, Function, OutgoingEvent};
use stepwell_engine::{Change, Snapshot, Timestamp};
use stepwell_store::sqlite::{self, Options};
use stepwell_store::{Pruned, Slice, Store, StoreError, Writer};

/// The allocator that programs of ours use.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
/// Runs at once.
const RUNS: usize = 256;
/// Steps of each of them.
const STEPS: u64 = 100;
/// Steps of the one run that is alone.
const STEPS_ALONE: u64 = 500;

type Batches = Arc<Mutex<Vec<Vec<Change>>>>;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the folder is writable");
    for (runs, steps) in [(RUNS, STEPS), (1, STEPS_ALONE)] {
        compare(folder.path(), runs, steps).await;
    }
}

async fn compare(folder: &Path, runs: usize, steps: u64) {
    let batches = Batches::default();
    play(folder, runs, steps, Some(&batches)).await;
    let batches = std::mem::take(&mut *batches.lock().expect("no commit panicked"));
    let rows: Vec<Change> = batches.concat();
    let few: Vec<Vec<Change>> = rows
        .chunks((rows.len() / steps as usize).max(1))
        .map(<[Change]>::to_vec)
        .collect();

    let (mut engine, mut same, mut best) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        engine.push(play(folder, runs, steps, None).await);
        same.push(commit(folder, &batches));
        best.push(commit(folder, &few));
    }
    let all = runs as f64 * steps as f64;
    let per_step = |time: Duration| time.as_secs_f64() * 1e3 / all;
    let [engine, same, best] = [engine, same, best].map(median);
    println!(
        "{runs} run(s) at once, {steps} steps each: {} rows in {} commits, or {}",
        rows.len(),
        batches.len(),
        few.len()
    );
    for (what, time) in [
        ("engine", engine),
        ("its commits alone", same),
        ("as few as could be", best),
    ] {
        let rate = all / time.as_secs_f64();
        let share = 100.0 * time.as_secs_f64() / engine.as_secs_f64();
        println!(
            "  {what:<20} {rate:>9.0} steps/s  {:>7.3} ms/step  {share:>4.0} %",
            per_step(time)
        );
    }
    println!(
        "  beyond its commits   {:>7.3} ms/step\n",
        per_step(engine) - per_step(same)
    );
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

async fn row(ctx: Context) -> Result<u64, Error> {
    let mut sum = 0;
    for n in 0..ctx.data()["steps"].as_u64().unwrap_or_default() {
        sum = ctx.step().run("add", || async { Ok(sum + n) }).await?;
    }
    Ok(sum)
}

fn options(path: &Path) -> Options {
    Options {
        durability: Durability::Full,
        ..Options::new(path)
    }
}

/// Runs to the end of all; how long that took.
async fn play(folder: &Path, runs: usize, steps: u64, batches: Option<&Batches>) -> Duration {
    let folder = tempfile::tempdir_in(folder).expect("the folder is writable");
    let mut store = sqlite::open(&options(&folder.path().join("jobs.db"))).expect("it is new");
    if let Some(batches) = batches {
        store = recorded(store, batches);
    }
    let function = Function::new("row").on_event("app/row").handler(row);
    let app = App::new(Client::dev("app")).function(function);
    let engine = Embedded::builder()
        .app(app)
        .store(store)
        .start()
        .await
        .expect("it starts");
    let event = || OutgoingEvent::untyped("app/row", json!({"steps": steps}));
    let began = Instant::now();
    let sent = engine
        .send_all((0..runs).map(|_| event()))
        .await
        .expect("they are taken");
    for event in sent {
        let runs = engine.finished_runs(event).await.expect("it can be read");
        assert_eq!(
            runs[0].output::<u64>().expect("it has completed"),
            steps * (steps - 1) / 2
        );
    }
    let took = began.elapsed();
    engine.shutdown(Duration::from_secs(10)).await;
    took
}

/// Writes batches to a fresh file; how long that took.
fn commit(folder: &Path, batches: &[Vec<Change>]) -> Duration {
    let folder = tempfile::tempdir_in(folder).expect("the folder is writable");
    let Store { mut writer, .. } =
        sqlite::open(&options(&folder.path().join("jobs.db"))).expect("it is new");
    let began = Instant::now();
    for batch in batches {
        writer.commit(batch).expect("it was committed before");
    }
    began.elapsed()
}

/// Keeps what is committed.
#[derive(Debug)]
struct Recorder {
    writer: Box<dyn Writer>,
    batches: Batches,
}

fn recorded(store: Store, batches: &Batches) -> Store {
    let writer = Box::new(Recorder {
        writer: store.writer,
        batches: Arc::clone(batches),
    });
    Store { writer, ..store }
}

impl Writer for Recorder {
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        batches.push(changes.to_vec());
        drop(batches);
        self.writer.commit(changes)
    }

    fn probe(&mut self, bytes: usize) -> Result<(), StoreError> {
        self.writer.probe(bytes)
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
