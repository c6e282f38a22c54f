//! A run as the API shows it.

use crate::engine::{Attempt, EngineReader, Event, Run, Step, StoreError, Timestamp, moment};
use crate::progress::{Executing, Progress};
use serde::Serialize;
use serde_json::{Value, json};
use stepwell::{Event as _, Moment, RunId};
use studio233_inngest::events::brand::KnowledgeIngested;
use studio233_inngest::functions::brand::ingestion;
use studio233_inngest::middleware::budget::{self, Held};
use studio233_inngest::middleware::held_by;

/// Events looked through for what a throttled run waits behind.
const EVENTS_LOOKED_THROUGH: usize = 200;

/// What is known of a run.
#[derive(Debug)]
pub(crate) struct RunView {
    pub(crate) run: Run,
    pub(crate) event: Event,
    pub(crate) steps: Vec<Step>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) executing: Vec<Executing>,
    pub(crate) waiting: Option<Waiting>,
}

/// Why a run does nothing now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Waiting {
    /// `throttled`, `held`, `retry` or `queued`.
    pub(crate) reason: &'static str,
    /// When it goes on, RFC 3339; nothing when that is not known.
    pub(crate) until: Option<String>,
    /// The same for people.
    pub(crate) message: String,
}

impl RunView {
    /// Reads a run; nothing when there is none.
    pub(crate) async fn read(
        engine: &EngineReader,
        progress: &Progress,
        id: RunId,
    ) -> Result<Option<Self>, StoreError> {
        let executing = progress.executing(id);
        // The run comes first: when it has ended, all its steps are there.
        let Some(run) = engine.run(id).await? else {
            return Ok(None);
        };
        let event = match run.event {
            Some(event) => engine.event(event).await?,
            None => None,
        };
        let Some(event) = event else {
            return Ok(None);
        };
        let steps = engine.steps(id).await?;
        let attempts = engine.attempts(id).await?;
        let waiting = match run.status.has_ended() || !executing.is_empty() {
            true => None,
            false => waiting(engine, &run, &event, &steps, &attempts).await?,
        };
        Ok(Some(Self {
            run,
            event,
            steps,
            attempts,
            executing,
            waiting,
        }))
    }

    /// As JSON.
    pub(crate) fn to_json(&self) -> Value {
        let run = &self.run;
        let (output, error) = match run.status.as_str() {
            "Failed" => (None, run.output.as_ref()),
            _ => (run.output.as_ref(), None),
        };
        json!({
            "id": run.id,
            "function": run.function,
            "status": run.status.as_str(),
            "event": {"id": self.event.id, "name": self.event.name},
            "workspaceId": self.event.workspace(),
            "assetId": self.event.asset(),
            "queuedAt": moment(run.queued_at),
            "startedAt": run.started_at.map(moment),
            "endedAt": run.ended_at.map(moment),
            "queuedMs": run.started_at.map(|started| started.ms_since(run.queued_at)),
            "tookMs": run.ended_at.zip(run.started_at)
                .map(|(ended, started)| ended.ms_since(started)),
            "steps": self.steps.iter().map(step_json).collect::<Vec<_>>(),
            "failedAttempts": self.attempts.iter().map(attempt_json).collect::<Vec<_>>(),
            "executing": self.executing,
            "waiting": self.waiting,
            "output": output,
            "error": error,
        })
    }
}

pub(crate) fn step_json(step: &Step) -> Value {
    json!({
        "name": step.name,
        "status": match step.failed {
            true => "failed",
            false if held_by(&step.value["data"]).is_some() => "held",
            false => "completed",
        },
        "attempts": step.attempts,
        "startedAt": moment(step.started_at),
        "endedAt": moment(step.ended_at),
        "tookMs": step.ended_at.ms_since(step.started_at),
        "result": step.value,
    })
}

pub(crate) fn attempt_json(attempt: &Attempt) -> Value {
    json!({
        "step": Some(&attempt.step).filter(|name| !name.is_empty()),
        "attempt": attempt.attempt,
        "error": {"name": attempt.error["name"], "message": attempt.error["message"]},
        "startedAt": moment(attempt.started_at),
        "endedAt": moment(attempt.ended_at),
        "retryAt": attempt.retry_at.map(moment),
    })
}

/// By a budget that is used up, if that was the last that the run looked at.
fn held(step: &Step) -> Option<Waiting> {
    let recorded = &step.value["data"];
    let held: Held = match step.name == budget::STEP {
        _ if step.failed => return None,
        true => serde_json::from_value::<Option<Held>>(recorded.clone()).ok()??,
        false => held_by(recorded)?,
    };
    // Until the last of them is full again, if all ever are.
    let ends: Option<Vec<i64>> = held.budgets.iter().map(|budget| budget.until_ms).collect();
    let until = ends.and_then(|ends| ends.into_iter().max());
    Some(Waiting {
        reason: "held",
        until: until.map(|ms| Moment::from_unix_ms(ms).to_string()),
        message: format!("held: {held}"),
    })
}

/// What keeps an unfinished run from going on, as far as its record tells.
async fn waiting(
    engine: &EngineReader,
    run: &Run,
    event: &Event,
    steps: &[Step],
    attempts: &[Attempt],
) -> Result<Option<Waiting>, StoreError> {
    let now = engine.now();
    if let Some(retry_at) = attempts.last().and_then(|attempt| attempt.retry_at)
        && retry_at > now
    {
        return Ok(Some(Waiting {
            reason: "retry",
            until: Some(moment(retry_at)),
            message: "the last attempt failed; it is made again".to_owned(),
        }));
    }
    if run.started_at.is_some() {
        return Ok(steps.last().and_then(held));
    }
    let throttled = match run.function.as_str() {
        ingestion::ID => throttled_until(engine, run, event).await?,
        _ => None,
    };
    Ok(Some(match throttled.filter(|until| *until > now) {
        Some(until) => Waiting {
            reason: "throttled",
            until: Some(moment(until)),
            message: format!(
                "the documents of a workspace start {} s apart",
                ingestion::THROTTLE_PERIOD.as_secs()
            ),
        },
        None => Waiting {
            reason: "queued",
            until: None,
            message: "it starts as soon as there is room".to_owned(),
        },
    }))
}

/// When the throttle lets a run start: one period after the last start in its workspace, and one more for each
/// run that waits before it. The store does not tell the engine's own reckoning, which this follows.
async fn throttled_until(
    engine: &EngineReader,
    run: &Run,
    event: &Event,
) -> Result<Option<Timestamp>, StoreError> {
    let events = engine
        .events(KnowledgeIngested::NAME, None, EVENTS_LOOKED_THROUGH)
        .await?;
    let mut last_start: Option<Timestamp> = None;
    let mut ahead = 0;
    for other in events {
        if other.workspace() != event.workspace() {
            continue;
        }
        for other in engine.runs_of_event(other.id).await? {
            match other.started_at {
                _ if other.function != run.function => {}
                Some(started) => last_start = last_start.max(Some(started)),
                None if !other.status.has_ended() && other.id < run.id => ahead += 1,
                None => {}
            }
        }
    }
    let wait = ingestion::THROTTLE_PERIOD * (ahead + 1);
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Ok(last_start.map(|start| Timestamp::from_ms(start.ms().saturating_add(wait_ms))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, data: &Value) -> Step {
        Step {
            name: name.to_owned(),
            failed: false,
            attempts: 2,
            started_at: Timestamp::from_ms(0),
            ended_at: Timestamp::from_ms(0),
            value: json!({"data": data}),
        }
    }

    #[test]
    fn a_run_is_held_at_its_start_and_at_a_step_that_is_tried_again() {
        let reason = json!({
            "budgets": [{
                "scope": "workspace", "id": "w", "kind": "currency", "period": "month", "limit": 1_000_000,
                "used": 1_500_000, "currency": "EUR",
                "until": "2026-02-01T00:00:00.000Z", "untilMs": 1_769_904_000_000_i64,
            }],
            "lookedAtMs": 1,
        });
        let start = step("budget", &reason);
        let again = step("look", &json!({"heldByBudget": reason}));
        for step in [&start, &again] {
            let waiting = held(step).unwrap();
            assert_eq!(waiting.reason, "held");
            assert_eq!(waiting.until.as_deref(), Some("2026-02-01T00:00:00.000Z"));
            assert_eq!(
                waiting.message,
                "held: the workspace w has used 1.5 of 1 EUR, until 2026-02-01T00:00:00.000Z"
            );
        }
        assert_eq!(step_json(&again)["status"], "held");
        for done in [step("budget", &Value::Null), step("look", &reason)] {
            assert_eq!(held(&done), None);
            assert_eq!(step_json(&done)["status"], "completed");
        }
    }
}
