use crate::Opened;
use serde_json::json;
use studio233_db::{BatchJobId, BatchJobStatus, BatchOutcome, DbError, NewBatchJob, StateChange};

on_both!(
    a_job_is_tried_until_its_result_holds,
    a_failed_job_says_why_and_stays_failed,
    texts_with_nul_are_stored_without,
    creating_jobs_again_changes_nothing,
);

fn new_job(id: &str) -> NewBatchJob {
    NewBatchJob {
        id: BatchJobId::new(id),
        batch_id: "batch".into(),
        user_id: "user".into(),
        config: json!({"referenceImage": "r"}),
        input_urls: vec!["in".into()],
    }
}

async fn a_job_is_tried_until_its_result_holds(db: Opened) {
    db.create_batch_jobs(&[new_job("j")], 1).await.unwrap();
    let id = BatchJobId::new("j");
    use StateChange::{Changed, Unchanged};
    assert_eq!(db.process_batch_job(&id, 1, 2).await.unwrap(), Changed);
    assert_eq!(db.process_batch_job(&id, 1, 2).await.unwrap(), Unchanged);
    assert_eq!(db.verify_batch_job(&id, 1, 3).await.unwrap(), Changed);
    assert_eq!(db.process_batch_job(&id, 2, 4).await.unwrap(), Changed);
    // Somebody who still works at the first result.
    let late = db.verify_batch_job(&id, 1, 4).await.unwrap();
    assert_eq!(late, StateChange::Refused(BatchJobStatus::Processing));
    assert_eq!(db.process_batch_job(&id, 3, 5).await.unwrap(), Changed);
    assert_eq!(db.verify_batch_job(&id, 3, 5).await.unwrap(), Changed);
    let outcome = BatchOutcome::Completed {
        output_urls: &["out".into()],
        summary: &json!({"ok": 1}),
    };
    assert_eq!(db.end_batch_job(&id, outcome, 6).await.unwrap(), Changed);
    assert_eq!(db.end_batch_job(&id, outcome, 7).await.unwrap(), Unchanged);
    let late = db.process_batch_job(&id, 4, 8).await.unwrap();
    assert_eq!(late, StateChange::Refused(BatchJobStatus::Completed));

    let job = serde_json::to_value(db.batch_job(&id).await.unwrap()).unwrap();
    assert_eq!(
        job,
        json!({
            "id": "j", "batchId": "batch", "userId": "user", "status": "COMPLETED",
            "config": {"referenceImage": "r"}, "resultSummary": {"ok": 1}, "error": null, "attempts": 3,
            "items": [{"inputUrl": "in", "outputUrl": "out", "status": "COMPLETED"}],
            "createdAtMs": 1, "updatedAtMs": 6,
        })
    );
}

async fn a_failed_job_says_why_and_stays_failed(db: Opened) {
    db.create_batch_jobs(&[new_job("j")], 1).await.unwrap();
    let id = BatchJobId::new("j");
    let _ = db.process_batch_job(&id, 1, 2).await.unwrap();
    let _ = db
        .end_batch_job(&id, BatchOutcome::Failed("the collar differs"), 3)
        .await
        .unwrap();
    let refused = db
        .end_batch_job(&id, BatchOutcome::Canceled, 4)
        .await
        .unwrap();
    assert_eq!(refused, StateChange::Refused(BatchJobStatus::Failed));
    let job = db.batch_job(&id).await.unwrap().unwrap();
    assert_eq!(
        (job.error.as_deref(), job.attempts),
        (Some("the collar differs"), 1)
    );
    assert_eq!(job.items[0].status, BatchJobStatus::Failed);
    let missing = db.process_batch_job(&BatchJobId::new("x"), 1, 5).await;
    assert!(
        matches!(missing, Err(DbError::NoSuchBatchJob { .. })),
        "{missing:?}"
    );
}

async fn texts_with_nul_are_stored_without(db: Opened) {
    let odd = NewBatchJob {
        input_urls: vec!["i\0n".into()],
        config: json!({"reference\0Image": ["r\0"]}),
        ..new_job("j")
    };
    db.create_batch_jobs(&[odd], 1).await.unwrap();
    let id = BatchJobId::new("j");
    let outcome = BatchOutcome::Failed("the model said \0");
    let ended = db.end_batch_job(&id, outcome, 2).await.unwrap();
    assert_eq!(ended, StateChange::Changed);
    let job = db.batch_job(&id).await.unwrap().unwrap();
    assert_eq!(job.error.as_deref(), Some("the model said "));
    assert_eq!(job.items[0].input_url, "in");
    assert_eq!(job.config, json!({"referenceImage": ["r"]}));
}

async fn creating_jobs_again_changes_nothing(db: Opened) {
    assert_eq!(
        db.create_batch_jobs(&[new_job("a"), new_job("b")], 1)
            .await
            .unwrap(),
        2
    );
    let _ = db
        .process_batch_job(&BatchJobId::new("a"), 1, 2)
        .await
        .unwrap();
    assert_eq!(
        db.create_batch_jobs(&[new_job("a"), new_job("c")], 3)
            .await
            .unwrap(),
        1
    );
    let page = db.batch_jobs("user", Some("batch"), None, 2).await.unwrap();
    let ids: Vec<_> = page.items.iter().map(|job| job.id.as_str()).collect();
    assert_eq!(ids, ["c", "b"]);
    let rest = db
        .batch_jobs("user", None, page.next.as_ref(), 2)
        .await
        .unwrap();
    assert_eq!(
        (rest.items[0].id.as_str(), rest.items[0].attempts),
        ("a", 1)
    );
    assert!(
        db.batch_jobs("other", None, None, 2)
            .await
            .unwrap()
            .items
            .is_empty()
    );
}
