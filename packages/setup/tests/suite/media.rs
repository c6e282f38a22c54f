//! Workflows and fashion items.

use crate::services::{Refusal, media};
use crate::studio::{Studio, assert_output, on_both};
use serde_json::{Value, json};
use stepwell::OutgoingEvent;
use stepwell::embedded::RunStatus;
use studio233_db::{
    BatchJobId, BatchJobStatus, NewBatchJob, NewStep, NewWorkflowRun, RunState, WorkflowRunId,
};
use studio233_inngest::events::studio::{ProcessFashionItem, WorkflowRequested};

on_both!(
    a_workflow_runs_with_the_service_of_its_node,
    a_dry_run_executes_nothing,
    a_dry_run_tells_all_problems_at_once,
    a_product_is_dressed_and_judged,
    an_item_without_an_image_fails_its_job,
);

async fn requested(studio: &Studio, mode: &str) -> OutgoingEvent {
    cut_out(studio, mode, json!({})).await
}

/// A workflow that removes a photo's background, by this config, and makes it small, as the web app asks for it.
pub(crate) async fn cut_out(studio: &Studio, mode: &str, config: Value) -> OutgoingEvent {
    let url = studio
        .put("uploads/photo.jpg", media("photo.jpg"), "image/jpeg")
        .await;
    let nodes = [
        ("cut", "background-removal", config),
        ("small", "image-resize", json!({"width": 10})),
    ];
    workflow(studio, mode, &url, &nodes, &[("cut", "small")]).await
}

/// A run `r` of these nodes (id, plugin and config), over a photo.
async fn workflow(
    studio: &Studio,
    mode: &str,
    photo: &str,
    nodes: &[(&str, &str, Value)],
    edges: &[(&str, &str)],
) -> OutgoingEvent {
    let node = |(id, plugin, config): &(&str, &str, Value)| json!({"id": id, "position": {"x": 0, "y": 0}, "data": {"label": id, "pluginId": plugin, "config": config}});
    let edge = |(source, target): &(&str, &str)| json!({"source": source, "target": target});
    let event = json!({
        "runId": "r", "workflowId": "flow", "projectId": "p", "userId": "u", "idempotencyKey": "r", "mode": mode,
        "nodes": nodes.iter().map(node).collect::<Vec<_>>(),
        "edges": edges.iter().map(edge).collect::<Vec<_>>(),
        "input": {"files": [{"url": photo, "name": "photo.jpg"}]},
    });
    let event: WorkflowRequested = serde_json::from_value(event).unwrap();
    let step = |id: &str| NewStep {
        node_id: id.to_owned(),
        name: id.to_owned(),
        tool_name: None,
    };
    let run = NewWorkflowRun {
        id: WorkflowRunId::new("r"),
        workflow_id: None,
        user_id: Some("u".to_owned()),
        project_id: Some("p".to_owned()),
        input: None,
        steps: nodes.iter().map(|(id, ..)| step(id)).collect(),
    };
    let database = &studio.parts.deps.database;
    database.create_run(&run, 1).await.unwrap();
    OutgoingEvent::new(&event).id("r")
}

pub(crate) async fn row(studio: &Studio) -> studio233_db::WorkflowRun {
    let id = WorkflowRunId::new("r");
    let run = studio.parts.deps.database.run(&id).await;
    run.unwrap().unwrap()
}

async fn a_workflow_runs_with_the_service_of_its_node(studio: Studio) {
    let run = studio.run(requested(&studio, "run").await).await;
    let output = json!({"status": "completed", "runId": "r", "sinkNodeIds": ["small"], "files": 1});
    assert_output(&run, &output);
    let row = row(&studio).await;
    assert_eq!(row.state, RunState::Completed);
    let output = row.output.unwrap();
    let made = &output["finalOutputs"][0];
    assert_eq!(
        (&made["format"], &made["width"]),
        (&json!("png"), &json!(10))
    );
    let provider = output.pointer("/steps/0/outputs/0/metadata/provider");
    assert_eq!(provider, Some(&json!("fal")), "{output:#}");
    let keys = studio.keys("studio/runs/r").await;
    let (receipts, files): (Vec<_>, Vec<_>) =
        keys.iter().partition(|key| key.ends_with(".receipt"));
    // The picture without its background has a receipt, the resized one has none.
    assert_eq!((receipts.len(), files.len()), (1, 2), "{keys:?}");
}

async fn a_dry_run_executes_nothing(studio: Studio) {
    let run = studio.run(requested(&studio, "dryRun").await).await;
    assert_eq!(run.output::<Value>().unwrap()["status"], "completed");
    assert_eq!(row(&studio).await.state, RunState::Completed);
    assert!(studio.keys("studio").await.is_empty());
    assert!(studio.services.asked("/").is_empty());
}

async fn a_dry_run_tells_all_problems_at_once(studio: Studio) {
    let nodes = [
        ("cut", "background-removal", json!({"apiKey": "mine"})),
        ("small", "image-resize", json!({"width": 0})),
        ("bright", "sparkle", json!({})),
        ("out", "media-output", json!({})),
    ];
    let edges = [("cut", "small"), ("small", "cut"), ("out", "gone")];
    let event = workflow(&studio, "dryRun", "blob:uploads/none.jpg", &nodes, &edges).await;
    let run = studio.run(event).await;
    assert_eq!(run.status, RunStatus::Completed, "{:?}", run.error());
    let output: Value = run.output().unwrap();
    assert_eq!(output["status"], "failed");
    let problems = output["problems"].as_array().unwrap();
    let expected = [
        (Value::Null, "a cycle"),
        (json!("cut"), "name it in `provider`"),
        (json!("small"), "width: expected at least 1, found 0"),
        (json!("bright"), "which this studio does not have"),
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:?}");
    for (problem, (node, told)) in problems.iter().zip(expected) {
        assert_eq!(problem["nodeId"], node, "{problem}");
        assert!(
            problem["message"].as_str().unwrap().contains(told),
            "{problem}"
        );
    }
    let graph = problems[0]["message"].as_str().unwrap();
    assert!(
        graph.contains("needs \"gone\", which is no node"),
        "{graph}"
    );

    let row = row(&studio).await;
    assert_eq!(row.state, RunState::Failed);
    let shown = row.error.unwrap()["message"].as_str().unwrap().to_owned();
    for problem in problems {
        let message = problem["message"].as_str().unwrap();
        assert!(shown.contains(message), "{message} in {shown}");
        assert!(!message.contains("mine"), "{message}");
    }
    let steps = studio.parts.deps.database.run_steps(&row.id).await.unwrap();
    let steps = steps.iter().map(|step| (&*step.node_id, step.state));
    let failed = |id| (id, RunState::Failed);
    assert_eq!(
        steps.collect::<Vec<_>>(),
        [
            failed("cut"),
            failed("small"),
            failed("bright"),
            ("out", RunState::Canceled)
        ]
    );
    assert!(studio.keys("studio").await.is_empty());
    assert!(studio.services.asked("/").is_empty());
}

/// A job `j` for a product, which is to be shown on a mannequin.
async fn queued(studio: &Studio, attempts_max: u32) -> ProcessFashionItem {
    let url = studio
        .put("uploads/product.png", media("alpha.png"), "image/png")
        .await;
    studio
        .put(
            "studio/references/anna.png",
            media("rgb16.png"),
            "image/png",
        )
        .await;
    let job = NewBatchJob {
        id: BatchJobId::new("j"),
        batch_id: "batch".to_owned(),
        user_id: "u".to_owned(),
        config: json!({"workspaceId": "w"}),
        input_urls: vec![url.clone()],
    };
    let database = &studio.parts.deps.database;
    database.create_batch_jobs(&[job], 1).await.unwrap();
    ProcessFashionItem {
        job_id: "j".to_owned(),
        image_url: url,
        reference_image: "anna".to_owned(),
        timestamp: 1.into(),
        max_attempts: Some(attempts_max),
    }
}

async fn job(studio: &Studio) -> studio233_db::BatchJob {
    let id = BatchJobId::new("j");
    let job = studio.parts.deps.database.batch_job(&id).await;
    job.unwrap().unwrap()
}

async fn a_product_is_dressed_and_judged(studio: Studio) {
    let run = studio.run(queued(&studio, 3).await).await;
    let url = "blob:studio/fashion/j/attempt-1.png";
    assert_output(
        &run,
        &json!({"status": "success", "url": url, "attempts": 1}),
    );
    let job = job(&studio).await;
    assert_eq!(job.status, BatchJobStatus::Completed);
    assert_eq!(job.items[0].output_url.as_deref(), Some(url));
    assert_eq!(studio.services.asked("/v1beta/models/painter:").len(), 1);
    assert_eq!(studio.services.asked("/v1beta/models/smart:").len(), 1);
}

async fn an_item_without_an_image_fails_its_job(studio: Studio) {
    let event = queued(&studio, 1).await;
    let words = Refusal {
        status: 200,
        headers: Vec::new(),
        body: json!({"candidates": [{"content": {"parts": []}, "finishReason": "IMAGE_SAFETY"}]}),
    };
    studio.services.refuse("/v1beta/models/painter:", words);
    let run = studio.run(event).await;
    let job = job(&studio).await;
    assert_eq!(job.status, BatchJobStatus::Failed, "{run:?}");
    let failures = studio.failures(&run).await;
    assert!(
        failures[0].0.starts_with("generate-attempt-1: ") && failures[0].0.contains("IMAGE_SAFETY"),
        "{failures:?}"
    );
}
