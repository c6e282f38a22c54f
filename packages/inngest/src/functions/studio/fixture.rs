//! A studio in a folder, on either database, with everything real.

use crate::events::studio::WorkflowRequested;
use crate::functions::{Deps, app, fixture};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use stepwell::testing::{Builder, TestApp, TestRun};
use stepwell::{Config, OutgoingEvent};
use studio233_blob::{ContentType, Key, Put};
use studio233_db::{
    BatchJob, BatchJobId, NewBatchJob, NewStep, NewWorkflowRun, RunState, WorkflowRun,
    WorkflowRunId,
};

/// Declares tests of a studio, once for each kind of database.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::functions::studio::fixture::Studio::on_sqlite().await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::functions::studio::fixture::Studio::on_postgres().await).await;
            })+
        }
    };
}
pub(super) use on_both;

pub(super) struct Studio {
    _folder: tempfile::TempDir,
    uploads: AtomicU32,
    pub(super) deps: Deps,
}

impl Studio {
    pub(super) async fn on_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let deps = fixture::deps(folder.path()).await;
        Self::of(folder, deps)
    }

    pub(super) async fn on_postgres() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let deps = fixture::deps_on_postgres(folder.path()).await;
        Self::of(folder, deps)
    }

    fn of(folder: tempfile::TempDir, deps: Deps) -> Self {
        Self {
            _folder: folder,
            uploads: AtomicU32::new(0),
            deps,
        }
    }

    /// All functions of the studio, to be tested.
    pub(super) fn builder(&self) -> Builder {
        TestApp::builder().app(app(crate::client(Config::dev()), &self.deps, drop))
    }

    pub(super) async fn app(&self) -> TestApp {
        self.builder().start().await.unwrap()
    }

    /// Asks for a workflow's run, and waits for its end.
    pub(super) async fn play(&self, event: &WorkflowRequested) -> TestRun {
        let event = self.requested(event).await;
        self.app().await.run(event).await.unwrap()
    }

    /// Uploads a file; a workflow's input.
    pub(super) async fn upload(&self, name: &str, bytes: &[u8]) -> Value {
        let number = self.uploads.fetch_add(1, Ordering::Relaxed);
        let key = format!("uploads/{number}");
        self.put(&key, bytes, "application/octet-stream").await;
        json!({"id": format!("file-{number}"), "url": format!("blob:{key}"), "name": name})
    }

    pub(super) async fn put(&self, key: &str, bytes: &[u8], content_type: &str) {
        let key = Key::parse(key).unwrap();
        let content_type = ContentType::parse(content_type).unwrap();
        let bytes = bytes.to_vec().into();
        let put = self
            .deps
            .blobs
            .put(&key, bytes, &content_type, Put::Overwrite);
        put.await.unwrap();
    }

    pub(super) async fn bytes(&self, url: &str) -> Vec<u8> {
        let key = Key::parse(url.strip_prefix("blob:").unwrap()).unwrap();
        self.deps
            .blobs
            .get(&key, 1 << 30)
            .await
            .unwrap()
            .bytes
            .to_vec()
    }

    /// The keys below a folder of the store.
    pub(super) async fn keys(&self, folder: &str) -> Vec<String> {
        let folder = Key::parse(folder).unwrap();
        let page = self.deps.blobs.list(Some(&folder), None, 1000).await;
        let keys = page.unwrap().items.into_iter();
        keys.map(|blob| blob.key.to_string()).collect()
    }

    /// Does what the web app does before it sends the event: the run and its nodes are PENDING.
    pub(super) async fn requested(&self, event: &WorkflowRequested) -> OutgoingEvent {
        let nodes = event.nodes.iter();
        let run = NewWorkflowRun {
            id: WorkflowRunId::new(&event.run_id),
            workflow_id: None,
            user_id: Some(event.user_id.clone()),
            project_id: Some(event.project_id.clone()),
            input: None,
            steps: nodes
                .map(|node| NewStep {
                    node_id: node.id.clone(),
                    name: node.id.clone(),
                    tool_name: None,
                })
                .collect(),
        };
        self.deps.database.create_run(&run, 1).await.unwrap();
        OutgoingEvent::new(event).id(&event.run_id)
    }

    pub(super) async fn run(&self, id: &str) -> WorkflowRun {
        let run = self.deps.database.run(&WorkflowRunId::new(id)).await;
        run.unwrap().unwrap()
    }

    /// `node STATE` for each node of a run, and the error where there is one.
    pub(super) async fn nodes(&self, run: &str) -> Vec<String> {
        let steps = self.deps.database.run_steps(&WorkflowRunId::new(run)).await;
        let steps = steps.unwrap().into_iter();
        let told = steps.map(|step| {
            let error = step
                .error
                .map(|error| format!(": {}", error["message"].as_str().unwrap()));
            format!(
                "{} {}{}",
                step.node_id,
                step.state.as_str(),
                error.unwrap_or_default()
            )
        });
        told.collect()
    }

    /// The state of a run, and its error.
    pub(super) async fn state(&self, run: &str) -> (RunState, Option<String>) {
        let run = self.run(run).await;
        let error = run
            .error
            .map(|error| error["message"].as_str().unwrap().to_owned());
        (run.state, error)
    }

    pub(super) async fn queue_job(&self, id: &str, config: Value) {
        let job = NewBatchJob {
            id: BatchJobId::new(id),
            batch_id: "batch".to_owned(),
            user_id: "user".to_owned(),
            config,
            input_urls: vec!["blob:uploads/product.png".to_owned()],
        };
        self.deps
            .database
            .create_batch_jobs(&[job], 1)
            .await
            .unwrap();
    }

    pub(super) async fn job(&self, id: &str) -> BatchJob {
        let job = self.deps.database.batch_job(&BatchJobId::new(id)).await;
        job.unwrap().unwrap()
    }
}

/// One of the images that image operations are tested with.
pub(super) fn media(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../media/tests/files")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A request for a run. Nodes are `(id, plugin, config)`, edges `(source, target)`.
pub(super) fn request(
    run: &str,
    nodes: &[(&str, &str, Value)],
    edges: &[(&str, &str)],
    files: &[Value],
) -> WorkflowRequested {
    let node = |(id, plugin, config): &(&str, &str, Value)| {
        json!({
            "id": id, "position": {"x": 0, "y": 0},
            "data": {"label": id.to_uppercase(), "pluginId": plugin, "config": config},
        })
    };
    let nodes: Vec<Value> = nodes.iter().map(node).collect();
    let edge = |(source, target): &(&str, &str)| json!({"source": source, "target": target});
    let edges: Vec<Value> = edges.iter().map(edge).collect();
    let event = json!({
        "runId": run, "workflowId": "w", "projectId": "p", "userId": "u", "idempotencyKey": run,
        "nodes": nodes, "edges": edges, "input": {"files": files},
    });
    serde_json::from_value(event).unwrap()
}
