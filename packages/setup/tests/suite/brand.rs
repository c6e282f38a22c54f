//! Documents and images of a brand.

use crate::services::{Refusal, document, media, profile};
use crate::studio::{Studio, assert_output, on_both};
use serde_json::{Value, json};
use stepwell::embedded::RunStatus;
use studio233_db::IndexingStatus;
use studio233_inngest::events::brand::{
    AssetVisionSync, Classification, IntelligenceSyncRequested, KnowledgeIngested,
};

on_both!(
    a_document_is_read_by_the_parser_and_summed_up,
    what_the_parser_reads_too_little_of_is_looked_at,
    what_was_scanned_is_looked_at_and_found,
    pictures_that_show_too_little_fail_the_run_at_once,
    a_document_without_colours_leaves_those_of_an_image,
    an_image_becomes_knowledge_is_archived_and_summed_up,
    a_brand_that_no_model_sums_up_keeps_its_summary,
);

pub(crate) const SUMMED_UP: &str = "brand.intelligence.sync_requested";

pub(crate) async fn ingested(studio: &Studio, name: &str) -> KnowledgeIngested {
    let url = studio
        .put("uploads/brand.pdf", document(name), "application/pdf")
        .await;
    KnowledgeIngested {
        workspace_id: "w".to_owned(),
        asset_id: "document".to_owned(),
        url,
        filename: name.to_owned(),
        classification: Classification::CoreBrandMark,
    }
}

pub(crate) async fn pictured(studio: &Studio) -> AssetVisionSync {
    let url = studio
        .put("uploads/photo.jpg", media("photo.jpg"), "image/jpeg")
        .await;
    AssetVisionSync {
        workspace_id: "w".to_owned(),
        asset_id: "image".to_owned(),
        url,
        filename: "photo.jpg".to_owned(),
        classification: Classification::CoreBrandMark,
    }
}

fn completed() -> Value {
    json!({"status": "completed", "workspaceId": "w"})
}

async fn a_document_is_read_by_the_parser_and_summed_up(studio: Studio) {
    let event = ingested(&studio, "printed.pdf").await;
    let run = studio.run(event).await;
    assert_output(&run, &completed());
    let read = studio.step(&run, "extract-brand-dna").await;
    assert_eq!(read["path"], "high-fidelity");
    assert_eq!(read["score"], 0.6);
    assert_eq!(read["provider"], "llama-parse + gemini (smart)");
    assert_eq!(studio.services.asked("/api/v2/parse/upload").len(), 1);
    let chunks = studio.step(&run, "index-and-store").await["chunkCount"].clone();
    assert_eq!(chunks, studio.fragments().await.len());

    let summed_up = studio.runs_of(SUMMED_UP).await;
    assert_eq!(summed_up.len(), 1);
    assert_output(
        &summed_up[0],
        &json!({"status": "synthesized", "workspaceId": "w"}),
    );
    let workspace = studio.workspace().await;
    assert_eq!(workspace.indexing_status, IndexingStatus::Idle);
    assert_eq!(
        workspace.brand_summary.unwrap()["voice"],
        json!(["calm", "brief", "dry"])
    );
}

async fn what_the_parser_reads_too_little_of_is_looked_at(studio: Studio) {
    // 0.5 is not above 0.5.
    studio
        .services
        .read_in_text(profile(&["colors", "slogans"], true));
    let run = studio.run(ingested(&studio, "printed.pdf").await).await;
    assert_output(&run, &completed());
    let read = studio.step(&run, "extract-brand-dna").await;
    assert_eq!(read["path"], "vision");
    let parser = &read["passedOver"];
    assert_eq!(parser["provider"], "llama-parse + gemini (smart)");
    let reason = "it read too little: it scored 0.500, which is not above 0.5";
    assert_eq!(parser["reason"], reason);
    assert_eq!(read["score"], 0.3);
    assert_eq!(read["provider"], "gemini (smart)");
    assert_eq!(studio.services.asked("/api/v2/parse/upload").len(), 1);
}

async fn what_was_scanned_is_looked_at_and_found(studio: Studio) {
    let failed = json!({"job": {"id": "pjb-1", "status": "FAILED", "error_message": "no text"}});
    studio.services.refuse(
        "/api/v2/parse/pjb-1",
        Refusal {
            status: 200,
            headers: Vec::new(),
            body: failed,
        },
    );
    let run = studio.run(ingested(&studio, "scanned.pdf").await).await;
    assert_output(&run, &completed());
    assert_eq!(
        studio.step(&run, "index-and-store").await,
        json!({"chunkCount": 0})
    );
    let read = studio.step(&run, "extract-brand-dna").await;
    assert_eq!(
        (&read["path"], &read["score"]),
        (&json!("vision"), &json!(0.3))
    );
    let known = studio.fragments().await;
    assert_eq!(known.len(), 1);
    assert!(known[0].contains("Colours: #0B6E4F"), "{known:?}");
    assert!(known[0].contains("Mind the wind."), "{known:?}");
    assert!(studio.workspace().await.brand_summary.is_some());
}

async fn pictures_that_show_too_little_fail_the_run_at_once(studio: Studio) {
    studio.services.read_in_text(profile(&[], false));
    studio
        .services
        .read_in_pictures(profile(&["colors", "slogans"], false));
    let run = studio.run(ingested(&studio, "scanned.pdf").await).await;
    assert_eq!(run.status, RunStatus::Failed);
    let told = run.error().unwrap().message;
    assert!(told.contains("gemini (smart) scored 0.200"), "{told}");
    assert!(told.contains("it has no text, only pictures"), "{told}");
    assert_eq!(
        studio.failures(&run).await.len(),
        1,
        "it is not tried again"
    );
    let workspace = studio.workspace().await;
    assert_eq!(workspace.indexing_status, IndexingStatus::Failed);
    assert_eq!(workspace.brand_profile, None);
}

async fn a_document_without_colours_leaves_those_of_an_image(studio: Studio) {
    studio.run(pictured(&studio).await).await;
    let colors = |profile: Option<Value>| profile.unwrap()["coreIdentity"]["colors"].clone();
    let seen = colors(studio.workspace().await.brand_profile);
    assert_eq!(seen, json!(["#0B6E4F", "#C8553D"]));

    studio
        .services
        .read_in_text(profile(&["slogans", "logos", "fonts"], true));
    let mut thin = profile(&["slogans", "logos"], true);
    thin["palette"] = json!([]);
    studio.services.read_in_text(thin.clone());
    studio.services.read_in_pictures(thin);
    let run = studio.run(ingested(&studio, "printed.pdf").await).await;
    assert_output(&run, &completed());
    let profile = studio.workspace().await.brand_profile;
    assert_eq!(
        profile.as_ref().unwrap()["coreIdentity"]["slogans"],
        json!(["Mind the wind."])
    );
    assert_eq!(colors(profile), seen);
}

async fn an_image_becomes_knowledge_is_archived_and_summed_up(studio: Studio) {
    let run = studio.run(pictured(&studio).await).await;
    assert_output(&run, &json!({"status": "synchronized", "assetId": "image"}));
    let seen = studio.step(&run, "extract-visual-dna").await;
    assert_eq!(seen["provider"], "gemini (smart)");
    assert!(studio.fragments().await[0].contains("boardwalk"));

    let archived = studio.runs_of("vision.archive.requested").await;
    assert_eq!(archived.len(), 1);
    let hash = seen["imageHash"].as_str().unwrap();
    assert_output(
        &archived[0],
        &json!({"status": "completed", "imageHash": hash}),
    );
    let kept = studio.keys("vision").await;
    for key in [
        format!("vision/metadata/{hash}/latest.json"),
        format!("vision/source/{hash}/source.bin"),
    ] {
        assert!(kept.contains(&key), "{key} in {kept:?}");
    }
    assert_eq!(studio.runs_of(SUMMED_UP).await.len(), 1);
}

async fn a_brand_that_no_model_sums_up_keeps_its_summary(studio: Studio) {
    studio.run(ingested(&studio, "printed.pdf").await).await;
    let known = studio.workspace().await.brand_summary;
    assert!(known.is_some());
    let down = Refusal {
        status: 503,
        headers: Vec::new(),
        body: json!({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}),
    };
    let attempts = 5;
    for _ in 0..attempts {
        for model in ["/v1beta/models/smart:", "/v1beta/models/quick:"] {
            studio.services.refuse(model, down.clone());
        }
    }
    let sync = || IntelligenceSyncRequested {
        workspace_id: "w".to_owned(),
    };
    let run = studio.run(sync()).await;
    assert_eq!(run.status, RunStatus::Failed);
    let failures = studio.failures(&run).await;
    assert_eq!(failures.len(), attempts, "{failures:?}");
    for (number, (told, wait)) in failures.iter().enumerate() {
        assert!(told.starts_with("synthesize-dna: "), "{told}");
        assert!(told.contains("smart failed first"), "{told}");
        assert!(told.contains("503: UNAVAILABLE: overloaded"), "{told}");
        assert_eq!(wait.is_none(), number + 1 == attempts, "{wait:?}");
    }
    assert_eq!(studio.workspace().await.brand_summary, known);

    // What failed is over: the next one sums up.
    let run = studio.run(sync()).await;
    assert_output(&run, &json!({"status": "synthesized", "workspaceId": "w"}));
}
