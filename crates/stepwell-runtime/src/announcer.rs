//! The events of a run's end: `inngest/function.finished`, `…failed` and `…cancelled`.

use serde_json::{Map, Value, json};
use std::sync::Arc;
use stepwell_engine::{Announcement, DeferStatus, NewEvent, RunStatus, Timestamp};
use stepwell_protocol::event::{
    AcceptedEvent, DEFERRED_SCHEDULE, FUNCTION_CANCELLED, FUNCTION_FAILED, FUNCTION_FINISHED,
};
use stepwell_protocol::{EventId, SharedJson, UserError, shared_json};
use stepwell_store::{FunctionRecord, Reader, RunRecord, StoreError};

/// Builds the events of a run's end from what the store holds of it.
///
/// # Errors
/// [`StoreError`] when that cannot be read.
pub(crate) fn events(
    announcement: Announcement,
    reader: &dyn Reader,
    now: Timestamp,
    mut event_id: impl FnMut() -> EventId,
) -> Result<Vec<NewEvent>, StoreError> {
    let missing = || StoreError::Damaged(format!("run {} is not there", announcement.run));
    let run = reader.run(announcement.run)?.ok_or_else(missing)?;
    let state = reader.run_state(announcement.run)?.ok_or_else(missing)?;
    let function = reader.function(run.function)?;
    let slug = function.as_ref().map(|function| function.slug.clone());
    let data = data_of(announcement, slug.unwrap_or_default(), &state.events, &run);
    let ts_ms = i64::try_from(now.ms()).unwrap_or(i64::MAX);
    let finished = EventId::of_end(run.id, run.ended_at.unwrap_or(now).ms());
    let make = |name: &str, id: EventId, external_id: Option<String>| {
        let external_id = external_id.unwrap_or_else(|| id.to_string());
        let event =
            AcceptedEvent::internal(name, external_id.clone(), ts_ms, SharedJson::clone(&data));
        NewEvent {
            id,
            name: Arc::from(name),
            external_id: Some(external_id),
            ts_ms,
            repeatable: false,
            body: event.render(id),
        }
    };
    let mut made = vec![make(FUNCTION_FINISHED, finished, None)];
    // These take the run's id, so that whoever hears one twice can tell.
    match announcement.status {
        RunStatus::Failed => made.push(make(
            FUNCTION_FAILED,
            event_id(),
            Some(announcement.run.to_string()),
        )),
        RunStatus::Cancelled => made.push(make(
            FUNCTION_CANCELLED,
            event_id(),
            Some(announcement.run.to_string()),
        )),
        RunStatus::Scheduled | RunStatus::Running | RunStatus::Completed | RunStatus::Skipped => {}
    }
    let function = function.as_ref();
    made.extend(deferred(
        announcement,
        &run,
        function,
        reader,
        ts_ms,
        event_id,
    )?);
    Ok(made)
}

/// The events that start a run's deferred runs.
fn deferred(
    announcement: Announcement,
    run: &RunRecord,
    function: Option<&FunctionRecord>,
    reader: &dyn Reader,
    ts_ms: i64,
    mut event_id: impl FnMut() -> EventId,
) -> Result<Vec<NewEvent>, StoreError> {
    let mut made = Vec::new();
    for defer in reader.defers(announcement.run)? {
        if defer.status != DeferStatus::AfterRun {
            continue;
        }
        let input = defer.input.as_ref();
        let input = input.and_then(|input| serde_json::from_str(input.get()).ok());
        let mut data = match input {
            Some(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        data.insert(
            "_inngest".to_owned(),
            json!({
                "fn_slug": defer.slug,
                "parent_app_id": function.map(|function| &function.app_name),
                "parent_fn_id": run.function,
                "parent_fn_slug": function.map(|function| &function.slug),
                "parent_run_id": announcement.run,
            }),
        );
        // The same for a defer however often it is announced.
        let external_id = format!("defer-event:{}:{}", announcement.run, defer.step);
        let data = shared_json(Value::Object(data).to_string());
        let data = data.expect("serialised JSON is JSON");
        let event = AcceptedEvent::internal(DEFERRED_SCHEDULE, external_id.clone(), ts_ms, data);
        let id = event_id();
        made.push(NewEvent {
            id,
            name: Arc::from(DEFERRED_SCHEDULE),
            external_id: Some(external_id),
            ts_ms,
            repeatable: true,
            body: event.render(id),
        });
    }
    Ok(made)
}

fn data_of(
    announcement: Announcement,
    slug: String,
    events: &[SharedJson],
    run: &RunRecord,
) -> SharedJson {
    let parse =
        |json: &SharedJson| serde_json::from_str::<Value>(json.get()).unwrap_or(Value::Null);
    let events: Vec<Value> = events.iter().map(parse).collect();
    let output = run.output.as_ref().map_or(Value::Null, parse);
    let mut data = Map::new();
    data.insert("function_id".to_owned(), slug.into());
    data.insert("run_id".to_owned(), announcement.run.to_string().into());
    data.insert(
        "event".to_owned(),
        events.first().cloned().unwrap_or(Value::Null),
    );
    let events_data = events.clone();
    data.insert("events".to_owned(), events.into());
    match announcement.status {
        RunStatus::Failed => {
            let error = UserError::from_value(&output)
                .unwrap_or_else(|| UserError::new("Error", output.to_string()));
            let status = run.last_call.and_then(|call| call.status);
            let summary = match status {
                Some(status) => format!("invalid status code: {status}"),
                None => format!("{}: {}", error.name, error.message),
            };
            data.insert(
                "error".to_owned(),
                json!({"error": summary, "name": error.name, "message": error.message, "stack": error.stack, "cause": error.cause}),
            );
        }
        RunStatus::Completed => {
            data.insert("result".to_owned(), output);
        }
        RunStatus::Scheduled | RunStatus::Running | RunStatus::Cancelled | RunStatus::Skipped => {}
    }
    let invocation = events_data.first().map(|event| &event["data"]["_inngest"]);
    if let Some(correlation) = invocation.and_then(|data| data["correlation_id"].as_str()) {
        data.insert("correlation_id".to_owned(), correlation.into());
    }
    data.insert(
        "_inngest".to_owned(),
        json!({"status": announcement.status.as_str()}),
    );
    shared_json(Value::Object(data).to_string()).expect("serialised JSON is JSON")
}
