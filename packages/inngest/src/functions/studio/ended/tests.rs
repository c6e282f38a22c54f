use super::ID;
use crate::events::studio::WorkflowRequested;
use crate::functions::studio::fixture::{Studio, on_both, request};
use serde_json::{Value, json};
use std::time::Duration;
use stepwell::{Error, Event, OutgoingEvent};
use studio233_db::{BatchJobStatus, RunState};

on_both!(
    a_workflow_that_cannot_be_read_shows_why_it_failed,
    an_item_that_cannot_be_read_shows_why_it_failed,
    what_a_run_said_of_its_failure_stays,
    an_end_is_marked_though_the_app_was_gone_for_hours,
    what_is_not_there_is_not_marked,
);

/// The request for a run, with something in it that is no list of nodes.
fn unreadable(run: &str, mode: &str) -> OutgoingEvent {
    let mut event = serde_json::to_value(request(run, &[], &[], &[])).unwrap();
    event["nodes"] = json!("all of them");
    event["mode"] = json!(mode);
    OutgoingEvent::untyped(WorkflowRequested::NAME, event)
}

async fn a_workflow_that_cannot_be_read_shows_why_it_failed(studio: Studio) {
    for (run, mode) in [("r", "run"), ("dry", "dryRun")] {
        let nodes = [("a", "media-input", json!({}))];
        let requested = request(run, &nodes, &[], &[]);
        studio.requested(&requested).await;
        let app = studio.app().await;
        app.run(unreadable(run, mode))
            .await
            .unwrap()
            .assert_failed_with("data.nodes")
            .assert_steps([]);
        app.settle().await.unwrap();

        let (state, error) = studio.state(run).await;
        assert_eq!(state, RunState::Failed);
        let error = error.unwrap();
        assert!(error.contains("data.nodes: expected an array"), "{error}");
        assert_eq!(studio.nodes(run).await, ["a CANCELED"]);
        app.runs_of(ID).unwrap()[0]
            .assert_steps(["mark-failed"])
            .assert_completed();
    }
}

async fn an_item_that_cannot_be_read_shows_why_it_failed(studio: Studio) {
    studio.queue_job("j", json!({})).await;
    let app = studio.app().await;
    let event = json!({"jobId": "j", "imageUrl": 7, "referenceImage": "anna", "timestamp": 1});
    let event = OutgoingEvent::untyped("studio/process-fashion-item", event);
    app.run(event).await.unwrap().assert_failed();
    app.settle().await.unwrap();
    let job = studio.job("j").await;
    assert_eq!(job.status, BatchJobStatus::Failed);
    let error = job.error.unwrap();
    assert!(
        error.contains("data.imageUrl: expected a string"),
        "{error}"
    );
}

async fn what_a_run_said_of_its_failure_stays(studio: Studio) {
    let event = request("r", &[("a", "no-such-plugin", json!({}))], &[], &[]);
    let event = studio.requested(&event).await;
    let app = studio.app().await;
    let run = app.run(event).await.unwrap();
    run.assert_failed().assert_step_completed("mark-failed");
    let said = (studio.run("r").await, studio.nodes("r").await);
    app.settle().await.unwrap();
    app.runs_of(ID).unwrap()[0].assert_completed();
    assert_eq!((studio.run("r").await, studio.nodes("r").await), said);
}

async fn an_end_is_marked_though_the_app_was_gone_for_hours(studio: Studio) {
    let requested = request("r", &[("a", "media-input", json!({}))], &[], &[]);
    studio.requested(&requested).await;
    let gone = Error::new("Gone", "nobody is there");
    let app = studio.builder().fail_step("mark-failed", 12, gone);
    let app = app.start().await.unwrap();
    app.run(unreadable("r", "run")).await.unwrap();
    app.settle().await.unwrap();
    assert_eq!(studio.state("r").await.0, RunState::Failed);
    let marked = &app.runs_of(ID).unwrap()[0];
    marked.assert_completed().assert_attempts("mark-failed", 13);
    assert!(marked.took().unwrap() > Duration::from_secs(3 * 3600));
}

async fn what_is_not_there_is_not_marked(studio: Studio) {
    let app = studio.app().await;
    let nameless = OutgoingEvent::untyped(WorkflowRequested::NAME, json!({"runId": 7}));
    for event in [unreadable("nobody", "run"), nameless] {
        app.run(event).await.unwrap().assert_failed();
    }
    app.settle().await.unwrap();
    let marked = app.runs_of(ID).unwrap();
    assert_eq!(marked.len(), 2);
    for run in marked {
        run.assert_completed();
        let _: Value = run.output();
    }
}
