use crate::Opened;
use serde_json::json;
use studio233_db::{BatchJobId, BatchJobStatus, BatchOutcome, DbError, NewBatchJob, StateChange};

on_both!(
    a_job_is_tried_until_its_result_holds,
    a_failed_job_says_why_and_stays_failed,
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
    assert_eq!(db.verify_batch_job(&id, 2, 5).await.unwrap(), Changed);
    let outcome = BatchOutcome::Completed {
        output_urls: &["out".into()],
        summary: &json!({"ok": 1}),
    };
    assert_eq!(db.end_batch_job(&id, outcome, 6).await.unwrap(), Changed);
    assert_eq!(db.end_batch_job(&id, outcome, 7).await.unwrap(), Unchanged);
    let late = db.process_batch_job(&id, 3, 8).await.unwrap();
    assert_eq!(late, StateChange::Refused(BatchJobStatus::Completed));

    let job = serde_json::to_value(db.batch_job(&id).await.unwrap()).unwrap();
    assert_eq!(
        job,
        json!({
            "id": "j", "batchId": "batch", "userId": "user", "status": "COMPLETED",
            "config": {"referenceImage": "r"}, "resultSummary": {"ok": 1}, "error": null, "attempts": 2,
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
