//! What a scenario has led to, and how two of them differ.

use super::app::TestApp;
use super::error::TestError;
use super::run::TestRun;
use super::steps::{TestStep, label};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use stepwell_protocol::event::RESERVED_PREFIX;

/// Something that can be compared: of a run, or of all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// A run of a function, among all of them.
    Run { function: String, nth: usize },
    /// How it ended.
    End { function: String, nth: usize },
    Step {
        function: String,
        nth: usize,
        id: String,
        index: usize,
    },
    /// An event that the app has sent, among all of its name.
    Event { name: String, nth: usize },
}

/// What a scenario has led to.
pub(super) struct Outcome {
    found: BTreeMap<Place, String>,
    histories: BTreeMap<(String, usize), String>,
}

/// The first thing that is not as it should be.
pub(super) struct Difference {
    pub(super) what: String,
    pub(super) with_crash: String,
    pub(super) without: String,
}

impl Outcome {
    pub(super) fn of(app: &TestApp) -> Result<Self, TestError> {
        let mut found = BTreeMap::new();
        let mut histories = BTreeMap::new();
        let mut by_function: BTreeMap<String, Vec<TestRun>> = BTreeMap::new();
        for run in app.runs()? {
            let runs = by_function.entry(run.function_id().to_owned());
            runs.or_default().push(run);
        }
        for (function, mut runs) in by_function {
            // Runs of one millisecond have no order of their own.
            runs.sort_by_cached_key(|run| (trigger(run), end(run)));
            for (nth, run) in runs.iter().enumerate() {
                let function = function.clone();
                histories.insert((function.clone(), nth), run.history().to_string());
                for step in run.steps() {
                    let place = Place::Step {
                        function: function.clone(),
                        nth,
                        id: step.id().to_owned(),
                        index: step.index(),
                    };
                    found.insert(place, recorded(step));
                }
                found.insert(
                    Place::End {
                        function: function.clone(),
                        nth,
                    },
                    end(run),
                );
                found.insert(Place::Run { function, nth }, trigger(run));
            }
        }
        let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for event in app.sent_events()? {
            let events = by_name.entry(event.name).or_default();
            events.push(event.data.to_string());
        }
        for (name, mut events) in by_name {
            events.sort();
            for (nth, data) in events.into_iter().enumerate() {
                let name = name.clone();
                found.insert(Place::Event { name, nth }, data);
            }
        }
        Ok(Self { found, histories })
    }

    /// The places at which two outcomes that should be alike are not.
    pub(super) fn unlike(&self, other: &Self) -> UnlikePlaces {
        let places = self.found.keys().chain(other.found.keys());
        let unlike = places.filter(|place| self.found.get(*place) != other.found.get(*place));
        let unlike = unlike.map(|place| {
            let (one, other) = (self.found.get(place), other.found.get(place));
            (place.clone(), status(one) == status(other))
        });
        UnlikePlaces(unlike.collect())
    }

    fn history_at(&self, place: &Place) -> String {
        let run = match place {
            Place::Run { function, nth }
            | Place::End { function, nth }
            | Place::Step { function, nth, .. } => (function.clone(), *nth),
            Place::Event { name, .. } => {
                let events = self.found.iter().filter(|(at, _)| match at {
                    Place::Event { name: other, .. } => other == name,
                    _ => false,
                });
                let events: Vec<&str> = events.map(|(_, data)| data.as_str()).collect();
                return format!("{} of event '{name}': {}", events.len(), events.join(", "));
            }
        };
        let history = self.histories.get(&run);
        history.map_or_else(|| "there is no such run".to_owned(), Clone::clone)
    }
}

/// Where outcomes differ by themselves; whether only in the value, with the status the same.
pub(super) struct UnlikePlaces(BTreeMap<Place, bool>);

/// How a step or a run ended, of the text for it; that there is one, of anything else.
fn status(found: Option<&String>) -> Option<&str> {
    found.map(|text| {
        let word = text.split(' ').next().unwrap_or_default();
        let is_status = word.chars().all(|letter| letter.is_ascii_lowercase());
        if is_status { word } else { "" }
    })
}

/// The first difference between what should be and what is: of runs first, of steps in the order of their runs, of events
/// last.
pub(super) fn first_difference(
    expected: &Outcome,
    found: &Outcome,
    unstable: &UnlikePlaces,
) -> Option<Difference> {
    let places: BTreeSet<&Place> = expected.found.keys().chain(found.found.keys()).collect();
    let differs = |place: &&Place| {
        let (should, is) = (expected.found.get(*place), found.found.get(*place));
        match unstable.0.get(*place) {
            None => should != is,
            Some(true) => status(should) != status(is),
            Some(false) => false,
        }
    };
    // What a run has recorded tells more than how it ended.
    let mut places: Vec<&Place> = places.into_iter().filter(differs).collect();
    places.sort_by_key(|place| match place {
        Place::Run { .. } => 0,
        Place::Step { .. } => 1,
        Place::End { .. } => 2,
        Place::Event { .. } => 3,
    });
    let place = *places.first()?;
    let (should, is) = (expected.found.get(place), found.found.get(place));
    let what = match place {
        Place::Run { function, .. } => format!("a run of {function}"),
        Place::End { function, .. } => format!("the end of {function}"),
        Place::Step {
            function,
            id,
            index,
            ..
        } => format!("step \"{}\" of {function}", label(id, *index)),
        Place::Event { name, .. } => format!("event '{name}'"),
    };
    let what = match (should, is) {
        (Some(should), Some(is)) => format!("{what} is {is}, not {should}"),
        (Some(should), None) => format!("{what} is missing: {should}"),
        (None, Some(is)) => format!("{what} is one too many: {is}"),
        (None, None) => unreachable!("a place that differs is in one of the outcomes"),
    };
    Some(Difference {
        what,
        with_crash: found.history_at(place),
        without: expected.history_at(place),
    })
}

/// What started a run. Events of the engine's own tell of ids.
fn trigger(run: &TestRun) -> String {
    let events = run
        .events()
        .iter()
        .map(|event| match event.name.starts_with(RESERVED_PREFIX) {
            true => event.name.clone(),
            false => format!("{} {}", event.name, event.data),
        });
    events.collect::<Vec<_>>().join(", ")
}

fn end(run: &TestRun) -> String {
    let status = run.status().to_string().to_lowercase();
    let end = match (run.error(), run.output_json()) {
        (Some(error), _) => format!("{}: {}", error.name, error.message),
        (None, output) => output.unwrap_or_default().to_owned(),
    };
    format!("{status} {end}")
}

fn recorded(step: &TestStep) -> String {
    let status = format!("{:?}", step.status()).to_lowercase();
    let value = match (step.error(), step.output_json()) {
        (Some(error), _) => format!("{}: {}", error.name, error.message),
        (None, None) => String::new(),
        (None, Some(output)) if step.is_wait_for_event() => {
            // The event has an id and a time of its own.
            let event: Value = serde_json::from_str(output.get()).unwrap_or_default();
            event
                .get("data")
                .map_or_else(|| "null".to_owned(), Value::to_string)
        }
        (None, Some(output)) => output.get().to_owned(),
    };
    format!("{status} {value}")
}
