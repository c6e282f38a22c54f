use crate::server::{KEY, PATIENCE, Reply, Server, png, shown, wait_for};
use async_trait::async_trait;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use studio233_ai::fal::{Fal, FalSettings, Polling};
use studio233_ai::{
    Answer, ApiKey, BackgroundRemover, Cutout, EncodedImage, ImageError, ImageSource, SourceError,
};

const RESULT: &str = "https://files.test/cutout.png";

struct Results(EncodedImage);

#[async_trait]
impl ImageSource for Results {
    async fn fetch(&self, url: &str) -> Result<EncodedImage, SourceError> {
        match url {
            RESULT => Ok(self.0.clone()),
            other => Err(SourceError {
                url: other.to_owned(),
                transient: false,
                source: "it is at 10.0.0.1, which is not public".into(),
            }),
        }
    }
}

async fn remove(server: &Server, result: EncodedImage) -> Result<Answer<Cutout>, ImageError> {
    let settings = FalSettings {
        base_url: server.url.clone(),
        request_timeout: PATIENCE,
        polling: Polling {
            wait_first: Duration::from_millis(5),
            wait_max: Duration::from_millis(20),
            timeout: PATIENCE,
        },
        ..FalSettings::default()
    };
    let key = ApiKey::new(KEY).unwrap();
    let fal = Fal::new(key, settings, Arc::new(Results(result))).unwrap();
    assert!(!format!("{fal:?}").contains(KEY));
    fal.remove_background(&png(false)).await
}

/// The queue's answer to a request: where to ask on.
fn queued(base: &str) -> Reply {
    let request = format!("{base}/fal-ai/imageutils/requests/r1");
    Reply::json(
        200,
        json!({
            "request_id": "r1", "status": "IN_QUEUE", "queue_position": 0,
            "status_url": format!("{request}/status"), "response_url": request,
            "cancel_url": format!("{request}/cancel")
        }),
    )
}

fn status(status: &str) -> Reply {
    Reply::json(
        200,
        json!({"status": status, "request_id": "r1", "metrics": {"inference_time": 1.5}}),
    )
}

fn result(url: &str) -> Reply {
    Reply::json(
        200,
        json!({"image": {"url": url, "content_type": "image/png", "width": 8, "height": 8}}),
    )
}

async fn server(replies: impl IntoIterator<Item = Reply>) -> Server {
    let server = Server::idle().await;
    server.then([queued(&server.url)]);
    server.then(replies);
    server
}

#[tokio::test]
async fn a_background_is_removed_by_way_of_the_queue() {
    let replies = [
        status("IN_QUEUE"),
        Reply::text(502, "a hiccup"),
        status("IN_PROGRESS"),
        status("COMPLETED"),
        result(RESULT),
    ];
    let server = server(replies).await;
    let answer = remove(&server, png(true)).await.unwrap();
    assert_eq!(answer.value.image, png(true));
    assert_eq!(answer.value.transparent_share, 0.5);
    assert_eq!((answer.usage.images, answer.usage.seconds), (1, 1.5));
    let requests = "/fal-ai/imageutils/requests/r1";
    let mut expected = vec!["POST /fal-ai/imageutils/rembg".to_owned()];
    expected.extend(vec![format!("GET {requests}/status"); 4]);
    expected.push(format!("GET {requests}"));
    assert_eq!(server.targets(), expected);
    let asked = server.asked();
    assert!(
        asked
            .iter()
            .all(|asked| asked.header("authorization") == format!("Key {KEY}"))
    );
    assert_eq!(
        asked[0].json(),
        json!({"image_url": png(false).to_data_url()})
    );
}

#[tokio::test]
async fn a_result_may_come_inline() {
    let server = server([status("COMPLETED"), result(&png(true).to_data_url())]).await;
    let answer = remove(&server, png(true)).await.unwrap();
    assert!(answer.value.is_believable());
}

#[tokio::test]
async fn what_goes_wrong_says_whether_to_try_again() {
    let policy = json!({"detail": [{
        "loc": ["body", "image_url"], "msg": "The content was flagged by a content checker.",
        "type": "content_policy_violation"
    }]});
    let invalid = json!({"detail": [{"loc": ["body", "image_url"], "msg": "too small", "type": "image_too_small"}]});
    // (after COMPLETED, the error, whether to try again)
    let cases = [
        (
            Reply::json(422, policy),
            "refuses to make the image: image_url: The content was flagged by a content checker.",
            false,
        ),
        (
            Reply::json(422, invalid),
            "the service answered 422: image_url: too small",
            false,
        ),
        (
            Reply::json(500, json!({"detail": "runner died"})),
            "the service answered 500: runner died",
            true,
        ),
        (
            Reply::json(500, json!({"detail": "never"})).header("x-fal-retryable", "false"),
            "the service answered 500: never",
            false,
        ),
        (
            Reply::json(200, json!({"images": []})),
            "returned no image",
            true,
        ),
        (
            result("http://internal.test/x.png"),
            "which is not public",
            false,
        ),
        (result("data:image/png;base64,AAAA"), "at image.url", true),
        (
            Reply::text(200, "{"),
            "does not keep to its interface",
            true,
        ),
    ];
    for (reply, expected, transient) in cases {
        let server = server([status("COMPLETED"), reply]).await;
        let error = remove(&server, png(true)).await.unwrap_err();
        let chain = shown(&error);
        assert!(chain.contains(expected), "{chain}");
        assert_eq!(error.is_transient(), transient, "{chain}");
    }
}

#[tokio::test]
async fn too_many_requests_say_when_to_come_back() {
    let slow = Reply::json(429, json!({"detail": "slow down"})).header("retry-after", "12");
    let server = Server::start([slow]).await;
    let error = remove(&server, png(true)).await.unwrap_err();
    assert!(error.is_transient());
    assert_eq!(error.retry_after(), Some(Duration::from_secs(12)));
}

#[tokio::test]
async fn an_image_without_transparency_is_no_cutout() {
    let server = server([status("COMPLETED"), result(RESULT)]).await;
    let error = remove(&server, png(false)).await.unwrap_err();
    assert!(shown(&error).ends_with("the result has no transparent pixel"));
    assert_eq!(error.usage().unwrap().seconds, 1.5);
}

#[tokio::test]
async fn a_request_that_never_ends_is_given_up_and_cancelled() {
    let server = server((0..200).map(|_| status("IN_QUEUE"))).await;
    // The job is in the queue, and asked for a second time.
    let (outcome, ()) = tokio::join!(remove(&server, png(true)), wait_for(&server, 3));
    let error = outcome.unwrap_err();
    assert!(error.is_transient());
    assert!(shown(&error).ends_with("no answer within 60 s"));
    let last = server.targets().pop().unwrap();
    assert_eq!(last, "PUT /fal-ai/imageutils/requests/r1/cancel");
}

#[tokio::test]
async fn the_key_is_not_sent_to_an_address_that_an_answer_names() {
    let thief = Server::idle().await;
    let server = Server::start([queued(&thief.url)]).await;
    let error = remove(&server, png(true)).await.unwrap_err();
    assert!(shown(&error).contains("it named an address that is not its own"));
    assert!(thief.asked().is_empty());
}
