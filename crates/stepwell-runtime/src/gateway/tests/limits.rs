use super::*;
use std::io::Write;
use stepwell_protocol::limits::STEP_OUTPUT_BYTES_MAX;

fn assert_too_large(failure: &Failure, name: &str) {
    let message = &failure.error.message;
    let expected = "step output size is greater than the limit: the answer of http://127.0.0.1:";
    assert!(message.starts_with(expected), "{message}");
    assert_eq!(failure.error.name, name);
    assert!(!failure.retriable);
}

/// Without a length, in parts, for ever.
fn endless() -> Body {
    let part = vec![b'1'; 64 * 1024];
    Body::from_stream(futures::stream::repeat_with(move || {
        io::Result::Ok(part.clone())
    }))
}

fn bomb() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        encoder.write_all(&[b'1'; 1024 * 1024]).unwrap();
    }
    encoder.finish().unwrap()
}

#[tokio::test]
async fn an_answer_over_a_step_s_size_is_a_failure() {
    let server = Server::start(|seen| match seen.target.as_str() {
        "/length" => answer(200, &[], vec![b'1'; STEP_OUTPUT_BYTES_MAX + 1]),
        "/endless" => answer(200, &[], endless()),
        "/bomb" => answer(200, &[("content-encoding", "gzip")], bomb()),
        // These fit as they are, and not as a step's value.
        "/wrapped" => answer(200, &[], vec![b'1'; STEP_OUTPUT_BYTES_MAX]),
        "/escaped" => answer(
            200,
            &[],
            format!("\"{}\"", "\\n".repeat(STEP_OUTPUT_BYTES_MAX / 2 - 20)),
        ),
        other => panic!("{other}"),
    })
    .await;
    for path in ["/length", "/endless", "/bomb", "/wrapped", "/escaped"] {
        let url = format!("{}{path}", server.url);
        assert_too_large(
            &failure_of(fetch(json!({"url": url}))).await,
            "GatewayError",
        );
        if path != "/escaped" {
            let request = infer(json!({"url": url, "body": {}}));
            assert_too_large(&failure_of(request).await, "AIGatewayError");
        }
    }
}

#[tokio::test]
async fn an_answer_of_a_step_s_size_is_a_result() {
    const WRAPPING: usize = r#"{"data":}"#.len();
    for (over, fits) in [(0, true), (1, false)] {
        let body = vec![b'1'; STEP_OUTPUT_BYTES_MAX - WRAPPING + over];
        let server = Server::start(move |_| answer(200, &[], body.clone())).await;
        let outcome = gateway()
            .perform(&infer(json!({"url": server.url, "body": {}})))
            .await;
        match outcome {
            Ok(value) => {
                assert!(fits);
                assert_eq!(value.get().len(), STEP_OUTPUT_BYTES_MAX);
            }
            Err(failure) => {
                assert!(!fits);
                assert_too_large(&failure, "AIGatewayError");
            }
        }
    }
}

#[tokio::test]
async fn an_error_without_end_is_read_in_part() {
    let server = Server::start(|_| answer(503, &[("retry-after", "3")], endless())).await;
    let failure = failure_of(infer(json!({"url": server.url, "body": {}}))).await;
    let expected = format!("{} answered 503 Service Unavailable: 111", server.url);
    assert!(failure.error.message.starts_with(&expected));
    assert!(failure.error.message.len() < 4096);
    assert_eq!(failure.retry_after, Some(RetryAfter::In(3_000)));
}
