//! `GET /v1/diagnosis`: how the server is, for whoever looks after it.

use super::rest::moment;
use crate::answer::{Found, Success};
use crate::state::Shared;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// How a server is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Diagnosis {
    version: &'static str,
    /// `dev` or `cloud`.
    kind: &'static str,
    /// By the server's clock.
    #[schema(format = DateTime)]
    now: String,
    /// Why nothing can be written, if so.
    store_failure: Option<String>,
    /// Mistakes in its own state that the server has found and mended since it started. There must be none.
    violations: usize,
    runs_unfinished: usize,
    calls_in_flight: usize,
    /// Apps that fail to register, and why.
    apps_failing: Vec<FailingApp>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailingApp {
    url: String,
    error: String,
}

/// How the server is.
#[utoipa::path(get, path = "/v1/diagnosis", tag = "Server", responses((status = 200, body = Success<Diagnosis>)))]
pub(super) async fn diagnosis(State(shared): State<Shared>) -> Found<Diagnosis> {
    let (handle, now) = (&shared.handle, shared.handle.now());
    let failing = shared
        .options
        .apps
        .list()
        .into_iter()
        .filter_map(|(url, app)| {
            let error = app.error?;
            Some(FailingApp { url, error })
        });
    let diagnosis = Diagnosis {
        version: env!("CARGO_PKG_VERSION"),
        kind: shared.options.kind.as_str(),
        now: moment(now),
        store_failure: handle.failure(),
        violations: handle.violations(),
        runs_unfinished: handle.runs_unfinished(),
        calls_in_flight: handle.calls_in_flight(),
        apps_failing: failing.collect(),
    };
    Found(diagnosis, now.ms())
}
