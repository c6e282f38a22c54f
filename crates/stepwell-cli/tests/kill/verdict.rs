//! What must be true in the end, asked of the API and of the file.

use crate::app::{FUNCTIONS, Memory, RUNS, id};
use crate::workload::Ledger;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stepwell_engine::Timestamp;
use stepwell_protocol::{AppId, FunctionId, RunId};
use stepwell_store::sqlite;
use tokio::time::{Instant, sleep};

/// How long all runs may take to end once servers are no longer killed. Only a test that fails meets it.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(20);

/// The runs of each event, by the number that its sender gave it, once they have all ended.
pub(crate) async fn ended_runs(client: &reqwest::Client, url: &str) -> BTreeMap<u64, Vec<Value>> {
    let deadline = Instant::now() + PATIENCE;
    let mut runs: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = get(client, &format!("{url}/v1/events?limit=51&cursor={cursor}")).await;
        let events = page.as_array().expect("events are a list");
        let Some(last) = events.last() else {
            return runs;
        };
        cursor = last["internal_id"]
            .as_str()
            .expect("it has an id")
            .to_owned();
        for event in events {
            let n = event["data"]["n"].as_u64().expect("events are numbered");
            let internal_id = event["internal_id"].as_str().expect("it has an id");
            let found = loop {
                let found = get(client, &format!("{url}/v1/events/{internal_id}/runs")).await;
                let found = found.as_array().expect("runs are a list").clone();
                let unended = found.iter().find(|run| run["ended_at"].is_null());
                match unended {
                    None => break found,
                    Some(run) => assert!(Instant::now() < deadline, "a run never ends: {run}"),
                }
                sleep(LOOK).await;
            };
            runs.entry(n).or_default().extend(found);
        }
    }
}

async fn get(client: &reqwest::Client, url: &str) -> Value {
    let answer = client.get(url).send().await.expect("the server answers");
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
    let mut answer: Value = answer.json().await.expect("the answer is JSON");
    answer["data"].take()
}

/// Every acknowledged event has one run of each function; others have one or none. All have completed, with what
/// was recorded of their steps.
pub(crate) fn check_runs(runs: &BTreeMap<u64, Vec<Value>>, ledger: &Ledger, memory: &Memory) {
    for n in ledger.acknowledged.iter().chain(&ledger.unknown) {
        let found = runs.get(n).map(Vec::as_slice).unwrap_or_default();
        for slug in FUNCTIONS {
            let function = FunctionId::of(AppId::of("kill"), slug).to_string();
            let of_function: Vec<&Value> = found
                .iter()
                .filter(|run| run["function_id"] == function.as_str())
                .collect();
            if ledger.acknowledged.contains(n) {
                assert_eq!(
                    of_function.len(),
                    1,
                    "runs of {slug} for event {n}: {found:?}"
                );
            }
            assert!(
                of_function.len() <= 1,
                "runs of {slug} for event {n}: {found:?}"
            );
            for run in of_function {
                assert_eq!(run["status"], "Completed", "{run}");
                assert_eq!(run["output"]["n"], *n, "{run}");
                if slug == FUNCTIONS[0] {
                    check_output(run, memory);
                }
            }
        }
    }
    let sent = |n: &u64| ledger.acknowledged.contains(n) || ledger.unknown.contains(n);
    assert!(runs.keys().all(sent), "there are events that nobody sent");
}

fn check_output(run: &Value, memory: &Memory) {
    let run_id: RunId = run["run_id"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("a run has an id");
    for name in RUNS {
        let recorded = &memory.recorded[&(run_id, id(name))];
        assert_eq!(run["output"]["values"][name], recorded["data"], "{run}");
    }
}

/// The file holds no unfinished run, nothing is queued, and every run has each of its steps once.
pub(crate) fn check_file(database: &Path, runs: &BTreeMap<u64, Vec<Value>>) {
    let mut store = sqlite::open(&sqlite::Options::new(database)).expect("the file opens");
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("it is after 1970");
    let now = Timestamp::from_ms(u64::try_from(since.as_millis()).expect("the time fits"));
    let live = store.writer.load(now).expect("the file loads");
    assert!(live.runs.is_empty(), "unfinished: {:?}", live.runs);
    assert!(
        live.items.is_empty(),
        "queued for nothing: {:?}",
        live.items
    );
    let work = FunctionId::of(AppId::of("kill"), FUNCTIONS[0]).to_string();
    for run in runs.values().flatten() {
        let id: RunId = run["run_id"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .expect("a run has an id");
        let mut steps: Vec<String> = store
            .reader
            .steps(id)
            .expect("steps can be read")
            .into_iter()
            .map(|step| step.step.to_string())
            .collect();
        steps.sort();
        let mut expected: Vec<String> = if run["function_id"] == work.as_str() {
            ["first", "pause", "left", "right", "nap", "last"]
                .map(|name| crate::app::id(name).to_string())
                .to_vec()
        } else {
            Vec::new()
        };
        expected.sort();
        assert_eq!(steps, expected, "steps of {run}");
    }
}
