mod photos;
mod plugins;

use self::plugins::{cancelling, faltering, releasing, waiting};
use crate::events::studio::WorkflowRequested;
use crate::functions::studio::fixture::{Studio, media, on_both, request};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use stepwell::testing::{TestError, TestStep, assert_survives_crashes};
use stepwell::{Error, OutgoingEvent};
use studio233_db::{RunState, WorkflowRunId};
use studio233_plugins::Registry;
use tokio::sync::Notify;

mod spending;

on_both!(
    a_graph_runs_and_its_rows_say_what_came_of_it,
    a_bad_file_fails_its_node_at_once_and_the_run_says_which,
    a_run_that_is_not_there_or_has_ended_is_ignored,
    a_run_that_is_cancelled_in_the_database_is_left,
    a_cancelled_run_shows_that_it_was_cancelled,
);

/// `in` gives its files to two nodes, whose files come together again.
fn diamond(run: &str, files: &[Value]) -> WorkflowRequested {
    let nodes = [
        ("out", "media-output", json!({})),
        ("small", "image-resize", json!({"width": 10})),
        ("jpeg", "format-conversion", json!({"targetFormat": "jpeg"})),
        ("in", "media-input", json!({"maxFiles": 2})),
    ];
    let edges = [
        ("in", "jpeg"),
        ("in", "small"),
        ("jpeg", "out"),
        ("small", "out"),
    ];
    request(run, &nodes, &edges, files)
}

async fn a_graph_runs_and_its_rows_say_what_came_of_it(studio: Studio) {
    let files = [
        studio.upload("a.png", &media("alpha.png")).await,
        json!("not a file"),
        studio.upload("b.webp", &media("alpha.webp")).await,
        studio.upload("c.png", &media("alpha.png")).await,
    ];
    let event = studio.requested(&diamond("r", &files)).await;
    let app = studio.app().await;
    let run = app.run(event).await.unwrap();

    run.assert_output(json!({
        "status": "completed", "runId": "r", "sinkNodeIds": ["out"], "files": 4
    }));
    run.assert_step("load-run", json!("PENDING"))
        .assert_step("mark-running", true);
    for node in ["in", "jpeg", "small", "out"] {
        for part in ["start", "execute", "complete"] {
            run.assert_step_completed(&format!("step-{node}-{part}"));
        }
    }
    assert_eq!(run.steps().len(), 3 + 4 * 3);
    assert_eq!(run.steps().last().unwrap().id(), "mark-completed");

    let row = studio.run("r").await;
    assert_eq!(row.state, RunState::Completed);
    let output = row.output.unwrap();
    assert_eq!(output["status"], "completed");
    assert_eq!(output["sinkNodeIds"], json!(["out"]));
    let names: Vec<&str> = output["finalOutputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["name"].as_str().unwrap())
        .collect();
    // In the order of the edges.
    assert_eq!(names, ["a.jpg", "b.jpg", "a_resized.png", "b_resized.webp"]);
    let steps = output["steps"].as_array().unwrap();
    let ids: Vec<&str> = steps
        .iter()
        .map(|step| step["nodeId"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["in", "small", "jpeg", "out"]);

    let nodes = studio
        .deps
        .database
        .run_steps(&WorkflowRunId::new("r"))
        .await
        .unwrap();
    assert!(nodes.iter().all(|node| node.state == RunState::Completed));
    let small = nodes.iter().find(|node| node.node_id == "small").unwrap();
    assert_eq!(small.tool_name.as_deref(), Some("image-resize"));
    let record = small.output.as_ref().unwrap();
    assert_eq!(record["pluginId"], "image-resize");
    assert_eq!(record["config"], json!({"width": 10}));
    assert_eq!(record["inputs"][0]["name"], "a.png");
    assert_eq!(record["outputs"][0]["width"], 10);
    assert_eq!(record["metadata"]["processedBy"], "image-resize");
    assert!(record["completedAt"].is_string());
    assert_eq!(small.input.as_ref().unwrap()["files"], record["inputs"]);
    // Where files are goes through the run, not what is in them.
    let recorded = run.step("step-small-execute").output_json().unwrap();
    assert!(recorded.get().len() < 2_000, "{recorded}");
    assert_eq!(studio.keys("studio/runs/r").await.len(), 4);
}

async fn a_bad_file_fails_its_node_at_once_and_the_run_says_which(studio: Studio) {
    let photo = media("photo.jpg");
    let good = studio.upload("good.png", &media("alpha.png")).await;
    let bad = studio.upload("half.jpg", &photo[..photo.len() / 2]).await;
    let run = studio.play(&diamond("r", &[good, bad])).await;

    let small = "node \"SMALL\" (small): image-resize cannot process half.jpg: \
                 the jpeg is cut off after 2518 bytes";
    let jpeg = "node \"JPEG\" (jpeg): format-conversion cannot process half.jpg: \
                the jpeg is cut off after 2518 bytes";
    run.assert_failed_with(small)
        .assert_attempts("step-small-execute", 1)
        .assert_attempts("step-jpeg-execute", 1)
        .assert_not_reached("step-out-start")
        .assert_step_completed("mark-failed");
    assert_eq!(
        studio.state("r").await,
        (RunState::Failed, Some(small.to_owned()))
    );
    let nodes = studio.nodes("r").await;
    assert_eq!(
        nodes,
        [
            "out CANCELED".to_owned(),
            format!("small FAILED: {small}"),
            format!("jpeg FAILED: {jpeg}"),
            "in COMPLETED".to_owned(),
        ]
    );
}

async fn a_run_that_is_not_there_or_has_ended_is_ignored(studio: Studio) {
    let event = diamond("r", &[]);
    let app = studio.app().await;
    let run = app.run(OutgoingEvent::new(&event)).await.unwrap();
    run.assert_output(json!({"status": "ignored", "reason": "run missing"}));
    run.assert_steps(["load-run"]);

    let event = studio.requested(&event).await;
    let id = WorkflowRunId::new("r");
    let _ = studio
        .deps
        .database
        .fail_run(&id, "nobody could be told", 2)
        .await
        .unwrap();
    let run = app.run(event).await.unwrap();
    run.assert_output(json!({"status": "ignored", "reason": "already finished"}));
    run.assert_steps(["load-run"]);
    let (_, error) = studio.state("r").await;
    assert_eq!(error.as_deref(), Some("nobody could be told"));
}

async fn a_run_that_is_cancelled_in_the_database_is_left(mut studio: Studio) {
    let plugin = cancelling(studio.deps.database.clone());
    studio.deps.plugins = Registry::builder().with(plugin).build();
    let nodes = [
        ("a", "cancelling", json!({})),
        ("b", "cancelling", json!({})),
    ];
    let event = request("r", &nodes, &[("a", "b")], &[]);
    let run = studio.play(&event).await;
    run.assert_output(json!({"status": "ignored", "reason": "already finished"}));
    run.assert_not_reached("step-b-start")
        .assert_not_reached("mark-failed");
    assert_eq!(studio.state("r").await, (RunState::Canceled, None));
    assert_eq!(studio.nodes("r").await, ["a CANCELED", "b CANCELED"]);
}

async fn a_cancelled_run_shows_that_it_was_cancelled(mut studio: Studio) {
    let plugin = faltering(u32::MAX, Some(Duration::from_secs(3600)));
    studio.deps.plugins = Registry::builder().with(plugin).build();
    let event = request("r", &[("a", "faltering", json!({}))], &[], &[]);
    let event = studio.requested(&event).await;
    let app = studio.app().await;
    let sent = app.send(event).await.unwrap();
    app.run_for(Duration::from_secs(60)).await.unwrap();
    assert_eq!(studio.nodes("r").await, ["a RUNNING"]);
    let runs = app.runs_of_event(sent).unwrap();
    assert!(app.cancel(runs[0].id()).await.unwrap());
    app.settle().await.unwrap();
    assert_eq!(studio.state("r").await, (RunState::Canceled, None));
    assert_eq!(studio.nodes("r").await, ["a CANCELED"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_after_any_commit_changes_nothing_on_sqlite() {
    survives_crashes(&Studio::on_sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_after_any_commit_changes_nothing_on_postgres() {
    survives_crashes(&Studio::on_postgres().await).await;
}

async fn survives_crashes(studio: &Studio) {
    let files = [studio.upload("a.png", &media("alpha.png")).await];
    // Each play has a run of its own, in one database.
    let plays = AtomicU32::new(0);
    let crashes = assert_survives_crashes(
        || studio.builder(),
        async |app| {
            let id = format!("r{}", plays.fetch_add(1, Ordering::Relaxed));
            let event = studio.requested(&diamond(&id, &files)).await;
            let run = app.run(event).await?;
            run.assert_completed();
            assert_eq!(studio.state(&id).await.0, RunState::Completed);
            let keys = studio.keys(&format!("studio/runs/{id}")).await;
            assert_eq!(
                keys.len(),
                2,
                "a repeated step writes the same blobs: {keys:?}"
            );
            Ok::<_, TestError>(())
        },
    )
    .await;
    assert!(crashes > 20, "{crashes}");
}

#[tokio::test]
async fn mistakes_in_the_workflow_are_told_at_once() {
    let resize = |config: Value| ("a", "image-resize", config);
    let cases = [
        (
            request(
                "r",
                &[resize(json!({})), ("b", "media-output", json!({}))],
                &[("a", "b"), ("b", "a")],
                &[],
            ),
            "the graph cannot be run: a cycle: \"b\" → \"a\" → \"b\"",
        ),
        (
            request("r", &[resize(json!({}))], &[("a", "gone")], &[]),
            "the graph cannot be run: the edge \"a\" → \"gone\" needs \"gone\", which is no node",
        ),
        (
            request("r", &[resize(json!({"width": 0}))], &[], &[]),
            "node \"A\" (a): the config of image-resize is wrong: width: expected at least 1, found 0",
        ),
        (
            request("r", &[("a", "sparkle", json!({}))], &[], &[]),
            "node \"A\" (a) needs the plugin \"sparkle\", which this studio does not have",
        ),
        (
            request("r", &[("a", "", json!({}))], &[], &[]),
            "node \"A\" has no plugin",
        ),
    ];
    for (event, told) in cases {
        let studio = Studio::on_sqlite().await;
        let run = studio.play(&event).await;
        run.assert_failed_with(told)
            .assert_step_completed("mark-failed");
        assert!(
            run.steps().iter().all(|step| step.attempts() == 1),
            "{}",
            run.history()
        );
        assert_eq!(
            studio.state("r").await,
            (RunState::Failed, Some(told.to_owned()))
        );
    }
    let many: Vec<_> = (0..301).map(|_| ("a", "media-output", json!({}))).collect();
    let studio = Studio::on_sqlite().await;
    let mut event = request("r", &[], &[], &[]);
    let _ = studio.requested(&event).await;
    event.nodes = request("r", &many, &[], &[]).nodes;
    let run = studio
        .app()
        .await
        .run(OutgoingEvent::new(&event))
        .await
        .unwrap();
    run.assert_failed_with("the graph has 301 nodes; at most 300 are run");
}

#[tokio::test]
async fn nodes_run_as_soon_as_their_inputs_are_there() {
    let mut studio = Studio::on_sqlite().await;
    let released = Arc::new(Notify::new());
    studio.deps.plugins = Registry::builder()
        .with(waiting(Arc::clone(&released)))
        .with(releasing(released))
        .with(studio233_plugins::standard::MediaOutput)
        .build();
    // `slow` ends only once `last`, the second in a row beside it, has run.
    let nodes = [
        ("slow", "waiting", json!({})),
        ("first", "media-output", json!({})),
        ("last", "releasing", json!({})),
    ];
    let run = studio
        .play(&request("r", &nodes, &[("first", "last")], &[]))
        .await;
    run.assert_completed();
    let ended: Vec<&str> = run.steps().iter().map(TestStep::id).collect();
    let place = |id: &str| ended.iter().position(|ended| *ended == id).unwrap();
    assert!(
        place("step-last-execute") < place("step-slow-execute"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_node_that_fails_for_a_moment_is_tried_again_alone() {
    let mut studio = Studio::on_sqlite().await;
    let wait = Duration::from_secs(40);
    studio.deps.plugins = Registry::builder()
        .with(faltering(2, Some(wait)))
        .with(studio233_plugins::standard::MediaInput)
        .build();
    let nodes = [
        ("in", "media-input", json!({})),
        ("a", "faltering", json!({})),
    ];
    let run = studio
        .play(&request("r", &nodes, &[("in", "a")], &[]))
        .await;
    run.assert_completed()
        .assert_attempts("step-in-execute", 1)
        .assert_attempts("step-a-execute", 3)
        .assert_took(2 * wait);
}

#[tokio::test]
async fn a_node_that_stays_broken_fails_when_its_attempts_are_used_up() {
    let mut studio = Studio::on_sqlite().await;
    studio.deps.plugins = Registry::builder().with(faltering(u32::MAX, None)).build();
    let event = request("r", &[("a", "faltering", json!({}))], &[], &[]);
    let run = studio.play(&event).await;
    let told = "node \"A\" (a): faltering failed: the service is away";
    run.assert_failed_with(told)
        .assert_attempts("step-a-execute", 5);
    assert_eq!(studio.nodes("r").await, [format!("a FAILED: {told}")]);
}

#[tokio::test]
async fn a_failure_that_cannot_be_marked_is_still_the_one_that_is_told() {
    let studio = Studio::on_sqlite().await;
    let event = request("r", &[("a", "sparkle", json!({}))], &[], &[]);
    let event = studio.requested(&event).await;
    let builder = studio.builder();
    let lost = Error::new("DbError", "the database is gone").non_retriable();
    let app = builder
        .fail_step("mark-failed", 1, lost)
        .start()
        .await
        .unwrap();
    let run = app.run(event).await.unwrap();
    run.assert_failed_with("needs the plugin")
        .assert_step_failed("mark-failed");
}

#[tokio::test]
async fn a_rows_config_shows_no_secret() {
    let studio = Studio::on_sqlite().await;
    let secret = json!({"provider": "fal", "apiKey": "fal-secret"});
    let event = request("r", &[("a", "background-removal", secret)], &[], &[]);
    let run = studio.play(&event).await;
    // fal.ai is not configured in tests.
    run.assert_failed_with("fal.ai is not configured");
    let rows = studio
        .deps
        .database
        .run_steps(&WorkflowRunId::new("r"))
        .await
        .unwrap();
    assert!(!format!("{rows:?} {}", run.history()).contains("fal-secret"));
}

#[tokio::test]
async fn a_photo_that_is_larger_than_models_are_shown_is_worked_on() {
    let studio = Studio::on_sqlite().await;
    // What follows a picture is of no interest to who decodes it.
    let mut photo = media("photo.jpg");
    photo.resize(40 * 1024 * 1024, 0);
    let file = studio.upload("large.jpg", &photo).await;
    let nodes = [
        ("input", "media-input", json!({})),
        ("shrink", "image-resize", json!({"width": 8})),
    ];
    let event = request("r", &nodes, &[("input", "shrink")], &[file]);
    studio.play(&event).await.assert_completed();
}

#[tokio::test]
async fn places_that_must_not_be_reached_are_refused_at_once() {
    for url in [
        "file:///etc/passwd",
        "http://127.0.0.1:9/a.png",
        "blob:../studio.db",
    ] {
        let studio = Studio::on_sqlite().await;
        let file = json!({"url": url, "name": "a.png"});
        let nodes = [("shrink", "image-resize", json!({"width": 8}))];
        let run = studio.play(&request("r", &nodes, &[], &[file])).await;
        run.assert_failed_with("image-resize cannot process a.png: its bytes cannot be had")
            .assert_attempts("step-shrink-execute", 1);
    }
}
