//! Why a function ran for an event, or did not; and what a run waits for.

use super::rest::{event_id, moment, run_id, unknown_run};
use crate::answer::{ApiError, Failure, Found, Success};
use crate::state::Shared;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use std::collections::HashMap;
use stepwell_engine::{Standing, Verdict};
use stepwell_protocol::{EventId, FunctionId, RunId};
use stepwell_store::{Reader, RunRecord, StoreError};
use utoipa::ToSchema;

/// What was decided about an event and a function.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VerdictRow {
    /// The function's public id.
    function: String,
    /// `verdict`, and what belongs to it.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    verdict: Verdict,
    /// Where its run stands, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    /// What its unfinished run waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits: Option<StandingRow>,
}

/// What a run waits for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "for", rename_all = "lowercase")]
pub(crate) enum StandingRow {
    /// For nothing: it has ended.
    Nothing { status: &'static str },
    /// For a time.
    Time { until: String },
    /// For an event or a signal, until then.
    Event { until: String },
    /// For a call in flight.
    Call,
    /// For a connected worker of its app to have room: all have as many calls as they take.
    Worker {
        /// The app's name.
        app: String,
        /// When the call is made again, if it does not take the next room that there is.
        until: Option<String>,
    },
    /// For its turn.
    Turn {
        /// How many items go first.
        ahead: usize,
        /// The limit that holds it.
        limit: Option<LimitRow>,
        throttled_until: Option<String>,
        /// Whether its function is paused.
        paused: bool,
    },
}

/// A limit on what is called at once.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LimitRow {
    concurrency: ConcurrencyRow,
}

/// The key that the limit counts by.
#[derive(Debug, Serialize, ToSchema)]
struct ConcurrencyRow {
    key: Option<String>,
}

/// Why an event did, or did not, start each function that listens to its name.
#[utoipa::path(get, path = "/v1/events/{event}/verdicts", tag = "Events",
    params(("event" = String, Path, description = "Its internal id.")),
    responses(
        (status = 200, body = Success<Vec<VerdictRow>>), (status = 400, body = Failure), (status = 404, body = Failure)))]
pub(super) async fn of_event(
    State(shared): State<Shared>,
    Path(event): Path<String>,
) -> Result<Found<Vec<VerdictRow>>, ApiError> {
    let id = event_id(&event)?;
    let rows = shared
        .handle
        .read(move |reader| match reader.event(id)? {
            Some(_) => read(reader, id).map(Some),
            None => Ok(None),
        })
        .await?;
    let Some(rows) = rows else {
        return Err(ApiError::new(StatusCode::NOT_FOUND, "Event not found"));
    };
    let mut told = Vec::with_capacity(rows.len());
    for (slug, verdict, run) in rows {
        let unfinished = run.as_ref().filter(|run| !run.status.has_ended());
        let waits = match unfinished {
            Some(run) => StandingRow::of_run(&shared, run.id).await?,
            None => None,
        };
        told.push(VerdictRow {
            function: slug,
            verdict,
            status: run.map(|run| run.status.as_str()),
            waits,
        });
    }
    Ok(Found(told, shared.handle.now().ms()))
}

type Row = (String, Verdict, Option<RunRecord>);

/// Runs tell that they were started; the other verdicts are recorded. A run that an event started later, after waiting
/// for others, outdoes what was decided when it came.
fn read(reader: &dyn Reader, event: EventId) -> Result<Vec<Row>, StoreError> {
    let mut found: HashMap<FunctionId, (Verdict, Option<RunRecord>)> = reader
        .verdicts(event)?
        .into_iter()
        .map(|(function, verdict)| (function, (verdict, None)))
        .collect();
    for run in reader.runs_of_event(event)? {
        // A repetition is not what the event did.
        let repeats = run
            .origin
            .as_ref()
            .is_some_and(|origin| origin.original.is_some());
        let skipped = found
            .get(&run.function)
            .is_some_and(|(verdict, _)| matches!(verdict, Verdict::Skipped { .. }));
        if !repeats && !skipped {
            found.insert(run.function, (Verdict::Started { run: run.id }, Some(run)));
        }
    }
    let mut rows = Vec::with_capacity(found.len());
    for (function, (verdict, run)) in found {
        let slug = reader.function(function)?.map(|function| function.slug);
        rows.push((slug.unwrap_or_else(|| function.to_string()), verdict, run));
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(rows)
}

/// What an unfinished run waits for.
#[utoipa::path(get, path = "/v1/runs/{run}/standing", tag = "Runs", params(("run" = String, Path)),
    responses((status = 200, body = Success<StandingRow>), (status = 400, body = Failure), (status = 404, body = Failure)))]
pub(super) async fn standing(
    State(shared): State<Shared>,
    Path(run): Path<String>,
) -> Result<Found<StandingRow>, ApiError> {
    let id = run_id(&run)?;
    let standing = match StandingRow::of_run(&shared, id).await? {
        Some(standing) => standing,
        None => {
            let found = shared.handle.read(move |reader| reader.run(id)).await?;
            let found = found.ok_or_else(|| unknown_run(id))?;
            StandingRow::Nothing {
                status: found.status.as_str(),
            }
        }
    };
    Ok(Found(standing, shared.handle.now().ms()))
}

impl StandingRow {
    /// What a run waits for; nothing when it is not unfinished.
    async fn of_run(shared: &Shared, run: RunId) -> Result<Option<Self>, ApiError> {
        let Some(standing) = shared.handle.standing(run).await? else {
            return Ok(None);
        };
        // The engine knows of calls; who there is to take them only the gateway does.
        let gateway = shared.options.connect.as_ref();
        let short = match &standing {
            Standing::Call | Standing::Time(_) => {
                gateway.and_then(|gateway| gateway.shortage_of(run))
            }
            Standing::Queue { .. } | Standing::Wait(_) => None,
        };
        if let Some((app, waits)) = short {
            match standing {
                Standing::Time(at) if waits.comes_again => {
                    let until = Some(moment(at));
                    return Ok(Some(Self::Worker { app, until }));
                }
                // Another call of it may well be with a worker.
                Standing::Call
                    if shared.handle.under_way(run).await?.len() <= waits.calls_in_line =>
                {
                    return Ok(Some(Self::Worker { app, until: None }));
                }
                _ => {}
            }
        }
        Ok(Some(Self::of(standing)))
    }

    fn of(standing: Standing) -> Self {
        match standing {
            Standing::Time(at) => Self::Time { until: moment(at) },
            Standing::Wait(at) => Self::Event { until: moment(at) },
            Standing::Call => Self::Call,
            Standing::Queue {
                ahead,
                limit,
                throttled_until,
                paused,
            } => Self::Turn {
                ahead,
                limit: limit.map(|key| LimitRow {
                    concurrency: ConcurrencyRow { key },
                }),
                throttled_until: throttled_until.map(moment),
                paused,
            },
        }
    }
}
