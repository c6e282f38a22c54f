//! What happened in a run, for people.

use super::notes::Note;
use super::run::SentEvent;
use super::steps::{FailedAttempt, StepStatus, TestStep, WaitEnd, WaitKind};
use crate::embedded::{Run, RunStatus};
use crate::moment::Moment;
use crate::step::ScoreValue;
use serde_json::Value;
use std::fmt;
use stepwell_engine::Cause;
use stepwell_protocol::{UserError, span};
use stepwell_store::AttemptRecord;

/// Characters of a value that are shown.
const VALUE_CHARS_MAX: usize = 100;

/// What happened in a run, as a tree. Its text has a line for each event, step and attempt, with the virtual time since the
/// run was scheduled:
///
/// ```text
/// run 01KDVZ5X00… of shop-checkout: completed after 30d15s
/// │ event shop/order.placed {"orderId":"o-1"} at 2026-01-01T00:00:00.000Z
/// ├─ ✓ reserve          +0ms      3
/// ├─ ✓ a-month-later    +0ms      slept for 30d
/// ├─ ✓ charge           +30d15s   "ok"
/// │  ├─ ✗ attempt 0     +30d      CardError: declined; again at +30d15s
/// │  └─ ✓ attempt 1     +30d15s
/// └─ ✓ returned         +30d15s   "shipped"
/// ```
///
/// A second use of a step's id is `charge:1`. What was noted of the run follows its events, what was noted of a step has a line
/// below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    head: Vec<String>,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    mark: char,
    name: String,
    at: String,
    text: String,
    below: Vec<Line>,
}

impl History {
    pub(super) fn new(
        run: &Run,
        cause: Option<Cause>,
        events: &[SentEvent],
        notes: &[Note],
        steps: &[TestStep],
        attempts: &[AttemptRecord],
    ) -> Self {
        let clock = Since(run.queued_at.ms());
        let took = run
            .ended_at
            .map(|ended_at| ended_at.ms_since(run.queued_at));
        let status = run.status.to_string().to_lowercase();
        let took = took.map_or_else(String::new, |took| format!(" after {}", duration(took)));
        let cause = cause.map_or_else(String::new, |cause| format!(" ({cause:?})"));
        let mut head = vec![format!(
            "run {} of {}: {status}{took}{cause}",
            run.id, run.function_id
        )];
        head.extend(events.iter().map(|event| {
            let data = shortened(&event.data.to_string());
            format!("│ event {} {data} at {}", event.name, event.at)
        }));
        head.extend(notes.iter().flat_map(of_note));
        let mut lines: Vec<(Moment, Line)> = steps
            .iter()
            .map(|step| (begun(step), of_step(step, clock)))
            .collect();
        let of_function = attempts.iter().filter(|attempt| attempt.step.is_none());
        let failures = of_function.filter_map(FailedAttempt::of);
        lines.extend(
            failures.map(|failed| (failed.started_at, of_failure("function", &failed, clock))),
        );
        // Of what began in the same millisecond, what ended first comes first.
        lines.sort_by_key(|(began, _)| *began);
        let mut lines: Vec<Line> = lines.into_iter().map(|(_, line)| line).collect();
        lines.extend(of_end(run, clock));
        Self { head, lines }
    }
}

/// What is noted of the run: scores one by one.
fn of_note(note: &Note) -> Vec<String> {
    let scores = note.scores();
    if scores.is_empty() {
        return vec![format!("│ {} {}", note.kind, values_of(note))];
    }
    let lines = scores.iter().map(|score| {
        let value = match score.value {
            ScoreValue::Bool(value) => value.to_string(),
            ScoreValue::Number(value) => value.to_string(),
        };
        format!("│ score {} {value}", score.name)
    });
    lines.collect()
}

fn values_of(note: &Note) -> String {
    shortened(&Value::Object(note.values.clone()).to_string())
}

/// The moment that times are told from.
#[derive(Debug, Clone, Copy)]
struct Since(u64);

impl Since {
    fn tell(self, moment: Moment) -> String {
        let ms = u64::try_from(moment.unix_ms()).unwrap_or(0);
        format!("+{}", duration(ms.saturating_sub(self.0)))
    }
}

fn duration(ms: u64) -> String {
    match ms {
        0 => "0ms".to_owned(),
        _ => span::format_ms(ms),
    }
}

fn begun(step: &TestStep) -> Moment {
    let first = step.failed_attempts().first();
    first.map_or(step.started_at, |failed| failed.started_at)
}

fn of_step(step: &TestStep, clock: Since) -> Line {
    let mark = match step.status() {
        StepStatus::Completed => '✓',
        StepStatus::Failed => '✗',
        StepStatus::Waiting | StepStatus::Queued => '…',
        StepStatus::Cancelled => '-',
    };
    let failures = step.failed_attempts();
    let mut below: Vec<Line> = failures
        .iter()
        .map(|failed| of_failure(&format!("attempt {}", failed.attempt), failed, clock))
        .collect();
    if !failures.is_empty() && step.status() == StepStatus::Completed {
        below.push(Line {
            mark,
            name: format!("attempt {}", step.attempts() - 1),
            at: clock.tell(step.started_at),
            text: String::new(),
            below: Vec::new(),
        });
    }
    below.extend(step.notes().iter().map(|note| Line {
        mark: '·',
        name: match note.attempt {
            Some(attempt) => format!("{} of attempt {attempt}", note.kind),
            None => note.kind.clone(),
        },
        at: String::new(),
        text: values_of(note),
        below: Vec::new(),
    }));
    Line {
        mark,
        name: step.label(),
        at: clock.tell(begun(step)),
        text: text_of(step, clock),
        below,
    }
}

fn text_of(step: &TestStep, clock: Since) -> String {
    let output = || {
        let output = step.output_json();
        output.map_or_else(String::new, |output| shortened(output.get()))
    };
    let Some(wait) = step.wait() else {
        return match (step.status(), step.error()) {
            (StepStatus::Queued, _) => "is to run".to_owned(),
            (StepStatus::Cancelled, _) => "was cut short".to_owned(),
            (_, Some(error)) => of_error(&error),
            (_, None) => output(),
        };
    };
    let what = match &wait.kind {
        WaitKind::Sleep => String::new(),
        WaitKind::Event { event, condition } => {
            let condition = condition.as_ref();
            let condition = condition.map_or_else(String::new, |text| format!(" with {text}"));
            format!(" for event {event}{condition}")
        }
        WaitKind::Signal { signal } => format!(" for signal {signal}"),
        WaitKind::Function { function } => format!(" for function {function}"),
    };
    let until = clock.tell(wait.until);
    let ended_at = step
        .ended_at()
        .map_or_else(String::new, |at| clock.tell(at));
    match (&wait.kind, &wait.end) {
        (WaitKind::Sleep, WaitEnd::Waiting) => format!("sleeps until {until}"),
        (WaitKind::Sleep, WaitEnd::Cancelled) => format!("sleeps until {until}; was cut short"),
        (WaitKind::Sleep, _) => format!("slept until {ended_at}"),
        (_, WaitEnd::Waiting) => format!("waits{what} until {until}"),
        (_, WaitEnd::Cancelled) => format!("waited{what}; was cut short"),
        (_, WaitEnd::Time) => format!("waited{what}; timed out at {ended_at}"),
        (_, WaitEnd::Came { .. }) => {
            let came = match (step.error(), step.output_json()) {
                (Some(error), _) => of_error(&error),
                (None, Some(event)) if step.is_wait_for_event() => {
                    let event: Value = serde_json::from_str(event.get()).unwrap_or_default();
                    shortened(&event["data"].to_string())
                }
                (None, _) => output(),
            };
            format!("waited{what}; it came at {ended_at}: {came}")
        }
    }
}

fn of_failure(name: &str, failed: &FailedAttempt, clock: Since) -> Line {
    let again = failed
        .retry_at
        .map_or_else(String::new, |at| format!("; again at {}", clock.tell(at)));
    Line {
        mark: '✗',
        name: name.to_owned(),
        at: clock.tell(failed.started_at),
        text: format!("{}{again}", of_error(&failed.error)),
        below: Vec::new(),
    }
}

fn of_end(run: &Run, clock: Since) -> Option<Line> {
    let at = run.ended_at.map(super::app::moment)?;
    let (mark, name, text) = match run.status {
        RunStatus::Completed => {
            let output = run.output_json().unwrap_or("null");
            ('✓', "returned", shortened(output))
        }
        RunStatus::Failed => {
            let error = run.error();
            (
                '✗',
                "failed",
                error.map_or_else(String::new, |error| of_error(&error)),
            )
        }
        RunStatus::Cancelled => ('-', "cancelled", String::new()),
        RunStatus::Skipped => ('-', "skipped", String::new()),
        RunStatus::Scheduled | RunStatus::Running => return None,
    };
    Some(Line {
        mark,
        name: name.to_owned(),
        at: clock.tell(at),
        text,
        below: Vec::new(),
    })
}

fn of_error(error: &UserError) -> String {
    shortened(&format!("{}: {}", error.name, error.message))
}

/// A text in one line, cut where it is long.
fn shortened(text: &str) -> String {
    let text = text.replace('\n', " ");
    if text.chars().count() <= VALUE_CHARS_MAX {
        return text;
    }
    let start: String = text.chars().take(VALUE_CHARS_MAX).collect();
    format!("{start}…")
}

impl Line {
    fn width(&self) -> (usize, usize) {
        let below = self.below.iter().map(|line| {
            let (name, at) = line.width();
            (name + 3, at)
        });
        let own = (self.name.chars().count(), self.at.chars().count());
        below.fold(own, |most, line| (most.0.max(line.0), most.1.max(line.1)))
    }

    fn write(
        &self,
        formatter: &mut fmt::Formatter<'_>,
        indent: &str,
        is_last: bool,
        (name_width, at_width): (usize, usize),
    ) -> fmt::Result {
        let (branch, trunk) = match is_last {
            true => ("└─", "   "),
            false => ("├─", "│  "),
        };
        let line = format!(
            "{indent}{branch} {} {:name_width$}  {:at_width$}  {}",
            self.mark, self.name, self.at, self.text
        );
        write!(formatter, "\n{}", line.trim_end())?;
        let indent = format!("{indent}{trunk}");
        for (place, line) in self.below.iter().enumerate() {
            let is_last = place + 1 == self.below.len();
            let widths = (name_width.saturating_sub(3), at_width);
            line.write(formatter, &indent, is_last, widths)?;
        }
        Ok(())
    }
}

impl fmt::Display for History {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.head.join("\n"))?;
        let widths = self.lines.iter().map(Line::width);
        let widths = widths.fold((0, 0), |most, line| {
            (most.0.max(line.0), most.1.max(line.1))
        });
        for (place, line) in self.lines.iter().enumerate() {
            line.write(formatter, "", place + 1 == self.lines.len(), widths)?;
        }
        Ok(())
    }
}
