//! What functions have noted of their runs and steps, as tests look at it.

use crate::step::{Score, ScoreValue};
use serde::Deserialize;
use serde_json::{Map, Value};
use stepwell_protocol::StepId;
use stepwell_protocol::metadata::{SCORE, Target};
use stepwell_store::MetadataRecord;

/// What kinds begin with that are the app's own.
const OWN: &str = "userland.";

/// Something that was noted of a run, or of a step.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Note {
    /// What it is: as [`Step::note`](crate::Step::note) was told, or one of the protocol's own, such as `inngest.experiment`.
    pub kind: String,
    /// The attempt that it is about, from 0; nothing when it is about the step, or the run, as such.
    pub attempt: Option<u32>,
    /// What was noted.
    pub values: Map<String, Value>,
}

impl Note {
    fn new(record: &MetadataRecord, attempt: Option<u32>) -> Self {
        let kind = record.kind.strip_prefix(OWN).unwrap_or(&record.kind);
        Self {
            kind: kind.to_owned(),
            attempt,
            values: record.values.clone(),
        }
    }

    /// The scores in it, by their names.
    pub(super) fn scores(&self) -> Vec<Score> {
        #[derive(Deserialize)]
        struct Scored {
            value: ScoreValue,
        }
        if self.kind != SCORE {
            return Vec::new();
        }
        let scores = self.values.iter().filter_map(|(name, scored)| {
            let Scored { value } = Scored::deserialize(scored).ok()?;
            Some(Score::new(name, value))
        });
        scores.collect()
    }
}

/// What is noted of the run itself.
pub(super) fn of_run(records: &[MetadataRecord]) -> Vec<Note> {
    let own = records.iter().filter(|record| record.target == Target::Run);
    own.map(|record| Note::new(record, None)).collect()
}

/// What is noted of a step and its attempts.
pub(super) fn of_step(records: &[MetadataRecord], step: &StepId) -> Vec<Note> {
    let own = records.iter().filter_map(|record| match &record.target {
        Target::Step(of) if of == step => Some(Note::new(record, None)),
        Target::Attempt(of, attempt) if of == step => Some(Note::new(record, Some(*attempt))),
        _ => None,
    });
    own.collect()
}
