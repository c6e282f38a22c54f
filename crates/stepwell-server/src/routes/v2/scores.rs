//! `POST /v2/runs/{run}/scores`: how well a run, or a step of it, did.

use super::super::notes::{note, step_of};
use super::runs::RunReference;
use super::{Answer, Envelope, Errors, Refusal, found, run_id};
use crate::body::Body;
use crate::routes::SMALL_BODY_BYTES_MAX;
use crate::state::Shared;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use stepwell_protocol::metadata::{EXPERIMENT, Op, SCORE, Target, Update};
use utoipa::ToSchema;

/// Scores that come at once.
const SCORES_MAX: usize = 100;
/// The longest name of a score, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// Scores of a run.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct NewScores {
    #[schema(min_items = 1, max_items = 100)]
    scores: Vec<NewScore>,
}

/// A score.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewScore {
    /// What is scored: no control characters, no single quotes.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    /// A number, or true or false.
    #[schema(value_type = f64)]
    value: Value,
    /// The step that is scored, by the id that its function gives it; the run if there is none.
    #[serde(default, alias = "step_id")]
    step_id: Option<String>,
    /// The variant of an experiment that the score is of.
    #[serde(default)]
    experiment: Option<Experiment>,
}

/// A variant of an experiment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Experiment {
    /// The experiment.
    #[serde(alias = "experiment_name", alias = "name")]
    #[schema(min_length = 1)]
    experiment_name: String,
    /// The variant.
    #[schema(min_length = 1)]
    variant: String,
}

/// Scores a run, also one that has ended, or steps of it. A score of the same name is replaced.
#[utoipa::path(post, path = "/runs/{run}/scores", tag = "Runs", params(("run" = String, Path)),
    request_body = NewScores,
    responses(
        (status = 200, body = Envelope<RunReference>), (status = 400, body = Errors), (status = 404, body = Errors),
        (status = 413, description = "More than is kept of a run.", body = Errors)))]
pub(super) async fn score(
    State(shared): State<Shared>,
    Path(run): Path<String>,
    body: Body<SMALL_BODY_BYTES_MAX>,
) -> Answer<RunReference> {
    let id = run_id(&run)?;
    let new: NewScores = stepwell_protocol::decode::from_slice(&body.bytes)
        .map_err(|error| Refusal::invalid(error.to_string()))?;
    if new.scores.is_empty() || new.scores.len() > SCORES_MAX {
        let message = format!("scores: expected 1 to {SCORES_MAX}");
        return Err(Refusal::invalid(message));
    }
    let mut updates = Vec::with_capacity(new.scores.len());
    for score in new.scores {
        check(&score)?;
        let step = score.step_id.as_deref().filter(|step| !step.is_empty());
        let target = step.map_or(Target::Run, |step| Target::Step(step_of(step, 0)));
        if let Some(experiment) = score.experiment {
            let values = json!({"name": experiment.experiment_name, "variant": experiment.variant});
            updates.push((target.clone(), merged(EXPERIMENT, values)));
        }
        let values = json!({score.name: {"value": score.value}});
        updates.push((target, merged(SCORE, values)));
    }
    note(&shared, id, updates).await?;
    let run_id = id.to_string();
    Ok(found(&shared, RunReference { run_id }))
}

fn merged(kind: &str, values: Value) -> Update {
    let values = match values {
        Value::Object(values) => values,
        _ => unreachable!("what is noted is an object"),
    };
    Update {
        kind: kind.to_owned(),
        op: Op::Merge,
        values,
    }
}

fn check(score: &NewScore) -> Result<(), Refusal> {
    let name = &score.name;
    let is_unfit = |letter: char| letter.is_ascii_control() || letter == '\'';
    if name.trim().is_empty() || name.len() > NAME_BYTES_MAX || name.contains(is_unfit) {
        let message = format!(
            "name: expected 1 to {NAME_BYTES_MAX} bytes without control characters and single quotes"
        );
        return Err(Refusal::malformed(message));
    }
    if !score.value.is_number() && !score.value.is_boolean() {
        return Err(Refusal::malformed(
            "value: expected a number, true or false",
        ));
    }
    let named = |experiment: &Experiment| {
        !experiment.experiment_name.trim().is_empty() && !experiment.variant.trim().is_empty()
    };
    match &score.experiment {
        Some(experiment) if !named(experiment) => Err(Refusal::malformed(
            "experiment: expected an experimentName and a variant",
        )),
        _ => Ok(()),
    }
}
