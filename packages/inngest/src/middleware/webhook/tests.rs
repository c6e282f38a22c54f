use super::*;
use crate::middleware::collector::{Answer, Collector, report};
use serde_json::json;
use stepwell::testing::TestApp;
use stepwell::{App, Config, Context, Error, Function, OutgoingEvent};

/// Waits that do not hold up tests.
fn quick() -> Patience {
    Patience {
        wait_first: Duration::from_millis(1),
        wait_max: Duration::from_millis(5),
        ..Patience::default()
    }
}

fn settings(collector: &Collector) -> WebhookSettings {
    let url = format!("http://{}/hooks/secret-path", collector.host);
    let settings = WebhookSettings::new(&url).unwrap();
    let settings = settings.header("Authorization", "Bearer secret-token");
    settings.unwrap().patience(quick())
}

#[tokio::test]
async fn a_failure_is_posted_as_json_with_the_secret() {
    let mut collector = Collector::start([]).await;
    let webhook = WebhookReporter::start(settings(&collector)).unwrap();
    webhook.report(report("no network"));
    let received = collector.next().await;
    assert_eq!(
        (received.method.as_str(), received.path.as_str()),
        ("POST", "/hooks/secret-path")
    );
    assert_eq!(received.headers["authorization"], "Bearer secret-token");
    assert_eq!(received.headers["content-type"], "application/json");
    let mut body: Value = serde_json::from_slice(&received.body).unwrap();
    let id = body["id"].take();
    assert_eq!(id.as_str().unwrap().len(), 36);
    assert!(body["at"].take().as_str().unwrap().ends_with('Z'));
    assert_eq!(
        body,
        json!({
            "id": null, "at": null,
            "function": "studio-233-archive-vision-result",
            "run": "01KDVDNA009M3RPEWH1YYRCM1V",
            "event": "vision.archive.requested",
            "step": "archive-source-image",
            "attempt": 3,
            "final": true,
            "error": {
                "name": "FetchError", "message": "no network", "stack": "at archive",
                "cause": {"name": "IoError", "message": "connection reset", "cause": "the cable"},
            },
        })
    );
    let deliveries = webhook.close(Duration::from_secs(30)).await;
    assert_eq!(
        deliveries,
        Deliveries {
            delivered: 1,
            dropped: 0
        }
    );
}

#[tokio::test]
async fn what_fails_for_a_moment_is_posted_again_under_its_id() {
    let answers = [
        Answer::Status(503),
        Answer::With(429, "retry-after", "3600"),
        Answer::Status(200),
    ];
    let mut collector = Collector::start(answers).await;
    let webhook = WebhookReporter::start(settings(&collector)).unwrap();
    webhook.report(report("no network"));
    let mut ids = Vec::new();
    for _ in 0..3 {
        let body: Value = serde_json::from_slice(&collector.next().await.body).unwrap();
        ids.push(body["id"].clone());
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let deliveries = webhook.close(Duration::from_secs(30)).await;
    assert_eq!(
        deliveries,
        Deliveries {
            delivered: 1,
            dropped: 0
        }
    );
}

#[tokio::test]
async fn what_is_refused_or_never_taken_is_counted() {
    let refused = [Answer::Status(404), Answer::Status(302)];
    let away = (0..5).map(|_| Answer::Status(500));
    let mut collector = Collector::start(refused.into_iter().chain(away)).await;
    let webhook = WebhookReporter::start(settings(&collector)).unwrap();
    for _ in 0..4 {
        webhook.report(report("no network"));
    }
    // Two that are refused, five attempts for one, and the last.
    for _ in 0..8 {
        collector.next().await;
    }
    let deliveries = webhook.close(Duration::from_secs(30)).await;
    assert_eq!(
        deliveries,
        Deliveries {
            delivered: 1,
            dropped: 3
        }
    );
    webhook.report(report("too late"));
    assert_eq!(webhook.deliveries().dropped, 4);
    assert_eq!(collector.waiting(), 0);
}

#[tokio::test]
async fn a_service_that_hangs_fills_the_queue_and_no_more() {
    let mut collector = Collector::start([Answer::Never]).await;
    let patience = Patience {
        queue_max: 2,
        ..quick()
    };
    let webhook = WebhookReporter::start(settings(&collector).patience(patience)).unwrap();
    webhook.report(report("the one at work"));
    collector.next().await;
    for _ in 0..10 {
        webhook.report(report("no network"));
    }
    assert_eq!(
        webhook.deliveries(),
        Deliveries {
            delivered: 0,
            dropped: 8
        }
    );
    let deliveries = webhook.close(Duration::from_millis(20)).await;
    assert_eq!(
        deliveries,
        Deliveries {
            delivered: 0,
            dropped: 11
        }
    );
}

#[tokio::test]
async fn closing_delivers_what_waits_but_does_not_wait_for_a_service_that_is_away() {
    let mut collector = Collector::start([Answer::Status(503)]).await;
    let patience = Patience {
        wait_first: Duration::from_secs(3600),
        wait_max: Duration::from_secs(3600),
        ..quick()
    };
    let webhook = WebhookReporter::start(settings(&collector).patience(patience)).unwrap();
    for _ in 0..3 {
        webhook.report(report("no network"));
    }
    collector.next().await;
    let deliveries = webhook.close(Duration::from_secs(30)).await;
    assert_eq!(
        deliveries,
        Deliveries {
            delivered: 3,
            dropped: 0
        }
    );
}

async fn fail(_: Context) -> Result<(), Error> {
    Err(Error::new("Broken", "it broke").non_retriable())
}

#[tokio::test]
async fn a_run_neither_waits_for_a_service_that_hangs_nor_fails_by_it() {
    let mut collector = Collector::start([Answer::Never]).await;
    let webhook = WebhookReporter::start(settings(&collector)).unwrap();
    let app = App::new(crate::client(Config::dev()))
        .middleware(crate::middleware::ErrorReporting::new(webhook.clone()))
        .function(Function::new("fail").on_event("test/fail").handler(fail));
    let app = TestApp::start(app).await.unwrap();
    let run = app
        .run(OutgoingEvent::untyped("test/fail", json!({})))
        .await
        .unwrap();
    run.assert_failed_with("it broke");
    let body: Value = serde_json::from_slice(&collector.next().await.body).unwrap();
    assert_eq!(body["function"], "studio-233-fail");
    assert_eq!(webhook.deliveries().delivered, 0, "it still hangs");
}

#[tokio::test]
async fn secrets_are_told_to_nobody_else() {
    let collector = Collector::start([]).await;
    let settings = settings(&collector);
    let webhook = WebhookReporter::start(settings.clone()).unwrap();
    let shown = format!("{settings:?} {webhook:?}");
    assert!(
        shown.contains(&collector.host) && !shown.contains("secret"),
        "{shown}"
    );
    for url in ["secret", "ftp://secret.example", "data:secret"] {
        let error = WebhookSettings::new(url).unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("secret"),
            "{error:?}"
        );
    }
    let error = settings.header("X-Key", "secret\n").unwrap_err();
    assert!(
        !format!("{error} {error:?}").contains("secret"),
        "{error:?}"
    );
}

#[tokio::test]
async fn texts_of_any_length_are_shortened() {
    let mut collector = Collector::start([]).await;
    let webhook = WebhookReporter::start(settings(&collector)).unwrap();
    webhook.report(report(&"ü".repeat(100_000)));
    let body: Value = serde_json::from_slice(&collector.next().await.body).unwrap();
    let message = body["error"]["message"].as_str().unwrap();
    assert!(
        message.len() < 17_000 && message.ends_with("ü…"),
        "{}",
        message.len()
    );
}
