//! Answers that keep their connection alive.

use super::*;

/// A clock on which no delay ends before it was asked for a few times.
struct Beats(Arc<Mutex<u32>>);

impl Clock for Beats {
    fn now(&self) -> Moment {
        Moment::from_unix_ms(1_700_000_000_000)
    }

    fn delay(&self, _: Duration) -> Delay {
        let mut left = self.0.lock().unwrap();
        match left.checked_sub(1) {
            Some(fewer) => {
                *left = fewer;
                Box::pin(std::future::ready(()))
            }
            None => Box::pin(std::future::pending()),
        }
    }
}

#[tokio::test]
async fn a_streamed_answer_is_kept_alive_and_ends_with_all_of_the_answer() {
    let api = Api::answering(200, json!({}));
    let client = Client::builder(
        "app",
        Config {
            streaming: true,
            ..Config::dev()
        },
    )
    .http_client(api)
    .clock(Beats(Arc::new(Mutex::new(2))))
    .build();
    let (go, wait) = futures::channel::oneshot::channel::<()>();
    let wait = Arc::new(Mutex::new(Some(wait)));
    let slow = move |ctx: Context| {
        let wait = wait.lock().unwrap().take().expect("it is called once");
        async move {
            let failing = ctx.step().run("slow", || async {
                wait.await.expect("the test says when");
                Err::<(), _>(crate::RetryAfter::new("busy", Duration::from_secs(7)).into())
            });
            Ok::<_, Error>(failing.await?)
        }
    };
    let function = Function::new("add").on_event("app/add").handler(slow);
    let handler = Handler::new(App::new(client).function(function)).unwrap();
    let call = |method: &str, query: &str| {
        let request = Request::builder().method(method);
        let request = request.uri(format!("http://localhost:3000/api/inngest{query}"));
        request.body(Bytes::from(call_body().to_string())).unwrap()
    };
    let mut response = handler
        .respond(call("POST", "?fnId=app-add&stepId=step"))
        .await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert!(response.headers().contains_key(headers::SDK));
    let body = response.body_mut();
    for _ in 0..2 {
        assert_eq!(body.chunk().await.as_deref(), Some(&b" "[..]));
    }
    go.send(()).unwrap();
    let end: Value = serde_json::from_slice(&body.chunk().await.unwrap()).unwrap();
    assert_eq!(end["status"], 206);
    assert_eq!(end["headers"][headers::NO_RETRY], "false");
    assert_eq!(end["headers"]["retry-after"], "7");
    let ops: Value = serde_json::from_str(end["body"].as_str().unwrap()).unwrap();
    assert_eq!(ops[0]["op"], "StepError");
    assert_eq!(body.chunk().await, None);

    for (method, query) in [("GET", ""), ("POST", "?probe=trust")] {
        let mut response = handler.respond(call(method, query)).await;
        assert_eq!(response.status(), StatusCode::OK, "{method} {query}");
        if method == "GET" {
            let body = response.body_mut().chunk().await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["extra"]["is_streaming"], true);
        }
    }
}

#[tokio::test]
async fn a_streamed_answer_is_for_callers_that_are_trusted() {
    let handler = signed_by(OTHER_KEY).streaming(true);
    let request = Request::post("http://localhost:3000/api/inngest?fnId=app-add&stepId=step");
    let request = request.body(Bytes::from(call_body().to_string())).unwrap();
    assert_eq!(
        handler.respond(request).await.status(),
        StatusCode::UNAUTHORIZED
    );
}
