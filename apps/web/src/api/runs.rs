//! `/api/runs`.

use super::Shared;
use super::error::ApiError;
use super::events::must_own;
use super::owner::User;
use crate::progress::Executing;
use crate::run_view::{RunView, Waiting, attempt_json, step_json};
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures::stream::{BoxStream, Stream, StreamExt};
use serde::Serialize;
use serde_json::Value;
use std::collections::VecDeque;
use std::convert::Infallible;
use stepwell::RunId;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

pub(crate) async fn show(
    State(shared): State<Shared>,
    user: User,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let (_, view) = own_run(&shared, &id, &user).await?;
    Ok(Json(view.to_json()))
}

/// Server-sent events, each with JSON: `step-started`, `step` (it has ended), `attempt-failed`, `waiting`, and at
/// the end one `ended` with the whole run. What happened before comes first, so nothing is missed by coming late.
pub(crate) async fn stream(
    State(shared): State<Shared>,
    user: User,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    // Watching begins before the first look: what happens between the two is seen by the next look.
    let (news, starts) = (shared.engine.watch(), shared.progress.watch());
    let (run, view) = own_run(&shared, &id, &user).await?;
    let mut teller = Teller {
        shared,
        run,
        news,
        starts,
        told: Told::default(),
        waiting_to_go: VecDeque::new(),
        ended: false,
    };
    teller.tell(&view);
    let events = futures::stream::unfold(teller, |mut teller| async move {
        let event = teller.next().await?;
        Some((Ok(event), teller))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

async fn own_run(shared: &Shared, id: &str, user: &User) -> Result<(RunId, RunView), ApiError> {
    let absent = || ApiError::absent("run", id);
    let run: RunId = id.parse().map_err(|_| {
        ApiError::bad("bad_run_id", "the run's id is not a ULID")
            .hint("GET /api/events/{id}/runs lists the runs of an event")
    })?;
    let view = RunView::read(&shared.engine, &shared.progress, run).await?;
    let view = view.ok_or_else(absent)?;
    must_own(shared, &view.event, user)
        .await
        .map_err(|_| absent())?;
    Ok((run, view))
}

/// Tells one watcher of one run.
struct Teller {
    shared: Shared,
    run: RunId,
    news: BoxStream<'static, Option<RunId>>,
    starts: Receiver<RunId>,
    told: Told,
    waiting_to_go: VecDeque<Event>,
    ended: bool,
}

/// What the watcher knows.
#[derive(Default)]
struct Told {
    steps: usize,
    attempts: usize,
    executing: Vec<Executing>,
    waiting: Option<Waiting>,
}

impl Teller {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting_to_go.pop_front() {
                return Some(event);
            }
            if self.ended || !self.something_new().await {
                return None;
            }
            let (shared, run) = (&self.shared, self.run);
            match RunView::read(&shared.engine, &shared.progress, run).await {
                Ok(Some(view)) => self.tell(&view),
                Ok(None) => return None,
                Err(error) => {
                    tracing::error!(%run, %error, "a watched run cannot be read");
                    return None;
                }
            }
        }
    }

    /// Waits for news of the run; a watcher that fell behind looks anyway. False when the studio stops.
    async fn something_new(&mut self) -> bool {
        loop {
            tokio::select! {
                () = self.shared.stopping.cancelled() => return false,
                news = self.news.next() => match news {
                    Some(Some(run)) if run != self.run => {}
                    Some(_) => return true,
                    None => return false,
                },
                start = self.starts.recv() => match start {
                    Ok(run) if run == self.run => return true,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => return true,
                    Err(RecvError::Closed) => return false,
                },
            }
        }
    }

    /// Queues what the watcher does not know yet.
    fn tell(&mut self, view: &RunView) {
        for attempt in view.attempts.iter().skip(self.told.attempts) {
            self.say("attempt-failed", &attempt_json(attempt));
        }
        for step in view.steps.iter().skip(self.told.steps) {
            self.say("step", &step_json(step));
        }
        self.told.attempts = view.attempts.len();
        self.told.steps = view.steps.len();
        if view.run.status.has_ended() {
            self.say("ended", &view.to_json());
            self.ended = true;
            return;
        }
        for executing in &view.executing {
            if !self.told.executing.contains(executing) {
                self.say("step-started", executing);
            }
        }
        self.told.executing.clone_from(&view.executing);
        if view.waiting.is_some() && view.waiting != self.told.waiting {
            self.say("waiting", &view.waiting);
        }
        self.told.waiting.clone_from(&view.waiting);
    }

    fn say(&mut self, kind: &str, data: &impl Serialize) {
        let data = serde_json::to_string(data).expect("JSON values serialise");
        self.waiting_to_go
            .push_back(Event::default().event(kind).data(data));
    }
}
