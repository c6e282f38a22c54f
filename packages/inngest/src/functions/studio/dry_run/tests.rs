use crate::events::studio::{Mode, WorkflowRequested};
use crate::functions::studio::fixture::{Studio, media, on_both, request};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use stepwell::OutgoingEvent;
use stepwell::testing::{TestError, TestRun, assert_survives_crashes};
use studio233_db::{RunState, WorkflowRunId};

on_both!(
    nodes_are_walked_and_nothing_is_made,
    all_problems_are_told_at_once,
    a_run_that_is_not_there_or_has_ended_is_ignored,
);

fn dry(mut event: WorkflowRequested) -> WorkflowRequested {
    event.mode = Mode::DryRun;
    event
}

fn chain(run: &str, files: &[Value]) -> WorkflowRequested {
    let nodes = [
        ("small", "image-resize", json!({"width": 10})),
        ("in", "media-input", json!({})),
    ];
    request(run, &nodes, &[("in", "small")], files)
}

async fn nodes_are_walked_and_nothing_is_made(studio: Studio) {
    let files = [studio.upload("a.png", &media("alpha.png")).await];
    let mut event = dry(chain("r", &files));
    let data = event.nodes[0].data.as_mut().unwrap();
    data.description = Some("Makes it small.".to_owned());
    let event = studio.requested(&event).await;
    let run = studio.app().await.run(event).await.unwrap();
    run.assert_output(json!({"status": "completed", "nodeIds": ["in", "small"]}));
    run.assert_steps([
        "mark-run-running",
        "validate-workflow",
        "step-in-start",
        "step-in-complete",
        "step-small-start",
        "step-small-complete",
        "mark-run-complete",
    ]);
    assert_eq!(studio.state("r").await, (RunState::Completed, None));
    assert_eq!(studio.nodes("r").await, ["small COMPLETED", "in COMPLETED"]);
    let rows = studio
        .deps
        .database
        .run_steps(&WorkflowRunId::new("r"))
        .await
        .unwrap();
    let output = rows[0].output.as_ref().unwrap();
    assert_eq!(output["message"], "SMALL");
    assert_eq!(output["description"], "Makes it small.");
    assert!(output["completedAt"].is_string());
    assert!(studio.keys("studio").await.is_empty());
}

async fn all_problems_are_told_at_once(studio: Studio) {
    let nodes = [
        (
            "a",
            "image-resize",
            json!({"width": 0, "fitMode": "squeeze"}),
        ),
        ("b", "sparkle", json!({})),
        ("c", "media-output", json!({})),
        ("d", "", json!({})),
        ("e", "background-removal", json!({"provider": "fal"})),
        ("f", "python-script", json!({"scriptRef": "s.py"})),
    ];
    let edges = [("a", "c"), ("c", "a"), ("c", "gone")];
    let event = studio
        .requested(&dry(request("r", &nodes, &edges, &[])))
        .await;
    let run = studio.app().await.run(event).await.unwrap();
    let graph = "the graph cannot be run: the edge \"c\" → \"gone\" needs \"gone\", which is no node; \
                 a cycle: \"c\" → \"a\" → \"c\"";
    let a = "node \"A\" (a): the config of image-resize is wrong: fitMode: expected \"contain\" or \"cover\" \
             or \"stretch\" or \"scale-down\", found \"squeeze\"; width: expected at least 1, found 0";
    let b = "node \"B\" (b) needs the plugin \"sparkle\", which this studio does not have";
    let d = "node \"D\" has no plugin";
    let e = "node \"E\" (e): background-removal cannot run: fal.ai is not configured";
    let f = "node \"F\" (f): python-script cannot run: no Python executor is configured";
    run.assert_output(json!({"status": "failed", "problems": [
        {"nodeId": null, "message": graph},
        {"nodeId": "a", "message": a},
        {"nodeId": "b", "message": b},
        {"nodeId": "d", "message": d},
        {"nodeId": "e", "message": e},
        {"nodeId": "f", "message": f},
    ]}));
    run.assert_steps(["mark-run-running", "validate-workflow", "mark-run-failed"]);
    let all = [graph, a, b, d, e, f].join("; ");
    assert_eq!(studio.state("r").await, (RunState::Failed, Some(all)));
    assert_eq!(
        studio.nodes("r").await,
        [
            format!("a FAILED: {a}"),
            format!("b FAILED: {b}"),
            "c CANCELED".to_owned(),
            format!("d FAILED: {d}"),
            format!("e FAILED: {e}"),
            format!("f FAILED: {f}"),
        ]
    );
}

async fn a_run_that_is_not_there_or_has_ended_is_ignored(studio: Studio) {
    let event = dry(chain("r", &[]));
    let app = studio.app().await;
    let run = app.run(OutgoingEvent::new(&event)).await.unwrap();
    run.assert_output(json!({"status": "ignored", "reason": "run missing"}));
    let event = studio.requested(&event).await;
    let id = WorkflowRunId::new("r");
    let _ = studio.deps.database.cancel_run(&id, 2).await.unwrap();
    let run = app.run(event).await.unwrap();
    run.assert_output(json!({"status": "ignored", "reason": "already finished"}));
    run.assert_steps(["mark-run-running"]);
}

#[tokio::test]
async fn an_event_starts_exactly_one_of_the_two() {
    let studio = Studio::on_sqlite().await;
    let app = studio.app().await;
    let modes = [
        (None, "studio-233-process-studio-workflow"),
        (Some("run"), "studio-233-process-studio-workflow"),
        (Some("dryRun"), "studio-233-process-workflow-run"),
        // Not a mode: the run fails, and says why.
        (Some("dry-run"), "studio-233-process-studio-workflow"),
    ];
    for (mode, function) in modes {
        let mut data = serde_json::to_value(chain("r", &[])).unwrap();
        if let Some(mode) = mode {
            data["mode"] = mode.into();
        }
        let event = OutgoingEvent::untyped("studio.workflow.requested", data);
        let runs = app.run_all(event).await.unwrap();
        let functions: Vec<&str> = runs.iter().map(TestRun::function_id).collect();
        assert_eq!(functions, [function], "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_after_any_commit_changes_nothing() {
    for studio in [Studio::on_sqlite().await, Studio::on_postgres().await] {
        let plays = AtomicU32::new(0);
        let crashes = assert_survives_crashes(
            || studio.builder(),
            async |app| {
                let id = format!("r{}", plays.fetch_add(1, Ordering::Relaxed));
                let event = studio.requested(&dry(chain(&id, &[]))).await;
                app.run(event).await?.assert_completed();
                assert_eq!(studio.state(&id).await, (RunState::Completed, None));
                Ok::<_, TestError>(())
            },
        )
        .await;
        assert!(crashes > 10, "{crashes}");
    }
}

#[tokio::test]
async fn a_database_that_stays_away_fails_the_dry_run() {
    let studio = Studio::on_sqlite().await;
    let event = studio.requested(&dry(chain("r", &[]))).await;
    let app = studio
        .builder()
        .fail_step("step-in-start", 5, "the database is away")
        .start()
        .await
        .unwrap();
    let run = app.run(event).await.unwrap();
    run.assert_failed_with("the database is away")
        .assert_attempts("step-in-start", 5)
        .assert_step_completed("mark-run-failed");
    let (state, error) = studio.state("r").await;
    assert_eq!(
        (state, error.as_deref()),
        (RunState::Failed, Some("the database is away"))
    );
}
