//! `kill -9`, again and again: nothing that was acknowledged is lost, and nothing that was recorded is done again.
//!
//! Senders send, an app works, and the server between them dies at random moments: while it starts, while it
//! takes events in, while calls are under way, while it commits. Each next server goes on with the same file. In
//! the end every acknowledged event has had exactly one run of each function, and each run the results that
//! were recorded first.
//!
//! `STEPWELL_KILL_SEED=… cargo test -p stepwell-cli --test kill` picks the same moments again, as far as the machine
//! plays along.

#[path = "kill/app.rs"]
mod app;
#[path = "kill/server.rs"]
mod server;
#[path = "kill/verdict.rs"]
mod verdict;
#[path = "kill/workload.rs"]
mod workload;

use crate::app::App;
use crate::server::{Folder, Server};
use crate::workload::Workload;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How often the server is killed.
const KILLS: usize = 200;
/// Requests with events that each server gets before it is killed; each carries one to three.
const REQUESTS_PER_LIFE: usize = 2;
/// A moment that waits for something is over after this time: there may be too little left to do.
const MOMENT_MAX: Duration = Duration::from_millis(100);

/// When a server dies.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// This long after its process began.
    Starting(Duration),
    /// This long after it was ready.
    Ready(Duration),
    /// When it had acknowledged this many requests.
    Acknowledged(u64),
    /// When this many calls had reached the app.
    Called(u64),
    /// When the app had answered this many calls: during their commit, mostly.
    Answered(u64),
}

impl Moment {
    fn random(random: &mut StdRng) -> Self {
        match random.random_range(0..8) {
            0 => Self::Starting(Duration::from_micros(random.random_range(0..50_000))),
            1 | 2 => Self::Ready(Duration::from_micros(random.random_range(0..60_000))),
            3 => Self::Acknowledged(random.random_range(1..=REQUESTS_PER_LIFE as u64)),
            4 | 5 => Self::Called(random.random_range(1..30)),
            _ => Self::Answered(random.random_range(1..30)),
        }
    }

    async fn come(self, app: &App, workload: &Workload) {
        let (count, of) = match self {
            Self::Starting(delay) | Self::Ready(delay) => return sleep(delay).await,
            Self::Acknowledged(count) => (count, &workload.acknowledged),
            Self::Called(count) => (count, &app.calls),
            Self::Answered(count) => (count, &app.answers),
        };
        // Too little left to do is as good a moment.
        drop(timeout(MOMENT_MAX, more(of.subscribe(), count)).await);
    }
}

async fn more(mut counter: watch::Receiver<u64>, count: u64) {
    let until = *counter.borrow() + count;
    counter
        .wait_for(|now| *now >= until)
        .await
        .expect("what counts is still there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_loses_doubles_or_repeats_anything() {
    let seed = std::env::var("STEPWELL_KILL_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand::random::<u64>);
    say(&format!("STEPWELL_KILL_SEED={seed}"));
    let mut random = StdRng::seed_from_u64(seed);
    let folder = Folder::new();
    let arguments = ["--retry-interval", "1"];
    let app = App::start().await;
    let client = server::client();
    let workload = Workload::start(client.clone());

    let mut first = Server::start(&folder, &arguments);
    register(&client, &first.url().await, &app).await;
    first.kill().await;
    for kill in 0..KILLS {
        let moment = Moment::random(&mut random);
        app.expect_another_server(&client).await;
        let mut server = Server::start(&folder, &arguments);
        if let Moment::Starting(_) = moment {
            moment.come(&app, &workload).await;
            server.kill().await;
            continue;
        }
        let url = server.url().await;
        workload.server_is(Some(&url));
        workload.allow(REQUESTS_PER_LIFE);
        if kill % 10 == 0 {
            // Apps register again and again; whether this one gets through does not matter.
            tokio::spawn(
                client
                    .post(format!("{url}/fn/register"))
                    .body(app.registration().to_string())
                    .send(),
            );
        }
        moment.come(&app, &workload).await;
        server.kill().await;
        workload.server_is(None);
        assert_eq!(
            app.memory().wrong,
            [""; 0],
            "after kill {kill} at {moment:?}"
        );
    }

    app.expect_another_server(&client).await;
    let mut last = Server::start(&folder, &arguments);
    let url = last.url().await;
    workload.server_is(Some(&url));
    let ledger = workload.settled().await;
    let runs = verdict::ended_runs(&client, &url).await;
    last.terminate();
    assert!(last.ended().await.success(), "{}", folder.said());

    let memory = app.memory();
    assert_eq!(memory.wrong, [""; 0]);
    verdict::check_runs(&runs, &ledger, &memory);
    verdict::check_file(&folder.database(), &runs);
    assert!(
        !folder.said().contains("panicked"),
        "a server panicked: {}",
        folder.said()
    );
    let again = memory.executed.values().filter(|times| **times > 1).count();
    say(&format!(
        "{} events acknowledged, {} unknown, {} runs; {again} of {} steps executed more than once before they were recorded",
        ledger.acknowledged.len(),
        ledger.unknown.len(),
        runs.values().map(Vec::len).sum::<usize>(),
        memory.executed.len(),
    ));
}

async fn register(client: &reqwest::Client, url: &str, app: &Arc<App>) {
    let answer = client
        .post(format!("{url}/fn/register"))
        .body(app.registration().to_string())
        .send()
        .await
        .expect("the server answers");
    assert!(answer.status().is_success(), "{:?}", answer.text().await);
}

#[expect(clippy::print_stderr, reason = "what is needed to look into a failure")]
fn say(text: &str) {
    eprintln!("{text}");
}
