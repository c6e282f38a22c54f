use super::*;
use crate::middleware::collector::{Answer, Collector, report};

fn settings(collector: &Collector) -> SentrySettings {
    let dsn = format!("http://0pub1key:0secret1@{}/sentry/42", collector.host);
    let patience = Patience {
        wait_first: Duration::from_millis(1),
        wait_max: Duration::from_millis(5),
        ..Patience::default()
    };
    SentrySettings::new(dsn.parse().unwrap()).patience(patience)
}

#[tokio::test]
async fn a_failure_is_an_event_in_an_envelope() {
    let mut collector = Collector::start([]).await;
    let settings = settings(&collector)
        .server_name("worker-1")
        .release("studio233@1.4.0")
        .environment("production");
    let sentry = SentryReporter::start(settings).unwrap();
    sentry.report(report("no\nnetwork"));
    let received = collector.next().await;
    assert_eq!(
        (received.method.as_str(), received.path.as_str()),
        ("POST", "/sentry/api/42/envelope/")
    );
    assert_eq!(
        received.headers["content-type"],
        "application/x-sentry-envelope"
    );
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        received.headers["x-sentry-auth"],
        format!(
            "Sentry sentry_version=7, sentry_client=studio233/{version}, sentry_key=0pub1key, sentry_secret=0secret1"
        )
    );
    assert!(!received.headers.contains_key("authorization"));

    let text = std::str::from_utf8(&received.body).unwrap();
    let lines: Vec<&str> = text.split('\n').collect();
    assert_eq!(
        (lines.len(), lines[3]),
        (4, ""),
        "three lines, each ended: {text}"
    );
    let [head, item, event] = [0, 1, 2].map(|at| serde_json::from_str::<Value>(lines[at]).unwrap());
    let id = head["event_id"].as_str().unwrap();
    assert!(
        id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()),
        "{id}"
    );
    assert!(head["sent_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(
        item,
        json!({"type": "event", "content_type": "application/json", "length": lines[2].len()})
    );
    assert!(event["timestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(
        event,
        json!({
            "event_id": id,
            "timestamp": event["timestamp"],
            "platform": "other",
            "level": "error",
            "logger": "stepwell",
            "transaction": "studio-233-archive-vision-result",
            "exception": {"values": [
                {"type": "Error", "value": "the cable"},
                {"type": "IoError", "value": "connection reset"},
                {"type": "FetchError", "value": "no\nnetwork"},
            ]},
            "tags": {
                "app": "studio-233",
                "function": "studio-233-archive-vision-result",
                "run": "01KDVDNA009M3RPEWH1YYRCM1V",
                "event": "vision.archive.requested",
                "step": "archive-source-image",
            },
            "extra": {"attempt": 3, "stack": "at archive"},
            "sdk": {"name": "studio233", "version": version},
            "server_name": "worker-1",
            "release": "studio233@1.4.0",
            "environment": "production",
        })
    );
    assert_eq!(sentry.close(Duration::from_secs(30)).await.delivered, 1);
}

/// Reports twice; the deliveries, and how many requests came.
async fn twice(answer: Answer) -> (Deliveries, usize) {
    let collector = Collector::start([answer]).await;
    let sentry = SentryReporter::start(settings(&collector)).unwrap();
    for _ in 0..2 {
        sentry.report(report("no network"));
    }
    let deliveries = sentry.close(Duration::from_secs(30)).await;
    (deliveries, collector.waiting())
}

#[tokio::test]
async fn limits_of_the_rate_are_kept() {
    let limits = "x-sentry-rate-limits";
    let both = |delivered, dropped| Deliveries { delivered, dropped };
    for (answer, deliveries, requests) in [
        (Answer::With(429, "retry-after", "60"), both(0, 2), 1),
        (Answer::Status(429), both(0, 2), 1),
        (Answer::With(429, limits, "60:error:key"), both(0, 2), 1),
        (
            Answer::With(200, limits, "60:transaction;error:key:reason"),
            both(1, 1),
            1,
        ),
        (
            Answer::With(200, limits, "1:transaction:key, 60::organization"),
            both(1, 1),
            1,
        ),
        (
            Answer::With(200, limits, "60:transaction;session:key"),
            both(2, 0),
            2,
        ),
        (Answer::With(200, limits, "soon"), both(2, 0), 2),
        (Answer::With(200, limits, "0:error:key"), both(2, 0), 2),
    ] {
        assert_eq!(twice(answer).await, (deliveries, requests));
    }
}

#[tokio::test]
async fn what_fails_for_a_moment_is_sent_again_under_its_id() {
    let mut collector = Collector::start([Answer::Status(502)]).await;
    let sentry = SentryReporter::start(settings(&collector)).unwrap();
    sentry.report(report("no network"));
    let id = |body: &[u8]| {
        let line = body.split(|byte| *byte == b'\n').next().unwrap();
        serde_json::from_slice::<Value>(line).unwrap()["event_id"].clone()
    };
    let (first, second) = (collector.next().await, collector.next().await);
    assert_eq!(id(&first.body), id(&second.body));
    assert_eq!(sentry.close(Duration::from_secs(30)).await.delivered, 1);
}

#[test]
fn a_dsn_has_a_key_a_host_and_a_project() {
    for (text, endpoint) in [
        (
            "https://abc@o1.ingest.sentry.io/42",
            "https://o1.ingest.sentry.io/api/42/envelope/",
        ),
        (
            "http://abc:def@127.0.0.1:9000/7/",
            "http://127.0.0.1:9000/api/7/envelope/",
        ),
        (
            "https://abc@host/a/b/proj-1?x=y#z",
            "https://host/a/b/api/proj-1/envelope/",
        ),
    ] {
        let dsn: Dsn = text.parse().unwrap();
        assert_eq!(dsn.endpoint.as_str(), endpoint, "{text}");
    }
    for text in [
        "",
        "o1.ingest.sentry.io/42",
        "ftp://hush@host/42",
        "https://o1.ingest.sentry.io/42",
        "https://hush@host/",
        "https://hush@host",
        "https://hush,sentry@host/42",
        "https://hush:a%20b@host/42",
        "https://hush@host/a%2Fb",
    ] {
        let error = text.parse::<Dsn>().unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(
            !told.contains("hush") && told.contains("client keys"),
            "{text}: {told}"
        );
    }
}

#[tokio::test]
async fn keys_are_told_to_nobody_else() {
    let collector = Collector::start([]).await;
    let settings = settings(&collector);
    let sentry = SentryReporter::start(settings.clone()).unwrap();
    let shown = format!("{settings:?} {sentry:?}");
    assert!(
        shown.contains(&collector.host) && shown.contains("project 42"),
        "{shown}"
    );
    assert!(
        !shown.contains("0pub1key") && !shown.contains("0secret1"),
        "{shown}"
    );
}
