use crate::Opened;
use serde_json::json;
use studio233_db::{
    Cursor, DbError, NewWorkflow, NewWorkflowRun, WorkflowChange, WorkflowId, WorkflowRunId,
};

on_both!(
    a_workflow_is_saved_changed_and_removed,
    workflows_are_listed_in_pages_newest_first,
    removing_a_workflow_leaves_its_runs,
);

fn new_workflow(id: &str) -> NewWorkflow {
    NewWorkflow {
        id: WorkflowId::new(id),
        name: "Resize".into(),
        nodes: json!([{"id": "a", "position": {"y": 0, "x": 1.5}}]),
        edges: json!([]),
        user_id: "user".into(),
        project_id: Some("p".into()),
    }
}

async fn a_workflow_is_saved_changed_and_removed(db: Opened) {
    let saved = db.create_workflow(&new_workflow("f"), 1).await.unwrap();
    assert_eq!(db.workflow(&saved.id).await.unwrap(), Some(saved.clone()));
    assert_eq!(
        saved.nodes.to_string(),
        new_workflow("f").nodes.to_string(),
        "keys keep their order"
    );
    let again = db.create_workflow(&new_workflow("f"), 2).await.unwrap_err();
    assert!(matches!(again, DbError::IdTaken { .. }), "{again}");

    let change = WorkflowChange {
        nodes: Some(json!([])),
        ..WorkflowChange::default()
    };
    let changed = db
        .update_workflow(&saved.id, &change, 3)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (changed.name.as_str(), &changed.nodes, changed.updated_at_ms),
        ("Resize", &json!([]), 3)
    );
    assert!(db.delete_workflow(&saved.id).await.unwrap());
    assert!(!db.delete_workflow(&saved.id).await.unwrap());
    assert_eq!(
        db.update_workflow(&saved.id, &change, 4).await.unwrap(),
        None
    );
}

async fn workflows_are_listed_in_pages_newest_first(db: Opened) {
    for (id, now_ms) in [("a", 1), ("b", 2), ("c", 2), ("d", 3)] {
        db.create_workflow(&new_workflow(id), now_ms).await.unwrap();
    }
    let foreign = NewWorkflow {
        user_id: "other".into(),
        ..new_workflow("x")
    };
    db.create_workflow(&foreign, 9).await.unwrap();
    let (mut seen, mut after) = (Vec::new(), None::<Cursor>);
    loop {
        let page = db
            .workflows("user", Some("p"), after.as_ref(), 3)
            .await
            .unwrap();
        seen.extend(
            page.items
                .into_iter()
                .map(|workflow| workflow.id.to_string()),
        );
        match page.next {
            Some(next) => after = Some(next.to_string().parse().unwrap()),
            None => break,
        }
    }
    assert_eq!(seen, ["d", "c", "b", "a"]);
    assert!(
        db.workflows("user", Some("other"), None, 3)
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

async fn removing_a_workflow_leaves_its_runs(db: Opened) {
    let workflow = db.create_workflow(&new_workflow("f"), 1).await.unwrap();
    let id = WorkflowRunId::new("r");
    let run = NewWorkflowRun {
        id: id.clone(),
        workflow_id: Some(workflow.id.clone()),
        user_id: None,
        project_id: None,
        input: None,
        steps: Vec::new(),
    };
    let (run, _) = db.create_run(&run, 2).await.unwrap();
    assert_eq!(run.workflow_id, Some(workflow.id.clone()));
    db.delete_workflow(&workflow.id).await.unwrap();
    assert_eq!(db.run(&id).await.unwrap().unwrap().workflow_id, None);
}
