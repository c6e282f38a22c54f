//! What the history of a run tells of services that refuse, break down, hang or are busy.

use crate::brand::{SUMMED_UP, ingested, pictured};
use crate::media::{cut_out, row};
use crate::services::{Refusal, media};
use crate::studio::{Studio, assert_output, on_both};
use serde_json::{Value, json};
use std::time::Duration;
use stepwell::embedded::{Run, RunStatus};
use studio233_db::RunState;

on_both!(
    the_history_tells_what_a_service_refused_and_when_it_was_asked_again,
    a_model_that_hangs_or_breaks_down_is_asked_again_and_told_of,
    a_model_that_another_stood_in_for_is_noted,
    a_service_that_another_stood_in_for_is_named_in_the_file,
    a_service_that_nobody_stands_in_for_is_asked_again_when_it_says,
    a_parser_that_the_eye_stood_in_for_is_named_in_the_step,
    a_parser_and_an_eye_that_both_fail_are_both_told_of,
);

/// Longer than any call of a service may take.
const PATIENCE: Duration = Duration::from_secs(130);

const SMART: &str = "/v1beta/models/smart:";
const QUICK: &str = "/v1beta/models/quick:";
const FAL: &str = "/fal-ai/imageutils/rembg";

fn refusal(status: u16, body: Value) -> Refusal {
    Refusal {
        status,
        headers: Vec::new(),
        body,
    }
}

/// Gemini breaks down.
fn broken_down() -> Refusal {
    let error =
        json!({"code": 500, "message": "An internal error has occurred.", "status": "INTERNAL"});
    refusal(500, json!({"error": error}))
}

const BROKE_DOWN: &str = "the service answered 500: INTERNAL: An internal error has occurred.";

async fn a_model_that_hangs_or_breaks_down_is_asked_again_and_told_of(studio: Studio) {
    studio.services.never_answer(SMART);
    studio
        .services
        .refuse("/v1beta/models/vectors:", broken_down());
    let event = pictured(&studio).await;
    let (run, ()) = tokio::join!(studio.run(event), studio.services.leave_waiting(PATIENCE));
    assert_output(&run, &json!({"status": "synchronized", "assetId": "image"}));
    let failures = studio.failures(&run).await;
    assert_eq!(failures.len(), 2, "{failures:?}");
    let (first, wait) = &failures[0];
    assert!(first.starts_with("extract-visual-dna: "), "{first}");
    assert!(
        first.contains("gemini (smart) did not analyse the image within 120 s"),
        "{first}"
    );
    assert!(wait.is_some());
    let (second, wait) = &failures[1];
    assert!(second.starts_with("index-visual-knowledge: "), "{second}");
    assert!(second.contains(BROKE_DOWN), "{second}");
    assert!(wait.is_some());
}

async fn a_model_that_another_stood_in_for_is_noted(studio: Studio) {
    studio.services.refuse(SMART, broken_down());
    studio.services.never_answer(SMART);
    let event = ingested(&studio, "printed.pdf").await;
    let (run, ()) = tokio::join!(studio.run(event), studio.services.leave_waiting(PATIENCE));
    assert_output(&run, &json!({"status": "completed", "workspaceId": "w"}));
    assert!(studio.failures(&run).await.is_empty());
    let broken = format!("smart: gemini (smart) did not answer: {BROKE_DOWN}");
    assert_eq!(studio.passed_over(&run).await, [broken]);

    let summed_up = studio.runs_of(SUMMED_UP).await.remove(0);
    assert!(studio.failures(&summed_up).await.is_empty());
    let silent = "smart: gemini (smart) did not answer: no answer within 120 s";
    assert_eq!(studio.passed_over(&summed_up).await, [silent]);
    assert_eq!(studio.services.asked(QUICK).len(), 2);
}

/// Has a workflow cut a photo out; who made the file, and who was passed over.
async fn cut(studio: &Studio, config: Value) -> (Run, Value, Value) {
    let run = studio.run(cut_out(studio, "run", config).await).await;
    let output = row(studio).await.output.unwrap_or_default();
    let metadata = &output["steps"][0]["outputs"][0]["metadata"];
    let recorded = studio.step(&run, "step-cut-execute").await;
    assert_eq!(&recorded["outputs"][0]["metadata"], metadata);
    (
        run,
        metadata["provider"].clone(),
        metadata["passedOver"].clone(),
    )
}

async fn a_service_that_another_stood_in_for_is_named_in_the_file(studio: Studio) {
    let policy = json!({"detail": [{
        "loc": ["body", "image_url"], "msg": "The content was flagged by a content checker.",
        "type": "content_policy_violation"
    }]});
    studio.services.refuse(FAL, refusal(422, policy));
    studio
        .services
        .refuse("/v1beta/models/painter:", broken_down());
    let (run, provider, passed_over) = cut(&studio, json!({})).await;
    assert!(studio.failures(&run).await.is_empty());
    assert_eq!(provider, "gemini");
    // Within Gemini, too, one model stood in for another.
    let painter = format!("painter: gemini (painter) did not make the image: {BROKE_DOWN}");
    assert_eq!(studio.passed_over(&run).await, [painter]);
    assert_eq!(passed_over[0]["provider"], "fal");
    let reason = passed_over[0]["reason"].as_str().unwrap();
    assert!(
        reason.ends_with("image_url: The content was flagged by a content checker."),
        "{reason}"
    );
}

async fn a_service_that_nobody_stands_in_for_is_asked_again_when_it_says(studio: Studio) {
    let mut busy = refusal(429, json!({"detail": "slow down"}));
    busy.headers.push(("retry-after", "43"));
    studio.services.refuse(FAL, busy);
    studio.services.never_answer(FAL);
    studio.services.refuse(
        "/fal-ai/imageutils/requests/r1/status",
        refusal(200, json!({"status": "LOST"})),
    );
    let cut = cut(&studio, json!({"provider": "fal"}));
    let ((run, ..), ()) = tokio::join!(cut, studio.services.leave_waiting(PATIENCE));
    assert_eq!(run.status, RunStatus::Failed);
    assert_eq!(row(&studio).await.state, RunState::Failed);
    let failures = studio.failures(&run).await;
    let expected = [
        ("the service answered 429: slow down", Some(43)),
        ("no answer within 60 s", None),
        ("job r1 failed: LOST", None),
    ];
    assert_eq!(failures.len(), expected.len(), "{failures:?}");
    for ((told, waits), (error, asked_to)) in failures.iter().zip(expected) {
        assert!(told.starts_with("step-cut-execute: "), "{told}");
        assert!(told.contains(error), "{told}");
        assert!(asked_to.is_none() || *waits == asked_to, "{waits:?}");
    }
    let is_tried_again: Vec<bool> = failures.iter().map(|(_, wait)| wait.is_some()).collect();
    assert_eq!(is_tried_again, [true, true, false]);
}

async fn a_parser_that_the_eye_stood_in_for_is_named_in_the_step(studio: Studio) {
    let upload = "/api/v2/parse/upload";
    let used_up = refusal(
        402,
        json!({"detail": "the credits of this month are used up"}),
    );
    let told = "llama-parse did not read the document: the service answered 402: the credits of this month are used up";
    let failed =
        json!({"job": {"id": "pjb-1", "status": "FAILED", "error_message": "not a document"}});
    let cases = [
        (upload, used_up, told),
        (
            "/api/v2/parse/pjb-1",
            refusal(200, failed),
            "llama-parse did not read the document: job pjb-1 failed: FAILED not a document",
        ),
    ];
    for (path, refusal, expected) in cases {
        studio.services.refuse(path, refusal);
        let run = studio.run(ingested(&studio, "printed.pdf").await).await;
        assert_output(&run, &json!({"status": "completed", "workspaceId": "w"}));
        assert!(studio.failures(&run).await.is_empty());
        let read = studio.step(&run, "extract-brand-dna").await;
        assert_eq!(read["path"], "vision");
        assert_eq!(
            read["passedOver"],
            json!({"provider": "llama-parse + gemini (smart)", "reason": expected})
        );
    }
    let run = studio.run(ingested(&studio, "printed.pdf").await).await;
    let read = studio.step(&run, "extract-brand-dna").await;
    assert_eq!(
        (&read["path"], &read["passedOver"]),
        (&json!("high-fidelity"), &Value::Null)
    );
}

async fn a_parser_and_an_eye_that_both_fail_are_both_told_of(studio: Studio) {
    studio.services.refuse(
        "/api/v2/parse/upload",
        refusal(401, json!({"detail": "no such key"})),
    );
    let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}});
    studio.services.refuse(SMART, refusal(200, blocked));
    let run = studio.run(ingested(&studio, "printed.pdf").await).await;
    assert_eq!(run.status, RunStatus::Failed);
    let failures = studio.failures(&run).await;
    assert_eq!(failures.len(), 1, "{failures:?}");
    let (told, wait) = &failures[0];
    assert!(
        told.contains("the service answered 401: no such key"),
        "{told}"
    );
    assert!(told.contains("SAFETY"), "{told}");
    assert_eq!(*wait, None);
}

async fn the_history_tells_what_a_service_refused_and_when_it_was_asked_again(studio: Studio) {
    let details =
        json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "77s"}]);
    let quota = Refusal {
        status: 429,
        headers: Vec::new(),
        body: json!({"error": {
            "code": 429, "message": "quota of the minute", "status": "RESOURCE_EXHAUSTED", "details": details,
        }}),
    };
    studio
        .services
        .refuse("/v1beta/models/smart:", quota.clone());
    studio.services.refuse("/v1beta/models/quick:", quota);
    let broken = Refusal {
        status: 200,
        headers: Vec::new(),
        body: json!({"embeddings": "soon"}),
    };
    studio.services.refuse("/v1beta/models/vectors:", broken);
    let run = studio.run(pictured(&studio).await).await;
    assert_output(&run, &json!({"status": "synchronized", "assetId": "image"}));
    let failures = studio.failures(&run).await;
    assert_eq!(failures.len(), 2, "{failures:?}");
    let (first, wait) = &failures[0];
    assert!(first.starts_with("extract-visual-dna: "), "{first}");
    assert!(
        first.contains("the service answered 429: RESOURCE_EXHAUSTED: quota of the minute"),
        "{first}"
    );
    assert_eq!(*wait, Some(77));
    let (second, wait) = &failures[1];
    assert!(second.starts_with("index-visual-knowledge: "), "{second}");
    assert!(second.contains("at embeddings"), "{second}");
    assert!(wait.is_some());

    // A block for safety is no quota: it is final.
    let blocked = Refusal {
        status: 200,
        headers: Vec::new(),
        body: json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9}}),
    };
    studio.services.refuse("/v1beta/models/smart:", blocked);
    let url = studio
        .put("uploads/other.jpg", media("cmyk.jpg"), "image/jpeg")
        .await;
    let mut event = pictured(&studio).await;
    event.url = url;
    let run = studio.run(event).await;
    assert_eq!(run.status, RunStatus::Failed);
    let failures = studio.failures(&run).await;
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert!(failures[0].0.contains("SAFETY"), "{failures:?}");
    assert_eq!(failures[0].1, None);
}
