use crate::Opened;
use serde_json::json;
use studio233_db::{
    DbError, NewStep, NewWorkflowRun, RunFilter, RunState, StateChange, WorkflowId, WorkflowRunId,
};

on_both!(
    a_run_is_created_once_with_a_step_for_each_node,
    a_run_goes_from_pending_to_completed_and_repeats_change_nothing,
    what_has_ended_stays_as_it_ended,
    a_failed_run_cancels_the_steps_that_have_not_ended,
    a_step_goes_through_its_states,
    steps_of_an_ended_run_do_not_start,
    a_step_without_a_row_gets_one,
    a_step_runs_from_several_places_at_once,
    runs_are_listed_in_pages_by_what_they_are_of,
);

fn step(node: &str) -> NewStep {
    NewStep {
        node_id: node.into(),
        name: format!("The {node}"),
        tool_name: None,
    }
}

fn new_run(id: &str) -> NewWorkflowRun {
    NewWorkflowRun {
        id: WorkflowRunId::new(id),
        workflow_id: Some(WorkflowId::new("never saved")),
        user_id: Some("user".into()),
        project_id: Some("p".into()),
        input: Some(json!({"files": []})),
        steps: vec![step("b"), step("a")],
    }
}

async fn states(db: &Opened, run: &WorkflowRunId) -> Vec<RunState> {
    let steps = db.run_steps(run).await.unwrap();
    steps.into_iter().map(|step| step.state).collect()
}

async fn a_run_is_created_once_with_a_step_for_each_node(db: Opened) {
    let (run, created) = db.create_run(&new_run("r"), 5).await.unwrap();
    assert!(created);
    assert_eq!(
        (run.state, run.workflow_id.as_ref(), run.created_at_ms),
        (RunState::Pending, None, 5)
    );
    assert_eq!(run.input, Some(json!({"files": []})));
    let steps = db.run_steps(&run.id).await.unwrap();
    let nodes: Vec<_> = steps
        .iter()
        .map(|step| (step.node_id.as_str(), step.ordinal))
        .collect();
    assert_eq!(nodes, [("b", 0), ("a", 1)]);
    assert_eq!(steps[0].name, "The b");

    let other = NewWorkflowRun {
        steps: vec![step("c")],
        ..new_run("r")
    };
    assert_eq!(
        db.create_run(&other, 6).await.unwrap(),
        (run.clone(), false)
    );
    assert_eq!(db.run_steps(&run.id).await.unwrap().len(), 2);
    let twice = NewWorkflowRun {
        steps: vec![step("a"), step("a")],
        ..new_run("s")
    };
    let error = db.create_run(&twice, 6).await.unwrap_err();
    assert!(matches!(error, DbError::IdTaken { .. }), "{error}");
    assert_eq!(db.run(&twice.id).await.unwrap(), None, "all or nothing");
}

async fn a_run_goes_from_pending_to_completed_and_repeats_change_nothing(db: Opened) {
    let (run, _) = db.create_run(&new_run("r"), 1).await.unwrap();
    let refused = db.complete_run(&run.id, &json!({}), 2).await.unwrap();
    assert_eq!(refused, StateChange::Refused(RunState::Pending));
    assert_eq!(
        db.start_run(&run.id, 3).await.unwrap(),
        StateChange::Changed
    );
    assert_eq!(
        db.start_run(&run.id, 4).await.unwrap(),
        StateChange::Unchanged
    );
    let output = json!({"status": "completed", "steps": 2});
    assert_eq!(
        db.complete_run(&run.id, &output, 5).await.unwrap(),
        StateChange::Changed
    );
    assert_eq!(
        db.complete_run(&run.id, &json!({"x": 1}), 6).await.unwrap(),
        StateChange::Unchanged
    );
    let ended = db.run(&run.id).await.unwrap().unwrap();
    assert_eq!(
        (ended.state, ended.output),
        (RunState::Completed, Some(output))
    );
    assert_eq!(
        (
            ended.started_at_ms,
            ended.finished_at_ms,
            ended.updated_at_ms
        ),
        (Some(3), Some(5), 5)
    );

    let missing = db
        .start_run(&WorkflowRunId::new("nobody"), 7)
        .await
        .unwrap_err();
    assert_eq!(missing.to_string(), "there is no workflow run nobody");
}

async fn what_has_ended_stays_as_it_ended(db: Opened) {
    let (run, _) = db.create_run(&new_run("r"), 1).await.unwrap();
    assert_eq!(
        db.fail_run(&run.id, "nobody was told", 2).await.unwrap(),
        StateChange::Changed
    );
    let failed = RunState::Failed;
    assert_eq!(
        db.start_run(&run.id, 3).await.unwrap(),
        StateChange::Refused(failed)
    );
    assert_eq!(
        db.cancel_run(&run.id, 3).await.unwrap(),
        StateChange::Refused(failed)
    );
    assert_eq!(
        db.complete_run(&run.id, &json!({}), 3).await.unwrap(),
        StateChange::Refused(failed)
    );
    assert_eq!(
        db.fail_run(&run.id, "again", 3).await.unwrap(),
        StateChange::Unchanged
    );
    let ended = db.run(&run.id).await.unwrap().unwrap();
    assert_eq!(ended.error, Some(json!({"message": "nobody was told"})));
    assert_eq!((ended.started_at_ms, ended.finished_at_ms), (None, Some(2)));
}

async fn a_failed_run_cancels_the_steps_that_have_not_ended(db: Opened) {
    let run = NewWorkflowRun {
        steps: ["a", "b", "c", "d"].map(step).to_vec(),
        ..new_run("r")
    };
    let (run, _) = db.create_run(&run, 1).await.unwrap();
    let _ = db.start_run(&run.id, 2).await.unwrap();
    for node in ["a", "b", "c"] {
        let _ = db.start_step(&run.id, &step(node), None, 3).await.unwrap();
    }
    let _ = db
        .complete_step(&run.id, &step("a"), &json!({}), 4)
        .await
        .unwrap();
    let _ = db
        .fail_step(&run.id, &step("b"), "no such picture", 4)
        .await
        .unwrap();
    let _ = db.fail_run(&run.id, "node b failed", 5).await.unwrap();
    use RunState::{Canceled, Completed, Failed};
    assert_eq!(
        states(&db, &run.id).await,
        [Completed, Failed, Canceled, Canceled]
    );
}

async fn a_step_goes_through_its_states(db: Opened) {
    let (run, _) = db.create_run(&new_run("r"), 1).await.unwrap();
    let _ = db.start_run(&run.id, 2).await.unwrap();
    let b = NewStep {
        tool_name: Some("image-resize".into()),
        ..step("b")
    };
    let input = json!([{"url": "u"}]);
    assert_eq!(
        db.start_step(&run.id, &b, Some(&input), 3).await.unwrap(),
        StateChange::Changed
    );
    assert_eq!(
        db.start_step(&run.id, &b, None, 4).await.unwrap(),
        StateChange::Unchanged
    );
    assert_eq!(
        db.complete_step(&run.id, &b, &json!({"n": 1}), 5)
            .await
            .unwrap(),
        StateChange::Changed
    );
    assert_eq!(
        db.complete_step(&run.id, &b, &json!({"n": 2}), 6)
            .await
            .unwrap(),
        StateChange::Unchanged
    );
    let refused = db.fail_step(&run.id, &b, "too late", 7).await.unwrap();
    assert_eq!(refused, StateChange::Refused(RunState::Completed));
    let stored = db.run_steps(&run.id).await.unwrap().remove(0);
    assert_eq!(
        (stored.input, stored.output, stored.error),
        (Some(input), Some(json!({"n": 1})), None)
    );
    assert_eq!(
        (stored.started_at_ms, stored.finished_at_ms),
        (Some(3), Some(5))
    );
    assert_eq!(stored.tool_name.as_deref(), Some("image-resize"));

    // Its start was lost.
    let ended = db
        .fail_step(&run.id, &step("a"), "node a: bad config", 8)
        .await
        .unwrap();
    assert_eq!(ended, StateChange::Changed);
    let stored = db.run_steps(&run.id).await.unwrap().remove(1);
    assert_eq!(stored.error, Some(json!({"message": "node a: bad config"})));
    assert_eq!(
        (stored.started_at_ms, stored.finished_at_ms),
        (Some(8), Some(8))
    );
}

async fn steps_of_an_ended_run_do_not_start(db: Opened) {
    let (run, _) = db.create_run(&new_run("r"), 1).await.unwrap();
    let _ = db.start_run(&run.id, 2).await.unwrap();
    let _ = db.complete_run(&run.id, &json!({}), 3).await.unwrap();
    let refused = db.start_step(&run.id, &step("a"), None, 4).await.unwrap();
    assert_eq!(refused, StateChange::Refused(RunState::Completed));
    assert_eq!(
        db.start_step(&run.id, &step("new"), None, 4).await.unwrap(),
        refused
    );
    assert_eq!(states(&db, &run.id).await, [RunState::Pending; 2]);
    let missing = db
        .start_step(&WorkflowRunId::new("nobody"), &step("a"), None, 5)
        .await;
    assert!(
        matches!(missing, Err(DbError::NoSuchRun { .. })),
        "{missing:?}"
    );
}

async fn a_step_without_a_row_gets_one(db: Opened) {
    let run = NewWorkflowRun {
        steps: vec![step("a")],
        ..new_run("r")
    };
    let (run, _) = db.create_run(&run, 1).await.unwrap();
    let _ = db
        .start_step(&run.id, &step("late"), None, 2)
        .await
        .unwrap();
    let steps = db.run_steps(&run.id).await.unwrap();
    assert_eq!(
        (steps[1].node_id.as_str(), steps[1].ordinal, steps[1].state),
        ("late", 1, RunState::Running)
    );
}

async fn a_step_runs_from_several_places_at_once(db: Opened) {
    let (run, _) = db.create_run(&new_run("r"), 1).await.unwrap();
    let _ = db.start_run(&run.id, 2).await.unwrap();
    let start = |n: i64| {
        let (db, run) = (db.db.clone(), run.id.clone());
        let node = format!("{}", n % 3);
        tokio::spawn(async move { db.start_step(&run, &step(&node), None, 3 + n).await })
    };
    let all: Vec<_> = (0..12).map(start).collect();
    let mut changed = 0;
    for one in all {
        changed += usize::from(one.await.unwrap().unwrap() == StateChange::Changed);
    }
    assert_eq!(changed, 3);
    let steps = db.run_steps(&run.id).await.unwrap();
    let places: Vec<_> = steps.iter().map(|step| step.ordinal).collect();
    assert_eq!(places, [0, 1, 2, 3, 4]);
}

async fn runs_are_listed_in_pages_by_what_they_are_of(db: Opened) {
    for n in 0..5_i64 {
        db.create_run(&new_run(&format!("r{n}")), n / 2)
            .await
            .unwrap();
    }
    let foreign = NewWorkflowRun {
        user_id: Some("other".into()),
        ..new_run("x")
    };
    db.create_run(&foreign, 9).await.unwrap();
    let _ = db.start_run(&WorkflowRunId::new("r1"), 10).await.unwrap();

    let mine = RunFilter {
        user_id: Some("user".into()),
        ..RunFilter::default()
    };
    let first = db.runs(&mine, None, 3).await.unwrap();
    let second = db.runs(&mine, first.next.as_ref(), 3).await.unwrap();
    let ids = |page: &studio233_db::Page<studio233_db::WorkflowRun>| {
        page.items
            .iter()
            .map(|run| run.id.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (ids(&first), ids(&second)),
        (
            vec!["r4".into(), "r3".into(), "r2".into()],
            vec!["r1".into(), "r0".into()]
        )
    );
    assert_eq!(second.next, None);
    let running = RunFilter {
        state: Some(RunState::Running),
        ..RunFilter::default()
    };
    assert_eq!(ids(&db.runs(&running, None, 0).await.unwrap()), ["r1"]);
    assert_eq!(
        db.runs(&RunFilter::default(), None, 1000)
            .await
            .unwrap()
            .items
            .len(),
        6
    );
}
