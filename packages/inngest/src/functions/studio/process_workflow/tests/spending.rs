//! What nodes spend counts for the workspace, whose budget holds further runs.

use crate::events::studio::WorkflowRequested;
use crate::functions::studio::RemovedBy;
use crate::functions::studio::fixture::{Studio, media, request};
use crate::middleware::{Price, Prices};
use async_trait::async_trait;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use stepwell::Moment;
use studio233_ai::background::Cutout;
use studio233_ai::{Answer, BackgroundRemover, EncodedImage, ImageError, Usage};
use studio233_db::{Budget, BudgetScope, Period, RunState, UsageKind, WorkspaceId};
use studio233_plugins::{BlobSource, Provider, Registry, Services};

const NOON_MS: i64 = 1_767_268_800_000;

/// Removes backgrounds for an image and a second each, or asks for the same and removes nothing.
struct Paid {
    fails: bool,
}

fn usage() -> Usage {
    Usage {
        provider: "fal".to_owned(),
        model: "rembg".to_owned(),
        images: 1,
        seconds: 1.0,
        ..Usage::default()
    }
}

#[async_trait]
impl BackgroundRemover for Paid {
    fn provider(&self) -> &str {
        "fal (rembg)"
    }

    async fn remove_background(&self, _: &EncodedImage) -> Result<Answer<Cutout>, ImageError> {
        if self.fails {
            return Err(ImageError::NoImage {
                provider: "fal".to_owned(),
                said: None,
                usage: Box::new(usage()),
            });
        }
        let cutout = Cutout {
            image: EncodedImage::new(media("alpha.png")).unwrap(),
            transparent_share: 0.5,
            note: None,
        };
        Ok(Answer::new(cutout, usage()))
    }
}

async fn studio(fails: bool) -> Studio {
    let mut studio = Studio::on_sqlite().await;
    let blobs = studio.deps.blobs.clone();
    let remover = RemovedBy::new(Provider::Fal, Arc::new(Paid { fails }));
    let services = Services::new(BlobSource::new(blobs.clone()), blobs);
    studio.deps.plugins = Registry::standard(&services.background_remover(remover));
    let price = Price {
        image: 20_000,
        ..Price::default()
    };
    studio.deps.prices = Prices::default().with("fal", price);
    studio
}

/// Two photos whose background goes, for the workspace `w`.
async fn two_photos(studio: &Studio, run: &str) -> WorkflowRequested {
    let photo = media("photo.jpg");
    let files = [
        studio.upload("a.jpg", &photo).await,
        studio.upload("b.jpg", &photo).await,
    ];
    let nodes = [("cut", "background-removal", json!({"provider": "fal"}))];
    let event = request(run, &nodes, &[], &files);
    WorkflowRequested {
        workspace_id: Some("w".to_owned()),
        ..event
    }
}

fn workspace() -> BudgetScope {
    BudgetScope::Workspace(WorkspaceId::new("w"))
}

async fn used(studio: &Studio, kind: UsageKind) -> u64 {
    let scope = workspace();
    let used = studio.deps.database.usage_since(&scope, kind, 0);
    used.await.unwrap()
}

#[tokio::test]
async fn what_plugins_spend_counts() {
    let studio = studio(false).await;
    let event = two_photos(&studio, "r").await;
    let event = studio.requested(&event).await;
    let run = studio.app().await.run(event).await.unwrap();
    run.assert_completed();
    assert_eq!(used(&studio, UsageKind::Images).await, 2);
    assert_eq!(used(&studio, UsageKind::Seconds).await, 2_000);
    assert_eq!(used(&studio, UsageKind::Currency).await, 40_000);
}

#[tokio::test]
async fn what_plugins_spend_in_vain_counts() {
    let studio = studio(true).await;
    let mut event = two_photos(&studio, "r").await;
    event.input.as_mut().unwrap()["files"]
        .as_array_mut()
        .unwrap()
        .pop();
    let event = studio.requested(&event).await;
    let run = studio.app().await.run(event).await.unwrap();
    run.assert_failed_with("the background cannot be removed");
    let attempts = run.step("step-cut-execute").attempts();
    assert_eq!(
        used(&studio, UsageKind::Images).await,
        u64::from(attempts),
        "each attempt has spent"
    );
}

#[tokio::test]
async fn a_workflow_that_may_spend_is_held_before_it_starts() {
    let studio = studio(false).await;
    let budget = Budget {
        scope: workspace(),
        kind: UsageKind::Images,
        period: Period::Day,
        limit: 0,
    };
    let database = &studio.deps.database;
    database.set_budget(&budget, NOON_MS).await.unwrap();
    let builder = studio.builder().starts_at(Moment::from_unix_ms(NOON_MS));
    let app = builder.start().await.unwrap();

    // What costs nothing is not held.
    let free = request(
        "free",
        &[("in", "media-input", json!({}))],
        &[],
        &[studio.upload("a.jpg", &media("photo.jpg")).await],
    );
    let free = WorkflowRequested {
        workspace_id: Some("w".to_owned()),
        ..free
    };
    let free = studio.requested(&free).await;
    let run = app.run(free).await.unwrap();
    run.assert_completed().assert_not_reached("budget");

    let event = two_photos(&studio, "r").await;
    let event = studio.requested(&event).await;
    let sent = app.send(event).await.unwrap();
    app.run_for(Duration::from_secs(60)).await.unwrap();
    let held = app.runs_of_event(sent).unwrap().remove(0);
    held.assert_unfinished().assert_not_reached("mark-running");
    assert_eq!(
        held.step("budget-held").name(),
        "held: the workspace w has used 0 of 0 images, until 2026-01-02T00:00:00.000Z"
    );
    assert_eq!(studio.run("r").await.state, RunState::Pending);

    let raised = Budget { limit: 2, ..budget };
    crate::middleware::budget::set(app.client(), database, &raised)
        .await
        .unwrap();
    app.finish(held.id()).await.unwrap().assert_completed();
    assert_eq!(studio.run("r").await.state, RunState::Completed);
}
