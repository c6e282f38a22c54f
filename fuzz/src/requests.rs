//! Requests to a running server.

use crate::clock_of_the_corpus;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use std::cell::RefCell;
use stepwell_runtime::{Invokers, Options, Runtime};
use stepwell_server::{ServerOptions, router};
use stepwell_store::memory;
use tower::ServiceExt as _;

/// What a body goes to; a run's id stands for `{run}`.
const ROUTES: [(&str, &str); 16] = [
    ("POST", "/e/key"),
    ("POST", "/fn/register"),
    ("PUT", "/fn/register"),
    ("POST", "/v1/signals"),
    ("POST", "/invoke/app-f"),
    ("POST", "/v1/checkpoint"),
    ("POST", "/v1/checkpoint/{run}/steps"),
    ("POST", "/v1/checkpoint/{run}/async"),
    ("POST", "/v2/runs/{run}/rerun"),
    ("GET", "/v1/events?"),
    ("GET", "/v1/runs/"),
    ("GET", "/v1/events/"),
    ("GET", "/v2/runs/{run}/trace?"),
    ("GET", "/v0/runs/"),
    ("DELETE", "/v1/runs/"),
    ("GET", "/"),
];
const RUN: &str = "01KDVDNKRGYMGBY20HKW2WTNPP";
/// Requests that one server gets, so that what it holds is bounded.
const REQUESTS_MAX: usize = 2_000;

struct Server {
    tokio: tokio::runtime::Runtime,
    // Dropping it stops the engine.
    _runtime: Runtime,
    router: Router,
    left: usize,
}

thread_local! {
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

/// No request is answered with a failure of the server's. The first byte says where to; the rest is the body, or
/// for a request that has none the rest of the path.
///
/// # Panics
/// When one is.
pub fn check(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let (method, path) = ROUTES[usize::from(*first) % ROUTES.len()];
    let mut path = path.replace("{run}", RUN);
    let body = match method {
        "GET" | "DELETE" => {
            path.extend(rest.iter().map(|byte| char::from(*byte)));
            Vec::new()
        }
        _ => rest.to_vec(),
    };
    let request = Request::builder().method(method).uri(&path);
    let request = request.header("content-type", "application/json");
    let Ok(request) = request.body(Body::from(body)) else {
        return;
    };
    SERVER.with_borrow_mut(|server| {
        let mut at_work = server
            .take()
            .filter(|server| server.left > 0)
            .unwrap_or_else(start);
        at_work.left -= 1;
        let router = at_work.router.clone();
        at_work.tokio.block_on(async {
            let response = match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            let status = response.status();
            let body = response
                .into_body()
                .collect()
                .await
                .expect("a body in memory is whole");
            let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
            assert!(
                !status.is_server_error(),
                "{method} {path}: {status} {text}"
            );
        });
        *server = Some(at_work);
    });
}

fn start() -> Server {
    let tokio = tokio::runtime::Runtime::new().expect("threads can be started");
    let _inside = tokio.enter();
    let options = Options {
        clock: clock_of_the_corpus(),
        ..Options::default()
    };
    let runtime = Runtime::start(memory::open(), Invokers::none(), options);
    let runtime = runtime.expect("the engine starts");
    let router = router(runtime.handle(), ServerOptions::dev());
    drop(_inside);
    Server {
        tokio,
        _runtime: runtime,
        router,
        left: REQUESTS_MAX,
    }
}
