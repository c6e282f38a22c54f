use super::*;
use crate::state::ServerOptions;
use stepwell_engine::EndpointStart;
use stepwell_protocol::endpoint::{HttpRequest, RequestEvent};
use stepwell_runtime::{Invokers, Options, Runtime};
use stepwell_store::memory;

fn shared() -> (Runtime, Shared) {
    let runtime = Runtime::start(memory::open(), Invokers::none(), Options::default());
    let runtime = runtime.expect("the runtime starts");
    let shared = Shared::new(runtime.handle(), ServerOptions::dev());
    (runtime, shared)
}

/// A run that its app has begun to execute and says no more of; and a token for it.
async fn started(shared: &Shared) -> (RunId, String) {
    let run: RunId = shared.handle.new_event_id().to_string().parse().unwrap();
    let data = HttpRequest {
        domain: "http://app.example".to_owned(),
        method: "GET".to_owned(),
        path: "/".to_owned(),
        ..HttpRequest::default()
    };
    let report = NewRun {
        run_id: run,
        event: RequestEvent { data, ts: None },
        steps: Vec::new(),
        retries: None,
        request_version: None,
    };
    let start: EndpointStart = shared.handle.accept_endpoint(report, "", "").unwrap();
    shared.handle.start_endpoint(start).await.unwrap().unwrap();
    let now_s = shared.handle.now().ms() / 1_000;
    (run, shared.tokens.for_run(run, String::new(), now_s))
}

async fn text(response: Response) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 1_000).await;
    String::from_utf8(bytes.unwrap().to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_run_that_does_not_end_is_not_waited_for_for_ever() {
    let (_runtime, shared) = shared();
    let (run, token) = started(&shared).await;
    let asked = Instant::now();
    let query = Query(OutputQuery { token });
    let response = output(State(shared), Path(run.to_string()), query)
        .await
        .expect("it is an answer");
    assert_eq!(response.status(), StatusCode::OK);
    assert!(asked.elapsed() >= OUTPUT_WAIT);
    assert_eq!(
        text(response).await,
        r#"{"status":"running","message":"run did not end within 5 minutes"}"#
    );
}

#[tokio::test]
async fn all_who_wait_are_told_and_nobody_is_remembered() {
    let (_runtime, shared) = shared();
    let (run, _) = started(&shared).await;
    let wait = || {
        shared
            .endings
            .of(run, &shared.handle)
            .expect("there is room")
    };
    let (one, two, impatient) = (wait(), wait(), wait());
    drop(impatient);
    shared.handle.cancel_run(run).await.unwrap().unwrap();
    one.await;
    two.await;
    assert!(shared.endings.is_idle());
}
