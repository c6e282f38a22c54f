//! What an OpenTelemetry collector is told of runs.

use crate::app::{App, failed, id, ops, returned, step_run};
use crate::server::{Server, Setup, function, soon};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use prost::Message;
use serde_json::json;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use stepwell_engine::{Change, Snapshot, Timestamp};
use stepwell_server::{Tracer, TracerError, TracerOptions};
use stepwell_store::{Slice, Store, StoreError, Writer, memory};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A collector on a free port.
struct Collector {
    url: String,
    /// Whether it answers at all.
    dead: Arc<AtomicBool>,
    requests: mpsc::UnboundedReceiver<ExportTraceServiceRequest>,
}

impl Collector {
    async fn start() -> Self {
        let (told, requests) = mpsc::unbounded_channel();
        let dead = Arc::new(AtomicBool::new(false));
        let is_dead = Arc::clone(&dead);
        let routes = post(move |headers: HeaderMap, body: Bytes| {
            let (told, dead) = (told.clone(), is_dead.load(Ordering::SeqCst));
            async move {
                if dead {
                    return StatusCode::BAD_REQUEST;
                }
                assert_eq!(headers["content-type"], "application/x-protobuf");
                told.send(ExportTraceServiceRequest::decode(body).expect("it is one"))
                    .expect("the test goes on");
                StatusCode::OK
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/traces", routes);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            url,
            dead,
            requests,
        }
    }

    /// The next spans, and the name of the service that they are of.
    async fn next(&mut self) -> (String, Vec<Span>) {
        let request = soon("the collector is told", self.requests.recv()).await;
        let mut resources = request.expect("it listens").resource_spans;
        assert_eq!(resources.len(), 1);
        let resource = resources.remove(0);
        let of = resource.resource.expect("it has one").attributes;
        let service = of.iter().find(|pair| pair.key == "service.name");
        let service = service.and_then(|pair| pair.value.clone()?.value);
        let Some(Attribute::StringValue(service)) = service else {
            panic!("{of:?}");
        };
        let scopes = resource.scope_spans.into_iter();
        (service, scopes.flat_map(|scope| scope.spans).collect())
    }
}

fn attributes(span: &Span) -> HashMap<&str, String> {
    let text = |value: &Attribute| match value {
        Attribute::StringValue(text) => text.clone(),
        Attribute::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    let pairs = span.attributes.iter();
    pairs
        .map(|pair| {
            let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
            (&*pair.key, text(value.expect("it has a value")))
        })
        .collect()
}

fn tracer(server: &Server, endpoint: &str) -> Result<Tracer, TracerError> {
    let options = TracerOptions {
        endpoint: endpoint.to_owned(),
        service: "stepwell".to_owned(),
    };
    Tracer::new(server.handle.clone(), &options)
}

/// A function whose step fails once; the run of user 1 fails for good.
async fn app() -> App {
    App::start(|call| {
        if call.body["event"]["data"]["user"] == json!(1) {
            return failed("no");
        }
        match (call.has("charge"), call.attempt()) {
            (true, _) => returned(&json!("done")),
            (false, 0) => failed("the network is down"),
            (false, _) => ops(&[step_run("charge", json!({"secret": "of the user's"}))]),
        }
    })
    .await
}

#[tokio::test]
async fn a_run_is_a_trace_of_its_steps_and_attempts() {
    let (server, app) = (Server::start().await, app().await);
    server
        .register("app", &app, &[function("app-f", "go", &app.url, 1)])
        .await;
    let mut collector = Collector::start().await;
    let stop = CancellationToken::new();
    let running = tracer(&server, &collector.url).expect("it is well");
    let running = tokio::spawn(running.run(stop.clone()));
    let event = server.send(json!({"name": "go"})).await;
    let run = server.ended(&event).await;
    let (service, spans) = collector.next().await;
    assert_eq!(service, "stepwell");

    let root = spans.iter().find(|span| span.parent_span_id.is_empty());
    let root = root.expect("there is a root");
    assert_eq!(root.name, "app-f");
    assert_eq!(attributes(root)["stepwell.run.id"], run["run_id"]);
    assert_eq!(attributes(root)["stepwell.status"], "COMPLETED", "{run}");
    assert_eq!(root.status.as_ref().map(Status::code), Some(SpanCode::Ok));
    // The ids are those of the server's own trace.
    let path = format!("/v2/runs/{}/trace", run["run_id"].as_str().unwrap());
    let trace = server.get(&path).await.expect(200);
    let shown = trace["data"]["rootSpan"]["id"].as_str().unwrap();
    assert_eq!(
        root.span_id
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>(),
        shown
    );
    for span in &spans {
        assert_eq!(span.trace_id, root.trace_id);
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        assert!(
            span.parent_span_id.is_empty()
                || spans
                    .iter()
                    .any(|parent| parent.span_id == span.parent_span_id),
            "{span:?}"
        );
    }
    let step = spans
        .iter()
        .find(|span| span.name == "charge")
        .expect("there is the step");
    assert_eq!(attributes(step)["stepwell.step.id"], id("charge"));
    let attempts: Vec<&Span> = spans
        .iter()
        .filter(|span| span.parent_span_id == step.span_id)
        .collect();
    let codes: Vec<SpanCode> = attempts
        .iter()
        .filter_map(|span| Some(span.status.as_ref()?.code()))
        .collect();
    assert_eq!(codes, [SpanCode::Error, SpanCode::Ok]);
    // Traces carry no payload.
    let text = format!("{spans:?}");
    assert!(
        !text.contains("secret") && !text.contains("network"),
        "{text}"
    );

    // What has ended by the time of the stop is told.
    let event = server
        .send(json!({"name": "go", "data": {"user": 1}}))
        .await;
    server.ended(&event).await;
    stop.cancel();
    soon("the tracer stops", running).await.expect("it is well");
    let (_, spans) = collector.next().await;
    let failed = |span: &&Span| span.parent_span_id.is_empty();
    let root = spans.iter().find(failed).expect("there is a root");
    assert_eq!(attributes(root)["stepwell.status"], "FAILED");
}

#[tokio::test]
async fn a_collector_that_is_dead_holds_nothing_up_and_is_told_again_when_it_lives() {
    let (server, app) = (Server::start().await, app().await);
    server
        .register("app", &app, &[function("app-f", "go", &app.url, 1)])
        .await;
    let mut collector = Collector::start().await;
    collector.dead.store(true, Ordering::SeqCst);
    let tracer = tracer(&server, &collector.url).expect("it is well");
    let counts = tracer.counts();
    let running = tokio::spawn(tracer.run(CancellationToken::new()));
    let event = server.send(json!({"name": "go"})).await;
    server.ended(&event).await;
    soon("the trace is dropped", async {
        while counts.dropped() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    collector.dead.store(false, Ordering::SeqCst);
    let event = server.send(json!({"name": "go"})).await;
    server.ended(&event).await;
    let (_, spans) = collector.next().await;
    assert!(!spans.is_empty());
    soon("it is counted", async {
        while counts.exported() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    running.abort();
}

/// A store that the test may prune as well.
#[derive(Debug, Clone)]
struct Pruned(Arc<Mutex<Box<dyn Writer>>>);

impl Pruned {
    fn writer(&self) -> MutexGuard<'_, Box<dyn Writer>> {
        self.0.lock().expect("nobody broke it")
    }
}

impl Writer for Pruned {
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.writer().commit(changes)
    }

    fn probe(&mut self, bytes: usize) -> Result<(), StoreError> {
        self.writer().probe(bytes)
    }

    fn load(&mut self, now: Timestamp) -> Result<Snapshot, StoreError> {
        self.writer().load(now)
    }

    fn prune(&mut self, slice: &Slice) -> Result<stepwell_store::Pruned, StoreError> {
        self.writer().prune(slice)
    }

    fn bytes_used(&mut self) -> Result<u64, StoreError> {
        self.writer().bytes_used()
    }

    fn give_back(&mut self) -> Result<bool, StoreError> {
        self.writer().give_back()
    }
}

#[tokio::test]
async fn a_run_that_is_gone_before_it_is_told_does_not_count_as_told() {
    let Store { writer, reader } = memory::open();
    let store = Pruned(Arc::new(Mutex::new(writer)));
    let setup = Setup {
        store: Store {
            writer: Box::new(store.clone()),
            reader,
        },
        ..Setup::default()
    };
    let (server, app) = (setup.start().await, app().await);
    server
        .register("app", &app, &[function("app-f", "go", &app.url, 1)])
        .await;
    let mut collector = Collector::start().await;
    // It hears of runs from now on, and reads them later.
    let tracer = tracer(&server, &collector.url).expect("it is well");
    let counts = tracer.counts();
    let send = async || {
        let event = server.send(json!({"name": "go"})).await;
        server.ended(&event).await;
    };
    send().await;
    let whole = Slice::whole(Timestamp::from_ms(u64::MAX), server.handle.now());
    let pruned = store.writer().prune(&whole).expect("it is pruned");
    assert_eq!(pruned.runs, 1);
    send().await;
    let stop = CancellationToken::new();
    stop.cancel();
    soon("all is told", tracer.run(stop)).await;
    let (_, spans) = collector.next().await;
    let roots = spans.iter().filter(|span| span.parent_span_id.is_empty());
    assert_eq!(roots.count(), 1);
    assert_eq!((counts.exported(), counts.dropped()), (1, 1));
}

#[tokio::test]
async fn what_is_no_url_of_a_collector_is_refused_and_not_shown() {
    let server = Server::start().await;
    for endpoint in [
        "localhost:4318",
        "grpc://localhost",
        "http://me:secret@localhost",
    ] {
        let refused = tracer(&server, endpoint)
            .expect_err("it is none")
            .to_string();
        assert!(refused.contains("http or https"), "{refused}");
        assert!(!refused.contains("secret"), "{refused}");
    }
}
