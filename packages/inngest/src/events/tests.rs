use super::brand::{
    AssetVisionSync, Classification, IntelligenceSyncRequested, KnowledgeIngested,
    KnowledgeTextAdded,
};
use super::studio::{Mode, ProcessFashionItem, WorkflowRequested};
use super::vision::{ArchiveRequested, CleanupRequested};
use serde_json::{Value, json};
use stepwell::{Event, OutgoingEvent, Payload};

/// Takes a payload as a function would, and gives it back as a producer would send it.
fn through<E: Event>(data: &Value) -> Result<Value, Vec<String>> {
    let event = E::from_event("", data.clone())
        .map_err(|issues| issues.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    Ok(OutgoingEvent::new(&event).data().clone())
}

/// The payload goes through unchanged, except for `added`.
#[track_caller]
fn good<E: Event>(data: Value, added: Value) {
    let mut expected = data.clone();
    for (key, value) in added.as_object().unwrap() {
        expected[key] = value.clone();
    }
    assert_eq!(through::<E>(&data), Ok(expected), "{}", E::NAME);
}

#[track_caller]
fn bad<E: Event>(data: Value, issues: &[&str]) {
    let told = through::<E>(&data).expect_err("the payload is not allowed");
    assert_eq!(told, issues, "{}: {data}", E::NAME);
}

fn document() -> Value {
    json!({
        "workspaceId": "w", "assetId": "a", "url": "https://example.com/a.pdf?sig=1",
        "filename": "a.pdf", "classification": "INDEX_AS_INSPIRATION",
    })
}

fn without(mut data: Value, key: &str) -> Value {
    data.as_object_mut().unwrap().remove(key);
    data
}

fn with(mut data: Value, key: &str, value: Value) -> Value {
    data[key] = value;
    data
}

fn workflow() -> Value {
    json!({
        "runId": "r", "workflowId": "wf", "projectId": "p", "userId": "u", "idempotencyKey": "k",
        "nodes": [{
            "id": "n1", "position": {"x": 1.5, "y": -2.0}, "type": "trigger",
            "data": {
                "label": "Resize", "description": "d", "status": "idle", "pluginId": "image-resize",
                "pluginVersion": "1.0.0", "executor": "python-e2b", "config": {"width": 10},
                "icon": {"kind": "svg"}, "custom": [1, {"deep": true}],
            },
        }, {"id": "n2", "position": {"x": 0.0, "y": 0.0}}],
        "edges": [{
            "id": "e1", "source": "n1", "target": "n2", "animated": true,
            "markerEnd": {"type": "arrow"}, "sourceHandle": "out",
        }, {"source": "n2", "target": "n1"}],
        "input": {"files": [{"url": "https://example.com/a.png"}]},
    })
}

#[test]
fn names_are_those_of_the_stream() {
    let names = [
        WorkflowRequested::NAME,
        ProcessFashionItem::NAME,
        KnowledgeIngested::NAME,
        AssetVisionSync::NAME,
        IntelligenceSyncRequested::NAME,
        KnowledgeTextAdded::NAME,
        ArchiveRequested::NAME,
        CleanupRequested::NAME,
    ];
    assert_eq!(
        names,
        [
            "studio.workflow.requested",
            "studio/process-fashion-item",
            "brand.knowledge.ingested",
            "brand.asset.vision_sync",
            "brand.intelligence.sync_requested",
            "brand.knowledge.text_added",
            "vision.archive.requested",
            "vision.cleanup.requested",
        ]
    );
}

#[test]
fn brand_documents_and_images_have_one_shape() {
    good::<KnowledgeIngested>(document(), json!({}));
    good::<AssetVisionSync>(document(), json!({}));
    // Older producers say nothing of the classification.
    let old = without(document(), "classification");
    let core = json!({"classification": "CORE_BRAND_MARK"});
    good::<KnowledgeIngested>(old.clone(), core.clone());
    good::<AssetVisionSync>(old, core);
    good::<KnowledgeIngested>(
        with(document(), "url", json!("blob:uploads/a/b.pdf")),
        json!({}),
    );
    assert_eq!(Classification::default().as_str(), "CORE_BRAND_MARK");
}

#[test]
fn what_is_wrong_with_a_brand_document_is_named() {
    let missing = "expected a string, but it is missing";
    bad::<KnowledgeIngested>(
        json!({}),
        &[
            &format!("data.workspaceId: {missing}"),
            &format!("data.assetId: {missing}"),
            &format!("data.url: {missing}"),
            &format!("data.filename: {missing}"),
        ],
    );
    bad::<AssetVisionSync>(
        json!({"workspaceId": 1, "assetId": null, "url": [], "filename": "f"}),
        &[
            "data.workspaceId: expected a string, found a number",
            "data.assetId: expected a string, found null",
            "data.url: expected a string, found an array",
        ],
    );
    bad::<KnowledgeIngested>(
        with(document(), "classification", json!("CORE")),
        &[
            r#"data.classification: expected "CORE_BRAND_MARK" or "INDEX_AS_INSPIRATION", found "CORE""#,
        ],
    );
    bad::<KnowledgeIngested>(
        with(document(), "workspaceId", json!("a\0b")),
        &["data.workspaceId: has a NUL character, which an id cannot"],
    );
    for url in ["", "a.pdf", "//example.com/a", "https://"] {
        let told = through::<KnowledgeIngested>(&with(document(), "url", json!(url))).unwrap_err();
        assert!(
            told.len() == 1 && told[0].starts_with("data.url: "),
            "{told:?}"
        );
    }
}

#[test]
fn texts_and_requests_for_synthesis() {
    good::<IntelligenceSyncRequested>(json!({"workspaceId": "w"}), json!({}));
    bad::<IntelligenceSyncRequested>(
        json!({"workspaceId": false}),
        &["data.workspaceId: expected a string, found a boolean"],
    );
    let text = json!({"workspaceId": "w", "assetId": "a", "text": "t", "filename": "f"});
    good::<KnowledgeTextAdded>(text.clone(), json!({}));
    good::<KnowledgeTextAdded>(
        with(text.clone(), "metadata", json!({"any": [1]})),
        json!({}),
    );
    bad::<KnowledgeTextAdded>(
        with(without(text, "text"), "metadata", json!([])),
        &[
            "data.text: expected a string, but it is missing",
            "data.metadata: expected an object or null, found an array",
        ],
    );
}

#[test]
fn vision_requests() {
    let archive =
        json!({"imageUrl": "data:image/png;base64,AA==", "imageHash": "ab", "metadata": {"a": 1}});
    good::<ArchiveRequested>(archive.clone(), json!({}));
    bad::<ArchiveRequested>(
        json!({"imageUrl": 1, "metadata": null}),
        &[
            "data.imageHash: expected a string, but it is missing",
            "data.imageUrl: expected a string, found a number",
            "data.metadata: expected an object, found null",
        ],
    );
    let told = through::<ArchiveRequested>(&with(archive, "imageUrl", json!("x.png"))).unwrap_err();
    assert!(told[0].starts_with("data.imageUrl: "), "{told:?}");
    good::<CleanupRequested>(json!({"path": "/tmp/a"}), json!({}));
    bad::<CleanupRequested>(
        json!({"path": {}}),
        &["data.path: expected a string, found an object"],
    );
}

#[test]
fn fashion_items() {
    let item = json!({
        "jobId": "j", "imageUrl": "https://example.com/p.jpg", "referenceImage": "mannequin-1",
        "timestamp": 1_767_225_600_000_u64,
    });
    good::<ProcessFashionItem>(item.clone(), json!({}));
    good::<ProcessFashionItem>(with(item.clone(), "timestamp", json!(1.5)), json!({}));
    good::<ProcessFashionItem>(with(item.clone(), "maxAttempts", json!(7)), json!({}));
    bad::<ProcessFashionItem>(
        with(item.clone(), "timestamp", json!("now")),
        &["data.timestamp: expected a number, found a string"],
    );
    for attempts in [0, 21] {
        let told =
            through::<ProcessFashionItem>(&with(item.clone(), "maxAttempts", json!(attempts)));
        let told = told.unwrap_err();
        assert!(told[0].starts_with("data.maxAttempts: "), "{told:?}");
    }
}

#[test]
fn a_workflow_keeps_the_keys_that_the_editor_adds() {
    good::<WorkflowRequested>(workflow(), json!({}));
    let bare = without(without(without(workflow(), "nodes"), "edges"), "input");
    good::<WorkflowRequested>(bare, json!({"nodes": [], "edges": []}));
}

#[test]
fn a_workflow_runs_unless_it_says_otherwise() {
    let mode = |data: Value| WorkflowRequested::from_event("", data).unwrap().mode;
    assert_eq!(mode(workflow()), Mode::Run);
    assert_eq!(
        mode(with(workflow(), "mode", json!("dryRun"))),
        Mode::DryRun
    );
    good::<WorkflowRequested>(with(workflow(), "mode", json!("dryRun")), json!({}));
    // What is meant without saying is not said.
    let said = through::<WorkflowRequested>(&with(workflow(), "mode", json!("run")));
    assert_eq!(said, Ok(workflow()));
    bad::<WorkflowRequested>(
        with(workflow(), "mode", json!("test")),
        &[r#"data.mode: expected "run" or "dryRun", found "test""#],
    );
    good::<WorkflowRequested>(with(workflow(), "workspaceId", json!("w")), json!({}));
    bad::<WorkflowRequested>(
        with(workflow(), "workspaceId", json!("a\0b")),
        &["data.workspaceId: has a NUL character, which an id cannot"],
    );
}

#[test]
fn every_bad_path_of_a_graph_is_named() {
    let mut data = without(workflow(), "runId");
    data["nodes"][0]["position"]["x"] = json!("left");
    data["nodes"][0]["data"]["label"] = json!(5);
    data["nodes"][1] = json!({"id": 2});
    let other = json!({"id": "n3", "position": {"x": 0, "y": 0}, "data": {"executor": "cobol"}});
    data["nodes"].as_array_mut().unwrap().push(other);
    data["edges"][1] = json!({"source": "n1"});
    data["edges"][0]["animated"] = json!("yes");
    data["input"] = json!("files");
    let mut told = through::<WorkflowRequested>(&data).unwrap_err();
    told.sort();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn schemas_are_objects_that_name_their_fields() {
    fn fields<E: Event>() -> Vec<String> {
        let schema = E::schema();
        let properties = schema.as_value()["properties"].as_object().unwrap();
        properties.keys().cloned().collect()
    }
    assert_eq!(
        fields::<KnowledgeIngested>(),
        [
            "workspaceId",
            "assetId",
            "url",
            "filename",
            "classification"
        ]
    );
    assert!(fields::<WorkflowRequested>().contains(&"idempotencyKey".to_owned()));
    assert_eq!(
        KnowledgeIngested::schema().as_value()["properties"]["url"]["format"],
        "uri"
    );
}

#[test]
fn a_bad_event_does_not_leave() {
    let event = KnowledgeIngested {
        workspace_id: "w".to_owned(),
        asset_id: "a".to_owned(),
        url: "nowhere".to_owned(),
        filename: "f".to_owned(),
        classification: Classification::CoreBrandMark,
    };
    let issues = event.validate().unwrap_err();
    assert_eq!(issues.len(), 1);
    assert_eq!(issues[0].path, "url");
}
