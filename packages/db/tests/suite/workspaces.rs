use crate::Opened;
use crate::sample::new_workspace;
use serde_json::json;
use studio233_db::{IndexingStatus, NewWorkspace, WorkspaceId};

on_both!(
    a_workspace_is_found_by_id_and_slug_and_its_slug_is_its_own,
    profile_and_summary_are_kept,
    profile_and_summary_are_replaced_by_what_they_are,
    a_summary_of_earlier_knowledge_replaces_none_of_later,
    a_profile_is_changed_by_what_it_is,
    a_taken_id_is_not_a_taken_slug,
);

async fn a_workspace_is_found_by_id_and_slug_and_its_slug_is_its_own(db: Opened) {
    let created = db.create_workspace(&new_workspace("w"), 5).await.unwrap();
    assert_eq!(
        (created.indexing_status, created.created_at_ms),
        (IndexingStatus::Idle, 5)
    );
    assert_eq!(
        db.workspace(&created.id).await.unwrap(),
        Some(created.clone())
    );
    assert_eq!(db.workspace_by_slug("the-w").await.unwrap(), Some(created));
    assert_eq!(db.workspace_by_slug("other").await.unwrap(), None);

    let same_slug = NewWorkspace {
        id: WorkspaceId::new("x"),
        ..new_workspace("w")
    };
    let error = db.create_workspace(&same_slug, 6).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"the workspace slug "the-w" is taken; choose another"#
    );
}

async fn profile_and_summary_are_kept(db: Opened) {
    let id = db
        .create_workspace(&new_workspace("w"), 1)
        .await
        .unwrap()
        .id;
    let (profile, summary) = (json!({"coreIdentity": {}}), json!({"manifesto": "go"}));
    db.set_brand_profile(&id, &profile, &summary, 2)
        .await
        .unwrap();
    let stored = db.workspace(&id).await.unwrap().unwrap();
    assert_eq!(
        (stored.brand_profile, stored.brand_summary),
        (Some(profile.clone()), Some(summary))
    );

    db.begin_brand_summary(&id, "run").await.unwrap();
    let cleared = db.write_brand_summary(&id, "run", |_| None, 4);
    assert!(cleared.await.unwrap());
    let stored = db.workspace(&id).await.unwrap().unwrap();
    assert_eq!(
        (stored.brand_profile, stored.brand_summary),
        (Some(profile), None)
    );
    assert_eq!((stored.created_at_ms, stored.updated_at_ms), (1, 4));

    let nobody = WorkspaceId::new("nobody");
    let told = "there is no workspace nobody";
    let error = db.begin_brand_summary(&nobody, "run").await.unwrap_err();
    assert_eq!(error.to_string(), told);
    let error = db.write_brand_summary(&nobody, "run", |_| None, 5).await;
    assert_eq!(error.unwrap_err().to_string(), told);
}

async fn a_summary_of_earlier_knowledge_replaces_none_of_later(db: Opened) {
    let id = crate::sample::workspace(&db, "w").await;
    let write = async |run: &str, summary: Option<&str>| {
        let summary = summary.map(|text| json!({"manifesto": text}));
        let written = db.write_brand_summary(&id, run, |_| summary, 2);
        written.await.unwrap()
    };
    let read = async || db.workspace(&id).await.unwrap().unwrap().brand_summary;

    assert!(!write("earlier", Some("first")).await, "it has not begun");
    db.begin_brand_summary(&id, "earlier").await.unwrap();
    assert!(write("earlier", Some("first")).await);
    db.begin_brand_summary(&id, "later").await.unwrap();
    assert!(!write("earlier", Some("first again")).await);
    assert!(write("later", Some("second")).await);
    assert!(!write("earlier", Some("first again")).await);
    assert_eq!(read().await, Some(json!({"manifesto": "second"})));
    assert!(write("later", None).await, "again");
    assert!(!write("earlier", Some("first again")).await);
    assert_eq!(read().await, None, "what was cleared stays so");
}

async fn profile_and_summary_are_replaced_by_what_they_are(db: Opened) {
    let id = crate::sample::workspace(&db, "w").await;
    let (profile, summary) = (json!({"a": 1}), json!({"b": 2}));
    let first = |now| {
        assert_eq!(now, [None, None]);
        (profile.clone(), summary.clone())
    };
    db.replace_brand_profile(&id, first, 2).await.unwrap();
    let swapped = |[was_profile, was_summary]: [Option<serde_json::Value>; 2]| {
        (was_summary.unwrap(), was_profile.unwrap())
    };
    db.replace_brand_profile(&id, swapped, 3).await.unwrap();
    let stored = db.workspace(&id).await.unwrap().unwrap();
    assert_eq!(
        (stored.brand_profile, stored.brand_summary),
        (Some(summary.clone()), Some(profile.clone()))
    );
    assert_eq!(stored.updated_at_ms, 3);

    let nobody = WorkspaceId::new("nobody");
    let error = db.set_brand_profile(&nobody, &profile, &summary, 4).await;
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), "there is no workspace nobody");
}

async fn a_profile_is_changed_by_what_it_is(db: Opened) {
    let id = crate::sample::workspace(&db, "w").await;
    let set = |to: serde_json::Value| move |_| Some(to);
    let profile = json!({"b": {"z": 1, "a": ""}, "a": []});
    assert!(
        db.update_brand_profile(&id, set(profile.clone()), 2)
            .await
            .unwrap()
    );
    let left = db.update_brand_profile(
        &id,
        |now| {
            assert_eq!(now, Some(profile.clone()));
            None
        },
        3,
    );
    assert!(!left.await.unwrap());
    let stored = db.workspace(&id).await.unwrap().unwrap();
    assert_eq!(stored.updated_at_ms, 2);
    assert_eq!(
        stored.brand_profile.unwrap().to_string(),
        profile.to_string()
    );

    let nobody = db
        .update_brand_profile(&WorkspaceId::new("nobody"), |_| None, 4)
        .await;
    assert_eq!(
        nobody.unwrap_err().to_string(),
        "there is no workspace nobody"
    );
}

async fn a_taken_id_is_not_a_taken_slug(db: Opened) {
    crate::sample::workspace(&db, "w").await;
    let same_id = NewWorkspace {
        slug: "other".into(),
        ..new_workspace("w")
    };
    let error = db.create_workspace(&same_id, 2).await.unwrap_err();
    assert!(!error.is_transient());
    assert_eq!(error.to_string(), "cannot create the workspace");
}
